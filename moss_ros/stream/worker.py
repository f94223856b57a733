"""
The one thread that runs the model: it serves the sessions of all channels in turn.

Sleeps on a condition whenever nothing is to be done. A channel that fails is left out until it is
started again, and the others go on. Knows neither ROS nor what a stream's events mean. Nodes own
it.
"""

from __future__ import annotations

from collections.abc import Callable
import logging
import math
import threading
import time
import traceback

from moss_ros.checks import require_count, require_number
from moss_ros.stream.channel import EngineChannel
from moss_ros.stream.events import Event
from moss_ros.stream.mailbox import Mailbox
from moss_ros.stream.session import StreamSession
from moss_ros.stream.worker_thread import WorkerState, WorkerThread
import torch

_LOGGER = logging.getLogger(__name__)


class EngineWorker(WorkerThread):
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
        if num_torch_threads is not None:
            require_count('num_torch_threads', num_torch_threads)
        super().__init__('moss-engine-worker')
        self._num_torch_threads = num_torch_threads
        # Guarded by the condition, which mailboxes notify.
        self._channels: list[EngineChannel] = []

    @property
    def num_channels(self) -> int:
        """Channels that are open."""
        return len(self._channels)

    def open_channel(self, session: StreamSession, mailbox: Mailbox,
                     on_event: Callable[[Event], None], max_tokens_per_s: float = 0.0,
                     is_held: bool = False) -> EngineChannel:
        """
        Serve session with what comes into mailbox, from now on if running.

        on_event is called with each event on the worker's thread and must not block: the next
        token waits for it. max_tokens_per_s paces speaking, for a speech output or a reader;
        0 is as fast as the model can. is_held: not from now on, but from the channel's restart()
        on. Raises ValueError for a session or mailbox that another channel has, and for a
        negative pace.
        """
        require_number('max_tokens_per_s', max_tokens_per_s, minimum=0)
        channel = EngineChannel(self, session, mailbox, on_event, max_tokens_per_s, is_held)
        with self._condition:
            for other in self._channels:
                if other.is_of(session, mailbox):
                    raise ValueError(
                        'each channel needs a session and a mailbox of its own; close the '
                        'channel that has this one first')
            self._channels.append(channel)
        mailbox.attach(self._condition)
        return channel

    def start(self) -> None:
        """
        Start the thread; nothing happens where it runs already.

        Streams that failed begin anew. Raises RuntimeError where an earlier thread is still in
        its last step, and where on_event calls it.
        """
        for channel in list(self._channels):
            channel.want_restart()
        self.start_thread()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop, as stop() does, and close all channels."""
        has_ended = self.stop(timeout_s)
        for channel in list(self._channels):
            channel.close()
        return has_ended

    def remove(self, channel: EngineChannel) -> None:
        """Serve this channel no more."""
        with self._condition:
            if channel in self._channels:
                self._channels.remove(channel)
        channel.detach()

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
                channel.end_stream()
        except BaseException as error:  # a thread that dies of anything must say so
            self._fail(list(self._channels), error)
        else:
            self._cancel_calls()
            self._state = WorkerState.STOPPED

    def _serve(self, channel):
        """Give a channel its step; return whether a channel is left that has not failed."""
        try:
            channel.serve()
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
                    wait_s = channel.wait_s(now_s)
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
            channel.mark_failed()
        # Before anybody hears of it, who may look at once.
        if all(channel.has_failed for channel in list(self._channels)):
            self._state = WorkerState.FAILED
            self._cancel_calls()
        for channel in channels:
            channel.report_failure(message, details)


def _fulfil(future, function):
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
