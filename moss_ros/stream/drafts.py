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
What a stream will probably say next, from what it said before: narration repeats itself.

A draft is the continuation of the newest tokens where they stood last in the transcript. The model
reads it in the pass of the token before it, and the logits after each of its tokens are kept. They
are good as long as the tokens that are chosen are those of the draft, so what is said is the same
as without it, sampled or not. Used by StreamContext where a pass of several tokens costs little
more than one.

Letters: V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from moss_ros.model import DecoderCache, VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.stream.passes import PassGenerator, TokenPass
import torch

# The longest run of newest tokens that is looked for; a shorter one will do.
_MAX_MATCH = 3


def draft(ids: Sequence[int], most: int, control_ids: Collection[int],
          skipped_id: int) -> list[int]:
    """
    Return at most `most` tokens that followed the newest of ids where they stood last.

    skipped_id, of frames, is as if it were not there. A draft ends before a token of control_ids.
    """
    text = [token_id for token_id in ids if token_id != skipped_id]
    for num in range(min(_MAX_MATCH, len(text) - 1), 0, -1):
        newest = text[-num:]
        for end in range(len(text) - 1, num - 1, -1):
            if text[end - num:end] == newest:
                found = text[end:end + most]
                num_said = next((at for at, token_id in enumerate(found)
                                 if token_id in control_ids), len(found))
                return found[:num_said]
    return []


class TokenReader:
    """
    Has a model read one text token after the other into a cache, with drafts where that is cheap.

    One thread at a time may call, between begin and end of read() only its generator.
    """

    def __init__(self, model: VideoModel, cache: DecoderCache, chat: ChatFormat):
        self._model = model
        self._cache = cache
        self._chat = chat
        # Tokens of a draft that are in the cache behind its end, and the logits after each.
        self._foreseen: deque[tuple[int, torch.Tensor]] = deque()

    def read(self, token_id: int, ids: Sequence[int]) -> PassGenerator[torch.Tensor]:
        """Read token_id, which is the last of a transcript's ids; return the logits [V] after."""
        if self._foreseen and self._foreseen[0][0] == token_id:
            self._cache.take_back(1)
            return self._foreseen.popleft()[1]
        num_free = self._cache.max_tokens - self._cache.num_tokens - 1
        num_drafted = min(self._model.num_cheap_rows - 1, num_free)
        drafted = draft(ids, num_drafted, self._chat.control_ids, self._chat.image_id) \
            if num_drafted > 0 else []
        logits = yield TokenPass(self._model, self._cache, (token_id, *drafted))
        self._cache.truncate(self._cache.num_tokens - len(drafted), self._cache.num_frames)
        self._foreseen = deque(zip(drafted, logits[1:], strict=True))
        return logits[0]

    def forget(self) -> None:
        """Forget what was foreseen: something else comes, or the cache is written otherwise."""
        self._foreseen.clear()

    def snapshot(self) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Return the foreseen tokens, and copies of the cache's contents and of their logits."""
        if not self._foreseen:
            text_cache, frame_cache = self._cache.export()
            return [], {'text_cache': text_cache, 'frame_cache': frame_cache}
        self._cache.take_back(len(self._foreseen))
        text_cache, frame_cache = self._cache.export()
        self._cut(len(self._foreseen))
        token_ids, logits = zip(*self._foreseen)
        return list(token_ids), {'text_cache': text_cache, 'frame_cache': frame_cache,
                                 'foreseen_logits': torch.stack(logits)}

    def restore(self, token_ids: Sequence[int], tensors: dict[str, torch.Tensor]) -> None:
        """Take over a snapshot()."""
        self._cache.restore(tensors['text_cache'], tensors['frame_cache'])
        self._cut(len(token_ids))
        logits = tensors['foreseen_logits'].to(self._model.device) if token_ids else ()
        self._foreseen = deque(zip(token_ids, logits, strict=True))

    def _cut(self, num_tokens):
        self._cache.truncate(self._cache.num_tokens - num_tokens, self._cache.num_frames)
