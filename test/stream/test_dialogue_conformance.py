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

"""
Real conversations, replayed: the model sees token by token the sample that it was trained on.

MOSS_SKELETONS names a folder of others, whose *.json each hold a skeleton or a list of them.
"""

import queue
import threading

from dialogue_rule import assert_layout
from moss_ros.stream import (
    encode_frames, EndReason, EngineWorker, ErrorEvent, Mailbox, NarrationEvent, Prompt,
    PromptEvent, SilenceEvent, StreamSession, TokenEvent,
)
import pytest
from skeletons import Dialogue, load_skeletons, ReadingModel, SYSTEM_PROMPT

SKELETONS = load_skeletons()
WAIT_S = 60.0  # an upper bound for what takes milliseconds


@pytest.fixture(params=SKELETONS, ids=[name for name, _ in SKELETONS])
def dialogue(request, chat):
    name, skeleton = request.param
    return Dialogue(chat, skeleton, seed=name)


@pytest.fixture
def options(tools):
    """Return options with which nothing is forgotten, cut short or given up."""
    return tools.options(
        system_prompt=SYSTEM_PROMPT, max_context_frames=600, keep_context_frames=500,
        max_context_tokens=60_000, keep_context_tokens=50_000, max_tokens_between_frames=2000,
        answer_within_s=3600.0)


def prompt_of(item):
    return Prompt(item.text, f'q{item.number}')


def check_events(dialogue, events):
    """Check that each answer has its question's id, and what is said later none."""
    assert not [event for event in events if isinstance(event, ErrorEvent)]
    ids = [f'q{number}' for number in range(len(dialogue.questions))]
    asked = [event for event in events if isinstance(event, PromptEvent)]
    assert [(event.prompt_id, event.text) for event in asked] == list(
        zip(ids, dialogue.questions))
    narrations = [event for event in events if isinstance(event, NarrationEvent)]
    with_text = [event for event in narrations if event.text]
    assert [(event.text, event.prompt_id, event.standing_prompt_id) for event in with_text] == [
        (said.text, None if said.question is None else ids[said.question],
         None if said.standing is None else ids[said.standing]) for said in dialogue.narrations]
    assert [event.prompt_id for event in narrations if event.prompt_id] == ids
    assert {event.reason for event in with_text} <= {EndReason.SILENCE, EndReason.INTERRUPTED}
    for event in events:
        if isinstance(event, TokenEvent):
            narration = next(
                one for one in narrations if one.narration_id == event.narration_id)
            assert (event.prompt_id, event.standing_prompt_id) == (
                narration.prompt_id, narration.standing_prompt_id)
    num_silent = sum(item.kind == 'silence' for item in dialogue.items)
    assert sum(isinstance(event, SilenceEvent) for event in events) == num_silent


# Step by step

def replay(dialogue, session, tools, encode, num_at_once=1, after_step=lambda session: session):
    """
    Give the session what the dialogue has, when it has it; return its events.

    num_at_once: frames that are queued together where the model keeps silent at all of them but
    the last. after_step: gets the session, and returns the one to go on with.
    """
    events, items = [], dialogue.items
    num_shown = index = 0
    while index < len(items):
        item = items[index]
        index += 1
        if item.kind == 'question':
            session.add_prompt(prompt_of(item))
            # In silence it is taken in before the next frame, or in the same step as it.
            if items[index].kind == 'frame' and item.number % 2 == 0:
                events += session.step()
                session = after_step(session)
        elif item.kind == 'frame':
            num = 1
            while num < num_at_once and [one.kind for one in items[index:index + 2]] == [
                    'silence', 'frame']:
                num, index = num + 1, index + 2
            for _ in range(num):
                session.add_frame(encode(tools.frame(num_shown)))
                num_shown += 1
        else:
            events += session.step()
            session = after_step(session)
    assert not session.has_work
    assert session.context.token_ids == dialogue.ids
    assert session.context.num_rollovers == 0
    return events + session.end()


@pytest.mark.parametrize('num_at_once', [1, 7])
def test_the_model_sees_the_sample_and_each_answer_has_its_questions_id(
        dialogue, tools, chat, options, num_at_once):
    model = ReadingModel(chat, dialogue)
    session = StreamSession(model, chat, options)
    events = replay(dialogue, session, tools, lambda frame: frame, num_at_once)
    model.check_all_is_said()
    assert_layout(chat, dialogue.ids)
    check_events(dialogue, events)
    stamps_ns = [event.stamp_ns for event in events if event.stamp_ns is not None]
    assert stamps_ns == sorted(stamps_ns)
    assert stamps_ns[-1] == (dialogue.num_frames - 1) * 1_000_000_000


def test_a_session_restored_at_every_step_sees_the_sample_too(dialogue, tools, chat, options):
    model = ReadingModel(chat, dialogue)
    sessions = [StreamSession(model, chat, options) for _ in range(2)]

    def in_turn(session):
        [other] = [one for one in sessions if one is not session]
        other.restore(session.snapshot())
        return other

    events = replay(dialogue, sessions[0], tools,
                    lambda frame: encode_frames(model, [frame])[0], after_step=in_turn)
    check_events(dialogue, events)


# Live

class Handshake:
    """Hands over each event of the worker's thread, which waits until it was dealt with."""

    def __init__(self):
        self._events = queue.Queue()
        self._go_on = threading.Semaphore(0)
        self._is_over = threading.Event()

    def __call__(self, event):
        self._events.put(event)
        while not self._is_over.is_set() and not self._go_on.acquire(timeout=0.2):
            pass

    def __iter__(self):
        """Yield the events; each is dealt with when the next one is asked for."""
        while True:
            yield self._events.get(timeout=WAIT_S)
            self._go_on.release()

    def close(self):
        """Wait for nothing any more."""
        self._is_over.set()

    def rest(self):
        """Return the events since it was closed."""
        return [self._events.get() for _ in range(self._events.qsize())]


def submit_next(items, mailbox, tools, is_first):
    """Submit the frame or prompt that comes next, if one does, before the model decides."""
    while items and items[0].kind in ('frame', 'question'):
        item = items.pop(0)
        if item.kind == 'frame':
            mailbox.submit_frame(tools.frame(item.number))
            return
        mailbox.submit_prompt(prompt_of(item))
        if not is_first:
            return  # what comes behind it comes when it is taken in


def test_live_the_model_sees_the_sample_too(dialogue, tools, chat, options):
    """Frames and prompts come in from another thread when the events say that it is time."""
    model = ReadingModel(chat, dialogue)
    session, mailbox, heard = StreamSession(model, chat, options), Mailbox(8), Handshake()
    worker = EngineWorker(num_torch_threads=1)
    channel = worker.open_channel(session, mailbox, heard)
    items, events = list(dialogue.items), []
    worker.start()
    try:
        for event in heard:
            events.append(event)
            assert not isinstance(event, ErrorEvent), event
            if isinstance(event, (TokenEvent, SilenceEvent)):
                kind = 'token' if isinstance(event, TokenEvent) else 'silence'
                assert items.pop(0).kind == kind
            if len(events) == 1 or isinstance(event, (TokenEvent, SilenceEvent, PromptEvent)):
                submit_next(items, mailbox, tools, is_first=len(events) == 1)
            if not items:
                break
        heard.close()
        channel.request_close().result(WAIT_S)
    finally:
        heard.close()
        assert worker.close(timeout_s=WAIT_S)
    assert session.context.token_ids == dialogue.ids
    model.check_all_is_said()
    check_events(dialogue, events + heard.rest())
    assert mailbox.num_dropped_frames == 0
