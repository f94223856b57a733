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
How a full context rolls over: what is kept, and the new context that is built ahead of it.

The rule, which StreamContext follows:

1. A context is full when the next tokens or frames would not fit. Then all before a cut, which is
   a frame, is forgotten, and a new context of the opening and the rest serves.
2. What goes through the decoder again for it would hold up the stream, for seconds with a large
   model. So the cut is foreseen when the context is half full (of frames or of tokens, whichever
   is first): the first frame that will be among the newest keep_context_frames and
   keep_context_tokens, should the context fill on as before. This depends on the transcript
   alone, not on time, threads, or how many frames share a pass, so live and bags keep the same.
3. From then on the new context is built in a second cache, while the old one serves: the opening
   and what is kept, from ids and frame states, at their new positions. A piece is NUM_PIECE_TOKENS
   tokens, with their frames. There is one at most for each token that was chosen, and none while
   half of the steps that surely remain are enough for the rest. What comes meanwhile goes into
   both.
4. When the context is full, the new one takes over, between two steps. What it has not read yet, a
   piece at most if frames came one by one, it reads in the next pass: so it finishes at once where
   many come together. Where it was foreseen badly (it leaves too little room, or keeps less than
   half of what could be kept) the cut is chosen anew, and all is read in one pass.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
import logging

from moss_ros.model import DecoderCache, VideoModel
from moss_ros.stream.options import StreamOptions
import torch

# As many as a decoder whose speed is that of reading its weights takes in about the time of one.
NUM_PIECE_TOKENS = 16
# A step adds at most a frame and a silence or a word.
_NUM_STEP_TOKENS = 2

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """A user turn, tokens start to end - 1 of the transcript; both 0 if it is in the opening."""

    text: str
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Transcript:
    """
    Where things are in a transcript: all that the rule looks at.

    - num_opening_ids: tokens of the opening before it. num_ids: its own.
    - frame_positions: of its frames, rising. questions: the first one is the opening's.
    """

    num_opening_ids: int
    num_ids: int
    frame_positions: Sequence[int]
    questions: Sequence[Question]

    def question_at(self, position: int) -> Question:
        """Return the latest question before position, or else that of the opening."""
        return [question for question in self.questions if question.end <= position][-1]

    def num_frames_from(self, position: int) -> int:
        """Return the number of frames at or after position."""
        return len(self.frame_positions) - bisect_left(self.frame_positions, position)


