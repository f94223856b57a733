"""
One stream as the worker serves it: its session, its mailbox, and who hears of its events.

Requests come in from any thread and take effect on the worker's, between two steps; a failure of
the session stays here. Knows neither ROS nor the other channels. Made by EngineWorker.
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
from moss_ros.stream.session import StreamSession
from moss_ros.stream.worker_thread import WorkerState

_LOGGER = logging.getLogger(__name__)


class EngineChannel:
    """
    One stream served by an EngineWorker: a Channel, and what its worker asks of it.

    Once it is opened, the session belongs to the worker's thread. What the Channel protocol has
    may be called by any thread. The rest, from wait_s() on, is for the worker: on its thread, or
    while that doesn't run.
    """

    def __init__(self, host: ChannelHost, session: StreamSession, mailbox: Mailbox,
                 on_event: Callable[[Event], None], max_tokens_per_s: float,
                 is_held: bool = False):
        """is_held: serve nothing until the first restart(), though the worker may run."""
        self._host = host
        self._session = session
        self._mailbox = mailbox
        self._feed = SessionFeed(session, mailbox)
        self._delivery = EventDelivery(on_event)
        self._token_interval_s = _interval_s(max_tokens_per_s)
        self._next_token_s = 0.0  # by time.monotonic()
        self._is_new = True  # the state is yet to be reported
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
        """FAILED after an exception of this stream or the whole worker; else the worker's."""
        if self._is_held or self._is_closed:
            return WorkerState.STOPPED
        is_failed = self._has_failed and not self._is_restart_wanted
        return WorkerState.FAILED if is_failed else self._host.state

    @property
    def is_paused(self) -> bool:
        """Whether it is paused: nothing is taken in, nothing is said."""
        return self._is_paused

    @property
    def encode_s_per_frame(self) -> float | None:
        """Seconds that the model takes to encode a frame; None before the first."""
        return self._feed.encode_s_per_frame

    def request_interrupt(self) -> Future:
        """
        End what is being said, between two steps; the stream goes on.

        The future is done once it has taken effect and its events are out; it is cancelled where
        the worker stops first. RuntimeError where the worker doesn't run, or the stream failed.
        """
        return self._call(self._interrupt)

    def request_reset(self) -> Future:
        """
        Forget the stream and what waits in the mailbox now; as request_interrupt otherwise.

        What is put into the mailbox after this call belongs to the new stream.
        """
        self._mailbox.drain()
        return self._call(self._begin_anew)

    def request_pause(self, is_paused: bool) -> Future:
        """
        End what is being said and take nothing in any more, or go on; else as request_interrupt.

        Prompts wait until it goes on; frames that wait are dropped when the pause begins. What
        the stream has seen is kept.
        """
        return self._call(lambda: self._pause(is_paused))

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError for what would need another session, and for a negative pace."""
        self._session.require_change(change)
        require_number('max_tokens_per_s', change.max_tokens_per_s, minimum=0)

    def apply(self, change: StreamChange) -> None:
        """Go on with the change from the next step on, in any state; ValueError as above."""
        self.require_change(change)
        self._wanted_change = change
        try:
            self._call(self._apply_change)
        except RuntimeError:
            pass  # it is not served: the first step after the start applies it

    def restart(self) -> None:
        """Serve a failed stream again, from its beginning; as EngineWorker.start() otherwise."""
        self.want_restart()
        was_held, self._is_held = self._is_held, False
        try:
            self._host.start_thread()
        except RuntimeError:
            self._is_held = was_held
            raise

    def request_close(self) -> Future:
        """
        End what is being said, and serve this channel no more; else as request_interrupt.

        When the future is done, the session belongs to the caller again.
        """
        return self._call(self._end)

    def close(self) -> None:
        """Serve this channel no more. A step that is running is finished, without events."""
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
            prompts, _ = self._mailbox.drain()
            self._feed.add_prompts(prompts)
            self._feed.drop_frames()
        self._is_paused = is_paused

    def _end(self):
        if not self._is_closed:  # else its session may be another channel's by now
            self.end_stream()
            self.close()

    def _begin_anew(self):
        self.end_stream()
        self._feed.drop_frames()
        self._session.reset()
        self._next_token_s = 0.0
        self._is_new = True
        self._has_failed = self._is_restart_wanted = False

    def _apply_change(self):
        change, self._wanted_change = self._wanted_change, None
        if change is not None:
            self._session.apply(change)
            # From the token that was said last, so that a pace that was slow is not waited for.
            last_token_s = self._next_token_s - self._token_interval_s
            self._token_interval_s = _interval_s(change.max_tokens_per_s)
            self._next_token_s = last_token_s + self._token_interval_s

    # For the worker

    @property
    def has_failed(self) -> bool:
        """Whether it failed since it was last begun."""
        return self._has_failed

    def is_of(self, session: StreamSession, mailbox: Mailbox) -> bool:
        """Whether it has this session or this mailbox."""
        return self._session is session or self._mailbox is mailbox

    def want_restart(self) -> None:
        """Begin anew at the next step, where it failed. Any thread."""
        self._is_restart_wanted = self._has_failed

    def wait_s(self, now_s: float) -> float:
        """Seconds until a step is due, 0 if now, infinity if something must come in first."""
        if self._has_failed:
            return 0.0 if self._is_restart_wanted else math.inf
        if self._is_paused or self._is_held:
            return math.inf
        if self._is_new or self._mailbox.has_prompts:
            return 0.0
        if self._session.state is SessionState.SPEAKING:
            return max(0.0, self._next_token_s - now_s)
        return 0.0 if self._feed.has_work else math.inf

    def serve(self) -> None:
        """Take in what waits, and step once."""
        if self._is_restart_wanted:
            self._begin_anew()
        self._apply_change()
        if self._is_paused:
            return
        begin_s = time.monotonic()
        events = self._feed.step(should_yield=lambda: self._host.has_requests)
        self._is_new = False
        self._next_token_s = begin_s + self._token_interval_s
        self._delivery.deliver(events)

    def end_stream(self) -> None:
        """End what is being said and what was asked; the session keeps what it has seen."""
        self._delivery.deliver(self._session.end())

    def detach(self) -> None:
        """Deliver nothing any more, and let go of the mailbox. Any thread."""
        self._is_closed = True
        self._delivery.close()
        self._mailbox.attach(threading.Condition())

    def mark_failed(self) -> None:
        """Leave it out until it is started again."""
        self._has_failed, self._is_restart_wanted = True, False

    def report_failure(self, message: str, details: str) -> None:
        """Report that this stream failed; what was being said or asked has ended."""
        session = self._session
        try:
            events = session.end()
        except Exception:
            _LOGGER.exception('a session could not be stopped after a failure')
            events = []
        self._delivery.deliver([*events, ErrorEvent(
            stamp_ns=session.newest_stamp_ns, received_ns=session.newest_received_ns,
            message=message, traceback=details)])


def _interval_s(max_tokens_per_s):
    return 1 / max_tokens_per_s if max_tokens_per_s else 0.0
