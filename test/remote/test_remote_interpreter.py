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

"""From strings to events: rounds, prompts, limits and what time ends; no process."""

from itertools import count

from moss_ros.remote import RemoteError, RemoteOptions
from moss_ros.remote.interpreter import StringInterpreter
from moss_ros.stream import (
    EndReason, ErrorEvent, NarrationEvent, Prompt, PromptEvent, SessionState, SilenceEvent,
    StateEvent, TokenEvent,
)
import pytest


class Listener:
    """An interpreter, and the time of the test."""

    def __init__(self, folder, **options):
        (folder / 'config.json').write_text('{}')
        self.interpreter = StringInterpreter(
            RemoteOptions(folder, trust_remote_code=True, **options))
        self.opening = self.interpreter.open()
        self.now_s = 100.0
        self._numbers = count(1)

    def hear(self, *strings):
        return [event for string in strings for event in self.interpreter.hear(
            string, self.now_s)]

    def ask(self, text='Where?'):
        prompt = Prompt(text, f'p{next(self._numbers)}')
        self.interpreter.add_prompt(prompt, self.now_s)
        return prompt.prompt_id

    def pass_time(self, seconds):
        self.now_s += seconds
        return self.interpreter.check(self.now_s)


@pytest.fixture
def listener(tmp_path):
    return lambda **options: Listener(tmp_path, **options)


def kinds(events):
    return [type(event) for event in events]


def narrations(events):
    return [event for event in events if isinstance(event, NarrationEvent)]


def test_it_opens_silent(listener):
    event, = listener().opening
    assert event == StateEvent(state=SessionState.SILENT, stamp_ns=None, received_ns=None)


def test_a_narration_from_its_first_word_to_silence(listener):
    listener = listener()
    listener.interpreter.take_frame(7, 70)
    assert kinds(listener.hear('<|silence|>')) == [SilenceEvent]
    state, token = listener.hear('A red')
    assert state.state is SessionState.SPEAKING
    assert token == TokenEvent(
        text='A red', token_id=None, narration_id=1, stamp_ns=7, received_ns=70)
    listener.interpreter.take_frame(8, 80)
    token, end, silence, state = listener.hear(' ball.<|silence|>')
    assert token.text == ' ball.'
    assert end == NarrationEvent(
        narration_id=1, text='A red ball.', first_stamp_ns=7, stamp_ns=8, received_ns=80,
        reason=EndReason.SILENCE, num_tokens=2)
    assert (kinds([end, silence, state]), state.state) == (
        [NarrationEvent, SilenceEvent, StateEvent], SessionState.SILENT)


def test_a_prompt_interrupts_and_is_answered(listener):
    listener = listener()
    listener.hear('The red ball')
    prompt_id = listener.ask('Is it red?')
    assert listener.interpreter.has_prompts
    end, asked, token, answer, silence, state = listener.hear(
        '<|round_start|>', 'Yes.', '<|silence|>')
    assert (type(silence), state.state) == (SilenceEvent, SessionState.SILENT)
    assert (end.text, end.reason) == ('The red ball', EndReason.INTERRUPTED)
    assert (asked.prompt_id, asked.text) == (prompt_id, 'Is it red?')
    assert (token.narration_id, token.prompt_id) == (2, prompt_id)
    assert (answer.text, answer.prompt_id, answer.reason) == (
        'Yes.', prompt_id, EndReason.SILENCE)
    assert not listener.interpreter.has_prompts


def test_each_of_two_prompts_gets_its_narration(listener):
    listener = listener()
    first, second = listener.ask(), listener.ask()
    events = listener.hear('<|round_start|>', '<|round_start|>', 'There.', '<|round_end|>')
    assert [(end.prompt_id, end.text, end.reason) for end in narrations(events)] == [
        (first, '', EndReason.INTERRUPTED), (second, 'There.', EndReason.SILENCE)]


