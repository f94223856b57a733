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
The preallocated key/value cache of one stream's decoder: an entry per token, N per frame.

VideoModel.new_cache() makes one. The decoder writes and reads it; the owner of the stream resets
or truncates it.

Letters: Hkv key/value heads (not repeated for the query heads), N states a frame, K channels of a
head.
"""

from __future__ import annotations

from moss_ros.checks import require_count
from moss_ros.model.attention import RotaryTables
from moss_ros.model.config import ModelConfig
import torch


class KeyValueBuffer:
    """
    Keys and values of one layer, [1, Hkv, capacity, K] each, filled from the front.

    row: the two as they are for one token, [Hkv, capacity, K] each.
    """

    __slots__ = ('keys', 'values', 'row')

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        self.keys = keys
        self.values = values
        self.row = keys.squeeze(0), values.squeeze(0)

    def write(self, start: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Copy keys and values [1, Hkv, n, K] to positions start to start + n - 1."""
        num = keys.shape[2]
        self.keys.narrow(2, start, num).copy_(keys)
        self.values.narrow(2, start, num).copy_(values)

    def first(self, num: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return views of the first num keys and values."""
        return self.keys.narrow(2, 0, num), self.values.narrow(2, 0, num)


class DecoderCache:
    """
    Decoder state of one stream: a buffer for each layer, and how far they are filled.

    Self-attention layers hold max_tokens entries, cross-attention layers max_frames * N. Only
    the model and restore() increase num_tokens and num_frames. One thread at a time may call.

    arrays: the memory of a cache whose entries come last, as CompiledStep takes it: keys and
    values of text and frames, [layers, 2, Hkv, K, entries] each, cosines and sines; else None.
    """

    def __init__(self, config: ModelConfig, max_tokens: int, max_frames: int, device: torch.device,
                 dtype: torch.dtype, tables: RotaryTables, entries_last: bool = False):
        """
        Allocate.

        entries_last: the entries of a channel lie side by side in memory and not the channels of
        an entry, for CompiledStep. What shapes say is the same.
        """
        for name, value, minimum in (('max_tokens', max_tokens, 1), ('max_frames', max_frames, 0)):
            require_count(name, value, minimum)
        text = config.text
        num_cross = len(config.text.cross_attention_layers)
        num_states = config.num_frame_tokens
        self.max_tokens = max_tokens
        self.max_frames = max_frames
        self.num_tokens = 0
        self.num_frames = 0
        self._num_states = num_states

        def allocate(num_layers, num_entries):
            sizes = (text.head_dim, num_entries) if entries_last else (num_entries, text.head_dim)
            memory = torch.zeros((num_layers, 2, 1, text.num_key_value_heads, *sizes),
                                 device=device, dtype=dtype)
            return memory.mT if entries_last else memory

        self._text = allocate(text.num_hidden_layers - num_cross, max_tokens)
        self._frames = allocate(num_cross, max_frames * num_states)
        buffers = {True: iter(self._frames), False: iter(self._text)}
        self.buffers = [
            KeyValueBuffer(*next(buffers[index in text.cross_attention_layers]))
            for index in range(text.num_hidden_layers)]
        # Masks and rotations are made from these; computed once, sliced in every step.
        self.cosines, self.sines = tables.first(max_tokens, device, dtype)  # each [max_tokens, K]
        self.arrays = tuple(tensor.numpy() for tensor in (
            self._text.squeeze(2).mT, self._frames.squeeze(2).mT, self.cosines, self.sines)
        ) if entries_last else None
        self.token_index = torch.arange(max_tokens, device=device)
        self.frame_of_state = torch.arange(max_frames * num_states, device=device) // num_states

    @property
    def num_states(self) -> int:
        """States of the frames that are filled: num_frames * N."""
        return self.num_frames * self._num_states

    @property
    def nbytes(self) -> int:
        """Bytes of the preallocated keys and values."""
        return self._text.nbytes + self._frames.nbytes

    def reset(self) -> None:
        """Forget all tokens and frames; the memory is kept and reused."""
        self.num_tokens = 0
        self.num_frames = 0

    def truncate(self, num_tokens: int, num_frames: int) -> None:
        """Keep the first num_tokens and num_frames; later entries will be overwritten."""
        assert num_tokens <= self.num_tokens and num_frames <= self.num_frames
        self.num_tokens = num_tokens
        self.num_frames = num_frames

    def take_back(self, num_tokens: int) -> None:
        """Count num_tokens entries again that truncate() left behind and nothing overwrote."""
        assert self.num_tokens + num_tokens <= self.max_tokens
        self.num_tokens += num_tokens

    def export(self) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Return copies of the filled parts, in the cache's dtype and on its device.

        First the text's keys and values [L, 2, 1, Hkv, num_tokens, K] of the L self-attention
        layers, then the frames' [C, 2, 1, Hkv, num_frames * N, K] of the C cross-attention layers.
        """
        text, frames = self._filled()
        return text.clone(), frames.clone()

    def copy_to(self, other: 'DecoderCache') -> None:
        """Have other, a cache of the same sizes, hold the same; takes no memory beside both."""
        other.restore(*self._filled())

    def _filled(self):
        return (self._text.narrow(4, 0, self.num_tokens),
                self._frames.narrow(4, 0, self.num_frames * self._num_states))

    def restore(self, text: torch.Tensor, frames: torch.Tensor) -> None:
        """Restore exactly what export() of a cache of the same sizes returned."""
        self._text.narrow(4, 0, text.shape[4]).copy_(text)
        self._frames.narrow(4, 0, frames.shape[4]).copy_(frames)
        self.num_tokens = text.shape[4]
        self.num_frames = frames.shape[4] // self._num_states
