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
One stream that the worker serves: its session, its mailbox, and the listener for its events.

Requests come in from any thread and take effect on the worker's thread, between two steps. A
failure of the session does not affect other channels. Made by EngineWorker.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import logging
import math
import threading
import time

from moss_ros.checks import require_number
from moss_ros.stream.contract import ChannelHost, StreamChange
from moss_ros.stream.events import ErrorEvent, Event, EventDelivery, SessionState
from moss_ros.stream.feed import SessionFeed
from moss_ros.stream.mailbox import Mailbox
from moss_ros.stream.pace import Pace
from moss_ros.stream.passes import PassGenerator
from moss_ros.stream.session import StreamSession
from moss_ros.stream.worker_thread import WorkerState

_LOGGER = logging.getLogger(__name__)
# Someone looks into the mailbox as often as that, however slow the pace of speaking is.
MAX_PACE_WAIT_S = 1.0


class EngineChannel:
    """
    One stream served by an EngineWorker: a Channel, with further methods for the worker.

    While the channel is open, the session belongs to the worker's thread. Any thread may call the
    methods of the Channel protocol and request_close(). The rest, from has_failed on, is for the
    worker: on its thread, or while that doesn't run.
    """

    def __init__(self, host: ChannelHost, session: StreamSession, mailbox: Mailbox,
                 on_event: Callable[[Event], None], max_tokens_per_s: float,
                 is_held: bool = False):
        """Make a channel; is_held: serve nothing until restart(), even if the worker runs."""
        self._host = host
        self._session = session
        self._mailbox = mailbox
        self._feed = SessionFeed(session, mailbox)
        self._delivery = EventDelivery(on_event)
        self._pace = Pace(max_tokens_per_s)
        self._is_new = True  # the state was not reported yet
        self._is_held = is_held
        self._is_closed = False
        self._is_paused = False
        self._has_failed = False
        self._is_restart_wanted = False
        self._wanted_change: StreamChange | None = None

    @property
    def mailbox(self) -> Mailbox:
        """Where frames and prompts go in."""
        return self._mailbox

    @property
    def state(self) -> WorkerState:
        """Return STOPPED if held or closed, FAILED after an exception; else the worker's state."""
        if self._is_held or self._is_closed:
            return WorkerState.STOPPED
        is_failed = self._has_failed and not self._is_restart_wanted
        return WorkerState.FAILED if is_failed else self._host.state

    @property
    def is_paused(self) -> bool:
        """Whether the stream is paused: nothing is taken in, nothing is said."""
        return self._is_paused

    @property
    def encode_s_per_frame(self) -> float | None:
        """Seconds that the model takes to encode a frame; None before the first."""
        return self._feed.encode_s_per_frame

    def request_interrupt(self) -> Future:
        """
        End what is being said, between two steps; the stream goes on.

        The future is done when this has taken effect and its events were delivered; it is
        cancelled if the worker stops first. Raises RuntimeError if the worker doesn't run or the
        stream has failed.
        """
        return self._call(self._interrupt)

    def request_reset(self) -> Future:
        """
        Forget the stream and all that waits in the mailbox; otherwise as request_interrupt().

        Each prompt that is forgotten is reported as an error. What is put into the mailbox after
        this call belongs to the new stream.
        """
        return self._mailbox.hold_until(lambda: self._call(self._begin_anew))

    def request_pause(self, is_paused: bool) -> Future:
        """
        Pause (end what is being said, take nothing in) or go on; else as request_interrupt().

        Prompts wait until the stream goes on. Frames that wait are forgotten as the pause begins.
        What the stream has seen is kept.
        """
        return self._call(lambda: self._pause(is_paused))

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError if the change needs another session, or its pace is negative."""
        self._session.require_change(change)
        require_number('max_tokens_per_s', change.max_tokens_per_s, minimum=0)

    def apply(self, change: StreamChange) -> None:
        """Apply the change from the next step on, in any state; ValueError as require_change()."""
        self.require_change(change)
        self._wanted_change = change
        try:
            self._call(self._apply_change)
        except RuntimeError:
            pass  # the stream is not served now: its next step will apply the change

    def restart(self) -> None:
        """Serve a failed stream again, from its beginning; otherwise as EngineWorker.start()."""
        self.want_restart()
        was_held, self._is_held = self._is_held, False
        try:
            self._host.start_thread()
        except RuntimeError:
            self._is_held = was_held
            raise

    def request_close(self) -> Future:
        """
        End the stream and stop serving this channel; otherwise as request_interrupt().

        When the future is done, the session belongs to the caller again.
        """
        return self._call(self._end)

    def close(self) -> None:
        """Stop serving this channel. A running step is finished, but its events are dropped."""
        self._host.remove(self)

    def _call(self, function):
        if self.state is WorkerState.FAILED:
            raise RuntimeError('the stream has failed; restart() it first')
        if self._is_held or self._is_closed:
            raise RuntimeError('the stream is not served; open and start it first')
        return self._host.call(function)

    def _interrupt(self):
        self._delivery.deliver(self._session.stop())

    def _pause(self, is_paused):
        if is_paused:
            self._interrupt()
            num_queued = self._session.num_waiting_frames
            self._session.forget_frames()
            self._mailbox.forget_frames(self._feed.drop_frames() + num_queued)
        self._is_paused = is_paused

    def _end(self):
        if not self._is_closed:  # else the session may belong to another channel by now
            self.end_stream()
            self.close()

    def _begin_anew(self):
        # What waits in the mailbox belongs to the new stream.
        self._delivery.deliver(self._session.end(self._mailbox.take_forgotten_prompts()))
        self._feed.drop_frames()
        self._session.reset()
        self._pace.begin_anew()
        self._is_new = True
        self._has_failed = self._is_restart_wanted = False

    def _apply_change(self):
        change, self._wanted_change = self._wanted_change, None
        if change is not None:
            self._session.apply(change)
            self._pace.change(change.max_tokens_per_s)

    # For the worker

    @property
    def has_failed(self) -> bool:
        """Whether the stream has failed since it last began."""
        return self._has_failed

    def is_of(self, session: StreamSession, mailbox: Mailbox) -> bool:
        """Return whether the channel has this session or this mailbox."""
        return self._session is session or self._mailbox is mailbox

    def want_restart(self) -> None:
        """Begin the stream anew at the next step, if it has failed. Any thread may call."""
        self._is_restart_wanted = self._has_failed

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until a step is due; infinity if something must come in first."""
        if self._has_failed:
            return 0.0 if self._is_restart_wanted else math.inf
        if self._is_paused or self._is_held:
            return math.inf
        if self._is_new or self._mailbox.has_prompts:
            return 0.0
        if self._session.state is SessionState.SPEAKING:
            # Frames wait because of the pace, not because the model hangs.
            self._mailbox.look()
            return min(self._pace.wait_s(now_s), MAX_PACE_WAIT_S)
        return 0.0 if self._feed.has_work else math.inf

    @property
    def is_speaking(self) -> bool:
        """Whether the next step will probably say a word of a narration that has begun."""
        return self._session.state is SessionState.SPEAKING

    def serve(self) -> PassGenerator[None]:
        """Take in what waits, step the session once and deliver the events; see passes.py."""
        if self._is_restart_wanted:
            self._begin_anew()
        self._apply_change()
        if self._is_paused:
            return
        begin_s = time.monotonic()
        events = yield from self._feed.step_shared(lambda: self._host.has_requests)
        self._is_new = False
        self._pace.token_said(begin_s)
        self._delivery.deliver(events)

    def end_stream(self) -> None:
        """
        End what is being said and close an open question; the session keeps its context.

        Each prompt that waits is reported as an error: it is asked no more.
        """
        self._delivery.deliver(self._session.end(self._mailbox.take_prompts()))

    def end_unserved(self) -> None:
        """Do as end_stream(), for a stream that may have failed. While no step of it runs."""
        try:
            self.end_stream()
        except Exception:
            _LOGGER.exception('a session could not be ended')

    def detach(self) -> None:
        """Deliver no more events, and detach from the mailbox. Any thread may call."""
        self._is_closed = True
        self._delivery.close()
        self._mailbox.attach(threading.Condition())

    def mark_failed(self) -> None:
        """Do not serve the stream until it is started again."""
        self._has_failed, self._is_restart_wanted = True, False

    def report_failure(self, message: str, details: str) -> None:
        """End what is being said or asked, and deliver the events of that and an ErrorEvent."""
        session = self._session
        try:
            events = session.end()
        except Exception:
            _LOGGER.exception('a session could not be stopped after a failure')
            events = []
        self._delivery.deliver([*events, ErrorEvent(
            stamp_ns=session.newest_stamp_ns, received_ns=session.newest_received_ns,
            message=message, traceback=details)])
