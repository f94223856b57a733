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
The events that come out of a stream, each with the time of the newest frame seen before it.

Events are immutable data, made by sessions and channels. Each channel has an EventDelivery, which
calls the listener with each event, in order, and goes on if that raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
import logging
import traceback


class SessionState(Enum):
    """Whether the session is saying something."""

    SILENT = 'silent'
    SPEAKING = 'speaking'


class EndReason(Enum):
    """
    Why a narration ended.

    - SILENCE: the model ended it. INTERRUPTED: a prompt cut it.
    - LIMIT: it became too long. STOPPED: a call or the end of the stream ended it.
    - UNANSWERED: there was no answer to a question within answer_within_s.
    """

    SILENCE = 'silence'
    INTERRUPTED = 'interrupted'
    LIMIT = 'limit'
    STOPPED = 'stopped'
    UNANSWERED = 'unanswered'


@dataclass(frozen=True, kw_only=True)
class Event:
    """
    Base of all events.

    - stamp_ns: header stamp of the newest frame that the model had seen; None before the first.
    - received_ns: monotonic time at which that frame arrived (0 offline); None before the first.
    """

    stamp_ns: int | None
    received_ns: int | None

    def frame_latency_ms(self, now_ns: int) -> float | None:
        """Return the ms from that frame's arrival to now_ns (monotonic); None if not known."""
        return (now_ns - self.received_ns) / 1e6 if self.received_ns else None


@dataclass(frozen=True, kw_only=True)
class TokenEvent(Event):
    """
    The next piece of a narration: whole characters, never empty.

    token_id is the token that completed the piece; None for a remote model, which gives only
    text. A token that completes no character has no event. The texts of a narration's token events
    together are the narration's text. prompt_id and standing_prompt_id are those of the narration.
    """

    text: str
    token_id: int | None
    narration_id: int
    prompt_id: str | None = None
    standing_prompt_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SilenceEvent(Event):
    """The model chose to say nothing (or nothing more); one event for each time."""


@dataclass(frozen=True, kw_only=True)
class StateEvent(Event):
    """The state changed; the first event, SILENT, says that the stream has begun."""

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
    - first_stamp_ns, stamp_ns: header stamps of the newest frame before its first token, and at
      its end; None before the first frame.
    - prompt_id: the prompt that it answers; None if it answers none. The first text after a
      prompt is its answer.
    - standing_prompt_id: the newest prompt, answered or not; None before the first one. A
      narration without prompt_id may be an update to it.
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
class RolloverEvent(Event):
    """The context was full: the model has forgotten the oldest part of the stream."""


@dataclass(frozen=True, kw_only=True)
class ErrorEvent(Event):
    """
    Something went wrong.

    - message: for people to read, with the value and the way out.
    - traceback: of the exception that caused it; empty if there was none.
    - prompt_id, prompt_text: the prompt that was refused or not asked; None if it concerns none.
      No PromptEvent came before it.
    """

    message: str
    traceback: str = ''
    prompt_id: str | None = None
    prompt_text: str | None = None


class CameraReason(Enum):
    """
    What is the matter with a camera's picture.

    - FROZEN: the same picture comes again and again. BLACK, WHITE, UNIFORM: it is almost black,
      almost white, of almost one colour. CLEAR: what was told before has ended.
    """

    FROZEN = 'frozen'
    BLACK = 'black'
    WHITE = 'white'
    UNIFORM = 'uniform'
    CLEAR = 'clear'


@dataclass(frozen=True, kw_only=True)
class CameraEvent(Event):
    """
    Something is the matter with the camera's picture, or is not any more; not the model's words.

    stamp_ns and received_ns are those of the picture with which it was known. text: for people.
    """

    reason: CameraReason
    text: str


_LOGGER = logging.getLogger(__name__)


class EventDelivery:
    """
    Calls on_event with each event, in order, until it is closed.

    An exception of on_event is logged, and the first one also becomes an ErrorEvent; the stream
    goes on. Only the worker's thread may deliver; any thread may close.
    """

    def __init__(self, on_event: Callable[[Event], None]):
        self._on_event = on_event
        self._is_closed = False
        self._has_failed = False

    def close(self) -> None:
        """Deliver no more events. Does not block."""
        self._is_closed = True

    def deliver(self, events: Iterable[Event]) -> None:
        """Call on_event with each of events; blocks as long as on_event does."""
        for event in events:
            if self._is_closed:
                return
            try:
                self._on_event(event)
            except Exception as error:
                self._report(event, error)

    def _report(self, event, error):
        if self._has_failed:  # log the traceback only once, not thirty times a second
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
