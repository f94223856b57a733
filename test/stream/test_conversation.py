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

"""Questions that are open: every way in which one closes, and which one stands."""

import json

from moss_ros.stream import (
    EndReason, NarrationEvent, Prompt, PromptEvent, SessionState, SilenceEvent, StateEvent,
    TokenEvent,
)
from moss_ros.stream.conversation import Conversation
import pytest

SECOND = 1_000_000_000
ANSWER_WITHIN_S = 30.0


@pytest.fixture
def conversation():
    conversation = Conversation(ANSWER_WITHIN_S)
    conversation.tell_state()
    conversation.take_events()
    return conversation


def ask(conversation, name):
    conversation.ask(Prompt(f'Is it {name}?', name))


def show(conversation, second):
    conversation.take_frame(second * SECOND, 0)


def say(conversation, *words):
    for word in words:
        conversation.say(word, 7)


def kinds(events):
    return [type(event) for event in events]


def narrations(events):
    """(text, reason, prompt_id, standing_prompt_id) of each narration."""
    return [(event.text, event.reason, event.prompt_id, event.standing_prompt_id)
            for event in events if isinstance(event, NarrationEvent)]


def test_what_is_said_unasked_answers_nothing(conversation):
    show(conversation, 1)
    say(conversation, 'A ', 'ball.')
    conversation.fall_silent()
    events = conversation.take_events()
    assert kinds(events) == [
        StateEvent, TokenEvent, TokenEvent, NarrationEvent, SilenceEvent, StateEvent]
    assert narrations(events) == [('A ball.', EndReason.SILENCE, None, None)]
    assert {(event.prompt_id, event.standing_prompt_id) for event in events[1:4]} == {
        (None, None)}


@pytest.mark.parametrize('num_silent_frames', [0, 1, 29])
def test_the_first_text_after_a_question_is_its_answer_however_many_frames_later(
        conversation, num_silent_frames):
    show(conversation, 1)
    ask(conversation, 'q')
    for index in range(num_silent_frames):
        show(conversation, 2 + index)
        conversation.fall_silent()
    assert narrations(conversation.take_events()) == []
    show(conversation, 2 + num_silent_frames)
    say(conversation, 'Yes.')
    token = conversation.take_events()[-1]
    assert (token.prompt_id, token.standing_prompt_id) == ('q', 'q')
    conversation.fall_silent()
    assert narrations(conversation.take_events()) == [('Yes.', EndReason.SILENCE, 'q', 'q')]


def test_what_follows_the_answer_is_an_update_that_says_which_question_stands(conversation):
    ask(conversation, 'q')
    for second, word in enumerate(('Yes.', 'No.', 'Yes.')):
        show(conversation, second)
        say(conversation, word)
        conversation.fall_silent()
    events = conversation.take_events()
    assert narrations(events) == [
        ('Yes.', EndReason.SILENCE, 'q', 'q'), ('No.', EndReason.SILENCE, None, 'q'),
        ('Yes.', EndReason.SILENCE, None, 'q')]
    assert [(event.prompt_id, event.standing_prompt_id) for event in events
            if isinstance(event, TokenEvent)] == [('q', 'q'), (None, 'q'), (None, 'q')]
    ids = [event.narration_id for event in events if isinstance(event, NarrationEvent)]
    assert ids == [1, 2, 3]


def test_the_next_question_closes_one_that_is_open(conversation):
    show(conversation, 1)
    ask(conversation, 'a')
    ask(conversation, 'b')
    events = conversation.take_events()
    assert kinds(events) == [PromptEvent, NarrationEvent, PromptEvent]
    assert narrations(events) == [('', EndReason.INTERRUPTED, 'a', 'a')]
    show(conversation, 2)
    say(conversation, 'Yes.')
    conversation.fall_silent()
    assert narrations(conversation.take_events()) == [('Yes.', EndReason.SILENCE, 'b', 'b')]


def test_the_next_question_cuts_an_answer_which_is_told_once(conversation):
    show(conversation, 1)
    ask(conversation, 'a')
    show(conversation, 2)
    say(conversation, 'It is ')
    ask(conversation, 'b')
    events = conversation.take_events()
    assert narrations(events) == [('It is ', EndReason.INTERRUPTED, 'a', 'a')]
    assert kinds(events)[-2:] == [NarrationEvent, PromptEvent]
    assert conversation.state is SessionState.SPEAKING and not conversation.is_saying
    say(conversation, 'Yes.')
    conversation.fall_silent()
    assert narrations(conversation.take_events()) == [('Yes.', EndReason.SILENCE, 'b', 'b')]


def test_a_cut_update_belongs_to_the_question_that_stood_then(conversation):
    ask(conversation, 'a')
    show(conversation, 1)
    say(conversation, 'Yes.')
    conversation.fall_silent()
    say(conversation, 'Now ')
    conversation.take_events()
    ask(conversation, 'b')
    assert narrations(conversation.take_events()) == [
        ('Now ', EndReason.INTERRUPTED, None, 'a')]


def test_two_questions_that_cut_a_sentence_leave_silence(conversation):
    show(conversation, 1)
    say(conversation, 'A ')
    conversation.take_events()
    ask(conversation, 'a')
    ask(conversation, 'b')
    events = conversation.take_events()
    assert kinds(events) == [
        NarrationEvent, PromptEvent, NarrationEvent, StateEvent, PromptEvent]
    assert conversation.state is SessionState.SILENT


