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
The layout of a live stream: where silence stands between frames, text and questions.

What came last goes in; the token ids to append for an opening, a frame or a question come out.
Used by StreamContext when a model runs and by the training samples, so that both follow the same
rules. Immutable: any thread may call, nothing blocks.
"""

from __future__ import annotations

from enum import Enum

from moss_ros.stream.chat import ChatFormat


class Last(Enum):
    """What a transcript ends with. HEADER: a question that cut a sentence; no word since then."""

    SILENCE = 'silence'
    FRAME = 'frame'
    TEXT = 'text'
    HEADER = 'header'


class DialogueLayout:
    """
    The layout that the published checkpoint was trained on.

    S is <|silence|>, F the token of a frame, T text:

    - A stream opens with the system turn, an empty user turn, and an assistant turn that begins
      with S.
    - Between two frames stands S or text: S F S F T F T S F ... The model chooses a token after
      each frame, and after its own text.
    - Each question is a user turn of its own, also the first one. If it is asked in silence, the
      assistant turn after it begins with S, and the model decides at the next frame. If it is
      asked in the middle of a sentence, the turn begins with text: the model decides at once.
    - A turn in which nothing was said ends with S.

    Tokens that this class adds are not sampled and cause no events.
    """

    def __init__(self, chat: ChatFormat):
        self._chat = chat

    def opening(self, system_prompt: str, question: str = '') -> list[int]:
        """Return the ids from the start of a context to the S before its first frame."""
        ids = [*self._chat.opening(system_prompt), self._chat.silence_id]
        return ids + self.question(question, Last.SILENCE)[0] if question else ids

    def frame(self, last: Last) -> list[int]:
        """Return the ids that append a frame after last."""
        return [*self._silence_after(last), self._chat.image_id]

    def question(self, text: str, last: Last) -> tuple[list[int], Last]:
        """Return the ids that append a question after last, and what they end with."""
        ids = [*self._silence_after(last), *self._chat.question_turn(text)]
        if last is Last.TEXT:
            return ids, Last.HEADER
        return [*ids, self._chat.silence_id], Last.SILENCE

    def _silence_after(self, last):
        return [] if last in (Last.SILENCE, Last.TEXT) else [self._chat.silence_id]
