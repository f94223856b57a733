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
The thread that serves a remote model; takes the place of EngineWorker.

Frames and prompts go from a mailbox to the session; the session's events go to a callback. It
sleeps on a condition while there is nothing to do, and takes in no more reports a second than a
node can publish. The narrator owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import logging
import threading
import time
import traceback

from moss_ros.checks import require_number
from moss_ros.remote.remote_options import RemoteError
from moss_ros.remote.remote_session import RemoteSession
from moss_ros.stream import (
    ChannelHost, ErrorEvent, Event, EventDelivery, Mailbox, PromptEvent, SessionState,
    StreamChange, TokenEvent, WorkerState, WorkerThread,
)
from moss_ros.stream.pace import Pace

_LOGGER = logging.getLogger(__name__)

# So many reports within their part of a second, which is more than any hardware that is sold has
# to say; then nothing is heard for the rest of it.
_MAX_BURST = 8
_BURST_S = _MAX_BURST / 400


class RemoteChannel:
    """
    The stream that a RemoteWorker serves: a Channel, and what its worker asks of it.

    What the Channel protocol has may be called by any thread. The rest, from begin() on, is for
    the worker, on its thread.
    """

    def __init__(self, host: ChannelHost, session: RemoteSession, mailbox: Mailbox,
                 on_event: Callable[[Event], None], max_tokens_per_s: float):
        self._host = host
        self._session = session
        self._mailbox = mailbox
        self._delivery = EventDelivery(on_event)
        self._max_tokens_per_s = max_tokens_per_s
        self._pace = Pace(max_tokens_per_s)
        self._burst_end_s = 0.0
        self._num_in_burst = 0
        self._is_paused = False

    @property
    def mailbox(self) -> Mailbox:
        """Where frames and prompts go in."""
        return self._mailbox

    @property
    def state(self) -> WorkerState:
        """Return that of the worker, which has no other channel."""
        return self._host.state

    @property
    def is_paused(self) -> bool:
        """Whether it is paused: the model gets nothing to see or to answer."""
        return self._is_paused

    @property
    def encode_s_per_frame(self) -> float | None:
        """None: a remote model does not tell how long it takes to encode a frame."""
        return None

    def request_interrupt(self) -> Future:
        """
        End what is being said; the stream goes on. Does not block.

        The model can't be told: what it still says of it is left out. Any thread may call. The
        future is done once the events are out; it is cancelled where the worker stops first.
        RuntimeError where the worker doesn't run.
        """
        return self._host.call(lambda: self._delivery.deliver(self._session.interrupt()))

    def request_reset(self) -> Future:
        """
        Forget the stream and what waits in the mailbox now; as request_interrupt otherwise.

        Each prompt that is forgotten is reported as an error. The model is asked to stop, and
        started again. What is put into the mailbox after this call belongs to the new stream.
        """
        return self._mailbox.hold_until(lambda: self._host.call(self._reset))

    def request_pause(self, is_paused: bool) -> Future:
        """
        End what is being said and show the model nothing any more, or go on.

        What the model says in the pause, of what it was shown before, is left out.

        Frames that wait are forgotten as it begins, prompts wait until it goes on. Else as
        request_interrupt.
        """
        return self._host.call(lambda: self._pause(is_paused))

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError for another pace, and for what the session can't take."""
        self._session.require_change(change)
        if change.max_tokens_per_s != self._max_tokens_per_s:
            raise ValueError("the backend 'remote_code' takes max_tokens_per_second when it is "
                             'activated: deactivate it first')

    def apply(self, change: StreamChange) -> None:
        """Nothing that this stream can take needs anything done; ValueError as above."""
        self.require_change(change)

    def restart(self) -> None:
        """Start a worker that failed again; as RemoteWorker.start()."""
        self._host.start_thread()

    def close(self) -> None:
        """Deliver nothing any more. Any thread may call; does not block."""
        self._host.remove(self)

    def _reset(self):
        # What waits in the mailbox belongs to the new stream.
        self._delivery.deliver(self._session.end(self._mailbox.take_forgotten_prompts()))
        self.begin()

    def _pause(self, is_paused):
        self._delivery.deliver(self._session.pause(is_paused))
        if is_paused:
            self._mailbox.forget_frames()
        self._is_paused = is_paused

    # For the worker

    def begin(self) -> None:
        """Load the model where it is not, and begin a stream."""
        def is_cancelled():
            # To load for long is not to hang; the session has a limit for it.
            self._mailbox.look()
            return self._host.is_ending

        if self._session.load(is_cancelled):
            self._pace.begin_anew()
            self._delivery.deliver(self._session.open(
                self._max_tokens_per_s, self._is_paused))

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is something to do, 0 if now; an upper bound."""
        if not self._is_paused and (self._mailbox.has_prompts or (
                self._mailbox.has_frames and self._session.num_free_slots)):
            return 0.0
        return max(self._session.wait_s(now_s), self._pause_s(now_s))

    def _pause_s(self, now_s):
        """Seconds for which nothing may be heard."""
        pause_s = self._burst_end_s - now_s if self._num_in_burst >= _MAX_BURST else 0.0
        # A prompt interrupts at once: what is said before it is taken in need not be paced.
        if self._session.has_string and self._session.state is SessionState.SPEAKING \
                and not self._session.has_prompts:
            pause_s = max(pause_s, self._pace.wait_s(now_s))
        return max(0.0, pause_s)

    def serve(self) -> None:
        """Hand over what waits, and hear what came."""
        # Other frames stay in the mailbox, which drops the oldest and counts them.
        if not self._is_paused:
            prompts, frames = self._mailbox.drain(self._session.num_free_slots)
            for prompt in prompts:
                self._session.add_prompt(prompt)
            for frame in frames:
                self._delivery.deliver(self._session.add_frame(frame))
        for _ in range(_MAX_BURST):
            now_s = time.monotonic()
            # In this order: what comes in between is looked at, and may have to wait.
            if self._session.wait_s(now_s) > 0 or self._pause_s(now_s) > 0:
                break
            if now_s >= self._burst_end_s:
                self._burst_end_s, self._num_in_burst = now_s + _BURST_S, 0
            self._num_in_burst += 1
            events = self._session.hear(now_s)
            self._delivery.deliver(events)
            if any(isinstance(event, TokenEvent) for event in events):
                self._pace.token_said(now_s)
            elif any(isinstance(event, PromptEvent) for event in events):
                self._pace.begin_anew()  # the answer need not wait for what it cut

    def end_stream(self) -> None:
        """
        End the stream in the process, what is being said and what was asked.

        Each prompt that waits is reported as an error: it is asked no more.
        """
        self._delivery.deliver(self._session.end(self._mailbox.take_prompts()))

    def detach(self) -> None:
        """Deliver nothing any more, and let go of the mailbox. Any thread."""
        self._delivery.close()
        self._mailbox.attach(threading.Condition())

    def report_failure(self, message: str, details: str) -> None:
        """Report that the model failed; what was being said or asked has ended."""
        session = self._session
        self._delivery.deliver([*session.end(), ErrorEvent(
            stamp_ns=session.newest_stamp_ns, received_ns=session.newest_received_ns,
            message=message, traceback=details)])


class RemoteWorker(WorkerThread):
    """
    Owns the thread that drives one RemoteSession.

    All methods may be called from any thread; none blocks but stop() and close(). A model that
    fails is reported and leaves the worker FAILED: start() loads it anew, in the worker's thread.
    When to do so is for the owner to decide.
    """

    def __init__(self, session: RemoteSession):
        super().__init__('moss-remote-worker', session.condition)
        self._session = session
        self._channel: RemoteChannel | None = None  # guarded by the condition
        self._served: RemoteChannel | None = None  # by the thread, also when it was closed

    def open_channel(self, session: RemoteSession, mailbox: Mailbox,
                     on_event: Callable[[Event], None],
                     max_tokens_per_s: float = 0.0) -> RemoteChannel:
        """
        Serve the session with what comes into mailbox, from the next start() on.

        on_event is called with each event on the worker's thread and must not block.
        max_tokens_per_s paces speaking: the model is held up; 0 is as fast as it goes. Raises
        ValueError for another session, a second channel, and a negative pace.
        """
        require_number('max_tokens_per_s', max_tokens_per_s, minimum=0)
        channel = RemoteChannel(self, session, mailbox, on_event, max_tokens_per_s)
        with self._condition:
            if session is not self._session or self._channel is not None:
                raise ValueError('a remote worker has one channel, for the session that it was '
                                 'made with; close that one first')
            if self._state is WorkerState.RUNNING:
                raise ValueError('the worker runs; open the channel before start()')
            self._channel = channel
        mailbox.attach(self._condition)
        return channel

    def start(self) -> None:
        """
        Start the thread, which loads the model; nothing happens where it runs already.

        RuntimeError where there is no channel, an earlier thread has not ended, or on_event calls
        it.
        """
        with self._condition:
            if self._channel is None:
                raise RuntimeError('the worker has nothing to serve; open_channel() first')
            self._served = self._channel
        self.start_thread()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """
        End the stream and the thread; block until it has ended, at most timeout_s.

        Returns whether no thread runs any more. What was being said is reported as STOPPED, and
        so is a question that is open. The model stays loaded, unless it doesn't end its stream
        within stop_grace_s: then its process is killed. Called by on_event, it does not wait and
        returns False.
        """
        return super().stop(timeout_s)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop, as stop() does, and close the channel; the session stays."""
        has_ended = self.stop(timeout_s)
        if self._channel is not None:
            if has_ended:  # a stream that has failed kept prompts for its next beginning
                self._channel.end_stream()
            self._channel.close()
        return has_ended

    def remove(self, channel: RemoteChannel) -> None:
        """Serve this channel no more."""
        with self._condition:
            if self._channel is channel:
                self._channel = None
        channel.detach()

    def _run(self):
        channel = self._served
        try:
            channel.begin()
            while (call := self._next_call(channel)) is not None:
                function, future = call
                if future is None:
                    function()
                elif future.set_running_or_notify_cancel():
                    try:
                        future.set_result(function())
                    except BaseException as error:
                        future.set_exception(error)
                        raise
            channel.end_stream()
        except BaseException as error:  # a thread that dies of anything must say so
            self._end_failed(channel, error)
        else:
            self._cancel_calls()
            self._state = WorkerState.STOPPED

    def _next_call(self, channel):
        """Wait for the next thing to do; return (function, its future if any), None to stop."""
        with self._condition:
            while not self._is_stop_wanted:
                if self._calls:
                    return self._calls.popleft()
                wait_s = channel.wait_s(time.monotonic())
                if wait_s <= 0:
                    return channel.serve, None
                self._condition.wait(wait_s)
        return None

    def _end_failed(self, channel, error):
        is_remote = isinstance(error, RemoteError)
        message = str(error) if is_remote else f'the remote backend failed: {error!r}'
        details = error.details if is_remote else traceback.format_exc()
        try:
            _LOGGER.error('%s', '\n'.join(filter(None, (message, details))))
            # Whatever it was, a fresh process is the state that is known.
            self._session.kill()
        finally:
            # Before anybody hears of it, who may look at once.
            self._state = WorkerState.FAILED
            self._cancel_calls()
            channel.report_failure(message, details)