def test_a_round_without_a_prompt_is_no_answer(listener):
    listener = listener()
    events = listener.hear('One', '<|round_start|>', 'Two', '<|silence|>')
    assert PromptEvent not in kinds(events)
    assert [(end.text, end.reason) for end in narrations(events)] == [
        ('One', EndReason.INTERRUPTED), ('Two', EndReason.SILENCE)]
    assert listener.interpreter.state is SessionState.SILENT


def test_an_error_ends_the_round_and_the_stream_goes_on(listener):
    listener = listener()
    events = listener.hear('The ', '[ERROR] no memory for 3 frames', 'A ball.', '[DONE]')
    assert [(end.text, end.reason) for end in narrations(events)] == [
        ('The ', EndReason.STOPPED), ('A ball.', EndReason.SILENCE)]
    error, = [event for event in events if isinstance(event, ErrorEvent)]
    assert 'no memory for 3 frames' in error.message
    assert 'no reason' in listener.hear('[ERROR]')[0].message


def test_a_round_without_end_is_cut_and_the_rest_left_out(listener):
    listener = listener(max_round_tokens=3)
    events = listener.hear(*['word '] * 10)
    assert kinds(events) == [StateEvent, *[TokenEvent] * 3, NarrationEvent, StateEvent]
    assert events[-2].reason is EndReason.LIMIT
    assert kinds(listener.hear('<|silence|>', 'New.')) == [SilenceEvent, StateEvent, TokenEvent]


def test_a_limit_counts_from_the_newest_frame(listener):
    listener = listener(max_tokens_between_frames=3)
    listener.hear('a', 'b')
    listener.interpreter.take_frame(1, 1)
    assert NarrationEvent not in kinds(listener.hear('c', 'd'))
    assert NarrationEvent in kinds(listener.hear('e'))
    # A narration counts for itself, also where no frame came before it.
    assert NarrationEvent not in kinds(listener.hear('<|silence|>', 'f', 'g'))
    assert NarrationEvent in kinds(listener.hear('h'))


def test_talk_that_goes_on_beyond_its_limit_is_a_failure(listener):
    listener = listener(max_round_tokens=1, answer_timeout_s=10.0)
    listener.hear('word')
    with pytest.raises(RemoteError, match='talked on for 10 s'):
        for _ in range(20):
            listener.now_s += 1
            assert not listener.hear('word')


def test_a_narration_that_falls_silent_without_saying_so_ends(listener):
    listener = listener(silence_timeout_s=5.0)
    listener.hear('A ball')
    assert not listener.pass_time(4.9)
    listener.hear(' rolls')
    assert listener.interpreter.deadline_s == listener.now_s + 5.0
    end, state = listener.pass_time(5.0)
    assert (end.text, end.reason) == ('A ball rolls', EndReason.SILENCE)
    assert state.state is SessionState.SILENT
    assert listener.interpreter.deadline_s == float('inf')


def test_an_answer_may_come_after_silences_ends_of_rounds_and_frames(listener):
    listener = listener()
    prompt_id = listener.ask()
    events = listener.hear('<|round_start|>', '<|silence|>', '<|round_end|>', '[DONE]')
    assert kinds(events) == [PromptEvent, SilenceEvent]
    for second in range(1, 30):
        listener.interpreter.take_frame(second * 10 ** 9, 1)
        assert kinds(listener.hear('<|silence|>')) == [SilenceEvent]
    answer, = narrations(listener.hear('Yes.', '<|silence|>'))
    assert (answer.prompt_id, answer.text, answer.first_stamp_ns) == (
        prompt_id, 'Yes.', 29 * 10 ** 9)
    update, = narrations(listener.hear('No.', '<|silence|>'))
    assert (update.prompt_id, update.standing_prompt_id) == (None, prompt_id)


