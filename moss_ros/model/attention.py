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
Attention, by PyTorch's kernels or flash-attn's, and rotary position embedding.

The decoder and the vision encoder call attend(): queries, keys and values in, attended values
out. Keys and values may have fewer heads than the queries. Only the decoder rotates: text by its
own position, the keys of a frame by the position of its image token. load_model() calls
flash_kernel().

Letters: B rows, T queries, L keys or positions, H query heads, Hkv key/value heads, G = H / Hkv, K
channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
import math
import re

from moss_ros.model.config import RopeConfig
import torch
from torch.nn import functional as F


def inverse_frequencies(rope: RopeConfig, head_dim: int) -> torch.Tensor:
    """
    Return the angle per position of each channel pair, float32 [K/2], on the CPU.

    rope_type 'llama3' is the piecewise scaling published with Llama 3.1. Short wavelengths, which
    fit at least high_freq_factor times into the original context, are kept. Long ones, which fit
    at most low_freq_factor times, are stretched by factor. Those between are interpolated.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64, device='cpu').float() / head_dim
    frequencies = 1.0 / (rope.theta ** exponents)
    if rope.rope_type == 'default':
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    turns = rope.original_max_position_embeddings / wavelengths
    smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    smooth = smooth.clamp(0.0, 1.0)
    return (1 - smooth) * frequencies / rope.factor + smooth * frequencies


class RotaryTables:
    """
    Cosines and sines for positions from 0 on, kept per device and dtype, and grown when needed.

    The sines carry the signs of the rotation, see rotate(). There are no parameters, so this is
    no module and no part of a checkpoint. Any thread may call: at worst two make the same table.
    """

    def __init__(self, rope: RopeConfig, head_dim: int):
        self._frequencies = inverse_frequencies(rope, head_dim)
        self._tables = {}

    def first(self, num_positions: int, device: torch.device,
              dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines, each [L, K] of dtype, for positions 0 to L - 1."""
        key = (device, dtype)
        tables = self._tables.get(key)
        if tables is None or tables[0].shape[0] < num_positions:
            tables = self._compute(max(256, 1 << (num_positions - 1).bit_length()), device, dtype)
            self._tables[key] = tables
        cosines, sines = tables
        return cosines.narrow(0, 0, num_positions), sines.narrow(0, 0, num_positions)

    def _compute(self, num_positions, device, dtype):
        # A table made inside inference mode could not be used for training later.
        with torch.inference_mode(False), torch.no_grad():
            positions = torch.arange(num_positions, dtype=torch.float32, device='cpu')
            angles = torch.outer(positions, self._frequencies)  # [L, K/2]
            cosines = angles.cos().repeat(1, 2)
            sines = torch.cat((-angles.sin(), angles.sin()), dim=1)
            return cosines.to(device, dtype), sines.to(device, dtype)


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """
    Rotate channel i with channel i + K/2 of each head (Llama's pairing, in its Hugging Face form).

    heads is [..., K]; cosines and signed sines broadcast against it.
    """
    swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads * cosines, swapped, sines)


