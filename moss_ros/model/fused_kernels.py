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
The calls of kernels.py for one stream on CUDA: seven launches for a layer.

Made for a step that is captured as a graph: nothing is read from the host but by begin(), and no
length is a number, so one graph serves a cache for ever. Attention is cut into chunks, so that a
few heads over many entries still fill the device, and two launches make it. The launches are
Triton's; as operations of PyTorch they can also be counted without a GPU.

Letters: D hidden channels, E outputs of a matrix, M channels of the MLP, H query heads, Hkv
key/value heads, G = H / Hkv, K channels of a head, L entries of a cache, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from moss_ros.model.cache import DecoderCache
from moss_ros.model.config import TextConfig
from moss_ros.model.kernels import LayerWeights, Memory
import torch
from torch.library import custom_op

# Entries that a program of the attention takes at a time, and how many programs share a head.
_ENTRIES = 32
_MIN_CHUNK = 128
_MAX_CHUNKS = 128
# Rows and columns of a matrix that a program reads at a time.
_ROWS, _COLUMNS = 8, 512
_TEXT_LENGTH, _FRAMES_LENGTH = 2, 3  # where the lengths stand in the inputs


def can_fuse(config: TextConfig) -> bool:
    """Return whether the launches can be made here: Triton is there, and the MLP has silu."""
    return config.hidden_act == 'silu' and find_spec('triton') is not None


def _kernels():
    return import_module('moss_ros.model.triton_kernels')


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


