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

"""What is said and asked, on every engine of the contract."""

from itertools import groupby
import threading

from contract_streams import begin, PERIOD_NS, say, SILENCE
from moss_ros.stream import (
    EndReason, ErrorEvent, NarrationEvent, PromptEvent, SessionState, SilenceEvent, StateEvent,
    TokenEvent, WorkerState,
)

WHOLE = say('The red ball stops.')


def kinds(events):
    """Return the classes of events, several tokens in a row as one."""
    return [event_class for event_class, _ in groupby(type(event) for event in events)]


def test_what_is_said_at_frames_comes_out_as_events_on_one_thread(stream):
    stream = stream(SILENCE, WHOLE, say('No.'))
    stream.show(3)
    assert stream.wait_ends(2) == [
        (None, 'The red ball stops.', EndReason.SILENCE), (None, 'No.', EndReason.SILENCE)]
    first, second = stream.of(NarrationEvent)
    assert (first.narration_id, second.narration_id) == (1, 2)
    assert first.first_stamp_ns == first.stamp_ns == 2 * PERIOD_NS
    assert first.received_ns > 0
    assert first.num_tokens >= 1
    assert first.standing_prompt_id is None
    for end in (first, second):
        pieces = stream.of(TokenEvent, narration_id=end.narration_id)
        assert all(piece.text for piece in pieces)
        assert ''.join(piece.text for piece in pieces) == end.text
    [thread] = stream.threads
    assert thread not in (threading.current_thread(), threading.main_thread())
    assert stream.worker.state is stream.channel.state is WorkerState.RUNNING


def test_states_and_silences_come_in_order(stream):
    stream = stream(SILENCE, WHOLE)
    opening = stream.wait(StateEvent)
    assert (opening.state, opening.stamp_ns) == (SessionState.SILENT, None)
    stream.show(2)
    stream.wait(StateEvent, 3)
    assert kinds(stream.events) == [
        StateEvent, SilenceEvent, StateEvent, TokenEvent, NarrationEvent, SilenceEvent,
        StateEvent]
    assert [event.state for event in stream.of(StateEvent)] == [
        SessionState.SILENT, SessionState.SPEAKING, SessionState.SILENT]
    assert [event.stamp_ns for event in stream.of(SilenceEvent)] == [PERIOD_NS, 2 * PERIOD_NS]


def test_the_session_tells_the_state(stream):
    stream = stream(SILENCE, begin('The red'))
    stream.show()
    assert stream.session.state is SessionState.SILENT
    stream.show_until_it_speaks()
    assert stream.session.state is SessionState.SPEAKING
    stream.interrupt()
    assert stream.session.state is SessionState.SILENT


def test_what_came_before_the_start_is_served_after_it(make_stream):
    stream = make_stream(WHOLE)
    stream.submit()
    stream.worker.start()
    assert stream.wait_ends(1) == [(None, 'The red ball stops.', EndReason.SILENCE)]


def test_a_question_in_silence_is_answered_after_the_next_frame_and_stands_then(stream):
    stream = stream(SILENCE, say('Yes.'), say('No.'))
    stream.show()
    stream.ask_in_silence()
    asked = stream.wait(PromptEvent)
    assert (asked.prompt_id, asked.text, asked.stamp_ns) == ('q', 'Is it red?', PERIOD_NS)
    assert not stream.ends
    stream.show(2)
    stream.wait_ends(2)
    answer, update = stream.of(NarrationEvent)
    assert (answer.text, answer.prompt_id, answer.standing_prompt_id) == ('Yes.', 'q', 'q')
    assert (answer.first_stamp_ns, answer.reason) == (2 * PERIOD_NS, EndReason.SILENCE)
    assert (update.text, update.prompt_id, update.standing_prompt_id) == ('No.', None, 'q')
    for event in stream.of(TokenEvent):
        end = answer if event.narration_id == answer.narration_id else update
        assert (event.prompt_id, event.standing_prompt_id) == (
            end.prompt_id, end.standing_prompt_id)


def test_a_question_in_mid_sentence_interrupts_and_is_answered_at_once(stream):
    stream = stream(begin('The red'), say('Yes.'))
    stream.show_until_it_says('The red')
    stream.ask()
    (cut_id, cut, cut_reason), answer = stream.wait_ends(2)
    assert (cut_id, cut_reason) == (None, EndReason.INTERRUPTED)
    assert cut.startswith('The red')
    assert answer == ('q', 'Yes.', EndReason.SILENCE)
    end, prompt = stream.wait(NarrationEvent), stream.wait(PromptEvent)
    assert stream.events.index(end) < stream.events.index(prompt)


def test_the_next_question_closes_the_open_one(stream):
    stream = stream(SILENCE, say('Yes.'))
    stream.show()
    stream.ask_in_silence('first')
    stream.ask_in_silence('second')
    assert stream.wait_ends(1) == [('first', '', EndReason.INTERRUPTED)]
    stream.show()
    assert stream.wait_ends(2)[1] == ('second', 'Yes.', EndReason.SILENCE)


def test_a_question_to_which_nothing_is_said_is_unanswered_and_stands(stream):
    stream = stream(*[SILENCE] * 4, say('No.'), answer_within_s=2.0)
    stream.show()
    stream.ask_in_silence()
    stream.show(2)
    assert not stream.ends
    stream.show()
    assert stream.wait_ends(1) == [('q', '', EndReason.UNANSWERED)]
    assert stream.of(NarrationEvent)[0].stamp_ns == 4 * PERIOD_NS
    stream.show()
    update = stream.wait(NarrationEvent, 2)
    assert (update.text, update.prompt_id, update.standing_prompt_id) == ('No.', None, 'q')


def test_a_prompt_that_is_let_pass_is_asked_and_one_that_is_not_is_refused_by_an_event(stream):
    stream = stream()
    stream.show()
    for prompt_id, text in (('short', 'Is it red?'), ('long', 'Is it red? ' * 10_000)):
        try:
            stream.session.require_prompt(text)
        except ValueError as error:
            assert prompt_id == 'long'
            assert 'prompt' in str(error)
            expected = ErrorEvent
        else:
            expected = PromptEvent
        stream.ask(text, prompt_id)
        stream.wait(expected, prompt_id=prompt_id)
    assert stream.channel.state is WorkerState.RUNNING


def test_an_on_event_that_raises_is_told_of_it_and_the_stream_goes_on(stream, caplog):
    def on_event(_, event):
        if isinstance(event, NarrationEvent):
            raise KeyError('no such topic')

    stream = stream(WHOLE, say('Yes.'), on_event=on_event)
    stream.show()
    error = stream.wait(ErrorEvent)
    assert 'no such topic' in error.message and 'NarrationEvent' in error.message
    assert 'KeyError' in error.traceback
    stream.show()
    assert [text for _, text, _ in stream.wait_ends(2)] == ['The red ball stops.', 'Yes.']
    assert len(stream.of(ErrorEvent)) == 1
    assert 'no such topic' in caplog.text
    assert stream.channel.state is WorkerState.RUNNING
