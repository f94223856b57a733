# Copyright 2026 moss_ros developers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Drafts cost nothing but passes: what is said is the same, and restored in the middle of one."""

from moss_ros.model import SamplingOptions
from moss_ros.stream import StreamSession
from moss_ros.stream.drafts import draft
import pytest

IMAGE, CONTROL = 99, {90, 91, 99}


@pytest.mark.parametrize('ids, most, expected', [
    ([1, 2, 3, 4, 90, 1, 2], 3, [3, 4]),          # the longest match, up to a control token
    ([1, 2, 3, 4, 5, 6, 1, 2], 3, [3, 4, 5]),     # at most so many
    ([7, 2, 5, 90, 8, 2, 6, 90, 7, 2], 3, [5]),   # a longer match wins over a newer one
    ([7, 2, 5, 90, 8, 2, 6, 90, 4, 2], 3, [6]),   # then the newest
    ([1, 99, 2, 3, 99, 4, 1, 99, 2], 2, [3, 4]),  # frames do not count
    ([1, 2, 3], 3, []), ([5], 3, []), ([], 3, []), ([1, 2, 1], 0, []),
    ([1, 1, 1], 2, [1]),
])
def test_a_draft_is_what_followed_last_time(ids, most, expected):
    assert draft(ids, most, CONTROL, IMAGE) == expected


class CountingModel:
    """A model with cheap rows that counts its passes of tokens; everything else is another's."""

    def __init__(self, model, num_cheap_rows):
        self._model = model
        self.num_cheap_rows = num_cheap_rows
        self.num_rows = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def decode(self, caches, token_ids):
        self.num_rows.append(len(caches))
        return self._model.decode(caches, token_ids)


def run(model, chat, tools, do_sample, is_restored=False):
    """Return the events of a talkative stream with questions, until its context rolled over."""
    options = tools.options(silence_logit_bias=-3.0, seed=3, sampling=SamplingOptions(
        do_sample=do_sample, temperature=0.05))
    session = StreamSession(model, chat, options)
    events, number = [], 0
    while session.context.num_rollovers < 2:
        if number % 7 == 0:
            session.add_frame(tools.frame(number))
        if number % 31 == 20:
            session.add_prompt(tools.prompt(f'q{number}'))
        events += session.step()
        number += 1
        if is_restored:
            snapshot = session.snapshot()
            session = StreamSession(model, chat, options)
            session.restore(snapshot)
    return events


@pytest.mark.parametrize('do_sample', [False, True])
def test_drafts_change_no_event(tiny_model, chat, tools, do_sample):
    plain, drafting = CountingModel(tiny_model, 1), CountingModel(tiny_model, 4)
    events = run(plain, chat, tools, do_sample)
    assert run(drafting, chat, tools, do_sample) == events
    assert set(plain.num_rows) == {1} and max(drafting.num_rows) == 4
    # The random model repeats itself, so many tokens need no pass of their own.
    assert len(drafting.num_rows) < 0.8 * len(plain.num_rows)


def test_a_stream_restored_at_every_step_goes_on_with_its_draft(tiny_model, chat, tools):
    models = [CountingModel(tiny_model, 4) for _ in range(2)]
    assert run(models[0], chat, tools, True) == run(models[1], chat, tools, True, is_restored=True)
    assert models[0].num_rows == models[1].num_rows
