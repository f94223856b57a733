"""
From the strings of a token queue to the events of a stream.

Strings, prompts and frames that were taken in go in, events come out. Deterministic: knows no
threads, no process and no clock but the times it is told. Driven by the session.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import math

from moss_ros.remote.errors import RemoteError
from moss_ros.remote.options import RemoteOptions
from moss_ros.remote.queue_strings import PieceKind, pieces_of
from moss_ros.stream import (
    EndReason, ErrorEvent, Event, NarrationEvent, Prompt, PromptEvent, SessionState, SilenceEvent,
    StateEvent, TokenEvent,
)


@dataclass
class _Narration:
    """What is being said, or about to be said in answer to a prompt."""

    narration_id: int
    prompt_id: str | None
    first_stamp_ns: int | None
    begun_s: float
    text: str = ''
    num_tokens: int = 0


class StringInterpreter:
    """
    Keeps track of rounds, silence and prompts; one thread at a time may call, nothing blocks.

    A narration begins with text or with the round of a prompt, and ends with a silence, the end
    of the round, an error, the round of the next prompt, at a limit, or when nothing was heard
    for silence_timeout_s. A model can't be told to end its round: after a limit or stop() what it
    says is left out, until its next control string or silence_timeout_s without any.

    All times named now_s are seconds of one monotonic clock.
    """

    def __init__(self, options: RemoteOptions):
        self._options = options
        self.reset()

    @property
    def state(self) -> SessionState:
        """SPEAKING from the first text of a narration to its end."""
        return self._state

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header time of the newest frame that was taken in, None before the first."""
        return self._stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time of arrival of that frame, None before the first."""
        return self._received_ns

    @property
    def has_prompts(self) -> bool:
        """Whether a prompt was handed over whose round has not begun."""
        return bool(self._prompts)

    @property
    def deadline_s(self) -> float:
        """When check() is to be called if nothing is heard until then; infinity for never."""
        deadline_s = math.inf
        narration = self._narration
        if narration is not None and not narration.text:
            deadline_s = narration.begun_s + self._options.answer_timeout_s
        elif narration is not None or self._left_out_since_s is not None:
            deadline_s = self._heard_s + self._options.silence_timeout_s
        if self._prompts:
            deadline_s = min(deadline_s, self._prompts[0][1] + self._options.answer_timeout_s)
        return deadline_s

    def reset(self) -> None:
        """Forget everything."""
        self._prompts: deque[tuple[Prompt, float]] = deque()
        self._events: list[Event] = []
        self._state = SessionState.SILENT
        self._narration: _Narration | None = None
        self._num_narrations = 0
        self._num_tokens_since_frame = 0
        self._left_out_since_s: float | None = None
        self._heard_s = -math.inf
        self._stamp_ns: int | None = None
        self._received_ns: int | None = None

    def open(self) -> list[Event]:
        """Return the event that tells the state at the beginning."""
        self._emit(StateEvent, state=self._state)
        return self._take_events()

    def take_frame(self, stamp_ns: int, received_ns: int) -> None:
        """Note that the model took a frame in."""
        self._stamp_ns, self._received_ns = stamp_ns, received_ns
        self._num_tokens_since_frame = 0

    def add_prompt(self, prompt: Prompt, now_s: float) -> None:
        """Note that a prompt was handed over; the model tells when it takes it in."""
        self._prompts.append((prompt, now_s))

    def hear(self, string: str, now_s: float) -> list[Event]:
        """
        Return what a string of the token queue means.

        RemoteError where the model has gone on for answer_timeout_s after a limit.
        """
        for piece in pieces_of(string):
            self._heard_s = now_s
            if piece.kind is PieceKind.TEXT:
                self._hear_text(piece.text, now_s)
            else:
                self._left_out_since_s = None
                self._hear_control(piece, now_s)
        return self._take_events()

    def check(self, now_s: float) -> list[Event]:
        """Return what is over because nothing was heard for too long."""
        options = self._options
        narration = self._narration
        if narration is not None and not narration.text:
            if now_s >= narration.begun_s + options.answer_timeout_s:
                self._end_narration(EndReason.LIMIT)
        elif now_s >= self._heard_s + options.silence_timeout_s:
            self._left_out_since_s = None
            if narration is not None:
                self._end_narration(EndReason.SILENCE)
        while self._prompts and now_s >= self._prompts[0][1] + options.answer_timeout_s:
            prompt, _ = self._prompts.popleft()
            self._emit(
                ErrorEvent, prompt_id=prompt.prompt_id,
                message=f'the model has not taken in prompt {prompt.prompt_id!r} within '
                f'{options.answer_timeout_s:g} s; ask it again')
        return self._take_events()

    def stop(self, now_s: float) -> list[Event]:
        """End what is being said, and leave out what belongs to it."""
        if self._narration is not None:
            self._left_out_since_s = now_s
            self._heard_s = now_s
            self._end_narration(EndReason.STOPPED)
        return self._take_events()

    def _hear_text(self, text, now_s):
        options = self._options
        if self._left_out_since_s is not None:
            if now_s >= self._left_out_since_s + options.answer_timeout_s:
                raise RemoteError(
                    f'the model has talked on for {options.answer_timeout_s:g} s after its '
                    'round was ended, without a silence')
            return
        if self._narration is None:
            self._begin_narration(None, now_s)
        narration = self._narration
        if not narration.text:
            narration.first_stamp_ns = self._stamp_ns
        narration.text += text
        narration.num_tokens += 1
        self._num_tokens_since_frame += 1
        self._tell_state(SessionState.SPEAKING)
        self._emit(
            TokenEvent, text=text, token_id=None, narration_id=narration.narration_id,
            prompt_id=narration.prompt_id)
        if narration.num_tokens == options.max_round_tokens \
                or self._num_tokens_since_frame == options.max_tokens_between_frames:
            self._left_out_since_s = now_s
            self._end_narration(EndReason.LIMIT)

    def _hear_control(self, piece, now_s):
        if piece.kind is PieceKind.ROUND_START:
            if self._narration is not None:
                self._end_narration(EndReason.INTERRUPTED)
            prompt_id = None  # without a prompt it is a round that the model begins by itself
            if self._prompts:
                prompt, _ = self._prompts.popleft()
                prompt_id = prompt.prompt_id
                self._emit(PromptEvent, prompt_id=prompt_id, text=prompt.text)
            self._begin_narration(prompt_id, now_s)
            return
        if self._narration is not None:
            is_error = piece.kind is PieceKind.ERROR
            self._end_narration(EndReason.STOPPED if is_error else EndReason.SILENCE)
        if piece.kind is PieceKind.SILENCE:
            self._emit(SilenceEvent)
        elif piece.kind is PieceKind.ERROR:
            self._emit(ErrorEvent, message='the model reports an error: '
                       + (piece.text or 'it gives no reason'))

    def _begin_narration(self, prompt_id, now_s):
        self._num_narrations += 1
        self._num_tokens_since_frame = 0
        self._narration = _Narration(self._num_narrations, prompt_id, self._stamp_ns, now_s)

    def _end_narration(self, reason):
        narration, self._narration = self._narration, None
        # An answer is reported in any case, so that whoever asked knows that no more will come.
        if narration.text or narration.prompt_id is not None:
            self._emit(
                NarrationEvent, narration_id=narration.narration_id, text=narration.text,
                first_stamp_ns=narration.first_stamp_ns, reason=reason,
                prompt_id=narration.prompt_id, num_tokens=narration.num_tokens)
        # The round that interrupts it goes on speaking.
        if reason is not EndReason.INTERRUPTED:
            self._tell_state(SessionState.SILENT)

    def _tell_state(self, state):
        if state is not self._state:
            self._state = state
            self._emit(StateEvent, state=state)

    def _emit(self, event_class, **fields):
        self._events.append(event_class(
            stamp_ns=self._stamp_ns, received_ns=self._received_ns, **fields))

    def _take_events(self):
        events, self._events = self._events, []
        return events
