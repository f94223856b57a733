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

"""The worker's thread: starts, serves, sleeps, paces, fails and ends as it promises."""

import threading
import time

from moss_ros.stream import (
    EndReason, EngineWorker, ErrorEvent, Mailbox, NarrationEvent, Prompt, PromptEvent,
    SessionState, SilenceEvent, StateEvent, StreamChange, StreamSession, TokenEvent, WorkerState,
)
import pytest
import torch

WAIT_S = 20.0  # an upper bound for what takes milliseconds


class Listener:
    """Remembers events and lets a test wait for them."""

    def __init__(self):
        self.events = []
        self.threads = set()
        self._condition = threading.Condition()

    def __call__(self, event):
        with self._condition:
            self.threads.add(threading.current_thread())
            self.events.append(event)
            self._condition.notify_all()

    def of_class(self, event_class):
        with self._condition:
            return [event for event in self.events if isinstance(event, event_class)]

    def wait_for(self, event_class, num=1, **fields):
        """Return the num-th event of this class and with these fields once it is there."""
        def found():
            return [event for event in self.events if isinstance(event, event_class) and all(
                getattr(event, name) == value for name, value in fields.items())]

        with self._condition:
            assert self._condition.wait_for(lambda: len(found()) >= num, WAIT_S), self.events
            return found()[num - 1]


class Gate:
    """A script that says one token for ever; its forwards can be held up."""

    def __init__(self, token_id):
        self._token_id = token_id
        self.is_open = threading.Event()
        self.is_open.set()
        self.is_entered = threading.Event()

    def __call__(self, _):
        self.is_entered.set()
        assert self.is_open.wait(WAIT_S)
        return self._token_id


class Stream:
    """One channel of a worker with all that belongs to it."""

    def __init__(self, worker, model, chat, options, max_tokens_per_s=0.0, max_frames=8,
                 on_event=None):
        self.model = model
        self.session = StreamSession(model, chat, options)
        self.mailbox = Mailbox(max_frames)
        self.heard = Listener()
        self.channel = worker.open_channel(
            self.session, self.mailbox, on_event or self.heard, max_tokens_per_s)


@pytest.fixture
def worker():
    worker = EngineWorker(num_torch_threads=1)
    yield worker
    assert worker.close(timeout_s=WAIT_S)
    assert not [thread for thread in threading.enumerate() if 'moss-engine' in thread.name]


@pytest.fixture
def open_stream(worker, tools, chat):
    def open_stream(*said, script=None, max_tokens_per_s=0.0, max_frames=8, on_event=None,
                    **options):
        if script is None:
            script = []
            for item in said:
                script += chat.encode_text(item) if isinstance(item, str) else [item]
        return Stream(worker, tools.scripted_model(chat, script), chat, tools.options(**options),
                      max_tokens_per_s, max_frames, on_event)

    return open_stream


@pytest.fixture
def endless(chat):
    return Gate(chat.encode_text(' red')[0])


ENDLESS = {'max_tokens_between_frames': 10 ** 6, 'max_context_tokens': 1_000_200}


def wait_until(condition):
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)


# Serving

def test_frames_and_prompts_come_out_as_events_on_the_workers_thread(
        worker, open_stream, tools, chat):
    stream = open_stream('The red ball stops.', chat.silence_id, 'No.')
    worker.start()
    stream.heard.wait_for(StateEvent, state=SessionState.SILENT)
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(NarrationEvent, text='The red ball stops.')
    stream.mailbox.submit_prompt(Prompt('Is it red?', 'q'))
    stream.heard.wait_for(PromptEvent, prompt_id='q')
    stream.mailbox.submit_frame(tools.frame(2))
    stream.heard.wait_for(SilenceEvent, stamp_ns=2_000_000_000)
    stream.mailbox.submit_frame(tools.frame(3))
    stream.heard.wait_for(NarrationEvent, text='No.', prompt_id='q')
    [thread] = stream.heard.threads
    assert thread.name == 'moss-engine-worker'
    assert worker.state is WorkerState.RUNNING


def test_what_came_before_the_start_is_served_after_it(worker, open_stream, tools):
    stream = open_stream('Yes.')
    stream.mailbox.submit_prompt(Prompt('Is it red?', 'q'))
    stream.mailbox.submit_frame(tools.frame(1))
    worker.start()
    stream.heard.wait_for(NarrationEvent, text='Yes.', prompt_id='q')


