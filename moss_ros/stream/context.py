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
What the model sees of a stream: the transcript of its tokens and frames, kept within bounds.

Frame states and token ids go in; logits of the next token come out. When something would not fit,
the oldest part is forgotten; the context without it was built meanwhile, see rollover.py. A
StreamSnapshot holds all of it as data. One StreamSession owns the context. One thread at a time
may call; forward(), forward_silently(), work_ahead() and restore() block while the model computes.

Letters: k frames, N states a frame, D text channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace

from moss_ros.model import VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.stream.dialogue import DialogueLayout, Last
from moss_ros.stream.drafts import TokenReader
from moss_ros.stream.options import StreamOptions
from moss_ros.stream.passes import pass_alone, PassGenerator
from moss_ros.stream.rollover import ContextAhead, Question, RolloverRule, Transcript
import torch


@dataclass(frozen=True, eq=False)
class StreamSnapshot:
    """
    All that a stream holds, except weights and options.

    - state: plain values for JSON.
    - tensors: by name; on the model's device when made, restore() takes them from any device.
    """

    state: dict
    tensors: dict[str, torch.Tensor]


# The opening with a question, a frame, the longest answer and the silence after it must fit,
# whatever came before (see _fold). These are the tokens besides the opening and the answer.
_NUM_SPARE = 4


