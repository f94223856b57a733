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
From logits to words: TokenChooser picks the next token, TextPieces turns tokens into text.

TokenChooser excludes control tokens and unused ids, and calls sample_token(). TextPieces gives
whole characters, and decodes only a few ids at a time, however long the narration is. DecodeStream
of the tokenizers library is no substitute: while bytes are not valid UTF-8 it gives no text, and
decodes all of them again for each id. Used by live streams and by offline answers.

Letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import math

from moss_ros.model import sample_token, SamplingOptions
from moss_ros.stream.chat import ChatFormat
import torch


class TokenChooser:
    """Chooses tokens for one model. No call depends on those before: any thread may call."""

    def __init__(self, chat: ChatFormat, vocab_size: int, device: torch.device):
        """Prepare for logits of vocab_size ids, on device."""
        self._chat = chat
        self._never_said = torch.zeros(vocab_size)
        self._never_said[list(chat.never_said_ids(vocab_size))] = -math.inf
        self._never_said = self._never_said.to(device)
        self._biases: dict[float, torch.Tensor] = {}

    @torch.inference_mode()
    def choose(self, logits: torch.Tensor, sampling: SamplingOptions, said_ids: Iterable[int],
               generator: torch.Generator, silence_logit_bias: float = 0.0) -> int:
        """
        Return the id of the next token for logits [V], which are not changed.

        said_ids: what was said before, for the repetition penalty; control tokens are exempt.
        silence_logit_bias is added to the logit of <|silence|>. Raises ValueError if the logits
        hold nan or allow no token.
        """
        return sample_token(logits.float() + self._bias(silence_logit_bias), sampling, said_ids,
                            self._chat.control_ids, generator)

    def _bias(self, silence_logit_bias):
        """Return what is added to all logits [V]; kept, since it seldom changes."""
        bias = self._biases.get(silence_logit_bias)
        if bias is None:
            bias = self._never_said.clone()
            bias[self._chat.silence_id] += silence_logit_bias
            self._biases = {silence_logit_bias: bias}
        return bias


_REPLACEMENT = '\ufffd'
# U+FFFD at the end of a decoded text may be a character whose last bytes are still to come. A
# UTF-8 character has at most four bytes, so at most three U+FFFD can stand for an incomplete one.
_MAX_HELD_CHARACTERS = 3
# Three real U+FFFD, which look the same, are nine bytes, so up to nine ids.
_MIN_WINDOW_IDS = 12
_MAX_WINDOW_IDS = 24


class TextPieces:
    """
    Incremental decoding: push(id) returns the text that this id completes, '' if none.

    An incomplete character at the end of a narration is never returned. Bytes that are not valid
    UTF-8 come out as U+FFFD as soon as that is certain. One thread at a time may call.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        """Use decode, which turns ids into text, with U+FFFD for bytes that are not UTF-8."""
        self._decode = decode
        self.reset()

    def reset(self) -> None:
        """Begin a new narration; an incomplete character is forgotten."""
        # The newest ids are decoded together, since a character may need several of them, and
        # some tokenizers write a space between two words but none before the first.
        self._window_ids: list[int] = []
        self._num_characters_out = 0  # of the window's text

    def snapshot(self) -> dict:
        """Return all that push() depends on, as plain numbers for JSON."""
        return {'window_ids': list(self._window_ids), 'num_out': self._num_characters_out}

    def restore(self, snapshot: dict) -> None:
        """Take over a snapshot()."""
        self._window_ids = list(snapshot['window_ids'])
        self._num_characters_out = snapshot['num_out']

    def push(self, token_id: int) -> str:
        """Return the text that token_id completes, made of whole characters."""
        self._window_ids.append(token_id)
        text = self._decode(self._window_ids)
        end = _end_of_whole_characters(text)
        piece = text[self._num_characters_out:end]
        self._num_characters_out = max(self._num_characters_out, end)
        if len(self._window_ids) > _MAX_WINDOW_IDS:
            num_held = len(text) - self._num_characters_out
            self._window_ids = self._window_ids[-_MIN_WINDOW_IDS:]
            self._num_characters_out = len(self._decode(self._window_ids)) - num_held
        return piece


def _end_of_whole_characters(text):
    end = len(text)
    while end > 0 and len(text) - end < _MAX_HELD_CHARACTERS and text[end - 1] == _REPLACEMENT:
        end -= 1
    return end