def test_a_question_is_unanswered_by_the_time_of_the_stream_alone(listener):
    listener = listener(answer_within_s=2.0)
    prompt_id = listener.ask()
    listener.hear('<|round_start|>', '<|silence|>')
    assert listener.interpreter.deadline_s == float('inf')
    assert not listener.pass_time(10 ** 6)
    for second in (1, 3):
        listener.interpreter.take_frame(second * 10 ** 9, 1)
        assert not listener.interpreter.take_events()
    listener.interpreter.take_frame(3 * 10 ** 9 + 1, 1)
    end, = listener.interpreter.take_events()
    assert (end.prompt_id, end.text, end.reason) == (prompt_id, '', EndReason.UNANSWERED)
    late, = narrations(listener.hear('Yes.', '<|silence|>'))
    assert (late.prompt_id, late.standing_prompt_id) == (None, prompt_id)


@pytest.mark.parametrize(('string', 'expected'), [
    ('<|silence|>', [SilenceEvent, StateEvent]), ('<|round_end|>', [StateEvent]),
    ('[ERROR]', [StateEvent, ErrorEvent])])
def test_a_question_that_cuts_a_sentence_may_get_silence_at_first(listener, string, expected):
    listener = listener()
    listener.hear('A red')
    prompt_id = listener.ask()
    listener.hear('<|round_start|>')
    assert listener.interpreter.state is SessionState.SPEAKING
    assert kinds(listener.hear(string)) == expected
    assert listener.interpreter.state is SessionState.SILENT
    answer, = narrations(listener.hear('Yes.<|silence|>'))
    assert answer.prompt_id == prompt_id


def test_a_question_that_cuts_a_sentence_may_get_nothing_at_first(listener):
    listener = listener(silence_timeout_s=5.0)
    listener.hear('A red')
    prompt_id = listener.ask()
    listener.hear('<|round_start|>')
    assert kinds(listener.pass_time(5.0)) == [StateEvent]
    assert listener.interpreter.state is SessionState.SILENT
    answer, = narrations(listener.hear('Yes.<|silence|>'))
    assert answer.prompt_id == prompt_id


def test_a_stop_leaves_a_question_open_and_the_end_does_not(listener):
    listener = listener()
    prompt_id = listener.ask()
    listener.hear('<|round_start|>', '<|silence|>')
    assert listener.interpreter.stop(listener.now_s) == []
    assert narrations(listener.hear('Yes.<|silence|>'))[0].prompt_id == prompt_id
    prompt_id = listener.ask()
    listener.hear('<|round_start|>', '<|silence|>')
    end, = listener.interpreter.end()
    assert (end.prompt_id, end.text, end.reason) == (prompt_id, '', EndReason.STOPPED)
    assert listener.interpreter.end() == []


