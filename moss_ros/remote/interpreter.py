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
Turns the strings of a remote model's token queue into the events of a conversation.

Strings, prompts and the frames that the model took go in; events come out. Deterministic: the
caller gives the time. The RemoteSession drives it. Only this file knows the control strings that
a model sends by the published queue API; one string may hold several, with text between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
import math
import re

from moss_ros.remote.remote_options import RemoteError, RemoteOptions
from moss_ros.stream import EndReason, Event, Prompt, SessionState
from moss_ros.stream.conversation import Conversation


class PieceKind(Enum):
    """What a piece of a string is."""

    TEXT = 'text'
    ROUND_START = 'round start'
    SILENCE = 'silence'
    ROUND_END = 'round end'
    ERROR = 'error'


@dataclass(frozen=True)
class Piece:
    """A part of a string; text: what was said, or for an error what went wrong."""

    kind: PieceKind
    text: str = ''


_KIND_BY_STRING = {
    '<|round_start|>': PieceKind.ROUND_START,
    '<|silence|>': PieceKind.SILENCE,
    '<|round_end|>': PieceKind.ROUND_END,
    '[DONE]': PieceKind.ROUND_END,
    '[ERROR]': PieceKind.ERROR,
}
_CONTROL_STRING = re.compile('|'.join(f'({re.escape(string)})' for string in _KIND_BY_STRING))


def pieces_of(string: str) -> list[Piece]:
    """
    Return the parts of a string, in order; none for an empty one.

    What follows an error marker, up to the next control string, is the error's text. Lone
    surrogates, which no message could carry, become question marks.
    """
    string = string.encode('utf-8', 'replace').decode()
    pieces = []
    begin, is_in_error = 0, False
    for match in [*_CONTROL_STRING.finditer(string), None]:
        text = string[begin:match.start() if match else len(string)]
        if is_in_error:
            pieces.append(Piece(PieceKind.ERROR, text.strip()))
        elif text:
            pieces.append(Piece(PieceKind.TEXT, text))
        if match:
            kind = _KIND_BY_STRING[match.group()]
            is_in_error = kind is PieceKind.ERROR
            if not is_in_error:
                pieces.append(Piece(kind))
            begin = match.end()
    return pieces


@dataclass
class _HandedOver:
    """The number-th prompt of a stream; since_s: when it was handed over."""

    prompt: Prompt
    number: int
    since_s: float
    is_given_up: bool = False


