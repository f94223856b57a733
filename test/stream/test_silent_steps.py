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

"""Frames at which the model keeps silent share one pass, and nobody can tell by the events."""

from moss_ros.model import SamplingOptions
from moss_ros.stream import (
    encode_frames, Prompt, SessionState, SilenceEvent, StateEvent, StreamSession, TokenEvent,
)
import pytest
import torch

NUM_FRAMES = 60
PROMPT_FRAMES = (9, 30, 31)


def encoded(model, tools, indices):
    return [encode_frames(model, [tools.frame(index)])[0] for index in indices]


def kinds(steps):
    return [[type(event) for event in events] for events in steps]


def test_silence_at_eight_frames_costs_one_pass(tools, chat):
    session, model = tools.scripted_session()
    frames = encoded(model, tools, range(8))
    session.add_frame(frames[0])
    steps = session.step_while_silent(frames[1:])
    assert [events[-1].stamp_ns for events in steps] == [frame.stamp_ns for frame in frames]
    assert all(isinstance(events[-1], SilenceEvent) for events in steps)
    assert model.extensions == [[
        *chat.opening('Watch and tell.'), *[chat.silence_id, chat.image_id] * 8]]
    assert model.caches[0].frames == [frame.states.item() for frame in frames]
    assert not session.has_work
    assert session.newest_stamp_ns == frames[-1].stamp_ns


def test_nothing_behind_the_first_word_has_been_seen(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, chat.eot_id, ' Yes.')
    frames = encoded(model, tools, range(8))
    session.add_frame(frames[0])
    steps = session.step_while_silent(frames[1:])
    # The end of a turn counts as silence, and what was taken for silence in the pass is right.
    assert kinds(steps) == [
        [StateEvent, SilenceEvent], [SilenceEvent], [StateEvent, TokenEvent]]
    assert session.state is SessionState.SPEAKING
    assert session.newest_stamp_ns == frames[2].stamp_ns
    assert model.caches[0].frames == [frame.states.item() for frame in frames[:3]]
    assert model.caches[0].ids == session.context.token_ids[:-1]
    while session.has_work:
        session.step()
    assert session.context.token_ids == [
        *chat.opening('Watch and tell.'), *[chat.silence_id, chat.image_id] * 3,
        *chat.encode_text(' Yes.'), chat.silence_id]


def test_it_is_one_step_in_speech_without_a_frame_and_with_a_prompt(tools, chat):
    session, model = tools.scripted_session(' Yes.', ' No.')
    frames = encoded(model, tools, range(4))
    assert len(session.step_while_silent(frames[1:])) == 1 and not model.extensions
    session.add_prompt(Prompt('Is it red?', 'q'))
    # The prompt waits for the first frame.
    assert session.step_while_silent(frames[1:]) == [[]] and not model.extensions
    session.add_frame(frames[0])
    assert len(session.step_while_silent(frames[1:])) == 1
    assert session.state is SessionState.SPEAKING
    session.add_frame(frames[1])
    assert len(session.step_while_silent(frames[2:])) == 1
    assert session.context.num_frames == 2


def test_no_more_is_shown_at_once_than_the_context_holds(tools, chat):
    session, model = tools.scripted_session(
        *[chat.silence_id] * 10, ' Yes.', max_context_frames=4, keep_context_frames=2)
    frames = encoded(model, tools, range(11))
    shown_ns, index = [], 0
    while index < len(frames):
        session.add_frame(frames[index])
        steps = session.step_while_silent(frames[index + 1:])
        assert 1 <= len(steps) <= 4
        index += len(steps)
        shown_ns += [events[-1].stamp_ns for events in steps]
    assert shown_ns == [frame.stamp_ns for frame in frames]
    assert session.state is SessionState.SPEAKING
    assert session.num_waiting_frames == 0


@pytest.mark.parametrize('do_sample, silence_logit_bias', [(False, 0.5), (True, 5.5)])
def test_frames_that_wait_together_give_the_events_of_one_after_the_other(
        tiny_model, chat, tools, do_sample, silence_logit_bias):
    """Also across a rollover, and with questions before some of the frames."""
    options = tools.options(
        silence_logit_bias=silence_logit_bias, max_context_frames=12, keep_context_frames=5,
        seed=3, sampling=SamplingOptions(do_sample=do_sample, repetition_penalty=1.3),
        max_tokens_between_frames=1)  # no frame comes into a sentence
    frames = encoded(tiny_model, tools, range(NUM_FRAMES))
    sessions = [StreamSession(tiny_model, chat, options) for _ in range(2)]
    said = [[], []]
    for index in range(0, NUM_FRAMES, 6):
        for number, session in enumerate(sessions):
            if index % 4 == 0:
                session.add_prompt(Prompt('Is there a red ball?', f'q{index}'))
            for frame in frames[index:index + 6]:
                session.add_frame(frame)
                said[number] += session.step() if number else []
            said[number] += run(session)
    assert said[0] == said[1]
    assert any(isinstance(event, TokenEvent) for event in said[0])
    assert sessions[0].context.token_ids == sessions[1].context.token_ids
    assert sessions[0].context.num_rollovers == sessions[1].context.num_rollovers > 1


@pytest.mark.parametrize('do_sample, silence_logit_bias', [(False, 1.5), (True, 5.5)])
def test_the_events_are_those_of_one_step_a_frame(
        tiny_model, chat, tools, do_sample, silence_logit_bias):
    options = tools.options(
        silence_logit_bias=silence_logit_bias, max_context_frames=12, keep_context_frames=5,
        seed=3, sampling=SamplingOptions(do_sample=do_sample, repetition_penalty=1.3))
    frames = encoded(tiny_model, tools, range(NUM_FRAMES))
    sessions = [StreamSession(tiny_model, chat, options) for _ in range(2)]
    said, num_calls = [[], []], 0
    for index, frame in enumerate(frames):
        ask(sessions[0], index)
        sessions[0].add_frame(frame)
        said[0] += run(sessions[0])
    index = 0
    while index < NUM_FRAMES:
        ask(sessions[1], index)
        sessions[1].add_frame(frames[index])
        next_prompt = min((at for at in PROMPT_FRAMES if at > index), default=NUM_FRAMES)
        following = frames[index + 1:min(index + 8, next_prompt)]
        steps = sessions[1].step_while_silent(following)
        said[1] += [event for events in steps for event in events] + run(sessions[1])
        index += len(steps)
        num_calls += 1
    assert said[0] == said[1]
    assert sessions[0].context.token_ids == sessions[1].context.token_ids
    # There was speech, forgetting, and silence to be gained from.
    assert any(isinstance(event, TokenEvent) for event in said[0])
    assert sessions[0].context.num_rollovers == sessions[1].context.num_rollovers > 1
    assert num_calls < 0.8 * NUM_FRAMES
    torch.testing.assert_close(
        sessions[0].context.forward(), sessions[1].context.forward(), atol=1e-5, rtol=1e-4)


def ask(session, index):
    if index in PROMPT_FRAMES:
        session.add_prompt(Prompt('Is there a red ball?', f'q{index}'))


def run(session):
    events = []
    while session.has_work:
        events += session.step()
    return events
