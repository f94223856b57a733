"""
The one thread that runs the model: it serves the sessions of all channels in turn.

Sleeps on a condition whenever nothing is to be done. A channel that fails is left out until it is
started again, and the others go on. Knows neither ROS nor what a stream's events mean. Nodes own
it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
import logging
import math
import threading
import time
import traceback

from moss_ros.stream.channel import Channel, require_pace, WorkerState
from moss_ros.stream.events import Event
from moss_ros.stream.mailbox import Mailbox
from moss_ros.stream.session import StreamSession
import torch

_LOGGER = logging.getLogger(__name__)


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
        """RUNNING from start() until the thread ends; FAILED where all channels have failed."""
        return self._state

    @property
    def num_channels(self) -> int:
        """Channels that are open."""
        return len(self._channels)

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
        require_pace(max_tokens_per_s)
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

        Streams that failed begin anew. Raises RuntimeError where an earlier thread is still in
        its last step, and where on_event calls it.
        """
        for channel in list(self._channels):
            channel._is_restart_wanted = channel._has_failed
        self._start_thread()

    def _start_thread(self):
        thread = self._thread
        if thread is threading.current_thread():
            raise RuntimeError("start() was called on the worker's own thread")
        if thread is not None and self._state is WorkerState.FAILED:
            thread.join(timeout=2.0)
        with self._condition:
            if self._thread is not None and self._thread.is_alive():
                if not self._is_stop_wanted and self._state is WorkerState.RUNNING:
                    self._condition.notify_all()
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
        try:
            # Torch keeps this number for each thread, and asking for it is what sets it up: a
            # worker without either may oversubscribe the cores and be a thousand times slower.
            if self._num_torch_threads is None:
                torch.get_num_threads()
            else:
                torch.set_num_threads(self._num_torch_threads)
            while (job := self._next_job()) is not None:
                function, future, channel = job
                if channel is not None:
                    if not self._serve(channel):
                        return
                elif future.set_running_or_notify_cancel():
                    _fulfil(future, function)
            for channel in list(self._channels):
                channel._interrupt()
        except BaseException as error:  # a thread that dies of anything must say so
            self._fail(list(self._channels), error)
        else:
            self._cancel_calls()
            self._state = WorkerState.STOPPED

    def _serve(self, channel):
        """Give a channel its step; return whether a channel is left that has not failed."""
        try:
            channel._serve()
        except BaseException as error:
            self._fail([channel], error)
        return self._state is not WorkerState.FAILED

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

    def _fail(self, channels, error):
        message = f'the model failed: {error!r}; start the worker again'
        details = traceback.format_exc()
        _LOGGER.error('%s\n%s', message, details)
        for channel in channels:
            channel._has_failed = True
            channel._is_restart_wanted = False
        # Before anybody hears of it, who may look at once.
        if all(channel._has_failed for channel in list(self._channels)):
            self._state = WorkerState.FAILED
            self._cancel_calls()
        for channel in channels:
            channel._report_failure(message, details)

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
