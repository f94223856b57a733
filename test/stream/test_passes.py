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

"""Streams that share passes say what they say alone, and only the one to blame fails."""

import threading

from moss_ros.model import SamplingOptions
from moss_ros.stream import (
    EndReason, EngineWorker, Mailbox, NarrationEvent, StreamSession, TokenEvent,
)
from moss_ros.stream.passes import pass_alone, pass_together, TokenPass
import pytest
import torch

WAIT_S = 20.0
NUM_STREAMS = 4


def options(tools, index, **changes):
    """Return options with which the random model speaks, for stream index."""
    return tools.options(silence_logit_bias=-100.0, seed=index, sampling=SamplingOptions(
        do_sample=index % 2 == 1, top_k=20), **changes)


def steps(session, tools, index, num_steps=40):
    """Step a session that gets a frame now and then, and yield the generators of its steps."""
    for number in range(num_steps):
        if number % (5 + index) == 0:
            session.add_frame(tools.frame(7 * index + number))
        yield session.step_shared()


def kept(generator, events):
    """Do as generator, and append the events that it returns."""
    events += yield from generator


@pytest.fixture
def decoded(tiny_model, monkeypatch):
    """Return a list of the numbers of streams in each decode() of the tiny model."""
    decode, nums = tiny_model.decode, []
    monkeypatch.setattr(tiny_model, 'decode', lambda caches, ids: (
        nums.append(len(caches)), decode(caches, ids))[1])
    return nums


def test_a_streams_words_do_not_depend_on_who_else_is_there(tiny_model, chat, tools, decoded):
    alone, together = [], [[] for _ in range(NUM_STREAMS)]
    for index in range(NUM_STREAMS):
        session = StreamSession(tiny_model, chat, options(tools, index))
        alone.append([event for step in steps(session, tools, index)
                      for event in pass_alone(step)])
    assert set(decoded) == {1}
    num_alone = len(decoded)
    decoded.clear()
    sessions = [StreamSession(tiny_model, chat, options(tools, index))
                for index in range(NUM_STREAMS)]
    turns = zip(*(steps(session, tools, index) for index, session in enumerate(sessions)))
    for turn in turns:
        assert pass_together([kept(step, events) for step, events in zip(turn, together)]) \
            == [None] * NUM_STREAMS
    assert together == alone
    assert all(event for events in alone for event in events if isinstance(event, TokenEvent))
    assert sum(decoded) == num_alone and max(decoded) == NUM_STREAMS
    assert len(decoded) < num_alone / 2


def test_a_worker_has_streams_that_speak_share_their_passes(tiny_model, chat, tools, decoded):
    worker = EngineWorker(num_torch_threads=1)
    heard = [[] for _ in range(NUM_STREAMS)]
    ends = [threading.Event() for _ in range(NUM_STREAMS)]

    def listener(index):
        def on_event(event):
            heard[index].append(event)
            if isinstance(event, NarrationEvent):
                ends[index].set()
        return on_event

    try:
        # All frames are there before the first step, so all streams begin to speak in turn.
        for index in range(NUM_STREAMS):
            mailbox = Mailbox(8)
            mailbox.submit_frame(tools.frame(7 * index))
            worker.open_channel(StreamSession(tiny_model, chat, options(tools, index)), mailbox,
                                listener(index))
        worker.start()
        for end in ends:
            assert end.wait(WAIT_S)
    finally:
        assert worker.close(timeout_s=WAIT_S)
    assert max(decoded) == NUM_STREAMS
    for index, events in enumerate(heard):
        session = StreamSession(tiny_model, chat, options(tools, index))
        session.add_frame(tools.frame(7 * index))
        expected = []
        while not any(isinstance(event, NarrationEvent) for event in expected):
            expected += session.step()
        [said] = [event for event in expected if isinstance(event, NarrationEvent)]
        first = next(event for event in events if isinstance(event, NarrationEvent))
        assert (first.text, first.reason) == (said.text, EndReason.LIMIT)


class OneBadCache:
    """A model whose decode() fails whenever a certain cache is among those given."""

    def __init__(self, bad):
        self._bad = bad

    def decode(self, caches, token_ids):
        if self._bad in caches:
            raise RuntimeError('bad cache')
        return torch.tensor(token_ids)


def test_only_the_stream_to_blame_fails():
    model, said = OneBadCache('bad'), {}

    def stream(cache):
        for token_id in range(3):
            said[cache] = (yield TokenPass(model, cache, [token_id])).item()

    failures = pass_together([stream('good'), stream('bad'), stream('fine')])
    assert [failures[0], failures[2]] == [None, None]
    assert isinstance(failures[1], RuntimeError)
    assert said == {'good': 2, 'fine': 2}


def test_a_stream_that_fails_by_itself_leaves_the_others_alone():
    model, ends = OneBadCache(None), []

    def stream(cache, fails_at):
        for token_id in range(3):
            if token_id == fails_at:
                raise ValueError(f'{cache} fails')
            yield TokenPass(model, cache, [token_id])
        ends.append(cache)

    failures = pass_together([stream('a', None), stream('b', 1), stream('c', 0)])
    assert failures[0] is None
    assert [str(error) for error in failures[1:]] == ['b fails', 'c fails']
    assert ends == ['a']


def test_streams_of_two_models_share_nothing():
    models = [OneBadCache(None), OneBadCache('there')]
    said = []

    def stream(model, cache):
        said.append((yield TokenPass(model, cache, [5])).item())

    failures = pass_together([stream(models[0], 'here'), stream(models[1], 'there')])
    assert failures[0] is None and isinstance(failures[1], RuntimeError)
    assert said == [5]
