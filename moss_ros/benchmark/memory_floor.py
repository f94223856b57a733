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
Bytes that a decode step must read, and the memory of a model and its caches by part.

Sizes, dtype and lengths go in; numbers of bytes come out. They follow from the sizes alone, not
from how the step is written: no step can read less. Nothing is computed on a device.

Letters: D text channels, I channels inside the MLP, H query heads, Hkv key/value heads, K channels
of a head, V vocabulary, N states a frame, T text tokens, F frames.
"""

from __future__ import annotations

from collections.abc import Iterator

from moss_ros.model import ModelConfig
from moss_ros.model.config import TextConfig
from moss_ros.model.quantization import quantised_bytes
import torch


def step_bytes(config: ModelConfig, num_tokens: int, num_frames: int, dtype: torch.dtype,
               quantization: str | None = None) -> int:
    """
    Return the bytes that decoding one text token must read, after num_tokens and num_frames.

    All weights of the layers, but the projections of the frames' keys and values, which were
    needed when the frames came; the final norm, the head, one row of the embedding; and the keys
    and values of all tokens and frames. Without frames the layers that look at them are skipped.
    """
    text, size = config.text, dtype.itemsize
    num_cross = len(text.cross_attention_layers)
    num_self = text.num_hidden_layers - num_cross
    weights = num_self * self_layer_bytes(text, dtype, quantization)
    if num_frames:
        weights += num_cross * cross_layer_bytes(text, dtype, quantization)
    outside = (text.vocab_size + 2) * text.hidden_size * size  # head, final norm, one embedding
    return weights + outside + sum(cache_bytes(config, num_tokens, num_frames, dtype))


def self_layer_bytes(text: TextConfig, dtype: torch.dtype, quantization: str | None = None) -> int:
    """Return the bytes of the weights that a step reads in a self-attention layer."""
    heads = text.num_attention_heads + 2 * text.num_key_value_heads
    matrices = ((heads * text.head_dim, text.hidden_size), *_common_matrices(text))
    return _matrix_bytes(matrices, dtype, quantization) + 2 * text.hidden_size * dtype.itemsize


def cross_layer_bytes(text: TextConfig, dtype: torch.dtype,
                      quantization: str | None = None) -> int:
    """Return the same of a cross-attention layer: without the projections of the frames."""
    matrices = ((text.num_attention_heads * text.head_dim, text.hidden_size),
                *_common_matrices(text))
    num_others = 2 * text.hidden_size + text.head_dim + 2  # norms, the queries' norm, two gates
    return _matrix_bytes(matrices, dtype, quantization) + num_others * dtype.itemsize


def _common_matrices(text) -> Iterator[tuple[int, int]]:
    """Yield rows and columns of the output projection and of the MLP's two matrices."""
    yield text.hidden_size, text.num_attention_heads * text.head_dim
    yield 2 * text.intermediate_size, text.hidden_size
    yield text.hidden_size, text.intermediate_size


def _matrix_bytes(shapes, dtype, quantization):
    if quantization is None:
        return sum(rows * columns for rows, columns in shapes) * dtype.itemsize
    return sum(quantised_bytes(shape, quantization, dtype) for shape in shapes)


def cache_bytes(config: ModelConfig, num_tokens: int, num_frames: int,
                dtype: torch.dtype) -> tuple[int, int]:
    """Return the bytes of the keys and values of so many tokens, and of so many frames."""
    text = config.text
    num_cross = len(text.cross_attention_layers)
    entry = 2 * text.num_key_value_heads * text.head_dim * dtype.itemsize
    return ((text.num_hidden_layers - num_cross) * num_tokens * entry,
            num_cross * num_frames * config.num_frame_tokens * entry)


def state_bytes(config: ModelConfig, num_frames: int, dtype: torch.dtype) -> int:
    """Return the bytes of the states of so many frames, which a stream keeps for a rollover."""
    return num_frames * config.num_frame_tokens * config.text.hidden_size * dtype.itemsize


def weight_bytes(shapes: dict[str, torch.Size], quantised: set[str], dtype: torch.dtype,
                 quantization: str | None) -> dict[str, int]:
    """
    Return the bytes of all weights, by part: vision, projector, embedding, decoder, head.

    shapes: of all weights, by name; quantised: the names of those that quantization concerns.
    """
    parts = dict.fromkeys(('vision', 'projector', 'embedding', 'decoder', 'head'), 0)
    for name, shape in shapes.items():
        num_bytes = quantised_bytes(shape, quantization, dtype) \
            if quantization and name in quantised else shape.numel() * dtype.itemsize
        parts[_part_of(name)] += num_bytes
    return parts


def _part_of(name):
    for start, part in (('vision.', 'vision'), ('projector.', 'projector'), ('lm_head.', 'head'),
                        ('decoder.embed_tokens.', 'embedding')):
        if name.startswith(start):
            return part
    return 'decoder'
