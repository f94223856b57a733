"""
What is being said, and in answer to which question: facts of a stream in, its events out.

The one place where narrations begin and end and questions are open. Driven by StreamSession and,
from the strings of a remote model, by StringInterpreter. Knows no tokens, threads or clocks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from moss_ros.stream.events import (
    EndReason, ErrorEvent, Event, NarrationEvent, PromptEvent, SessionState, SilenceEvent,
    StateEvent, TokenEvent,
)
from moss_ros.stream.frame import Prompt

DEFAULT_ANSWER_WITHIN_S = 30.0


@dataclass
class _Narration:
    """What is being said."""

    narration_id: int
    prompt_id: str | None
    first_stamp_ns: int | None
    text: str = ''
    num_tokens: int = 0


@dataclass
class _Question:
    """The newest question; asked_ns: stamp of the newest frame then, or of the first after it."""

    prompt_id: str
    asked_ns: int | None
    is_open: bool = True


class Conversation:
    """
    Keeps track of narrations and of the newest question; one thread at a time.

    A question is open until the first text after it begins, which is its answer, however many
    frames later; until the next question, close(), or answer_within_s of stream time (the time
    between the stamps of frames). Of each question exactly one NarrationEvent tells. Answered or
    not, it stands until the next one: narrations say by standing_prompt_id which it is.

    Every method adds its events to those that take_events() returns.
    """

    def __init__(self, answer_within_s: float):
        """answer_within_s, above 0, may be changed at any time."""
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
        self._stamp_ns: int | None = None
        self._received_ns: int | None = None

    @property
    def state(self) -> SessionState:
        """SPEAKING from the first text of a narration on, also while a question cuts it."""
        return self._state

    @property
    def is_saying(self) -> bool:
        """Whether a narration has begun and not ended."""
        return self._narration is not None

    @property
    def num_tokens_said(self) -> int:
        """Tokens of what is being said so far, 0 where nothing is."""
        return self._narration.num_tokens if self._narration else 0

    @property
    def num_tokens_since_input(self) -> int:
        """Text tokens since the newest frame or question."""
        return self._num_tokens_since_input

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header time of the newest frame, None before the first."""
        return self._stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time of arrival of that frame, None before the first."""
        return self._received_ns

    def tell_state(self) -> None:
        """Tell the state if nobody was told of any yet."""
        self._change_state(self._state)

    def take_frame(self, stamp_ns: int, received_ns: int | None) -> None:
        """Note that the model sees a frame; a question that waits for too long is unanswered."""
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
        """Note that the model was asked; what was being said, or was open, is interrupted."""
        is_nothing_cut = self._narration is None
        self._end_narration(EndReason.INTERRUPTED)
        self._close_question(EndReason.INTERRUPTED)
        if is_nothing_cut and self._state is SessionState.SPEAKING:
            # The question before cut a sentence, and this one came before a word was said to it.
            self._change_state(SessionState.SILENT)
        self._num_tokens_since_input = 0
        self._question = _Question(prompt.prompt_id, self._stamp_ns)
        self._emit(PromptEvent, prompt_id=prompt.prompt_id, text=prompt.text,
                   prompt_received_ns=prompt.received_ns)

    def say(self, piece: str, token_id: int | None) -> None:
        """Note a text token and the piece of whole characters that it completes, '' if none."""
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
        """End what is being said, if anything is. A question that is open stays so."""
        self._end_narration(reason)
        # What interrupts goes on speaking.
        if reason is not EndReason.INTERRUPTED and self._state is SessionState.SPEAKING:
            self._change_state(SessionState.SILENT)

    def close(self) -> None:
        """End what is being said, and tell whoever waits for an answer that none will come."""
        self.end(EndReason.STOPPED)
        self._close_question(EndReason.STOPPED)

    def report_error(self, message: str, prompt_id: str | None = None) -> None:
        """Tell of something that went wrong."""
        self._emit(ErrorEvent, message=message, prompt_id=prompt_id)

    def take_events(self) -> list[Event]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def snapshot(self) -> dict:
        """Return all that the events to come depend on, as plain values for JSON."""
        return {
            'state': self._state.value,
            'is_state_told': self._is_state_told,
            'narration': asdict(self._narration) if self._narration else None,
            'question': asdict(self._question) if self._question else None,
            'num_narrations': self._num_narrations,
            'num_tokens_since_input': self._num_tokens_since_input,
            'stamp_ns': self._stamp_ns,
            'received_ns': self._received_ns,
        }

    def restore(self, snapshot: dict) -> None:
        """Go on as the one whose snapshot() this is; KeyError, TypeError or ValueError if none."""
        self.reset()
        self._state = SessionState(snapshot['state'])
        self._is_state_told = snapshot['is_state_told']
        narration, question = snapshot['narration'], snapshot['question']
        self._narration = _Narration(**narration) if narration else None
        self._question = _Question(**question) if question else None
        self._num_narrations = snapshot['num_narrations']
        self._num_tokens_since_input = snapshot['num_tokens_since_input']
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
        # Half a character is nothing that was said. An answer is told of in any case, so that
        # whoever asked knows that no more will come.
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