def test_a_prompt_interrupts_within_one_token(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent, num=5)
    endless.is_open.clear()
    endless.is_entered.clear()
    assert endless.is_entered.wait(WAIT_S)  # in the middle of a token
    num_before = len(stream.heard.of_class(TokenEvent))
    stream.mailbox.submit_prompt(Prompt('Is it red?', 'q'))
    endless.is_open.set()
    stream.heard.wait_for(PromptEvent, prompt_id='q')
    cut = stream.heard.wait_for(NarrationEvent, reason=EndReason.INTERRUPTED)
    assert cut.num_tokens <= num_before + 1


def test_submitting_does_not_wait_for_a_step(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_frames=3, **ENDLESS)
    worker.start()
    endless.is_open.clear()
    stream.mailbox.submit_frame(tools.frame(0))
    assert endless.is_entered.wait(WAIT_S)
    begin_s = time.monotonic()
    for index in range(1, 101):
        stream.mailbox.submit_frame(tools.frame(index))
    stream.mailbox.submit_prompt(Prompt('Is it red?', 'q'))
    assert time.monotonic() - begin_s < 1.0
    assert stream.mailbox.num_dropped_frames == 97
    endless.is_open.set()
    stream.heard.wait_for(TokenEvent, stamp_ns=100_000_000_000)
    assert stream.session.context.num_frames == 4


def test_torch_threads_are_set_in_the_workers_thread(tools, chat):
    for num_torch_threads in (1, 2, None):
        worker = EngineWorker(num_torch_threads)
        worker.start()
        num = worker.call(torch.get_num_threads).result(WAIT_S)
        assert worker.stop(WAIT_S)
        if num_torch_threads is not None:
            assert num == num_torch_threads


# Sleeping

def cpu_s(worker, duration_s):
    """Return the seconds of CPU that the worker's thread takes in duration_s."""
    before_s = worker.call(time.thread_time).result(WAIT_S)
    threading.Event().wait(duration_s)
    return worker.call(time.thread_time).result(WAIT_S) - before_s


def test_a_silent_worker_does_not_spin(worker, open_stream, tools):
    stream, waiting = open_stream(), open_stream()
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    waiting.mailbox.submit_prompt(Prompt('Is it red?', 'waits for a first frame'))
    stream.heard.wait_for(SilenceEvent)
    wait_until(lambda: not waiting.mailbox.has_prompts)
    num_forwards = len(stream.model.extensions)
    assert cpu_s(worker, 0.5) < 0.05
    assert len(stream.model.extensions) == num_forwards
    assert waiting.model.extensions == []


def test_a_worker_without_channels_does_not_spin(worker):
    worker.start()
    assert cpu_s(worker, 0.3) < 0.03


