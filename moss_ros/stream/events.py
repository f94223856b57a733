"""
What comes out of a stream: events, each with the time of the newest frame seen before it.

Immutable data, made by the session and the worker. An EventDelivery, one for each channel, calls
whoever listens with each of them, in order, and survives what that raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
import logging
import traceback


class SessionState(Enum):
    """Whether the session waits for something worth saying, or is saying something."""

    SILENT = 'silent'
    SPEAKING = 'speaking'


class EndReason(Enum):
    """
    Why a narration ended.

    By itself, cut by a prompt, running away, stopped by a call or the end of the stream; or a
    question was UNANSWERED for as long as it may be open.
    """

    SILENCE = 'silence'
    INTERRUPTED = 'interrupted'
    LIMIT = 'limit'
    STOPPED = 'stopped'
    UNANSWERED = 'unanswered'


@dataclass(frozen=True, kw_only=True)
class Event:
    """
    Anything that a stream reports.

    - stamp_ns: header time of the newest frame that the model had seen; None before the first.
    - received_ns: monotonic time at which that frame arrived (0 offline); None before the first.
    """

    stamp_ns: int | None
    received_ns: int | None

    def frame_latency_ms(self, now_ns: int) -> float | None:
        """Time from the arrival of that frame to now_ns, monotonic; None where it has none."""
        return (now_ns - self.received_ns) / 1e6 if self.received_ns else None


@dataclass(frozen=True, kw_only=True)
class TokenEvent(Event):
    """
    The next piece of a narration: whole characters, never empty.

    token_id is the token that completed the piece, None where a remote model tells only text. A
    token that only begins a character has no event. The texts of a narration's token events, put
    together, are the narration's text. prompt_id and standing_prompt_id are as those of the
    narration.
    """

    text: str
    token_id: int | None
    narration_id: int
    prompt_id: str | None = None
    standing_prompt_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SilenceEvent(Event):
    """The model chose to say nothing (or nothing more); one for each time it did."""


@dataclass(frozen=True, kw_only=True)
class StateEvent(Event):
    """The state changed; the first one, SILENT, tells that the session opened."""

    state: SessionState


@dataclass(frozen=True, kw_only=True)
class PromptEvent(Event):
    """
    A prompt was taken in. Exactly one NarrationEvent with its prompt_id will follow.

    prompt_received_ns: monotonic time at which the prompt arrived; 0 offline.
    """

    prompt_id: str
    text: str
    prompt_received_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class NarrationEvent(Event):
    """
    A narration ended.

    - narration_id: counts from 1 since the session was made or reset.
    - text: all that was said; empty only for a question to which nothing was said.
    - first_stamp_ns, stamp_ns: header times of the newest frame before its first token and at
      its end; None before the first frame.
    - prompt_id: the prompt that it answers, None for what was said unasked. The first text after
      a prompt is its answer.
    - standing_prompt_id: the newest prompt, answered or not, which it may be an update to; None
      before the first one.
    - num_tokens: text tokens sampled for it.
    """

    narration_id: int
    text: str
    first_stamp_ns: int | None
    reason: EndReason
    prompt_id: str | None = None
    standing_prompt_id: str | None = None
    num_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class ErrorEvent(Event):
    """
    Something went wrong.

    - message: what, with the value and the way out, for a person to read.
    - traceback: of the exception behind it, empty where there was none.
    - prompt_id: the prompt that was refused, None where it is about no prompt.
    """

    message: str
    traceback: str = ''
    prompt_id: str | None = None


_LOGGER = logging.getLogger(__name__)


class EventDelivery:
    """
    Calls on_event with each event, in order, until it is closed.

    An exception of on_event is logged and becomes an ErrorEvent; the stream goes on. One thread
    delivers, that of the worker; any may close.
    """

    def __init__(self, on_event: Callable[[Event], None]):
        self._on_event = on_event
        self._is_closed = False
        self._has_failed = False

    def close(self) -> None:
        """Deliver nothing any more. Does not block."""
        self._is_closed = True

    def deliver(self, events: Iterable[Event]) -> None:
        """Call on_event with each of events; blocks as long as it does."""
        for event in events:
            if self._is_closed:
                return
            try:
                self._on_event(event)
            except Exception as error:
                self._report(event, error)

    def _report(self, event, error):
        if self._has_failed:  # the traceback once, not thirty times a second
            _LOGGER.error('on_event raised again, for %s: %r', type(event).__name__, error)
            return
        self._has_failed = True
        _LOGGER.exception('on_event raised for %r', event)
        if not isinstance(event, ErrorEvent):
            self.deliver([ErrorEvent(
                stamp_ns=event.stamp_ns, received_ns=event.received_ns,
                message=f'on_event raised {error!r} for a {type(event).__name__}; the stream '
                        'goes on without it',
                traceback=traceback.format_exc())])
