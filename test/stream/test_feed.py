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

"""A slow model keeps nobody waiting: frames are encoded in parts, as many as time allows."""

from contextlib import nullcontext
import threading

from moss_ros.stream import (
    EngineWorker, Mailbox, NarrationEvent, Prompt, PromptEvent, SessionState, SilenceEvent,
    StreamSession, WorkerState,
)
from moss_ros.stream.feed import SessionFeed
import pytest
import torch

WAIT_S = 20.0  # an upper bound for what takes milliseconds
NUM_BLOCKS = 4


class Clock:
    """Stands in for the module time: it goes on when the model works."""

    def __init__(self):
        self.now_s = 100.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr('moss_ros.stream.feed.time', clock)
    return clock


@pytest.fixture
def slow_feed(tools, chat, clock):
    """Return a function that makes a feed whose model takes frame_s for each frame."""
    def make(frame_s, max_frames=30, **options):
        class SlowModel(tools.scripted_model):

            def encode_frames_in_blocks(self, pixel_values):
                for _ in range(NUM_BLOCKS):
                    clock.now_s += len(pixel_values) * frame_s / NUM_BLOCKS
                    yield
                return self.encode_frames(pixel_values)

        mailbox = Mailbox(max_frames)
        session = StreamSession(
            SlowModel(chat), chat, tools.options(max_context_frames=60, **options))
        return SessionFeed(session, mailbox), mailbox, session

    return make


def fill(feed, mailbox, tools, num_frames):
    """Have the feed learn what a frame costs by frame 0, and then put so many more in."""
    mailbox.submit_frame(tools.frame(0))
    feed.step()
    for index in range(1, 1 + num_frames):
        mailbox.submit_frame(tools.frame(index))


