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

"""Starting, failing, ending and beginning again, on every engine of the contract."""

import threading
import time

from contract_streams import begin, say, SILENCE, WAIT_S, wait_until
from moss_ros.stream import (
    EndReason, ErrorEvent, Mailbox, NarrationEvent, SilenceEvent, StateEvent, TokenEvent,
    WorkerState,
)
import pytest

WHOLE = say('The red ball stops.')


# Starting and ending

def test_a_worker_runs_from_its_start_to_its_close(make_stream):
    stream = make_stream()
    assert stream.worker.state is stream.channel.state is WorkerState.STOPPED
    stream.worker.start()
    assert stream.worker.state is stream.channel.state is WorkerState.RUNNING
    assert stream.worker.close(WAIT_S)
    assert stream.worker.state is stream.channel.state is WorkerState.STOPPED


def test_started_twice_it_serves_once(stream):
    stream = stream(WHOLE)
    stream.worker.start()
    stream.show()
    stream.worker.start()
    assert stream.wait_ends(1) == [(None, 'The red ball stops.', EndReason.SILENCE)]
    assert len(stream.of(StateEvent)) == 3
    assert len(stream.threads) == 1


def test_before_the_start_nothing_is_served(make_stream):
    stream = make_stream(WHOLE)
    stream.submit()
    assert stream.mailbox.has_frames
    assert stream.worker.close(WAIT_S)
    assert not stream.events
    assert stream.mailbox.has_frames


def test_it_may_be_closed_before_the_start_and_twice(make_stream):
    stream = make_stream()
    for _ in range(2):
        assert stream.worker.close(WAIT_S)
    stream.open()
    stream.worker.start()
    stream.show()
    for _ in range(2):
        assert stream.worker.close(WAIT_S)
    assert stream.worker.state is WorkerState.STOPPED


def test_a_close_right_after_the_start_is_not_lost(make_stream):
    stream = make_stream(begin('The red'))
    for _ in range(5):
        stream.submit()
        stream.worker.start()
        assert stream.worker.close(WAIT_S)
        num_events = len(stream.events)
        stream.session.reset()
        stream.open()
        assert len(stream.events) == num_events


def test_a_close_reports_what_was_being_said_as_stopped(stream):
    stream = stream(begin('The red'))
    stream.show_until_it_says('The red')
    assert stream.worker.close(WAIT_S)
    [(prompt_id, text, reason)] = stream.ends
    assert (prompt_id, reason) == (None, EndReason.STOPPED)
    assert text.startswith('The red')
    num_events = len(stream.events)
    stream.submit()
    assert stream.worker.close(WAIT_S)
    assert len(stream.events) == num_events
    assert stream.mailbox.has_frames


def test_a_close_reports_an_open_question_as_stopped(stream):
    stream = stream(SILENCE)
    stream.show()
    stream.ask_in_silence()
    assert stream.worker.close(WAIT_S)
    assert stream.ends == [('q', '', EndReason.STOPPED)]


@pytest.mark.parametrize('is_failure', [False, True])
def test_a_question_before_the_first_frame_has_one_end_whatever_ends_the_stream(
        stream, is_failure):
    """It is the end of an answer where the model was asked, else an error that names it."""
    stream = stream(SILENCE)
    stream.wait(StateEvent)
    if is_failure:
        stream.engine.fail_next()
    stream.ask()
    wait_until(lambda: not stream.mailbox.has_prompts)
    if is_failure:
        stream.submit()
        wait_until(lambda: stream.channel.state is WorkerState.FAILED)
    assert stream.worker.close(WAIT_S)
    ends = [*stream.of(NarrationEvent, prompt_id='q'), *stream.of(ErrorEvent, prompt_id='q')]
    assert len(ends) == 1, stream.events


@pytest.mark.parametrize('how', ['close', 'reset', 'close after a failure'])
def test_a_question_that_waits_as_the_stream_ends_is_reported_too(stream, how):
    """It was put into the mailbox, and nobody has taken it out yet."""
    stream = stream(SILENCE)
    stream.show()
    if how == 'close after a failure':
        stream.engine.fail_next()
        stream.submit()
        wait_until(lambda: stream.channel.state is WorkerState.FAILED)
        stream.ask()
        # What cannot begin anew forgets nothing.
        with pytest.raises(RuntimeError):
            stream.channel.request_reset()
        assert stream.mailbox.has_prompts
    else:
        stream.channel.request_pause(True).result(WAIT_S)
        stream.ask()
    if how == 'reset':
        stream.channel.request_reset().result(WAIT_S)
    else:
        assert stream.worker.close(WAIT_S)
    assert not stream.mailbox.has_prompts
    assert len(stream.of(ErrorEvent, prompt_id='q')) == 1, stream.events
    assert not stream.of(NarrationEvent, prompt_id='q')


def test_a_close_while_it_waits_for_the_pace_takes_no_time(stream):
    stream = stream(begin('The', ' red'), max_tokens_per_s=0.01)
    stream.show_until_it_speaks()
    assert stream.worker.close(WAIT_S)
    assert stream.ends == [(None, 'The', EndReason.STOPPED)]


def test_a_stream_that_waits_for_its_pace_is_none_that_hangs(stream):
    """Somebody looks at what waits, so that it does not seem to wait for a model that is stuck."""
    stream = stream(begin('The', ' red'), max_tokens_per_s=0.01)
    stream.show_until_it_speaks()
    stream.submit()
    longest_s = 0.0

    def is_looked_at():
        nonlocal longest_s
        waiting_s = stream.mailbox.waiting_s
        longest_s = max(longest_s, waiting_s)
        return waiting_s < longest_s or not stream.mailbox.has_frames

    wait_until(is_looked_at)