def rotation_matrices(cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """
    Return the matrices [S, K, K] for cosines and signed sines [S, K]: heads @ matrix is rotate().

    One product in place of three operations, which pays where a few heads of a token are rotated.
    """
    unit, swap = _unit_and_swap(cosines.shape[1], cosines.device, cosines.dtype)
    return torch.addcmul(unit * cosines.unsqueeze(1), swap, sines.unsqueeze(1))


@cache
def _unit_and_swap(size, device, dtype):
    """Return two matrices [K, K]: one keeps each channel, one puts its partner in its place."""
    with torch.inference_mode(False):
        unit = torch.eye(size, device=device, dtype=dtype)
        return unit, unit.roll(size // 2, dims=0)


ATTENTION_NAMES = ('auto', 'sdpa', 'flash')
# flash-attn 2 has kernels for Ampere (8.0) and newer.
_MIN_CUDA_CAPABILITY = 8
_MIN_FLASH_VERSION = (2, 1)


def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
           mask: torch.Tensor | None = None, is_causal: bool = False,
           flash: Callable[..., torch.Tensor] | None = None) -> torch.Tensor:
    """
    Attend from query [B, H, T, K] to keys and values [B, Hkv, L, K]; return [B, T, H * K].

    - mask: bool, True where visible: [B, 1, T, L], or [G * T, L] with T rows for each of the G
      query heads that share a key head.
    - is_causal: the last query sees all keys, and each query before it sees one key less. If
      1 < T < L, the equivalent mask must be passed as well.
    - flash: flash-attn's function. It handles causal attention, but no other mask; for other
      masks PyTorch's kernels are used even if flash is given.
    """
    num_rows, num_heads, length, head_dim = query.shape
    if flash is not None and (mask is None or is_causal):
        attended = flash(query.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2),
                         causal=is_causal)  # [B, T, H, K]
        return attended.reshape(num_rows, length, num_heads * head_dim)
    num_kv_heads = keys.shape[1]
    folded = num_heads != num_kv_heads and (length == 1 if mask is None else mask.dim() == 2)
    if folded:
        # Query heads that share a key head become additional queries of that head. Otherwise some
        # kernels would copy the cached heads, for grouped heads with a mask.
        query = query.reshape(num_rows, num_kv_heads, -1, head_dim)
    attended = F.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, is_causal=is_causal and mask is None and length > 1,
        enable_gqa=num_heads != num_kv_heads and not folded)
    attended = attended.reshape(num_rows, num_heads, length, head_dim)
    return attended.transpose(1, 2).reshape(num_rows, length, num_heads * head_dim)


def flash_kernel(attention: str, device: torch.device,
                 dtype: torch.dtype) -> Callable[..., torch.Tensor] | None:
    """
    Return flash-attn's function, or None for PyTorch's own kernels.

    attention: 'flash' requires it, 'auto' takes it if it is available, 'sdpa' never takes it.
    Raises ValueError, with the reason and the way out, for 'flash' if it is not available, and
    for unknown names.
    """
    if attention not in ATTENTION_NAMES:
        raise ValueError(f'attention is {attention!r}; allowed: {", ".join(ATTENTION_NAMES)}')
    if attention == 'sdpa':
        return None
    obstacle = _obstacle(device, dtype)
    if obstacle is None:
        try:
            flash_attn = import_module('flash_attn')
            obstacle = _age(flash_attn.__version__)
            if obstacle is None:
                return flash_attn.flash_attn_func
        except (ImportError, AttributeError) as error:
            obstacle = (f'flash-attn can not be imported ({error}): install it with "pip install '
                        f'flash-attn --no-build-isolation", which needs a CUDA compiler, or use '
                        f'attention=sdpa')
    if attention == 'flash':
        raise ValueError(f"attention is 'flash', but {obstacle}")
    return None


def _age(version: str) -> str | None:
    """Return why this version of flash-attn is too old, and the way out; None if it is not."""
    numbers = tuple(map(int, re.findall(r'\d+', version)[:2]))
    if numbers >= _MIN_FLASH_VERSION:
        return None
    return (f'flash-attn {version} aligns causal attention to the first key, not the last as '
            f'needed here: install {".".join(map(str, _MIN_FLASH_VERSION))} or newer, or use '
            f'attention=sdpa')


def _obstacle(device, dtype):
    """Return why flash-attn can not run on device, and the way out; None if it can."""
    if device.type != 'cuda':
        return (f'flash-attn needs a CUDA device and the model goes to {str(device)!r}: use '
                f'device=cuda or attention=sdpa')
    if dtype not in (torch.bfloat16, torch.float16):
        return (f'flash-attn does not compute in {str(dtype)[6:]}: use dtype=bfloat16 or '
                f'attention=sdpa')
    major, minor = torch.cuda.get_device_capability(device)
    if major < _MIN_CUDA_CAPABILITY:
        return (f'flash-attn needs compute capability {_MIN_CUDA_CAPABILITY}.0 and this GPU has '
                f'{major}.{minor}: use attention=sdpa')
    return None
