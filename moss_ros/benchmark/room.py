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
Whether there is memory for what is to be measured: sizes go in, what fits or an error comes out.

Called before anything large is allocated. Reckoned by sizes alone; nothing is allocated here.
"""

from __future__ import annotations

from dataclasses import dataclass

from moss_ros.benchmark.memory_floor import cache_bytes, state_bytes
from moss_ros.model import ModelConfig, VideoModel
from moss_ros.model.placement import free_bytes, required_bytes
import torch

# Of four streams that share a step, of one beside them, and a copy that they are filled from.
_NUM_CACHES = 6


@dataclass(frozen=True)
class Room:
    """
    Bytes that are needed, and those that are free (None: not known).

    - weights: the most that are needed while the model is loaded.
    - context: the caches that live at the same time, most of them of streams that share a step,
      and what they are filled from.
    - peer: the weights and caches of the peer. a_frame: of each frame more, while it is measured.
    """

    free: int | None
    weights: int
    context: int
    peer: int
    a_frame: int
    num_frames: int

    @classmethod
    def beside(cls, config: ModelConfig, empty: VideoModel, device: torch.device,
               dtype: torch.dtype, quantization: str | None, num_tokens: int,
               num_frames: int) -> Room:
        """Reckon for a stream of so many tokens and frames; empty is the model without weights."""
        caches = sum(cache_bytes(config, num_tokens, num_frames, dtype))
        states = state_bytes(config, num_frames, dtype)
        num_weights = sum(parameter.numel() for parameter in empty.parameters())
        return cls(
            free=free_bytes(device), weights=required_bytes(empty, dtype, quantization),
            context=_NUM_CACHES * caches + 2 * states,
            peer=num_weights * dtype.itemsize + caches + states,
            a_frame=2 * sum(cache_bytes(config, 0, 1, dtype)), num_frames=num_frames)

    @property
    def holds_weights(self) -> bool:
        """Whether the model fits into memory."""
        return self.free is None or self.weights <= self.free

    @property
    def shortage(self) -> str:
        """Return what the weights need against what is free, in words."""
        return f'needs {self.weights / 1e9:.1f} GB, and {self.free / 1e9:.1f} GB are free'

    def require_context(self, has_peer: bool) -> None:
        """Raise ValueError if the stream's caches, or the peer, do not fit beside the weights."""
        if self.free is None:
            return
        left = self.free - self.weights
        if self.context > left:
            raise ValueError(
                f'--frames {self.num_frames} needs {self.context / 1e9:.1f} GB besides the '
                f'weights, and {left / 1e9:.1f} GB are free: take fewer')
        if has_peer and self.context + self.peer > left:
            raise ValueError(
                f'--peer transformers needs {self.peer / 1e9:.1f} GB more, and '
                f'{(left - self.context) / 1e9:.1f} GB are free: leave it out')

    def num_more_frames(self, num_wanted: int) -> int:
        """Return up to how many frames a step can be timed here, at most num_wanted."""
        if self.free is None:
            return num_wanted
        left = self.free - self.weights - self.context
        return max(0, min(num_wanted, int(left // self.a_frame)))
