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
Keeps track of what is being said, and in answer to which question: facts in, events out.

All rules about when narrations begin and end, and how long questions are open, are here. Called
by StreamSession, and for remote models by StringInterpreter. It reads no clock: time is the stamps
of the frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from moss_ros.stream.events import (
    EndReason, ErrorEvent, Event, NarrationEvent, PromptEvent, RolloverEvent, SessionState,
    SilenceEvent, StateEvent, TokenEvent,
)
from moss_ros.stream.frame import Prompt

DEFAULT_ANSWER_WITHIN_S = 30.0


@dataclass
class _Narration:
    """A narration that has begun."""

    narration_id: int
    prompt_id: str | None
    first_stamp_ns: int | None
    text: str = ''
    num_tokens: int = 0


@dataclass
class _Question:
    """The newest question; asked_ns: stamp of the newest frame then, else of the next frame."""

    prompt_id: str
    asked_ns: int | None
    is_open: bool = True


class Conversation:
    """
    Keeps track of narrations and of the newest question; one thread at a time may call.

    The first text after a question is its answer, however many frames later. A question is open
    until then, or until the next question, close(), or the end of answer_within_s in stream time
    (the time between the stamps of frames). Each question gets exactly one NarrationEvent.
    Answered or not, a question stands until the next one; narrations carry its id as
    standing_prompt_id.

    All methods add their events to a list, which take_events() returns.
    """

    def __init__(self, answer_within_s: float):
        """Begin without a question. answer_within_s: seconds above 0; may be changed later."""
        self.answer_within_s = answer_within_s
        self.reset()

    def reset(self) -> None:
        """Forget everything, without an event."""
        self._events: list[Event] = []
        self._state = SessionState.SILENT
        self._is_state_told = False
        self._narration: _Narration | None = None
        self._question: _Question | None = None
        self._num_narrations = 0
        self._num_tokens_since_input = 0
        self._num_rollovers = 0
        self._stamp_ns: int | None = None
        self._received_ns: int | None = None

    @property
    def state(self) -> SessionState:
        """SPEAKING from the first text of a narration to its end, and on if a question cut it."""
        return self._state

    @property
    def is_saying(self) -> bool:
        """Whether a narration has begun and not ended."""
        return self._narration is not None

    @property
    def num_tokens_said(self) -> int:
        """Tokens of the current narration so far; 0 if there is none."""
        return self._narration.num_tokens if self._narration else 0

    @property
    def num_tokens_since_input(self) -> int:
        """Text tokens since the newest frame or question."""
        return self._num_tokens_since_input

    def is_at_limit(self, max_tokens_since_input: int, max_narration_tokens: int) -> bool:
        """Return whether so much was said since the newest input, or in this narration."""
        return (self._num_tokens_since_input >= max_tokens_since_input
                or self.num_tokens_said >= max_narration_tokens)

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header stamp of the newest frame in ns; None before the first."""
        return self._stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time at which that frame arrived, in ns; None before the first."""
        return self._received_ns

    def tell_state(self) -> None:
        """Emit a StateEvent, if there was none yet."""
        self._change_state(self._state)

    def take_frame(self, stamp_ns: int, received_ns: int | None) -> None:
        """Note that the model sees a frame; close a question that has waited too long."""
        self._stamp_ns, self._received_ns = stamp_ns, received_ns
        self._num_tokens_since_input = 0
        question = self._question
        if question is None or not question.is_open:
            return
        if question.asked_ns is None:
            question.asked_ns = stamp_ns
        if stamp_ns - question.asked_ns > self.answer_within_s * 1e9:
            self._close_question(EndReason.UNANSWERED)

    def ask(self, prompt: Prompt) -> None:
        """Note that the model was asked; this interrupts a narration and an open question."""
        is_nothing_cut = self._narration is None
        self._end_narration(EndReason.INTERRUPTED)
        self._close_question(EndReason.INTERRUPTED)
        if is_nothing_cut and self._state is SessionState.SPEAKING:
            # The previous question cut a sentence, and this one came before any word of an answer.
            self._change_state(SessionState.SILENT)
        self._num_tokens_since_input = 0
        self._question = _Question(prompt.prompt_id, self._stamp_ns)
        self._emit(PromptEvent, prompt_id=prompt.prompt_id, text=prompt.text,
                   prompt_received_ns=prompt.received_ns)

    def say(self, piece: str, token_id: int | None) -> None:
        """Note a text token, and the whole characters (maybe '') that it completes as piece."""
        if self._narration is None:
            self._narration = self._new_narration(self._take_open_prompt_id())
        narration = self._narration
        self._change_state(SessionState.SPEAKING)
        narration.num_tokens += 1
        self._num_tokens_since_input += 1
        narration.text += piece
        if piece:
            self._emit(
                TokenEvent, text=piece, token_id=token_id, narration_id=narration.narration_id,
                prompt_id=narration.prompt_id, standing_prompt_id=self._standing_prompt_id)

    def fall_silent(self) -> None:
        """Note that the model chose to say nothing, or nothing more."""
        self._end_narration(EndReason.SILENCE)
        self._emit(SilenceEvent)
        self._change_state(SessionState.SILENT)

    def end(self, reason: EndReason) -> None:
        """End what is being said, if anything. An open question stays open."""
        self._end_narration(reason)
        # After an interruption the stream is still SPEAKING: an answer follows.
        if reason is not EndReason.INTERRUPTED and self._state is SessionState.SPEAKING:
            self._change_state(SessionState.SILENT)

    def close(self, waiting: Iterable[Prompt] = ()) -> None:
        """
        End what is being said, and close an open question as STOPPED.

        waiting: prompts that the model was not asked, nor will be: each is reported as an error.
        """
        self.end(EndReason.STOPPED)
        self._close_question(EndReason.STOPPED)
        for prompt in waiting:
            self.report_error(f'prompt {prompt.prompt_id!r} was not asked before the stream '
                              'ended; ask it again', prompt)

    def count_rollovers(self, num: int) -> None:
        """Note how often the oldest part of the stream was forgotten; emit an event if it was."""
        if num > self._num_rollovers:
            self._num_rollovers = num
            self._emit(RolloverEvent)

    def report_error(self, message: str, prompt: Prompt | None = None) -> None:
        """Emit an ErrorEvent. prompt: the one that was not asked, if it concerns one."""
        self._emit(ErrorEvent, message=message,
                   prompt_id=prompt.prompt_id if prompt else None,
                   prompt_text=prompt.text if prompt else None)

    def take_events(self) -> list[Event]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def snapshot(self) -> dict:
        """Return all that future events depend on, as plain values for JSON."""
        return {
            'state': self._state.value,
            'is_state_told': self._is_state_told,
            'narration': asdict(self._narration) if self._narration else None,
            'question': asdict(self._question) if self._question else None,
            'num_narrations': self._num_narrations,
            'num_tokens_since_input': self._num_tokens_since_input,
            'num_rollovers': self._num_rollovers,
            'stamp_ns': self._stamp_ns,
            'received_ns': self._received_ns,
        }

    def restore(self, snapshot: dict) -> None:
        """Take over a snapshot(); KeyError, TypeError or ValueError if it is none."""
        self.reset()
        self._state = SessionState(snapshot['state'])
        self._is_state_told = snapshot['is_state_told']
        narration, question = snapshot['narration'], snapshot['question']
        self._narration = _Narration(**narration) if narration else None
        self._question = _Question(**question) if question else None
        self._num_narrations = snapshot['num_narrations']
        self._num_tokens_since_input = snapshot['num_tokens_since_input']
        self._num_rollovers = snapshot.get('num_rollovers', 0)
        self._stamp_ns, self._received_ns = snapshot['stamp_ns'], snapshot['received_ns']

    @property
    def _standing_prompt_id(self):
        return self._question.prompt_id if self._question else None

    def _end_narration(self, reason):
        narration, self._narration = self._narration, None
        if narration is not None:
            self._tell(narration, reason)

    def _take_open_prompt_id(self):
        question = self._question
        if question is None or not question.is_open:
            return None
        question.is_open = False
        return question.prompt_id

    def _close_question(self, reason):
        prompt_id = self._take_open_prompt_id()
        if prompt_id is not None:
            self._tell(self._new_narration(prompt_id), reason)

    def _new_narration(self, prompt_id):
        self._num_narrations += 1
        return _Narration(self._num_narrations, prompt_id, self._stamp_ns)

    def _tell(self, narration, reason):
        # A narration without a whole character is not reported. But an answer always is, so that
        # whoever asked knows that nothing more will come.
        if narration.text or narration.prompt_id is not None:
            self._emit(
                NarrationEvent, narration_id=narration.narration_id, text=narration.text,
                first_stamp_ns=narration.first_stamp_ns, reason=reason,
                prompt_id=narration.prompt_id, standing_prompt_id=self._standing_prompt_id,
                num_tokens=narration.num_tokens)

    def _change_state(self, state):
        if state is not self._state or not self._is_state_told:
            self._state = state
            self._is_state_told = True
            self._emit(StateEvent, state=state)

    def _emit(self, event_class, **fields):
        self._events.append(event_class(
            stamp_ns=self._stamp_ns, received_ns=self._received_ns, **fields))