@custom_op('moss_ros::norm_linear', mutates_args=())
def norm_linear(x: torch.Tensor, norm: torch.Tensor, weight: torch.Tensor,
                eps: float) -> torch.Tensor:
    """Return weight [E, D] times the normed x [1, D], as [1, E]."""
    num_rows, size = weight.shape
    out = x.new_empty(1, num_rows)
    _kernels().norm_linear[(-(-num_rows // _ROWS),)](
        x, norm, weight, out, size, num_rows, eps, ROWS=_ROWS, COLUMNS=_COLUMNS)
    return out


@norm_linear.register_fake
def _(x, norm, weight, eps):
    return x.new_empty(1, weight.shape[0])


@custom_op('moss_ros::gated_linear', mutates_args=())
def gated_linear(x: torch.Tensor, norm: torch.Tensor, weight: torch.Tensor,
                 eps: float) -> torch.Tensor:
    """Return silu(gate) * up [1, M], the halves of weight [2 M, D] times the normed x [1, D]."""
    num_rows, size = weight.shape[0] // 2, weight.shape[1]
    out = x.new_empty(1, num_rows)
    _kernels().gated_linear[(-(-num_rows // _ROWS),)](
        x, norm, weight, out, size, num_rows, eps, ROWS=_ROWS, COLUMNS=_COLUMNS)
    return out


@gated_linear.register_fake
def _(x, norm, weight, eps):
    return x.new_empty(1, weight.shape[0] // 2)


@custom_op('moss_ros::rotate_and_store', mutates_args=('keys', 'values'))
def rotate_and_store(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor,
                     inputs: torch.Tensor, keys: torch.Tensor,
                     values: torch.Tensor) -> torch.Tensor:
    """Return the rotated queries [H, K] of heads [1, (H + 2 Hkv) K]; store keys and values."""
    num_kv_heads, _, dim = keys.shape
    num_heads = heads.numel() // dim - 2 * num_kv_heads
    queries = heads.new_empty(num_heads, dim)
    _kernels().rotate_and_store[(num_heads + 2 * num_kv_heads,)](
        heads, cosines, sines, inputs, queries, keys, values, keys.stride(0), num_heads,
        num_kv_heads, K=dim, BLOCK=_power_of_two(dim))
    return queries


@rotate_and_store.register_fake
def _(heads, cosines, sines, inputs, keys, values):
    dim = keys.shape[2]
    return heads.new_empty(heads.numel() // dim - 2 * keys.shape[0], dim)


@custom_op('moss_ros::norm_rotate', mutates_args=())
def norm_rotate(heads: torch.Tensor, norm: torch.Tensor, cosines: torch.Tensor,
                sines: torch.Tensor, inputs: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the normed and rotated queries [H, K] of heads [1, H K]."""
    dim = norm.shape[0]
    queries = heads.new_empty(heads.numel() // dim, dim)
    _kernels().norm_rotate[(queries.shape[0],)](
        heads, norm, cosines, sines, inputs, queries, eps, K=dim, BLOCK=_power_of_two(dim))
    return queries


@norm_rotate.register_fake
def _(heads, norm, cosines, sines, inputs, eps):
    return heads.new_empty(heads.numel() // norm.shape[0], norm.shape[0])


def _chunks(num_entries: int) -> tuple[int, int]:
    """Return how many chunks a cache of num_entries has, and their entries."""
    chunk = max(_MIN_CHUNK, -(-num_entries // _MAX_CHUNKS))
    chunk = -(-chunk // _ENTRIES) * _ENTRIES
    return -(-num_entries // chunk), chunk


def _part_shape(queries, keys):
    num_kv_heads, num_entries, dim = keys.shape
    group = _power_of_two(queries.shape[0] // num_kv_heads)
    return num_kv_heads, _chunks(num_entries)[0], group, _power_of_two(dim)


@custom_op('moss_ros::attend_part', mutates_args=())
def attend_part(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
                inputs: torch.Tensor,
                length_at: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attend by chunks from queries [H, K]; the length of keys is inputs[length_at]."""
    shape = _part_shape(queries, keys)
    parts = queries.new_empty(shape, dtype=torch.float32)
    highest, totals = parts.new_empty(shape[:3]), parts.new_empty(shape[:3])
    num_kv_heads, num_entries, dim = keys.shape
    num_chunks, chunk = _chunks(num_entries)
    _kernels().attend_part[(num_kv_heads, num_chunks)](
        queries, keys, values, inputs, parts, highest, totals, keys.stride(0), dim ** -0.5,
        LENGTH_AT=length_at, NUM_CHUNKS=num_chunks, CHUNK=chunk, ENTRIES=_ENTRIES,
        G=queries.shape[0] // num_kv_heads, GROUP=shape[2], K=dim, BLOCK=shape[3])
    return parts, highest, totals


@attend_part.register_fake
def _(queries, keys, values, inputs, length_at):
    shape = _part_shape(queries, keys)
    parts = queries.new_empty(shape, dtype=torch.float32)
    return parts, parts.new_empty(shape[:3]), parts.new_empty(shape[:3])


@custom_op('moss_ros::join_parts', mutates_args=())
def join_parts(parts: torch.Tensor, highest: torch.Tensor, totals: torch.Tensor,
               queries: torch.Tensor) -> torch.Tensor:
    """Return what queries [H, K] attended to, [1, H K], of their dtype."""
    num_heads, dim = queries.shape
    num_kv_heads, num_chunks, group, block = parts.shape
    out = queries.new_empty(1, num_heads * dim)
    _kernels().join_parts[(num_heads,)](
        parts, highest, totals, out, NUM_CHUNKS=num_chunks, CHUNKS=_power_of_two(num_chunks),
        G=num_heads // num_kv_heads, GROUP=group, K=dim, BLOCK=block)
    return out


@join_parts.register_fake
def _(parts, highest, totals, queries):
    return queries.new_empty(1, queries.numel())


class FusedKernels:
    """For one stream on CUDA, in any float dtype, with weights that are not quantised."""

    def __init__(self, config: TextConfig, device: torch.device):
        self._eps = config.rms_norm_eps
        self._inputs = torch.zeros(4, dtype=torch.int64, device=device)
        # Pinned, so that the copy is only enqueued.
        self._staging = torch.zeros(4, dtype=torch.int64, pin_memory=torch.cuda.is_available())
        self._is_copied = torch.cuda.Event() if torch.cuda.is_available() else None

    def begin(self, cache: DecoderCache, token_id: int) -> None:
        """Tell the device about the next token: the one copy to it in a step."""
        # Nearly always it is done by now: who reads a step's token has waited for it. But streams
        # that take their steps in turn are read after the last of them.
        if self._is_copied is not None:
            self._is_copied.synchronize()
        self._staging.copy_(torch.tensor(
            (token_id, cache.num_tokens, cache.num_tokens + 1, cache.num_states)))
        self._inputs.copy_(self._staging, non_blocking=True)
        if self._is_copied is not None:
            self._is_copied.record()

    def embed(self, _token_ids: Sequence[int], table: torch.Tensor) -> torch.Tensor:
        """Return the row x [1, D] of a table for the token id of begin()."""
        return table.index_select(0, self._inputs.narrow(0, 0, 1))

    def rotations(self, caches: Sequence[DecoderCache],
                  _positions: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tables of cosines and sines [max_tokens, K] of the cache."""
        return caches[0].cosines, caches[0].sines

    def remember(self, x: torch.Tensor, layer: LayerWeights,
                 tables: tuple[torch.Tensor, torch.Tensor],
                 memories: Sequence[Memory]) -> torch.Tensor:
        """Return x [1, D] plus self-attention, after storing the new key and value."""
        keys, values, _ = memories[0]
        heads = norm_linear(x, layer.norm, layer.projection, self._eps)
        queries = rotate_and_store(heads, *tables, self._inputs, keys, values)
        parts = attend_part(queries, keys, values, self._inputs, _TEXT_LENGTH)
        return _add_linear(x, join_parts(*parts, queries), layer.out, layer.scale)

    def look(self, x: torch.Tensor, layer: LayerWeights,
             tables: tuple[torch.Tensor, torch.Tensor],
             memories: Sequence[Memory]) -> torch.Tensor:
        """Return x [1, D] plus gated cross-attention to the frames in the memory."""
        keys, values, _ = memories[0]
        heads = norm_linear(x, layer.norm, layer.projection, self._eps)
        queries = norm_rotate(heads, layer.query_norm, *tables, self._inputs, self._eps)
        parts = attend_part(queries, keys, values, self._inputs, _FRAMES_LENGTH)
        return _add_linear(x, join_parts(*parts, queries), layer.out, layer.scale)

    def mlp(self, x: torch.Tensor, layer: LayerWeights) -> torch.Tensor:
        """Return x [1, D] plus the gated MLP."""
        return _add_linear(x, gated_linear(x, layer.mlp_norm, layer.gate_up, self._eps),
                           layer.down, layer.mlp_scale)

    def logits(self, x: torch.Tensor, norm: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        """Return the logits [1, V] of x [1, D]."""
        return norm_linear(x, norm, head, self._eps)


def _add_linear(x, y, weight, scale):
    return torch.addmm(x, y, weight.t(), alpha=scale)