def stamps_s(events):
    return [event.stamp_ns // 10 ** 9 for event in events if isinstance(event, SilenceEvent)]


def test_until_the_cost_is_known_frames_come_one_by_one_and_none_is_dropped(slow_feed, tools):
    feed, mailbox, _ = slow_feed(0.001)
    assert feed.encode_s_per_frame is None
    for index in range(10):
        mailbox.submit_frame(tools.frame(index))
    assert stamps_s(feed.step()) == [0]
    assert feed.encode_s_per_frame == pytest.approx(0.001)
    assert stamps_s(feed.step()) == list(range(1, 10))
    assert mailbox.num_dropped_frames == 0
    assert not feed.has_work


def test_the_newest_frames_that_fit_are_encoded_and_the_others_counted(slow_feed, tools):
    feed, mailbox, _ = slow_feed(0.1, max_step_s=0.35)
    fill(feed, mailbox, tools, 10)
    assert stamps_s(feed.step()) == [8, 9, 10]
    assert mailbox.num_dropped_frames == 7


def test_more_than_the_context_holds_is_not_encoded_but_counted(slow_feed, tools):
    feed, mailbox, session = slow_feed(0.001, max_frames=100)
    fill(feed, mailbox, tools, 90)
    seen_s = []
    while feed.has_work:
        seen_s += stamps_s(feed.step())
    num_kept = session.options.max_context_frames
    assert seen_s == list(range(91 - num_kept, 91))
    assert mailbox.num_dropped_frames == 90 - num_kept


def test_a_frame_that_takes_longer_is_encoded_in_parts(slow_feed, tools):
    feed, mailbox, session = slow_feed(1.0, max_step_s=0.5)
    mailbox.submit_frame(tools.frame(0))
    assert stamps_s(feed.step()) == []
    assert feed.has_work and not session.has_work
    mailbox.submit_frame(tools.frame(1))
    mailbox.submit_frame(tools.frame(2))
    assert stamps_s(feed.step()) == []
    assert stamps_s(feed.step()) == [0]
    assert feed.encode_s_per_frame == pytest.approx(1.0)
    while feed.has_work:
        feed.step()
    assert session.newest_stamp_ns == 2 * 10 ** 9
    assert session.context.num_frames == 2
    assert mailbox.num_dropped_frames == 1


def test_it_yields_between_blocks_to_a_prompt_and_to_whoever_asks(
        slow_feed, tools, chat, clock):
    feed, mailbox, session = slow_feed(1.0, max_step_s=100.0)
    mailbox.submit_frame(tools.frame(0))
    feed.step()
    mailbox.submit_frame(tools.frame(1))
    begin_s = clock.now_s
    feed.step(should_yield=lambda: True)
    assert clock.now_s - begin_s == pytest.approx(0.25)
    mailbox.submit_prompt(Prompt('Is it red?', 'q'))
    [event] = feed.step(should_yield=lambda: True)
    assert isinstance(event, PromptEvent) and event.prompt_id == 'q'
    assert clock.now_s - begin_s == pytest.approx(0.5)
    # The question stands before the frame that was being encoded when it came.
    assert stamps_s(feed.step()) == [1]
    ids = session.context.token_ids
    asked = [*chat.question_turn('Is it red?'), chat.silence_id, chat.image_id, chat.silence_id]
    assert ids[-len(asked):] == asked


def test_frames_that_are_being_encoded_can_be_dropped(slow_feed, tools):
    feed, mailbox, session = slow_feed(1.0, max_step_s=0.2)
    mailbox.submit_frame(tools.frame(0))
    feed.step()
    assert feed.has_work
    feed.drop_frames()
    assert not feed.has_work
    assert session.newest_stamp_ns is None


class StuckModel:
    """Mixed into a scripted model: each block of the encoder waits to be let on."""

    def encode_frames_in_blocks(self, pixel_values):
        while True:
            self.blocks.release()
            assert self.may_go_on.acquire(timeout=WAIT_S)
            yield


@pytest.fixture
def stuck(tools, chat):
    """Return a worker, its channel, the model, and a function that waits for the next block."""
    class Model(StuckModel, tools.scripted_model):
        pass

    model = Model(chat)
    model.blocks, model.may_go_on = threading.Semaphore(0), threading.Semaphore(0)
    worker = EngineWorker(num_torch_threads=1)
    events = []
    channel = worker.open_channel(
        StreamSession(model, chat, tools.options()), Mailbox(8), events.append)
    worker.start()
    channel.mailbox.submit_frame(tools.frame(1))
    assert model.blocks.acquire(timeout=WAIT_S)
    yield worker, channel, model, events
    for _ in range(1000):
        model.may_go_on.release()
    assert worker.close(WAIT_S)


def test_a_worker_in_the_midst_of_a_frame_stops_after_the_block(stuck):
    worker, _, model, _ = stuck
    assert not worker.stop(timeout_s=0.0)
    model.may_go_on.release()
    assert worker.stop(WAIT_S)
    assert worker.state is WorkerState.STOPPED


def test_a_pause_in_the_midst_of_a_frame_comes_after_the_block(stuck):
    _, channel, model, _ = stuck
    future = channel.request_pause(True)
    model.may_go_on.release()
    future.result(WAIT_S)
    assert channel.is_paused
    assert not model.blocks.acquire(blocking=False)


def test_an_interrupt_in_the_midst_of_a_frame_comes_after_the_block(stuck):
    _, channel, model, _ = stuck
    future = channel.request_interrupt()
    model.may_go_on.release()
    future.result(WAIT_S)
    assert model.blocks.acquire(timeout=WAIT_S)  # the frame is gone on with


class HeldMark:
    """Stands in for a place in a CUDA stream; the test lets the device pass it."""

    def __init__(self):
        self.is_there, self.num_waits, self.handed_over = False, 0, 0

    def is_passed(self):
        return self.is_there

    def wait(self):
        self.num_waits += 1
        self.is_there = True

    def hand_over(self, states):
        assert self.is_there and isinstance(states, torch.Tensor)
        self.handed_over += 1


class HeldStream:
    """Stands in for a side stream on CUDA."""

    def __init__(self):
        self.marks = []

    def use(self):
        return nullcontext()

    def mark(self):
        self.marks.append(HeldMark())
        return self.marks[-1]


def test_words_go_on_until_the_device_has_encoded_a_frame(tools, chat):
    session, model = tools.scripted_session(' A red ball appears on the left.')
    mailbox, side = Mailbox(4), HeldStream()
    feed = SessionFeed(session, mailbox, side)
    mailbox.submit_frame(tools.frame(1))
    feed.step()
    assert side.marks[0].num_waits == 1  # in silence there is nothing else to do
    assert session.state is SessionState.SPEAKING
    mailbox.submit_frame(tools.frame(2))
    for _ in range(2):
        feed.step()
    assert (side.marks[1].is_there, side.marks[1].num_waits) == (False, 0)
    assert session.context.num_frames == 1 and len(model.extensions) == 3
    side.marks[1].is_there = True
    feed.step()
    assert session.context.num_frames == 2
    assert [mark.handed_over for mark in side.marks] == [1, 1]
    assert model.extensions[-1][-1] == chat.image_id  # seen by the token of that very step


def test_frames_that_the_device_is_at_are_work_and_can_be_dropped(tools):
    session, model = tools.scripted_session(' A red ball appears on the left.')
    mailbox, side = Mailbox(4), HeldStream()
    feed = SessionFeed(session, mailbox, side)
    mailbox.submit_frame(tools.frame(1))
    feed.step()
    mailbox.submit_frame(tools.frame(2))
    feed.step()
    session.stop()
    assert feed.has_work
    feed.drop_frames()
    assert not feed.has_work
    assert session.context.num_frames == 1


def test_a_step_that_has_begun_takes_nothing_of_the_new_stream(tools, chat, monkeypatch):
    """As when the steps of other streams go before: it takes in only then what waits."""
    is_entered, is_open, is_shown = (threading.Event() for _ in range(3))
    step, events = SessionFeed.step_shared, []

    def late(feed, should_yield):
        is_entered.set()
        assert is_open.wait(WAIT_S)
        return step(feed, should_yield)

    def hear(event):
        events.append(event)
        if isinstance(event, SilenceEvent) and event.stamp_ns == 2 * 10 ** 9:
            is_shown.set()

    monkeypatch.setattr(SessionFeed, 'step_shared', late)
    session = StreamSession(tools.scripted_model(chat), chat, tools.options())
    worker = EngineWorker(num_torch_threads=1)
    channel = worker.open_channel(session, Mailbox(8), hear)
    worker.start()
    channel.mailbox.submit_frame(tools.frame(1))
    assert is_entered.wait(WAIT_S)
    future = channel.request_reset()
    channel.mailbox.submit_prompt(Prompt('Is it red?', 'p'))
    channel.mailbox.submit_frame(tools.frame(2))
    is_open.set()
    future.result(WAIT_S)
    assert is_shown.wait(WAIT_S)
    worker.call(lambda: None).result(WAIT_S)
    assert session.context.num_frames == 1
    assert not any(isinstance(event, NarrationEvent) for event in events)  # no end of 'p'
    assert [event.prompt_id for event in events if isinstance(event, PromptEvent)] == ['p']
    assert worker.close(WAIT_S)