def test_a_session_that_is_given_up_ends_all_the_same(stream):
    stream = stream(begin('The red'))
    stream.show_until_it_speaks()
    stream.session.give_up()
    assert stream.worker.close(WAIT_S)
    assert [reason for _, _, reason in stream.ends] == [EndReason.STOPPED]


def test_a_channel_that_is_closed_says_nothing_any_more(stream):
    stream = stream(SILENCE, begin('The red'))
    stream.show()
    for _ in range(2):
        stream.channel.close()
    num_events = len(stream.events)
    stream.submit()
    assert stream.worker.close(WAIT_S)
    assert len(stream.events) == num_events


def test_opened_again_after_the_close_it_is_served_again(stream):
    stream = stream(SILENCE, WHOLE)
    stream.show(2)
    stream.wait_ends(1)
    for num in (2, 3):
        assert stream.worker.close(WAIT_S)
        stream.session.reset()
        stream.open()
        stream.worker.start()
        stream.show(2)
        assert stream.wait_ends(num)[-1] == (None, 'The red ball stops.', EndReason.SILENCE)
        assert stream.of(NarrationEvent)[-1].narration_id == 1


@pytest.mark.parametrize('is_started', [False, True])
def test_a_second_channel_for_a_session_is_refused(make_stream, is_started):
    stream = make_stream(WHOLE)
    if is_started:
        stream.worker.start()
    with pytest.raises(ValueError):
        stream.worker.open_channel(stream.session, Mailbox(1), lambda event: None)
    stream.worker.start()
    stream.show()
    stream.wait_ends(1)


def test_on_event_may_not_start_its_worker(stream):
    errors = []

    def on_event(stream, event):
        if isinstance(event, SilenceEvent):
            try:
                stream.worker.start()
            except RuntimeError as error:
                errors.append(error)

    stream = stream(on_event=on_event)
    stream.show()
    wait_until(lambda: errors)
    assert stream.channel.state is WorkerState.RUNNING


# Failing

RESTARTS = {
    'channel': lambda stream: stream.channel.restart(),
    'worker': lambda stream: stream.worker.start(),
}


@pytest.mark.parametrize('way', RESTARTS)
def test_a_failing_model_is_an_error_event_and_is_served_again_when_restarted(stream, way):
    states = []

    def on_event(stream, event):
        if isinstance(event, ErrorEvent):
            states.append(stream.channel.state)

    stream = stream(WHOLE, on_event=on_event)
    for num in (1, 2):
        stream.show()
        assert stream.wait_ends(num)[-1] == (None, 'The red ball stops.', EndReason.SILENCE)
        stream.engine.fail_next()
        stream.submit()
        assert stream.wait(ErrorEvent, num).message
        wait_until(lambda: len(states) == num)
        assert states[-1] is stream.channel.state is WorkerState.FAILED
        with pytest.raises(RuntimeError):
            stream.channel.request_interrupt()
        RESTARTS[way](stream)
        assert stream.channel.state is WorkerState.RUNNING
        # Begun anew, with the number of its first narration.
        wait_until(lambda: stream.events[-1].stamp_ns is None)
    assert [event.narration_id for event in stream.of(NarrationEvent)][:2] == [1, 1]


def test_a_failure_ends_what_was_being_said_before_it_is_told(stream):
    stream = stream(begin('The red'))
    stream.show_until_it_speaks()
    stream.engine.fail_next()
    stream.submit()
    stream.wait(ErrorEvent)
    assert [type(event) for event in stream.events[-3:]] == [
        NarrationEvent, StateEvent, ErrorEvent]
    assert stream.ends[0][2] is EndReason.STOPPED


def test_a_failure_closes_an_open_question(stream):
    stream = stream(SILENCE)
    stream.show()
    stream.ask_in_silence()
    stream.engine.fail_next()
    stream.submit()
    stream.wait(ErrorEvent)
    assert stream.ends == [('q', '', EndReason.STOPPED)]


def test_one_that_failed_can_be_closed_and_opened_again(stream):
    stream = stream(WHOLE)
    stream.show()
    stream.wait_ends(1)
    stream.engine.fail_next()
    stream.submit()
    stream.wait(ErrorEvent)
    assert stream.worker.close(WAIT_S)
    assert stream.worker.state is stream.channel.state is WorkerState.STOPPED
    stream.session.reset()
    stream.mailbox.drain()
    stream.open()
    assert stream.channel.state is WorkerState.STOPPED
    stream.worker.start()
    stream.show()
    stream.wait_ends(2)


# Hanging

def test_a_close_waits_no_longer_than_it_may_for_a_step_that_hangs(stream):
    stream = stream(SILENCE, WHOLE)
    stream.show()
    stream.engine.hang()
    stream.submit()
    stream.engine.wait_hung()
    for _ in range(2):
        begin_s = time.monotonic()
        has_ended = stream.worker.close(0.2)
        assert time.monotonic() - begin_s < 1.5
        assert not (has_ended and stream.engine.is_in_step)
    stream.engine.let_go()
    assert stream.worker.close(WAIT_S)
    assert not stream.of(TokenEvent)
    stream.session.reset()
    stream.mailbox.drain()
    stream.open()
    stream.worker.start()
    stream.show(2)
    assert stream.wait_ends(1) == [(None, 'The red ball stops.', EndReason.SILENCE)]


def test_requests_do_not_wait_for_a_step_that_hangs_and_are_cancelled_by_the_close(stream):
    stream = stream(SILENCE)
    stream.show()
    stream.engine.hang()
    stream.submit()
    stream.engine.wait_hung()
    begin_s = time.monotonic()
    future = stream.channel.request_interrupt()
    assert time.monotonic() - begin_s < 1.0
    stream.worker.close(0.1)
    stream.engine.let_go()
    assert stream.worker.close(WAIT_S)
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(WAIT_S)
