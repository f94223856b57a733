"""
The one thread that runs the model: it serves the sessions of all channels in turn.

Takes frames and prompts from mailboxes, steps sessions, hands events to callbacks. Sleeps on a
condition whenever nothing is to be done. Knows neither ROS nor what the events mean, but for
those by which it reports its own failures. Nodes own it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
import logging
import math
import threading
import time
import traceback

from moss_ros.stream.events import ErrorEvent, Event, SessionState
from moss_ros.stream.mailbox import Mailbox
from moss_ros.stream.session import StreamSession
import torch

_LOGGER = logging.getLogger(__name__)


class WorkerState(Enum):
    """Whether the thread runs; FAILED after an exception, until it is started again."""

    STOPPED = 'stopped'
    RUNNING = 'running'
    FAILED = 'failed'


class Channel:
    """
    One stream served by the worker: its session, its mailbox and who hears of its events.

    Made by EngineWorker.open_channel. Once opened, the session belongs to the worker's thread.
    """

    def __init__(self, worker: EngineWorker, session: StreamSession, mailbox: Mailbox,
                 on_event: Callable[[Event], None], max_tokens_per_s: float):
        self._worker = worker
        self._session = session
        self._mailbox = mailbox
        self._on_event = on_event
        self._token_interval_s = 1 / max_tokens_per_s if max_tokens_per_s else 0.0
        self._next_token_s = 0.0  # by time.monotonic()
        self._is_new = True  # the state is yet to be reported
        self._is_closed = False
        self._needs_reset = False
        self._has_failed_delivery = False

    @property
    def mailbox(self) -> Mailbox:
        """Where frames and prompts go in."""
        return self._mailbox

    def request_interrupt(self) -> Future:
        """
        End what is being said, between two steps; the stream goes on. Does not block.

        Any thread may call. The future is done once it has taken effect and its events are out;
        it is cancelled where the worker stops first. RuntimeError where the worker doesn't run.
        """
        return self._worker.call(self._interrupt)

    def request_reset(self) -> Future:
        """Forget the stream and what waits in the mailbox; as request_interrupt otherwise."""
        return self._worker.call(self._reset)

    def close(self) -> None:
        """
        Serve this channel no more. Any thread may call; does not block.

        A step that is running is finished, without events.
        """
        self._worker._remove(self)

    def _interrupt(self):
        self._deliver(self._session.stop())

    def _reset(self):
        self._mailbox.drain()
        self._begin_anew()

    def _begin_anew(self):
        self._deliver(self._session.stop())
        self._session.reset()
        self._next_token_s = 0.0
        self._is_new = True
        self._needs_reset = False

    def _wait_s(self, now_s):
        """Seconds until a step is due, 0 if now, infinity if something must come in first."""
        if self._is_new or self._mailbox.has_prompts:
            return 0.0
        if self._session.state is SessionState.SPEAKING:
            return max(0.0, self._next_token_s - now_s)
        return 0.0 if self._mailbox.has_frames or self._session.has_work else math.inf

    def _serve(self):
        """Take in what waits, and step once."""
        # Frames stay in the bounded mailbox until the model can take them in.
        begin_s = time.monotonic()
        prompts, frames = self._mailbox.drain()
        for prompt in prompts:
            self._session.add_prompt(prompt)
        for frame in frames:
            self._session.add_frame(frame)
        events = self._session.step()
        self._is_new = False
        self._next_token_s = begin_s + self._token_interval_s
        self._deliver(events)

    def _deliver(self, events):
        for event in events:
            if self._is_closed:
                return
            try:
                self._on_event(event)
            except Exception as error:
                self._report_failed_delivery(event, error)

    def _report_failed_delivery(self, event, error):
        if self._has_failed_delivery:  # the traceback once, not thirty times a second
            _LOGGER.error('on_event raised again, for %s: %r', type(event).__name__, error)
            return
        self._has_failed_delivery = True
        _LOGGER.exception('on_event raised for %r', event)
        if not isinstance(event, ErrorEvent):
            self._deliver([ErrorEvent(
                stamp_ns=event.stamp_ns, received_ns=event.received_ns,
                message=f'on_event raised {error!r} for a {type(event).__name__}; the stream '
                        'goes on without it',
                traceback=traceback.format_exc())])

    def _fail(self, message, details):
        """Report that the worker failed; what was being said has ended."""
        session = self._session
        try:
            events = session.stop()
        except Exception:
            _LOGGER.exception('a session could not be stopped after a failure')
            events = []
        self._deliver([*events, ErrorEvent(
            stamp_ns=session.newest_stamp_ns, received_ns=session.newest_received_ns,
            message=message, traceback=details)])


class EngineWorker:
    """
    Owns the thread in which every session of one model runs, a step each in turn.

    All methods may be called from any thread; none blocks but stop() and close(), and start()
    after a failure, for the moment in which the failed thread ends.
    """

    def __init__(self, num_torch_threads: int | None = None):
        """
        Run torch with num_torch_threads in the worker's thread; None leaves it to torch.

        Raises ValueError that quotes a number below 1.
        """
        if num_torch_threads is not None and (
                isinstance(num_torch_threads, bool) or not isinstance(num_torch_threads, int)
                or num_torch_threads < 1):
            raise ValueError(
                'num_torch_threads must be a whole number of at least 1 or None, '
                f'not {num_torch_threads!r}')
        self._num_torch_threads = num_torch_threads
        self._condition = threading.Condition()  # guards all below; mailboxes notify it
        self._channels: list[Channel] = []
        self._calls: deque[tuple[Callable, Future]] = deque()
        self._state = WorkerState.STOPPED
        self._is_stop_wanted = False
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> WorkerState:
        """RUNNING from start() until the thread ends."""
        return self._state

    def open_channel(self, session: StreamSession, mailbox: Mailbox,
                     on_event: Callable[[Event], None],
                     max_tokens_per_s: float = 0.0) -> Channel:
        """
        Serve session with what comes into mailbox, from now on if running.

        on_event is called with each event on the worker's thread and must not block: the next
        token waits for it. max_tokens_per_s paces speaking, for a speech output or a reader;
        0 is as fast as the model can. Raises ValueError for a session or mailbox that another
        channel has, and for a negative pace.
        """
        if isinstance(max_tokens_per_s, bool) or not isinstance(max_tokens_per_s, (int, float)) \
                or not math.isfinite(max_tokens_per_s) or max_tokens_per_s < 0:
            raise ValueError(
                'max_tokens_per_s must be a finite number above 0, or 0 for no pacing, '
                f'not {max_tokens_per_s!r}')
        channel = Channel(self, session, mailbox, on_event, max_tokens_per_s)
        with self._condition:
            for other in self._channels:
                if other._session is session or other._mailbox is mailbox:
                    raise ValueError(
                        'each channel needs a session and a mailbox of its own; close the '
                        'channel that has this one first')
            self._channels.append(channel)
        mailbox.attach(self._condition)
        return channel

    def call(self, function: Callable[[], object]) -> Future:
        """
        Run function on the worker's thread, between two steps; the future gets what it returns.

        An exception of it goes to the future and stops nothing. The future is cancelled where
        the worker stops first. Raises RuntimeError where the worker does not run.
        """
        future: Future = Future()
        with self._condition:
            if self._state is not WorkerState.RUNNING or self._is_stop_wanted:
                raise RuntimeError(f'the worker is {self._state.value}; start() it first')
            self._calls.append((function, future))
            self._condition.notify_all()
        return future

    def start(self) -> None:
        """
        Start the thread; nothing happens where it runs already.

        After a failure the session that failed is reset first. Raises RuntimeError where an
        earlier thread is still in its last step, and where on_event calls it.
        """
        thread = self._thread
        if thread is threading.current_thread():
            raise RuntimeError("start() was called on the worker's own thread")
        if thread is not None and self._state is WorkerState.FAILED:
            thread.join(timeout=2.0)
        with self._condition:
            if self._thread is not None and self._thread.is_alive():
                if not self._is_stop_wanted and self._state is WorkerState.RUNNING:
                    return
                raise RuntimeError("the worker's thread is still in its last step; "
                                   'stop() it again and see that it returns True')
            self._is_stop_wanted = False
            self._state = WorkerState.RUNNING
            self._thread = threading.Thread(
                target=self._run, name='moss-engine-worker', daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """
        End the thread after the step it is in; block until it has ended, at most timeout_s.

        Returns whether no thread runs any more. What was being said is reported as STOPPED. May
        be called in any state. Called by on_event, it does not wait and returns False.
        """
        with self._condition:
            thread = self._thread
            if thread is None:
                self._state = WorkerState.STOPPED
                return True
            self._is_stop_wanted = True
            self._condition.notify_all()
        if thread is threading.current_thread():
            return False
        thread.join(timeout_s)
        if thread.is_alive():
            return False
        with self._condition:
            if self._thread is thread:
                self._thread = None
                self._state = WorkerState.STOPPED
        return True

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop, as stop() does, and close all channels."""
        has_ended = self.stop(timeout_s)
        for channel in list(self._channels):
            channel.close()
        return has_ended

    def _remove(self, channel):
        with self._condition:
            channel._is_closed = True
            if channel in self._channels:
                self._channels.remove(channel)
        channel._mailbox.attach(threading.Condition())

    def _run(self):
        channel = None
        try:
            # Torch keeps this number for each thread, and asking for it is what sets it up: a
            # worker without either may oversubscribe the cores and be a thousand times slower.
            if self._num_torch_threads is None:
                torch.get_num_threads()
            else:
                torch.set_num_threads(self._num_torch_threads)
            for channel in list(self._channels):
                if channel._needs_reset:
                    channel._begin_anew()
            channel = None
            while (job := self._next_job()) is not None:
                function, future, channel = job
                if channel is not None:
                    channel._serve()
                elif future.set_running_or_notify_cancel():
                    _fulfil(future, function)
            for channel in list(self._channels):
                channel._interrupt()
        except BaseException as error:  # a thread that dies of anything must say so
            self._end_failed(channel, error)
        else:
            self._cancel_calls()
            self._state = WorkerState.STOPPED

    def _next_job(self):
        """
        Wait for the next thing to do: a call, or a channel whose step is due; None to stop.

        Returns (function, future, None) or (None, None, channel).
        """
        with self._condition:
            while not self._is_stop_wanted:
                if self._calls:
                    return *self._calls.popleft(), None
                now_s = time.monotonic()
                shortest_s = math.inf
                for index, channel in enumerate(self._channels):
                    wait_s = channel._wait_s(now_s)
                    if wait_s == 0:
                        # Served in turn: it goes behind the others.
                        self._channels.append(self._channels.pop(index))
                        return None, None, channel
                    shortest_s = min(shortest_s, wait_s)
                self._condition.wait(
                    None if math.isinf(shortest_s) else min(shortest_s, threading.TIMEOUT_MAX))
        return None

    def _end_failed(self, channel, error):
        message = f'the model failed: {error!r}; start the worker again'
        details = traceback.format_exc()
        _LOGGER.error('%s\n%s', message, details)
        if channel is not None:
            channel._needs_reset = True
        self._state = WorkerState.FAILED
        self._cancel_calls()
        for other in list(self._channels):
            other._fail(message, details)

    def _cancel_calls(self):
        with self._condition:
            calls, self._calls = self._calls, deque()
        for _, future in calls:
            future.cancel()


def _fulfil(future, function):
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