class StringInterpreter:
    """
    Keeps track of rounds, prompts and limits; one thread at a time may call, nothing blocks.

    A prompt that was handed over counts as asked when the model begins its next round;
    Conversation decides what answers it. One that was given up for lost may be taken in all the
    same: the round of that answers no question. A narration begins with text and ends with a
    silence, the end of the round, an error, the next round, a limit, or when nothing was heard for
    silence_timeout_s. A model can't be told to end its round: after a limit, stop() or a pause,
    what it says is left out until its next control string, or until it has said nothing for
    silence_timeout_s. In a pause all of it is left out, and a question that it would answer ends
    as STOPPED.

    All times named now_s are seconds of one monotonic clock.
    """

    def __init__(self, options: RemoteOptions):
        self._options = options
        self._conversation = Conversation(options.answer_within_s)
        self.reset()

    @property
    def state(self) -> SessionState:
        """SPEAKING from the first text of a narration to its end."""
        return self._conversation.state

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header time of the newest frame that was taken in, None before the first."""
        return self._conversation.newest_stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time of arrival of that frame, None before the first."""
        return self._conversation.newest_received_ns

    @property
    def has_prompts(self) -> bool:
        """Whether a prompt was handed over whose round has not begun."""
        return self._first_waiting is not None

    @property
    def deadline_s(self) -> float:
        """When check() is to be called if nothing is heard until then; infinity for never."""
        deadline_s = math.inf
        if self.state is SessionState.SPEAKING or self._left_out_since_s is not None:
            deadline_s = self._heard_s + self._options.silence_timeout_s
        if self._first_waiting is not None:
            deadline_s = min(
                deadline_s, self._first_waiting.since_s + self._options.answer_timeout_s)
        return deadline_s

    def reset(self) -> None:
        """Forget everything."""
        self._conversation.reset()
        self._prompts: deque[_HandedOver] = deque()
        self._num_prompts = self._num_prompts_taken = 0
        self._left_out_since_s: float | None = None
        self._heard_s = -math.inf
        self._is_paused = False

    def open(self) -> list[Event]:
        """Return the event that tells the state at the beginning."""
        self._conversation.tell_state()
        return self.take_events()

    def take_frame(self, stamp_ns: int, received_ns: int) -> None:
        """Note that the model took a frame; events that follow from it come with the next."""
        self._conversation.take_frame(stamp_ns, received_ns)

    def take_events(self) -> list[Event]:
        """Return the events that were not returned yet."""
        return self._conversation.take_events()

    def add_prompt(self, prompt: Prompt, now_s: float) -> None:
        """Note that a prompt was handed over; it is asked when the model begins a round."""
        self._num_prompts += 1
        self._prompts.append(_HandedOver(prompt, self._num_prompts, now_s))

    def take_prompts(self, num_taken: int) -> None:
        """Note how many prompts of the stream the model took out of its queue so far."""
        self._num_prompts_taken = num_taken

    def hear(self, string: str, now_s: float) -> list[Event]:
        """
        Return the events that follow from a string of the token queue.

        Raises RemoteError if the model talks on for answer_timeout_s after a limit or stop().
        """
        for piece in pieces_of(string):
            self._heard_s = now_s
            if piece.kind is PieceKind.TEXT:
                self._hear_text(piece.text, now_s)
            else:
                self._left_out_since_s = None
                self._hear_control(piece)
        return self.take_events()

    def check(self, now_s: float) -> list[Event]:
        """Return the events of what has ended because nothing was heard for too long."""
        options = self._options
        if now_s >= self._heard_s + options.silence_timeout_s:
            self._left_out_since_s = None
            self._conversation.end(EndReason.SILENCE)
        while (waiting := self._first_waiting) is not None \
                and now_s >= waiting.since_s + options.answer_timeout_s:
            waiting.is_given_up = True
            prompt = waiting.prompt
            self._conversation.report_error(
                f'the model has not taken in prompt {prompt.prompt_id!r} within '
                f'{options.answer_timeout_s:g} s; ask it again', prompt)
        return self.take_events()

    def stop(self, now_s: float) -> list[Event]:
        """End what is being said and leave out the rest of it; an open question stays open."""
        if self._conversation.is_saying:
            self._left_out_since_s = now_s
            self._heard_s = now_s
        self._conversation.end(EndReason.STOPPED)
        return self.take_events()

    def pause(self, is_paused: bool, now_s: float) -> list[Event]:
        """Do as stop() and leave out all that is said from now on, or go on."""
        self._is_paused = is_paused
        return self.stop(now_s) if is_paused else []

    def end(self, waiting: Iterable[Prompt] = ()) -> list[Event]:
        """
        End what is being said, an open question and prompts that wait: no more is heard.

        waiting: prompts that were not handed over either.
        """
        self._conversation.close([
            *(entry.prompt for entry in self._prompts if not entry.is_given_up), *waiting])
        self._prompts.clear()
        return self.take_events()

    def _hear_text(self, text, now_s):
        options, conversation = self._options, self._conversation
        if self._is_paused:
            self._left_out_since_s = now_s  # the rest of it, too, when the pause ends
            conversation.close()
            return
        if self._left_out_since_s is not None:
            if now_s >= self._left_out_since_s + options.answer_timeout_s:
                raise RemoteError(
                    f'the model has talked on for {options.answer_timeout_s:g} s after its '
                    'round was ended, without a silence')
            return
        conversation.say(text, None)
        # What an earlier narration said since the newest frame does not count.
        num_in_a_row = min(conversation.num_tokens_said, conversation.num_tokens_since_input)
        if conversation.num_tokens_said == options.max_round_tokens \
                or num_in_a_row == options.max_tokens_between_frames:
            self._left_out_since_s = now_s
            conversation.end(EndReason.LIMIT)

    def _hear_control(self, piece):
        conversation = self._conversation
        if piece.kind is PieceKind.ROUND_START:
            prompt = self._prompt_of_round()
            if prompt is not None:
                conversation.ask(prompt)
            else:  # a round that the model begins by itself
                conversation.end(EndReason.INTERRUPTED)
        elif piece.kind is PieceKind.SILENCE and not self._is_paused:
            conversation.fall_silent()
        elif piece.kind is not PieceKind.ERROR:
            conversation.end(EndReason.SILENCE)
        else:
            conversation.end(EndReason.STOPPED)
            conversation.report_error(
                'the model reports an error: ' + (piece.text or 'it gives no reason'))

    @property
    def _first_waiting(self):
        """Return the first prompt whose round has not begun and that was not given up, or None."""
        return next((entry for entry in self._prompts if not entry.is_given_up), None)

    def _prompt_of_round(self):
        """Return the prompt that the model begins a round with, None if that is no question's."""
        prompts = self._prompts
        while prompts and prompts[0].is_given_up:
            # It was taken in late, and this is its round; or it went without one, and the next,
            # which was taken as well, has this one. Or it still lies in the queue.
            if prompts[0].number > self._num_prompts_taken:
                return None
            is_next_taken = len(prompts) > 1 and prompts[1].number <= self._num_prompts_taken
            prompts.popleft()
            if not is_next_taken:
                return None
        return prompts.popleft().prompt if prompts else None