class RolloverRule:
    """Decides what is kept. It keeps no state: any thread may call, nothing blocks."""

    def __init__(self, options: StreamOptions, num_opening_tokens: Callable[[str], int]):
        """num_opening_tokens: gives the length of an opening with a question."""
        self._options = options
        self._num_opening_tokens = num_opening_tokens

    def num_steps_left(self, num_tokens: int, num_frames: int) -> int:
        """Return after how many steps a context with so much is full at the earliest."""
        options = self._options
        return min(options.max_context_frames - num_frames,
                   (options.max_context_tokens - num_tokens) // _NUM_STEP_TOKENS)

    def cut(self, transcript: Transcript) -> int | None:
        """Return the oldest frame to keep of a full one; None if even the newest is too old."""
        options = self._options
        positions = transcript.frame_positions[-options.keep_context_frames:]
        num_free = {}
        for position in positions:
            question = transcript.question_at(position)
            if question not in num_free:
                num_free[question] = self._num_free(question)
            num_most = min(options.keep_context_tokens, num_free[question])
            if position == positions[-1]:
                num_most = num_free[question]
            if transcript.num_ids - position <= num_most:
                return position
        return None

    def cut_ahead(self, transcript: Transcript) -> int | None:
        """
        Return the frame at which the transcript will probably be cut when it is full.

        None: it is not half full yet, or that frame is still to come. Once there is one, it is the
        same for the transcript with whatever is appended.
        """
        options, positions = self._options, transcript.frame_positions
        num_most = options.max_context_tokens - transcript.num_opening_ids
        num_half_frames = (options.max_context_frames + 1) // 2
        half = num_most // 2
        if len(positions) >= num_half_frames:
            half = min(half, positions[num_half_frames - 1] + 1)
        if transcript.num_ids < half:
            return None
        num_frames = bisect_left(positions, half)
        num_full = num_most + 1
        if num_frames:
            num_full = min(num_full, half * (options.max_context_frames + 1) // num_frames)
        num_full_frames = -(-num_frames * num_full // half)  # rounded up
        first = max(0, num_full_frames - options.keep_context_frames,
                    bisect_left(positions, num_full - options.keep_context_tokens))
        for position in positions[first:]:
            if num_full - position <= self._num_free(transcript.question_at(position)):
                return position
        return None

    def is_good(self, cut: int, transcript: Transcript) -> bool:
        """Return whether a cut that was foreseen is one for this transcript, which is full."""
        best = self.cut(transcript)
        num_kept = transcript.num_ids - cut
        return (best is not None and 2 * num_kept >= transcript.num_ids - best
                and num_kept <= self._num_free(transcript.question_at(cut))
                and transcript.num_frames_from(cut) <= self._options.keep_context_frames)

    def _num_free(self, question):
        """Return how many tokens may be kept behind an opening with question."""
        options = self._options
        # Leave some room, or the next token would make the context roll over again.
        num_spare = max((options.max_context_tokens - options.keep_context_tokens) // 4,
                        options.max_context_tokens // 16)
        num_free = options.max_context_tokens - self._num_opening_tokens(question.text)
        return num_free - min(num_free // 4, num_spare)


class ContextAhead:
    """
    The new context, in a cache of its own, piece by piece.

    The cache is as large as the one that serves. It is allocated by the first begin(), so that
    streams that end before have none, and then kept. Where there is no memory for it, that is
    logged once, and nothing is built. What was built is copied to the cache that serves and not
    exchanged with it, so whatever was prepared for the memory of that one stays good.

    One thread at a time may call. add_piece() blocks while the model computes; on a GPU it only
    hands the work over, to the same stream as all else.
    """

    def __init__(self, model: VideoModel, options: StreamOptions):
        """Build with this model contexts of these sizes."""
        self._model = model
        self._options = options
        self._cache: DecoderCache | None = None
        self._is_possible = True
        self.reset()

    def reset(self) -> None:
        """Forget what was built; the memory is kept."""
        self._cut: int | None = None
        self._opening_ids: list[int] = []
        if self._cache is not None:
            self._cache.reset()

    @property
    def cut(self) -> int | None:
        """Position in the old transcript at which the new one begins; None: none is built."""
        return self._cut

    @property
    def num_tokens(self) -> int:
        """Tokens of the new context that the model has read."""
        return self._cache.num_tokens if self._cache is not None else 0

    @property
    def is_possible(self) -> bool:
        """Whether there is memory for it, as far as is known."""
        return self._is_possible

    def begin(self, cut: int, opening_ids: Sequence[int]) -> None:
        """Build a context of this opening and the transcript from cut on, if there is memory."""
        if self._has_cache():
            self._cut, self._opening_ids = cut, list(opening_ids)

    def num_pieces_behind(self, num_ids: int) -> int:
        """Return how many whole pieces of a transcript of num_ids tokens are still to be read."""
        if self._cut is None:
            return 0
        num_wanted = len(self._opening_ids) + num_ids - self._cut
        return max(0, num_wanted - self.num_tokens) // NUM_PIECE_TOKENS

    def add_piece(self, ids: Sequence[int], frame_states: Sequence[torch.Tensor]) -> None:
        """
        Read the next NUM_PIECE_TOKENS tokens, which must be there.

        ids, frame_states: the old transcript's; states [N, D] of the frames from cut on.
        """
        begin, num_opening = self._cache.num_tokens, len(self._opening_ids)
        end = begin + NUM_PIECE_TOKENS
        begin_id, end_id = (self._cut + max(0, at - num_opening) for at in (begin, end))
        piece = [*self._opening_ids[begin:end], *ids[begin_id:end_id]]
        num_frames = piece.count(self._model.config.image_token_id)
        states = frame_states[self._cache.num_frames:self._cache.num_frames + num_frames]
        self._model.append(
            self._cache, piece, torch.stack(states) if num_frames else None)

    def keep_only(self, num_ids: int, ids: Sequence[int]) -> None:
        """Forget pieces with tokens behind the first num_ids of the old transcript's ids."""
        if self._cut is None:
            return
        if num_ids <= self._cut:
            self.reset()
            return
        num_wanted = len(self._opening_ids) + num_ids - self._cut
        if num_wanted < self.num_tokens:
            num_kept = num_wanted - num_wanted % NUM_PIECE_TOKENS
            num_kept_ids = max(0, num_kept - len(self._opening_ids))
            kept = ids[self._cut:self._cut + num_kept_ids]
            self._cache.truncate(num_kept, kept.count(self._model.config.image_token_id))

    def take_over(self, serving: DecoderCache) -> None:
        """Replace the contents of serving by what was built, which may be nothing; forget it."""
        serving.reset()
        try:
            if self.num_tokens:
                self._cache.copy_to(serving)
        finally:
            self.reset()

    def _has_cache(self):
        if self._cache is None and self._is_possible:
            options = self._options
            try:
                self._cache = self._model.new_cache(
                    options.max_context_tokens, options.max_context_frames)
            except (RuntimeError, MemoryError) as error:
                self._is_possible = False
                _LOGGER.warning(
                    'no memory for a second context (%s): whenever the first is full, the stream '
                    'pauses while the model reads what is kept; lower max_context_frames of the '
                    'checkpoint, or quantise the model', error)
        return self._cache is not None
