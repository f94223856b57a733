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

"""A stream taken up from a snapshot goes on to the last bit as the one it was taken of."""

import json
import random

from dialogue_rule import assert_decides, assert_layout
from moss_ros.model import SamplingOptions
from moss_ros.stream import (
    encode_frames, EndReason, FrameSampler, NarrationEvent, Prompt, SessionState, StreamSession,
    StreamSnapshot,
)
import pytest
import torch

NUM_STEPS = 60


def run(session, tiny_model, tools, steps):
    """Step through the given step numbers, frames and a few prompts in between; the events."""
    events = []
    for index in steps:
        if index % 3 == 0:
            session.add_frame(encode_frames(tiny_model, [tools.frame(index)])[0])
        if index in (2, 20, 41):
            session.add_prompt(Prompt(f'What of {index}?', f'prompt-{index}'))
        events += session.step()
    return events


def through_json(snapshot):
    """As a file would keep it: plain values, and tensors of their own."""
    return StreamSnapshot(
        json.loads(json.dumps(snapshot.state)),
        {name: tensor.clone() for name, tensor in snapshot.tensors.items()})


@pytest.mark.parametrize('do_sample', [False, True])
def test_a_restored_session_goes_on_with_the_same_events(tiny_model, chat, tools, do_sample):
    options = tools.options(
        silence_logit_bias=2.0, max_context_frames=8, keep_context_frames=4,
        sampling=SamplingOptions(do_sample=do_sample, repetition_penalty=1.1))
    whole = run(StreamSession(tiny_model, chat, options), tiny_model, tools, range(NUM_STEPS))
    was_speaking = was_rolled_over = False
    for cut in random.Random(5).sample(range(NUM_STEPS), 6):
        first = StreamSession(tiny_model, chat, options)
        before = run(first, tiny_model, tools, range(cut))
        was_speaking |= first.state is SessionState.SPEAKING
        was_rolled_over |= first.context.num_rollovers > 0
        snapshot = through_json(first.snapshot())
        # A session with a past of its own, which must leave no trace.
        second = StreamSession(tiny_model, chat, options)
        run(second, tiny_model, tools, range(7))
        second.restore(snapshot)
        assert second.context.token_ids == first.context.token_ids
        assert before + run(second, tiny_model, tools, range(cut, NUM_STEPS)) == whole
    assert was_rolled_over
    assert was_speaking or not do_sample  # by chance, half of the time


def act(session, model, tools, index):
    """Do what a seeded choice of number index says; return the events."""
    generator = random.Random(index)
    for _ in range(generator.choice((0, 0, 1, 1, 2, 5))):
        session.add_frame(encode_frames(model, [tools.frame(index)])[0])
    for number in range(generator.choice((0, 0, 0, 0, 1, 1, 3))):
        text = f'{index} ' + 'why ' * generator.choice((0, 5, 80))
        session.add_prompt(Prompt(text, f'{index}.{number}'))
    return session.stop() if generator.random() < 0.05 else session.step()


@pytest.mark.parametrize('max_context_tokens', [150, 2000])
def test_at_any_moment_between_two_steps_a_restored_session_goes_on_the_same(
        tools, chat, max_context_tokens):
    """Prompts in silence and speech, refused ones, frames that wait, limits, rollovers."""
    words = chat.encode_text(' The red ball stops. 你Yes')

    def script(model):
        # Depends on nothing but what is seen, and says little that is left out.
        assert_decides(chat, model.seen_ids)
        generator = random.Random(str(model.seen_ids))
        return generator.choice(words) if generator.random() < 0.75 else chat.silence_id

    options = tools.options(
        max_context_frames=12, keep_context_frames=6, max_context_tokens=max_context_tokens,
        keep_context_tokens=80, max_tokens_between_frames=2, answer_within_s=4.0)
    whole = StreamSession(tools.scripted_model(chat, script), chat, options)
    restored = StreamSession(tools.scripted_model(chat, script), chat, options)
    model = tools.scripted_model(chat)
    reasons = set()
    for index in range(250):
        # From here on a session of its own, which has forgotten what the last one did.
        restored.restore(through_json(whole.snapshot()))
        assert restored.has_work == whole.has_work
        assert restored.state is whole.state
        assert restored.num_waiting_frames == whole.num_waiting_frames
        events = act(whole, model, tools, index)
        assert act(restored, model, tools, index) == events
        assert restored.context.token_ids == whole.context.token_ids
        assert restored.context.last is whole.context.last
        assert restored.context.num_rollovers == whole.context.num_rollovers
        if whole.context.is_open:
            assert_layout(chat, whole.context.token_ids)
        reasons.update(
            event.reason for event in events if isinstance(event, NarrationEvent))
    assert restored.end() == whole.end()
    assert reasons == set(EndReason)
    assert whole.context.num_rollovers > 1


def test_what_waits_is_kept_in_a_snapshot(tiny_model, chat, tools):
    sessions = [StreamSession(tiny_model, chat, tools.options()) for _ in range(2)]
    sessions[0].add_prompt(Prompt('What is there?', 'prompt-1'))
    for frame in encode_frames(tiny_model, [tools.frame(1), tools.frame(2)]):
        sessions[0].add_frame(frame)
    sessions[1].restore(through_json(sessions[0].snapshot()))
    assert sessions[1].num_waiting_frames == 2
    events = [session.step() + session.step() for session in sessions]
    assert events[0] == events[1]
    assert sessions[1].newest_stamp_ns == 2_000_000_000
    caches = [session.snapshot().tensors for session in sessions]
    assert caches[0].keys() == caches[1].keys()
    assert all(torch.equal(caches[0][name], caches[1][name]) for name in caches[0])


def test_no_snapshot_while_pictures_wait(tiny_model, chat, tools):
    session = StreamSession(tiny_model, chat, tools.options())
    session.add_frame(tools.frame(1))
    with pytest.raises(ValueError, match='not encoded'):
        session.snapshot()


def test_a_restored_sampler_chooses_the_same_frames():
    generator = random.Random(3)
    stamps_ns = [index * 33_000_000 + generator.randrange(9_000_000) for index in range(200)]
    whole = FrameSampler(2.0)
    chosen = [whole.select(stamp_ns) for stamp_ns in stamps_ns]
    first, second = FrameSampler(2.0), FrameSampler(2.0)
    before = [first.select(stamp_ns) for stamp_ns in stamps_ns[:77]]
    second.select(10**15)
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert before + [second.select(stamp_ns) for stamp_ns in stamps_ns[77:]] == chosen