def test_a_question_is_unanswered_once_it_was_open_for_longer_than_it_may(conversation):
    show(conversation, 5)
    ask(conversation, 'q')
    for second in range(6, 36):
        show(conversation, second)
        conversation.fall_silent()
    # At exactly 30 s it may still be answered.
    assert narrations(conversation.take_events()) == []
    conversation.take_frame(35 * SECOND + 1, 9)
    [event] = conversation.take_events()
    assert event == NarrationEvent(
        stamp_ns=35 * SECOND + 1, received_ns=9, narration_id=1, text='',
        first_stamp_ns=35 * SECOND + 1, reason=EndReason.UNANSWERED, prompt_id='q',
        standing_prompt_id='q', num_tokens=0)
    # What is said now answers nothing, but may be about it.
    say(conversation, 'Yes.')
    conversation.fall_silent()
    conversation.close()
    assert narrations(conversation.take_events()) == [('Yes.', EndReason.SILENCE, None, 'q')]


def test_the_time_of_a_question_before_the_first_frame_begins_with_that_frame(conversation):
    ask(conversation, 'q')
    [event] = conversation.take_events()
    assert event == PromptEvent(
        stamp_ns=None, received_ns=None, prompt_id='q', text='Is it q?')
    for second in (1000, 1030):
        show(conversation, second)
        assert conversation.take_events() == []
    show(conversation, 1031)
    assert narrations(conversation.take_events()) == [('', EndReason.UNANSWERED, 'q', 'q')]


def test_how_long_a_question_is_open_may_change_meanwhile(conversation):
    show(conversation, 1)
    ask(conversation, 'q')
    conversation.answer_within_s = 2.5
    show(conversation, 3)
    conversation.take_events()
    show(conversation, 4)
    assert narrations(conversation.take_events()) == [('', EndReason.UNANSWERED, 'q', 'q')]


def test_an_answer_that_has_begun_is_never_unanswered(conversation):
    show(conversation, 1)
    ask(conversation, 'q')
    say(conversation, 'Well, ')
    show(conversation, 100)
    conversation.fall_silent()
    assert narrations(conversation.take_events()) == [('Well, ', EndReason.SILENCE, 'q', 'q')]


def test_stopping_what_is_said_leaves_a_question_open_and_closing_does_not(conversation):
    show(conversation, 1)
    ask(conversation, 'q')
    conversation.take_events()
    conversation.end(EndReason.STOPPED)
    assert conversation.take_events() == []
    conversation.close()
    assert narrations(conversation.take_events()) == [('', EndReason.STOPPED, 'q', 'q')]
    conversation.close()
    assert conversation.take_events() == []


@pytest.mark.parametrize('reason', [EndReason.STOPPED, EndReason.LIMIT])
def test_an_answer_that_is_ended_closes_its_question(conversation, reason):
    show(conversation, 1)
    ask(conversation, 'q')
    say(conversation, 'It ')
    conversation.end(reason)
    conversation.close()
    assert narrations(conversation.take_events()) == [('It ', reason, 'q', 'q')]
    assert conversation.state is SessionState.SILENT


def test_half_a_character_is_an_answer_without_text_and_no_narration_of_its_own(conversation):
    show(conversation, 1)
    for name in ('q', None):
        if name:
            ask(conversation, name)
        say(conversation, '')
        conversation.fall_silent()
    events = conversation.take_events()
    assert narrations(events) == [('', EndReason.SILENCE, 'q', 'q')]
    [narration] = [event for event in events if isinstance(event, NarrationEvent)]
    assert narration.num_tokens == 1


def test_reset_forgets_the_question_and_counts_anew(conversation):
    show(conversation, 1)
    ask(conversation, 'q')
    conversation.reset()
    assert conversation.take_events() == []
    show(conversation, 1)
    say(conversation, 'Yes.')
    conversation.fall_silent()
    events = conversation.take_events()
    assert narrations(events) == [('Yes.', EndReason.SILENCE, None, None)]
    assert events[-3].narration_id == 1


ACTS = (
    lambda it: show(it, 1), lambda it: ask(it, 'a'), lambda it: show(it, 2),
    Conversation.fall_silent, lambda it: say(it, 'Yes.'), lambda it: ask(it, 'b'),
    lambda it: say(it, 'No'), lambda it: say(it, '.'), Conversation.fall_silent,
    lambda it: ask(it, 'c'), lambda it: show(it, 20), Conversation.fall_silent,
    lambda it: show(it, 40), lambda it: say(it, 'Late.'), lambda it: it.end(EndReason.LIMIT),
    lambda it: ask(it, 'd'), Conversation.close,
)


@pytest.mark.parametrize('cut', range(len(ACTS)))
def test_a_restored_conversation_goes_on_with_the_same_events(cut):
    whole, first, second = (Conversation(ANSWER_WITHIN_S) for _ in range(3))
    expected = [event for act in ACTS for event in acted(whole, act)]
    before = [event for act in ACTS[:cut] for event in acted(first, act)]
    ask(second, 'of the past')
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert before + [event for act in ACTS[cut:] for event in acted(second, act)] == expected
    assert [(prompt_id, reason) for _, reason, prompt_id, _ in narrations(expected)] == [
        ('a', EndReason.INTERRUPTED), ('b', EndReason.SILENCE), ('c', EndReason.UNANSWERED),
        (None, EndReason.LIMIT), ('d', EndReason.STOPPED)]


def acted(conversation, act):
    act(conversation)
    return conversation.take_events()