def test_a_worker_that_paces_does_not_spin_nor_let_frames_hurry_it(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=0.1, max_frames=2, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    for index in range(2, 7):
        stream.mailbox.submit_frame(tools.frame(index))
    assert cpu_s(worker, 0.5) < 0.05
    assert len(stream.model.extensions) == 1
    assert stream.mailbox.num_dropped_frames == 3  # the bound holds while it waits


# Pacing

def test_speaking_keeps_the_pace(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=50.0, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    begin_s = time.monotonic()
    stream.heard.wait_for(TokenEvent, num=21)
    assert time.monotonic() - begin_s > 0.35


def test_a_prompt_does_not_wait_for_the_pace(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=0.01, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    stream.mailbox.submit_prompt(Prompt('Is it red?', 'q'))
    stream.heard.wait_for(TokenEvent, prompt_id='q')
    stream.heard.wait_for(NarrationEvent, reason=EndReason.INTERRUPTED, num_tokens=1)


# Starting and stopping

@pytest.mark.parametrize('max_tokens_per_s', [0.0, 0.01])
def test_stop_ends_in_mid_generation_and_while_pacing(
        worker, open_stream, tools, endless, max_tokens_per_s):
    stream = open_stream(script=endless, max_tokens_per_s=max_tokens_per_s, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    begin_s = time.monotonic()
    assert worker.stop()
    assert time.monotonic() - begin_s < 2.0
    assert worker.state is WorkerState.STOPPED
    assert [event.reason for event in stream.heard.of_class(NarrationEvent)] == [
        EndReason.STOPPED]
    assert stream.session.state is SessionState.SILENT
    num_events = len(stream.heard.events)
    stream.mailbox.submit_frame(tools.frame(2))
    assert worker.stop()
    assert len(stream.heard.events) == num_events


def test_start_and_stop_may_come_in_any_number_and_order(worker, open_stream, tools):
    stream = open_stream()
    assert worker.state is WorkerState.STOPPED
    assert worker.stop()
    assert worker.stop()
    for index in range(3):
        worker.start()
        worker.start()
        assert worker.state is WorkerState.RUNNING
        assert len([thread for thread in threading.enumerate()
                    if thread.name == 'moss-engine-worker']) == 1
        stream.mailbox.submit_frame(tools.frame(index))
        stream.heard.wait_for(SilenceEvent, num=index + 1)
        assert worker.stop()
        assert worker.stop()
    # The stream goes on where it was.
    assert stream.session.context.num_frames == 3
    assert len(stream.heard.of_class(StateEvent)) == 1


def test_a_stop_right_after_the_start_is_not_lost(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    for index in range(20):
        stream.mailbox.submit_frame(tools.frame(index))
        worker.start()
        assert worker.stop()
        assert worker.state is WorkerState.STOPPED


def test_stop_gives_up_on_a_step_that_takes_too_long_and_can_be_called_again(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    worker.start()
    endless.is_open.clear()
    stream.mailbox.submit_frame(tools.frame(1))
    assert endless.is_entered.wait(WAIT_S)
    begin_s = time.monotonic()
    assert not worker.stop(timeout_s=0.1)
    assert time.monotonic() - begin_s < 1.0
    with pytest.raises(RuntimeError, match='still in its last step'):
        worker.start()
    endless.is_open.set()
    assert worker.stop(WAIT_S)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(2))
    stream.heard.wait_for(TokenEvent, stamp_ns=2_000_000_000)


def test_stop_from_on_event_does_not_wait_for_itself(worker, open_stream, tools):
    results = []

    def on_event(event):
        if isinstance(event, SilenceEvent):
            results.append(worker.stop())

    stream = open_stream(on_event=on_event)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    wait_until(lambda: worker.state is WorkerState.STOPPED)
    assert results == [False]
    assert worker.stop(WAIT_S)


# Failing

@pytest.mark.parametrize('error', [RuntimeError('out of memory'), SystemExit(3)])
def test_a_failing_step_is_an_error_event_and_the_worker_can_be_started_again(
        worker, open_stream, tools, chat, error):
    stream = open_stream('The', error, 'Yes.')
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    event = stream.heard.wait_for(ErrorEvent)
    assert repr(error) in event.message
    assert 'Traceback' in event.traceback and 'extend' in event.traceback
    assert event.stamp_ns == 1_000_000_000
    assert worker.state is WorkerState.FAILED
    # What was being said has ended, and was reported before the error.
    kinds = [type(event) for event in stream.heard.events]
    assert kinds[-3:] == [NarrationEvent, StateEvent, ErrorEvent]
    stream.mailbox.submit_frame(tools.frame(2))
    worker.start()
    assert worker.state is WorkerState.RUNNING
    stream.heard.wait_for(NarrationEvent, text='Yes.')
    assert stream.model.extensions[2][0] == chat.begin_of_text_id  # it began anew


def test_a_failed_worker_can_be_stopped_before_it_is_started_again(worker, open_stream, tools):
    stream = open_stream(RuntimeError('broken'), 'Yes.')
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(ErrorEvent)
    with pytest.raises(RuntimeError, match='failed'):
        worker.call(lambda: None)
    assert worker.stop()
    assert worker.state is WorkerState.STOPPED
    worker.start()
    stream.mailbox.submit_frame(tools.frame(2))
    stream.heard.wait_for(NarrationEvent, text='Yes.')


def test_one_streams_failure_leaves_the_others_alone(worker, open_stream, tools):
    good, bad = open_stream('Yes.'), open_stream(RuntimeError('broken'), 'No.')
    worker.start()
    good.mailbox.submit_frame(tools.frame(1))
    good.heard.wait_for(NarrationEvent, text='Yes.')
    bad.mailbox.submit_frame(tools.frame(1))
    assert 'broken' in bad.heard.wait_for(ErrorEvent).message
    assert (bad.channel.state, good.channel.state) == (WorkerState.FAILED, WorkerState.RUNNING)
    assert worker.state is WorkerState.RUNNING
    with pytest.raises(RuntimeError, match='failed'):
        bad.channel.request_interrupt()
    num_silences = len(good.heard.of_class(SilenceEvent))
    for stream in (good, bad):
        stream.mailbox.submit_frame(tools.frame(2))
    good.heard.wait_for(SilenceEvent, num=num_silences + 1)
    assert good.session.context.num_frames == 2
    assert not good.heard.of_class(ErrorEvent)
    # Started again by itself it begins anew, with what has come in since.
    assert bad.mailbox.has_frames
    bad.channel.restart()
    bad.heard.wait_for(NarrationEvent, text='No.')
    assert bad.channel.state is WorkerState.RUNNING
    assert bad.session.context.num_frames == 1
    assert good.session.context.num_frames == 2


def test_when_all_streams_have_failed_each_is_started_again_by_itself(
        worker, open_stream, tools):
    streams = [open_stream(RuntimeError('broken'), 'Yes.') for _ in range(2)]
    worker.start()
    for stream in streams:
        stream.mailbox.submit_frame(tools.frame(1))
        stream.heard.wait_for(ErrorEvent)
    assert worker.state is WorkerState.FAILED
    streams[0].channel.restart()
    for stream in streams:
        stream.mailbox.submit_frame(tools.frame(2))
    streams[0].heard.wait_for(NarrationEvent, text='Yes.')
    assert streams[1].channel.state is WorkerState.FAILED
    assert not streams[1].heard.of_class(NarrationEvent)


def test_an_on_event_that_raises_is_told_of_it_and_the_stream_goes_on(
        worker, open_stream, tools, caplog):
    heard = Listener()

    def on_event(event):
        heard(event)
        if isinstance(event, TokenEvent) and event.text == 'The':
            raise KeyError('no such topic')

    stream = open_stream('The red', on_event=on_event)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    heard.wait_for(NarrationEvent, text='The red')
    [event] = heard.of_class(ErrorEvent)
    assert 'no such topic' in event.message and 'TokenEvent' in event.message
    assert 'KeyError' in event.traceback
    assert 'no such topic' in caplog.text
    assert worker.state is WorkerState.RUNNING


def test_an_on_event_that_always_raises_stops_nothing(worker, open_stream, tools, caplog):
    calls = []

    def on_event(event):
        calls.append(event)
        raise ValueError('always')

    stream = open_stream('The red', on_event=on_event)
    worker.start()
    for index in range(3):
        stream.mailbox.submit_frame(tools.frame(index))
    wait_until(lambda: any(isinstance(event, NarrationEvent) for event in calls))
    assert worker.call(lambda: 'alive').result(WAIT_S) == 'alive'
    assert caplog.text.count('Traceback') == 1


# Calls

def test_a_function_is_called_between_steps_on_the_workers_thread(worker, open_stream):
    worker.start()
    assert worker.call(threading.current_thread).result(WAIT_S).name == 'moss-engine-worker'
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0).result(WAIT_S)
    assert worker.call(lambda: 5).result(WAIT_S) == 5
    assert worker.state is WorkerState.RUNNING


def test_a_call_is_refused_while_the_worker_does_not_run(worker):
    with pytest.raises(RuntimeError, match='stopped'):
        worker.call(lambda: None)
    worker.start()
    worker.stop()
    with pytest.raises(RuntimeError, match='stopped'):
        worker.call(lambda: None)


def test_calls_that_the_stop_or_a_failure_overtakes_are_cancelled(
        worker, open_stream, tools, endless):
    outcome = []

    def script(model):
        endless(model)
        return outcome.pop() if outcome else model.config.text.vocab_size - 1

    stream = open_stream(script=script, **ENDLESS)
    for error in (None, RuntimeError('broken')):
        outcome[:] = [] if error is None else [error]
        worker.start()
        endless.is_entered.clear()
        endless.is_open.clear()
        stream.mailbox.submit_frame(tools.frame(1))
        assert endless.is_entered.wait(WAIT_S)
        future = worker.call(lambda: None)
        if error is None:
            assert not worker.stop(timeout_s=0.05)
        endless.is_open.set()
        wait_until(future.done)
        assert future.cancelled()
        assert worker.stop(WAIT_S)


def test_an_interrupt_ends_what_is_said_and_keeps_watching(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    stream.channel.request_interrupt().result(WAIT_S)
    assert [event.reason for event in stream.heard.of_class(NarrationEvent)] == [
        EndReason.STOPPED]
    assert stream.session.state is SessionState.SILENT
    stream.mailbox.submit_frame(tools.frame(2))
    stream.heard.wait_for(TokenEvent, stamp_ns=2_000_000_000)


def test_a_reset_forgets_the_stream_and_what_waits(worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=0.01, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    stream.mailbox.submit_frame(tools.frame(2))  # waits for the pace
    stream.channel.request_reset().result(WAIT_S)
    assert stream.session.context.num_frames == 0
    assert not stream.mailbox.has_frames
    stream.heard.wait_for(NarrationEvent, reason=EndReason.STOPPED)
    stream.heard.wait_for(StateEvent, num=3, state=SessionState.SILENT)  # as at the opening
    stream.mailbox.submit_frame(tools.frame(3))
    stream.heard.wait_for(TokenEvent, stamp_ns=3_000_000_000)
    assert stream.session.context.num_frames == 1


def test_what_comes_in_right_after_a_reset_belongs_to_the_new_stream(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    worker.start()
    endless.is_open.clear()
    stream.mailbox.submit_frame(tools.frame(5))
    assert endless.is_entered.wait(WAIT_S)
    future = stream.channel.request_reset()
    stream.mailbox.submit_frame(tools.frame(1))
    endless.is_open.set()
    future.result(WAIT_S)
    stream.heard.wait_for(TokenEvent, stamp_ns=1_000_000_000)
    assert stream.session.context.num_frames == 1


def test_a_pause_ends_what_is_said_and_keeps_what_was_seen_and_asked(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    stream.channel.request_pause(True).result(WAIT_S)
    assert stream.channel.is_paused
    assert stream.heard.of_class(NarrationEvent)[-1].reason is EndReason.STOPPED
    num_events = len(stream.heard.events)
    stream.mailbox.submit_prompt(Prompt('Is there a red ball?', 'p'))
    stream.mailbox.submit_frame(tools.frame(2))
    worker.call(lambda: None).result(WAIT_S)
    assert len(stream.heard.events) == num_events
    stream.channel.request_pause(False).result(WAIT_S)
    stream.heard.wait_for(TokenEvent, prompt_id='p', stamp_ns=2_000_000_000)
    assert stream.session.context.num_frames == 2


def test_frames_that_wait_when_a_pause_begins_are_dropped_and_prompts_are_not(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=0.01, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    stream.mailbox.submit_frame(tools.frame(2))  # waits for the pace
    stream.channel.request_pause(True).result(WAIT_S)
    stream.channel.request_pause(False).result(WAIT_S)
    stream.mailbox.submit_prompt(Prompt('Is there a red ball?', 'p'))
    stream.mailbox.submit_frame(tools.frame(3))
    stream.heard.wait_for(TokenEvent, prompt_id='p', stamp_ns=3_000_000_000)
    assert stream.session.context.num_frames == 2


def test_other_options_and_another_pace_hold_from_the_next_step_on(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=0.01, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    # A hundred seconds to the next token become none, and then the limit ends it.
    stream.channel.apply(StreamChange(max_tokens_between_frames=5))
    end = stream.heard.wait_for(NarrationEvent)
    assert (end.reason, end.num_tokens) == (EndReason.LIMIT, 5)
    with pytest.raises(ValueError, match='max_tokens_between_frames'):
        stream.channel.apply(StreamChange(max_tokens_between_frames=10 ** 9))
    with pytest.raises(ValueError, match='-1'):
        stream.channel.apply(StreamChange(max_tokens_per_s=-1))


def test_options_given_while_it_does_not_run_hold_from_its_start(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, **ENDLESS)
    stream.channel.apply(StreamChange(max_tokens_between_frames=5))
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    assert stream.heard.wait_for(NarrationEvent).num_tokens == 5


# Several channels

def test_two_streams_are_served_a_step_each_in_turn(worker, open_stream, tools, endless):
    order = []
    streams = [
        open_stream(script=endless, on_event=lambda event, name=name: order.append(
            (name, type(event))), **ENDLESS) for name in 'ab']
    for stream in streams:
        stream.mailbox.submit_frame(tools.frame(1))
    worker.start()
    wait_until(lambda: len(order) > 200)
    worker.stop()
    tokens = [name for name, event_class in order if event_class is TokenEvent]
    assert len(tokens) > 100
    assert all(first != second for first, second in zip(tokens, tokens[1:]))


def test_a_stream_that_speaks_does_not_keep_another_from_its_frames(
        worker, open_stream, tools, endless):
    talker = open_stream(script=endless, **ENDLESS)
    watcher = open_stream()
    worker.start()
    talker.mailbox.submit_frame(tools.frame(1))
    talker.heard.wait_for(TokenEvent)
    for index in range(3):
        watcher.mailbox.submit_frame(tools.frame(index))
        watcher.heard.wait_for(SilenceEvent, num=index + 1)
    assert worker.state is WorkerState.RUNNING


def test_two_streams_of_one_model_do_as_each_would_alone(worker, tiny_model, chat, tools):
    def alone(first):
        session = StreamSession(tiny_model, chat, tools.options(silence_logit_bias=1.0))
        events = session.step()
        for index in range(first, first + 8):
            session.add_frame(tools.frame(index))
            while session.has_work:
                events += session.step()
        return events

    expected = [alone(first) for first in (0, 100)]
    options = tools.options(silence_logit_bias=1.0)
    streams = [Stream(worker, tiny_model, chat, options) for _ in expected]
    worker.start()
    for index in range(8):
        for stream, first in zip(streams, (0, 100)):
            stream.mailbox.submit_frame(tools.frame(first + index))
        for stream, first in zip(streams, (0, 100)):
            wait_until(lambda: worker.call(lambda: (
                stream.session.newest_stamp_ns == (first + index) * 1_000_000_000
                and not stream.session.has_work)).result(WAIT_S))
    assert [stream.heard.events for stream in streams] == expected
    assert any(isinstance(event, TokenEvent) for event in expected[0])


def test_a_channel_opened_while_running_is_served_and_one_closed_is_not(
        worker, open_stream, tools):
    worker.start()
    first = open_stream()
    first.mailbox.submit_frame(tools.frame(1))
    first.heard.wait_for(SilenceEvent)
    second = open_stream()
    first.channel.close()
    first.channel.close()
    first.mailbox.submit_frame(tools.frame(2))
    second.mailbox.submit_frame(tools.frame(2))
    second.heard.wait_for(SilenceEvent)
    assert first.mailbox.has_frames
    assert len(first.heard.of_class(SilenceEvent)) == 1


def test_a_session_or_mailbox_serves_one_channel_at_a_time(worker, open_stream):
    stream, other = open_stream(), open_stream()
    other.channel.close()
    for session, mailbox in ((stream.session, Mailbox(1)), (other.session, stream.mailbox)):
        with pytest.raises(ValueError, match='of its own'):
            worker.open_channel(session, mailbox, stream.heard)
    stream.channel.close()
    worker.open_channel(stream.session, stream.mailbox, stream.heard)


def test_the_slowest_pace_there_is_does_not_stop_the_worker(
        worker, open_stream, tools, endless):
    stream = open_stream(script=endless, max_tokens_per_s=1e-12, **ENDLESS)
    worker.start()
    stream.mailbox.submit_frame(tools.frame(1))
    stream.heard.wait_for(TokenEvent)
    stream.channel.request_interrupt().result(WAIT_S)
    stream.heard.wait_for(NarrationEvent, reason=EndReason.STOPPED)


@pytest.mark.parametrize('num', [0, -1, 1.5, True, 'two'])
def test_an_impossible_number_of_threads_is_refused(num):
    with pytest.raises(ValueError) as error:
        EngineWorker(num)
    assert repr(num) in str(error.value)


@pytest.mark.parametrize('pace', [-1, float('nan'), float('inf'), None, True])
def test_an_impossible_pace_is_refused(worker, tools, pace):
    session, _ = tools.scripted_session()
    with pytest.raises(ValueError) as error:
        worker.open_channel(session, Mailbox(1), Listener(), pace)
    assert repr(pace) in str(error.value)