def test_the_end_of_what_never_began_is_nothing(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    interpreter = StringInterpreter(RemoteOptions(tmp_path, trust_remote_code=True))
    assert interpreter.end() == []


def test_a_prompt_that_is_never_taken_in_is_reported(listener):
    listener = listener(answer_timeout_s=30.0)
    prompt_id = listener.ask()
    assert listener.interpreter.deadline_s == listener.now_s + 30.0
    error, = listener.pass_time(30.0)
    assert error.prompt_id == prompt_id and '30 s' in error.message
    assert not listener.interpreter.has_prompts


def given_up_once(listener):
    """Return a listener that has given up one prompt."""
    listener = listener(answer_timeout_s=30.0)
    listener.ask()
    listener.pass_time(30.0)
    return listener


def asked_in(events):
    return [event.prompt_id for event in events if isinstance(event, PromptEvent)]


def test_a_prompt_that_is_taken_in_too_late_takes_no_answer_from_the_next(listener):
    listener = given_up_once(listener)
    second = listener.ask()
    listener.interpreter.take_prompts(1)
    late = listener.hear('<|round_start|>', 'Far.', '<|silence|>')
    assert asked_in(late) == [] and narrations(late)[0].prompt_id is None
    assert listener.interpreter.has_prompts
    listener.interpreter.take_prompts(2)
    events = listener.hear('<|round_start|>', 'Near.', '<|silence|>')
    assert asked_in(events) == [second] and narrations(events)[0].prompt_id == second


def test_a_prompt_that_got_no_round_at_all_leaves_the_next_its_own(listener):
    listener = given_up_once(listener)
    second = listener.ask()
    listener.interpreter.take_prompts(2)
    assert asked_in(listener.hear('<|round_start|>')) == [second]
    third = listener.ask()
    listener.interpreter.take_prompts(3)
    assert asked_in(listener.hear('<|round_start|>')) == [third]


def test_a_prompt_given_up_that_lies_in_the_queue_may_still_be_taken_in_late(listener):
    listener = given_up_once(listener)
    assert asked_in(listener.hear('<|round_start|>')) == []  # the model's own round
    second = listener.ask()
    listener.interpreter.take_prompts(1)
    assert asked_in(listener.hear('<|round_start|>')) == []
    listener.interpreter.take_prompts(2)
    assert asked_in(listener.hear('<|round_start|>')) == [second]


def test_a_prompt_that_was_not_taken_in_before_the_end_is_reported(listener):
    listener = listener()
    prompt_id = listener.ask()
    error, = listener.interpreter.end()
    assert isinstance(error, ErrorEvent) and error.prompt_id == prompt_id
    assert 'was not asked before the stream ended' in error.message
    assert listener.interpreter.end() == [] and not listener.interpreter.has_prompts


def test_what_is_stopped_is_left_out_until_it_ends(listener):
    listener = listener()
    listener.hear('The red')
    end, state = listener.interpreter.stop(listener.now_s)
    assert end.reason is EndReason.STOPPED and state.state is SessionState.SILENT
    assert listener.hear(' ball', '.<|silence|>')[0].__class__ is SilenceEvent
    assert TokenEvent in kinds(listener.hear('A box.'))
    listener.interpreter.stop(listener.now_s)
    listener.pass_time(5.0)
    assert TokenEvent in kinds(listener.hear('A cone.'))


def test_what_is_said_in_a_pause_is_left_out_with_the_sentence_that_outlasts_it(listener):
    listener = listener()
    assert listener.interpreter.pause(True, listener.now_s) == []
    assert listener.hear('The red', ' ball stops.', '<|silence|>', 'A cone') == []
    assert listener.interpreter.pause(False, listener.now_s) == []
    assert listener.hear(' appears.') == []
    assert kinds(listener.hear('<|silence|>')) == [SilenceEvent]
    assert narrations(listener.hear('A box.', '<|silence|>'))[0].text == 'A box.'


def test_a_question_that_is_answered_in_a_pause_ends_without_the_answer(listener):
    listener = listener()
    prompt_id = listener.ask()
    listener.interpreter.pause(True, listener.now_s)
    prompt, end = listener.hear('<|round_start|>', 'Near', ' the door.', '<|silence|>')
    assert isinstance(prompt, PromptEvent) and prompt.prompt_id == prompt_id
    assert (end.prompt_id, end.text, end.reason) == (prompt_id, '', EndReason.STOPPED)


def test_a_pause_ends_what_is_being_said(listener):
    listener = listener()
    listener.hear('The red')
    end, state = listener.interpreter.pause(True, listener.now_s)
    assert (end.text, end.reason) == ('The red', EndReason.STOPPED)
    assert state.state is SessionState.SILENT


def test_stopping_silence_is_nothing(listener):
    listener = listener()
    assert listener.interpreter.stop(listener.now_s) == []
    assert TokenEvent in kinds(listener.hear('A box.'))


def test_reset_counts_anew(listener):
    listener = listener()
    listener.interpreter.take_frame(3, 3)
    listener.hear('One')
    listener.ask()
    listener.interpreter.reset()
    assert listener.interpreter.newest_stamp_ns is None
    assert not listener.interpreter.has_prompts
    token = listener.hear('One')[-1]
    assert token.narration_id == 1
