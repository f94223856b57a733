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
What a layer does with one token of each of some streams, as a few calls.

DecodeStep makes them. Two classes have the same methods and agree within rounding: PlainKernels
for any number of streams, any device and quantised weights, and FusedKernels (fused_kernels.py)
for one stream on CUDA, with seven launches a layer.

Letters: S streams, D hidden channels, M channels of the MLP, H query heads, Hkv key/value heads,
G = H / Hkv, K channels of a head, L entries of a cache, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from moss_ros.model.attention import rotation_matrices
from moss_ros.model.cache import DecoderCache
from moss_ros.model.config import TextConfig
from moss_ros.model.decoder import CrossAttentionLayer, SelfAttentionLayer
from moss_ros.model.large_matrices import is_large, LargeMatrices
from moss_ros.model.vision import activation
import torch
from torch.nn import functional as F

# From so many entries on, two products on a CPU take two thirds of the time of PyTorch's kernel.
_LONG = 2048


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of one layer. The scales are its tanh gates as numbers, 1.0 in self-attention."""

    norm: torch.Tensor
    projection: torch.Tensor
    query_norm: torch.Tensor | None  # of cross-attention only
    out: torch.Tensor
    scale: float
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor
    mlp_scale: float

    @classmethod
    def of(cls, layer: SelfAttentionLayer | CrossAttentionLayer) -> LayerWeights:
        """Refer to the weights of layer, and read its gates."""
        is_cross = isinstance(layer, CrossAttentionLayer)
        scale, mlp_scale = layer.gates() if is_cross else (1.0, 1.0)
        return cls(
            layer.attention_norm.weight, (layer.q_proj if is_cross else layer.qkv_proj).weight,
            layer.q_norm.weight if is_cross else None, layer.o_proj.weight,
            scale, layer.mlp_norm.weight, layer.mlp.gate_up_proj.weight,
            layer.mlp.down_proj.weight, mlp_scale)


class Memory(NamedTuple):
    """Keys and values [Hkv, L, K] of one layer and stream, of which length entries are filled."""

    keys: torch.Tensor
    values: torch.Tensor
    length: int


class PlainKernels:
    """By PyTorch's operations, for any number of streams."""

    def __init__(self, config: TextConfig):
        self._activation = activation(config.hidden_act)
        self._eps = config.rms_norm_eps
        self._head_dim = config.head_dim
        self._linear = LargeMatrices().linear

    def embed(self, token_ids: Sequence[int], table: torch.Tensor) -> torch.Tensor:
        """Return the rows x [S, D] of a table for token ids."""
        return F.embedding(torch.tensor(token_ids, device=table.device), table)

    def rotations(self, caches: Sequence[DecoderCache],
                  positions: Sequence[int]) -> torch.Tensor:
        """Return what rotates the heads of tokens at these positions, for the methods below."""
        return rotation_matrices(
            torch.stack([cache.cosines[at] for cache, at in zip(caches, positions)]),
            torch.stack([cache.sines[at] for cache, at in zip(caches, positions)]))  # [S, K, K]

    def remember(self, x: torch.Tensor, layer: LayerWeights, rotations: torch.Tensor,
                 memories: Sequence[Memory]) -> torch.Tensor:
        """
        Return x [S, D] plus self-attention.

        The new keys and values are stored as the last of each memory's length first.
        """
        heads = self._linear(self._normed(x, layer.norm), layer.projection)
        heads = heads.view(len(memories), -1, self._head_dim)  # [S, H + 2 Hkv, K]
        attended = []
        for row, (keys, values, length) in enumerate(memories):
            num_kv_heads = keys.shape[0]
            rotated, value = heads[row].split((heads.shape[1] - num_kv_heads, num_kv_heads))
            rotated = rotated @ rotations[row]
            query, key = rotated.split((rotated.shape[0] - num_kv_heads, num_kv_heads))
            keys.select(1, length - 1).copy_(key)
            values.select(1, length - 1).copy_(value)
            attended.append(_attend(query, memories[row]))
        return self._add_linear(x, torch.cat(attended), layer.out, layer.scale)

    def look(self, x: torch.Tensor, layer: LayerWeights, rotations: torch.Tensor,
             memories: Sequence[Memory]) -> torch.Tensor:
        """Return x [S, D] plus gated cross-attention to the frames in the memories."""
        heads = self._linear(self._normed(x, layer.norm), layer.projection)
        heads = heads.view(len(memories), -1, self._head_dim)  # [S, H, K]
        queries = self._normed(heads, layer.query_norm) @ rotations
        attended = [_attend(queries[row], memory) for row, memory in enumerate(memories)]
        return self._add_linear(x, torch.cat(attended), layer.out, layer.scale)

    def mlp(self, x: torch.Tensor, layer: LayerWeights) -> torch.Tensor:
        """Return x [S, D] plus the gated MLP."""
        gate, up = self._linear(self._normed(x, layer.mlp_norm), layer.gate_up).chunk(2, dim=-1)
        return self._add_linear(x, self._activation(gate) * up, layer.down, layer.mlp_scale)

    def logits(self, x: torch.Tensor, norm: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        """Return the logits [S, V] of x [S, D]."""
        return self._linear(self._normed(x, norm), head)

    def _normed(self, x, weight):
        return F.rms_norm(x, weight.shape, weight, self._eps)

    def _add_linear(self, x, y, weight, scale):
        if type(weight) is torch.nn.Parameter and not is_large(weight):
            return torch.addmm(x, y, weight.t(), alpha=scale)
        return torch.add(x, self._linear(y, weight), alpha=scale)


def _attend(query, memory):
    """Attend from query [H, K] to a memory; return [1, H K]."""
    number = memory.length
    keys, values = (each.narrow(1, 0, number) for each in memory[:2])
    # As a batch of key heads: the G queries of one are rows, and no head is repeated.
    query = query.view(keys.shape[0], -1, keys.shape[2])  # [Hkv, G, K]
    if number >= _LONG and keys.dtype == torch.float32 and keys.device.type == 'cpu':
        scores = torch.bmm(keys, query.transpose(1, 2) * keys.shape[2] ** -0.5)  # [Hkv, L, G]
        attended = torch.bmm(scores.transpose(1, 2).softmax(-1), values)
    else:
        attended = F.scaled_dot_product_attention(
            query.unsqueeze(1), keys.unsqueeze(1), values.unsqueeze(1))
    return attended.view(1, -1)