class StreamContext:
    """
    The opening and the transcript after it.

    The opening is the system turn and the latest of the questions that are no longer in the
    transcript. The transcript is token ids, and the states of the frames for its image tokens, in
    the order of DialogueLayout. Additions go through the model at the next forward().
    """

    def __init__(self, model: VideoModel, chat: ChatFormat, options: StreamOptions):
        """Allocate the cache. Raises ValueError if the options leave no room for an answer."""
        self._model = model
        self._chat = chat
        self._layout = DialogueLayout(chat)
        self._options = options
        self.require_options(options)
        self._cache = model.new_cache(options.max_context_tokens, options.max_context_frames)
        self._reader = TokenReader(model, self._cache, chat)
        self._rule = RolloverRule(options, lambda text: len(self._opening(text)))
        self._ahead = ContextAhead(model, options)
        self.reset()

    def require_options(self, options: StreamOptions) -> None:
        """Raise ValueError if options leave no room for an answer; any thread may call."""
        num_opening_tokens = len(self._layout.opening(options.system_prompt))
        num_missing = (num_opening_tokens + options.max_tokens_between_frames + _NUM_SPARE
                       - options.max_context_tokens)
        if num_missing > 0:
            num_possible = options.max_tokens_between_frames - num_missing
            raise ValueError(
                f'max_context_tokens of {options.max_context_tokens} is too little for a system '
                f'prompt of {num_opening_tokens} tokens (with its turns) and '
                f'{options.max_tokens_between_frames} max_tokens_between_frames; at least '
                f'{options.max_context_tokens + num_missing} is needed, or '
                + (f'at most {num_possible} max_tokens_between_frames, or ' * (num_possible > 0))
                + 'a shorter system prompt')

    def set_options(self, options: StreamOptions) -> None:
        """Use new options, of the same context sizes and system prompt; ValueError as above."""
        self.require_options(options)
        self._options = options

    def reset(self) -> None:
        """Forget everything; the cache's memory is kept."""
        self._cache.reset()
        self._ahead.reset()
        self._reader.forget()
        self._opening_ids: list[int] = []
        self._ids: list[int] = []
        self._frame_positions: list[int] = []
        self._frame_states: list[torch.Tensor] = []  # [N, D] each
        self._questions: list[Question] = []  # the first one is the opening's
        self._said: list[tuple[int, int]] = []  # (position, id) of each text token of the model
        self._last = Last.SILENCE
        self._num_rollovers = 0
        self._max_answer_tokens = self._room_after('')

    @property
    def is_open(self) -> bool:
        """Whether open() was called since the last reset()."""
        return bool(self._opening_ids)

    @property
    def last(self) -> Last:
        """Return what the transcript ends with; unless SILENCE, the model's token is next."""
        return self._last

    @property
    def num_tokens(self) -> int:
        """Tokens of the opening and the transcript."""
        return len(self._opening_ids) + len(self._ids)

    @property
    def num_frames(self) -> int:
        """Frames of the transcript."""
        return len(self._frame_positions)

    @property
    def num_rollovers(self) -> int:
        """How often the oldest part was forgotten since the last reset()."""
        return self._num_rollovers

    @property
    def said_ids(self) -> list[int]:
        """Ids of the text that the model said, oldest first; forgotten parts are missing."""
        return [token_id for _, token_id in self._said]

    @property
    def token_ids(self) -> list[int]:
        """Return a copy of all ids that the next forward() shows the model, if it forgets none."""
        return self._opening_ids + self._ids

    @property
    def max_answer_tokens(self) -> int:
        """
        Return the number of text tokens in a row that surely fit after the latest question.

        Less than max_tokens_between_frames only if that was raised after a long question.
        """
        return self._max_answer_tokens

    def num_tokens_too_many(self, question: str) -> int:
        """Return by how many tokens a question is too long to be asked and answered; 0 if not."""
        room = self._room_after(question)
        return max(0, self._options.max_tokens_between_frames - room)

    def open(self, question: str = '') -> None:
        """Begin with the system turn and a question, if any; a frame must be added next."""
        self._questions = [Question(question)]
        self._opening_ids = self._opening(question)
        self._last = Last.SILENCE
        self._max_answer_tokens = self._room_after(question)

    def add_question(self, text: str) -> None:
        """Close the assistant's turn, ask text and open the next turn of the assistant."""
        start = len(self._ids)
        ids, self._last = self._layout.question(text, self._last)
        self._ids += ids
        self._questions.append(Question(text, start, len(self._ids)))
        self._max_answer_tokens = self._room_after(text)

    def add_frames(self, frame_states: Iterable[torch.Tensor]) -> None:
        """Append frames, states [N, D] each, in order."""
        for states in frame_states:
            self._ids += self._layout.frame(self._last)
            self._last = Last.FRAME
            self._frame_positions.append(len(self._ids) - 1)
            self._frame_states.append(states)

    def add_said(self, token_id: int) -> None:
        """Append a text token that the model said."""
        self._said.append((len(self._ids), token_id))
        self._ids.append(token_id)
        self._last = Last.TEXT

    def add_silence(self) -> None:
        """Append silence: the model said nothing, or nothing more."""
        self._ids.append(self._chat.silence_id)
        self._last = Last.SILENCE

    def forward(self) -> torch.Tensor:
        """
        Run the model over what was added, and return the logits [V] of the next token.

        Something must have been added since the last call, and the context must be open and hold
        a frame. If it does not fit, the oldest part is forgotten, and what work_ahead() has not
        read of the rest goes through the model again.
        """
        return pass_alone(self.forward_shared())

    def forward_shared(self) -> PassGenerator[torch.Tensor]:
        """Do as forward(); if only a text token was added, yield its pass, see passes.py."""
        self._make_room()
        new_ids = self._new_ids()
        if len(new_ids) > 1 or self._cache.num_frames < self.num_frames:
            return self._extend(last_only=True)
        return (yield from self._reader.read(new_ids[0], self._ids))

    def forward_silently(self, following: Sequence[torch.Tensor]) -> torch.Tensor:
        """
        Do the same as forward(), and append more frames with silence between them in that pass.

        following holds frame states [N, D] each. Only the first k that fit without forgetting
        anything are appended. Returns the logits [1 + k, V]: after what was added before, and
        after each of these frames. If the model was not silent after all, take_back_frames()
        removes the frames after that point.
        """
        self._make_room()
        options = self._options
        num_fitting = max(0, min((options.max_context_tokens - self.num_tokens) // 2,
                                 options.max_context_frames - self.num_frames))
        taken = following[:num_fitting]
        self.add_frames(taken)  # the layout puts silence between them
        return self._extend(last_only=False)[-1 - 2 * len(taken)::2]

    def take_back_frames(self, num: int) -> None:
        """Remove the newest num frames of forward_silently(), with the silence before each."""
        num_kept = self.num_frames - num
        self._frame_positions = self._frame_positions[:num_kept]
        self._frame_states = self._frame_states[:num_kept]
        self._ids = self._ids[:len(self._ids) - 2 * num]
        self._last = Last.FRAME
        self._cache.truncate(self.num_tokens, num_kept)
        self._ahead.keep_only(len(self._ids), self._ids)

    def work_ahead(self, num_steps: int = 1) -> None:
        """
        Build the context that will serve when this one is full: num_steps pieces at most.

        To be called after each forward() or forward_silently(), as soon as its logits were read
        and the frames taken back, with the number of tokens that were chosen. Costs nothing as
        long as there is time. Without these calls all is read at once when the context is full.
        """
        if not self.is_open or not self._ahead.is_possible:
            return
        if self._ahead.cut is None:
            self._begin_ahead()
        # What the model has not been shown yet stays for the pass after the context is full.
        num_seen_ids = self._cache.num_tokens - len(self._opening_ids)
        num_steps_left = self._rule.num_steps_left(self.num_tokens, self.num_frames)
        for _ in range(num_steps):
            num_behind = self._ahead.num_pieces_behind(num_seen_ids)
            if not num_behind or 2 * num_behind < num_steps_left:
                return
            self._add_piece_ahead()

    def snapshot(self) -> StreamSnapshot:
        """
        Return a copy of all that forward() depends on, including keys and values.

        Of those that were built ahead only the number is in it: restore() builds them again, in
        the same pieces, so bit for bit the same.
        """
        foreseen_ids, tensors = self._reader.snapshot()
        if self._frame_states:
            tensors['frame_states'] = torch.stack(self._frame_states)
        return StreamSnapshot({
            'opening_ids': list(self._opening_ids),
            'ids': list(self._ids),
            'frame_positions': list(self._frame_positions),
            'questions': [list(astuple(question)) for question in self._questions],
            'said': [list(said) for said in self._said],
            'num_rollovers': self._num_rollovers,
            'num_tokens_ahead': self._ahead.num_tokens,
            'foreseen_ids': foreseen_ids,
            'last': self._last.value,
        }, tensors)

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Take over a snapshot() of a context with the same model and options."""
        state, tensors = snapshot.state, snapshot.tensors
        self.reset()
        self._reader.restore(state.get('foreseen_ids', []), tensors)
        self._opening_ids = list(state['opening_ids'])
        self._ids = list(state['ids'])
        self._frame_positions = list(state['frame_positions'])
        if self._frame_positions:
            self._frame_states = list(tensors['frame_states'].to(self._model.device))
        self._questions = [Question(*question) for question in state['questions']]
        self._said = [(position, token_id) for position, token_id in state['said']]
        self._num_rollovers = state['num_rollovers']
        self._last = Last(state['last'])
        self._max_answer_tokens = self._room_after(
            self._questions[-1].text if self._questions else '')
        self._restore_ahead(state.get('num_tokens_ahead', 0))

    def _room_after(self, question):
        """Return how many tokens of an answer fit after a question in the opening."""
        return self._options.max_context_tokens - _NUM_SPARE - len(self._opening(question))

    def _extend(self, last_only):
        """Run the model over all tokens and frames that are not in the cache; return logits."""
        self._reader.forget()
        new_ids = self._new_ids()
        new_states = self._frame_states[self._cache.num_frames:]
        return self._model.append(
            self._cache, new_ids, torch.stack(new_states) if new_states else None,
            last_only=last_only)

    def _new_ids(self):
        num_seen = self._cache.num_tokens - len(self._opening_ids)
        return self._ids[num_seen:] if num_seen >= 0 else self._opening_ids[num_seen:] + self._ids

    def _make_room(self):
        if self.num_tokens > self._options.max_context_tokens \
                or self.num_frames > self._options.max_context_frames:
            self._roll_over()

    def _roll_over(self):
        """Forget the oldest part so that the rest and a few more tokens fit."""
        transcript = self._transcript()
        # Also where nothing was built: what is kept depends on the transcript alone.
        cut = self._rule.cut_ahead(transcript)
        if cut is None or not self._rule.is_good(cut, transcript):
            self._ahead.reset()
            cut = self._rule.cut(transcript)
        if cut is None:
            self._fold()
        else:
            self._forget_before(cut)
        self._reader.forget()
        self._ahead.take_over(self._cache)
        self._num_rollovers += 1
        assert self._cache.num_tokens < self.num_tokens <= self._options.max_context_tokens

    def _transcript(self):
        return Transcript(
            len(self._opening_ids), len(self._ids), self._frame_positions, self._questions)

    def _begin_ahead(self):
        transcript = self._transcript()
        cut = self._rule.cut_ahead(transcript)
        if cut is not None:
            self._ahead.begin(cut, self._opening(transcript.question_at(cut).text))

    def _add_piece_ahead(self):
        num_kept = self._transcript().num_frames_from(self._ahead.cut)
        self._ahead.add_piece(self._ids, self._frame_states[-num_kept:])

    def _restore_ahead(self, num_tokens):
        if num_tokens:
            self._begin_ahead()
        while self._ahead.cut is not None and self._ahead.num_tokens < num_tokens:
            self._add_piece_ahead()

    def _fold(self):
        """
        Keep only the newest frame and what follows the latest question.

        Used when so much was asked and answered after the newest frame that it does not fit. The
        result looks as if the latest question had been asked before that frame.
        """
        newest = self._frame_positions[-1]
        question = self._questions[-1]
        if question.end <= newest:
            self._forget_before(newest)
            return
        self._ids = [self._chat.image_id, *self._ids[question.end:]]
        self._said = [(at - question.end + 1, token_id) for at, token_id in self._said
                      if at >= question.end]
        self._set_opening(Question(question.text), [])
        self._frame_positions = [0]
        self._frame_states = self._frame_states[-1:]

    def _forget_before(self, cut):
        self._set_opening(
            Question(self._transcript().question_at(cut).text),
            [replace(later, start=later.start - cut, end=later.end - cut)
             for later in self._questions if later.start > cut])
        self._ids = self._ids[cut:]
        self._said = [(at - cut, token_id) for at, token_id in self._said if at >= cut]
        num_kept = sum(position >= cut for position in self._frame_positions)
        self._frame_positions = [at - cut for at in self._frame_positions[-num_kept:]]
        self._frame_states = self._frame_states[-num_kept:]

    def _set_opening(self, question, later_questions):
        self._questions = [question, *later_questions]
        self._opening_ids = self._opening(question.text)

    def _opening(self, question):
        return self._layout.opening(self._options.system_prompt, question)
