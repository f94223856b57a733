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
The one thread that runs the model: it serves the sessions of all channels in turn.

Those that are speaking share their passes through the decoder (passes.py). It sleeps on a
condition while there is nothing to do. A channel that fails is not served until it is started
again; the others go on. Nodes own the worker.
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
from moss_ros.stream.passes import pass_together
from moss_ros.stream.session import StreamSession
from moss_ros.stream.worker_thread import WorkerState, WorkerThread
import torch

_LOGGER = logging.getLogger(__name__)


class EngineWorker(WorkerThread):
    """
    Owns the thread in which all sessions of one model run, one step of each in turn.

    Any thread may call all methods. Only stop() and close() block, and start() after a failure,
    until the failed thread has ended.
    """

    def __init__(self, num_torch_threads: int | None = None):
        """
        Use num_torch_threads CPU threads in torch; None: as torch chooses.

        Raises ValueError that quotes a number below 1.
        """
        if num_torch_threads is not None:
            require_count('num_torch_threads', num_torch_threads)
        super().__init__('moss-engine-worker')
        self._num_torch_threads = num_torch_threads
        # Guarded by the condition, which the mailboxes notify.
        self._channels: list[EngineChannel] = []

    @property
    def num_channels(self) -> int:
        """Return the number of open channels."""
        return len(self._channels)

    def open_channel(self, session: StreamSession, mailbox: Mailbox,
                     on_event: Callable[[Event], None], max_tokens_per_s: float = 0.0,
                     is_held: bool = False) -> EngineChannel:
        """
        Serve session with the items of mailbox, as soon as the worker runs.

        - on_event: called with each event, on the worker's thread. It must not block, since the
          next token waits for it.
        - max_tokens_per_s: pace of speaking, for speech output or readers; 0: as fast as possible.
        - is_held: do not serve the channel until its restart() is called.

        Raises ValueError if another channel has this session or mailbox, and for a negative pace.
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
        Start the thread if it does not run, and begin failed streams anew in any case.

        Raises RuntimeError if an earlier thread is still in its last step, or if on_event calls
        it.
        """
        for channel in list(self._channels):
            channel.want_restart()
        self.start_thread()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop, as stop() does, and close all channels."""
        has_ended = self.stop(timeout_s)
        for channel in list(self._channels):
            if has_ended:  # a stream that has failed kept prompts for its next beginning
                channel.end_unserved()
            channel.close()
        return has_ended

    def remove(self, channel: EngineChannel) -> None:
        """Stop serving this channel."""
        with self._condition:
            if channel in self._channels:
                self._channels.remove(channel)
        channel.detach()

    def _run(self):
        try:
            # Torch has this number for each thread, and sets it up only when it is set or asked
            # for. Otherwise torch may use more threads than cores, a thousand times slower.
            if self._num_torch_threads is None:
                torch.get_num_threads()
            else:
                torch.set_num_threads(self._num_torch_threads)
            while (job := self._next_job()) is not None:
                function, future, channels = job
                if channels:
                    if not self._serve(channels):
                        return
                elif future.set_running_or_notify_cancel():
                    _fulfil(future, function)
            for channel in list(self._channels):
                channel.end_stream()
        except BaseException as error:  # whatever ends the thread must be reported
            self._fail(list(self._channels), error)
        else:
            self._cancel_calls()
            self._state = WorkerState.STOPPED

    def _serve(self, channels):
        """Serve one step of channels; return whether any channel is left that has not failed."""
        failures = pass_together([channel.serve() for channel in channels])
        for channel, error in zip(channels, failures):
            if error is not None:
                self._fail([channel], error)
        return self._state is not WorkerState.FAILED

    def _next_job(self):
        """
        Wait for the next call, or for channels whose step is due.

        Returns (function, future, ()) or (None, None, channels); None to stop.
        """
        with self._condition:
            while not self._is_stop_wanted:
                if self._calls:
                    return *self._calls.popleft(), ()
                now_s = time.monotonic()
                waits_s = [channel.wait_s(now_s) for channel in self._channels]
                due = [channel for channel, wait_s in zip(self._channels, waits_s) if wait_s == 0]
                if due:
                    return None, None, self._take_turn(due)
                shortest_s = min(waits_s, default=math.inf)
                self._condition.wait(
                    None if math.isinf(shortest_s) else min(shortest_s, threading.TIMEOUT_MAX))
        return None

    def _take_turn(self, due):
        """Return the first of the channels that are due, and if it speaks all that do, too."""
        channels = due[:1]
        if due[0].is_speaking:
            channels += [channel for channel in due[1:] if channel.is_speaking]
        # Move them behind the others, so that all are served in turn.
        self._channels = [channel for channel in self._channels if channel not in channels]
        self._channels += channels
        return channels

    def _fail(self, channels, error):
        message = f'the model failed: {error!r}; start the worker again'
        details = ''.join(traceback.format_exception(error))
        _LOGGER.error('%s\n%s', message, details)
        for channel in channels:
            channel.mark_failed()
        # Set before the failure is reported, since a listener may look at the state at once.
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
