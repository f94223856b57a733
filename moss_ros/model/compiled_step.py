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
Tokens of one stream through a small float32 decoder on a CPU, compiled by Numba.

So small a model spends its time on calls and not on numbers, so here all tokens and layers are one
call of machine code. The loops below say what they compute, as TextDecoder.extend() says it with
tensors, and LLVM makes vector instructions of them: therefore the entries of a cache are its last
dimension in memory (new_cache() sees to it). The machine code is kept beside this file, or in the
user's cache folder where that can't be written. DecodeStep calls run(), if Numba is installed.

Letters: T tokens, D hidden channels, M channels of the MLP, H query heads, Hkv key/value heads,
K channels of a head, L entries that a cache has room for, V vocabulary; n layers, of which s are
of self-attention and c of cross-attention.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

from moss_ros.model.cache import DecoderCache
from moss_ros.model.decoder import CrossAttentionLayer, TextDecoder
import numba
import numpy as np
import torch
from torch import nn

_F = np.float32
_LOG2_E = _F(math.log2(math.e))
# Taylor coefficients of 2**x, good to 2e-7 for abs(x) <= 0.5.
_C1, _C2, _C3, _C4, _C5, _C6 = (_F(math.log(2) ** n / math.factorial(n)) for n in range(1, 7))


def _compiled(function):
    """Compile a function; keep the machine code for the next process where there is a place."""
    options = {'fastmath': True, 'error_model': 'numpy'}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written
        return numba.njit(**options)(function)


@_compiled
def _multiply(matrix, x, out):
    """Write matrix [N, D] @ x [D] to out [N]."""
    for row in range(matrix.shape[0]):
        total = _F(0)
        for column in range(matrix.shape[1]):
            total += matrix[row, column] * x[column]
        out[row] = total


@_compiled
def _add_product(matrix, x, scale, out):
    """Add scale * matrix [N, D] @ x [D] to out [N]."""
    for row in range(matrix.shape[0]):
        total = _F(0)
        for column in range(matrix.shape[1]):
            total += matrix[row, column] * x[column]
        out[row] += scale * total


@_compiled
def _norm(x, weight, eps, out):
    """Write the root-mean-square norm of x to out; both may be the same."""
    total = _F(0)
    for index in range(x.shape[0]):
        total += x[index] * x[index]
    factor = _F(1) / np.sqrt(total / _F(x.shape[0]) + eps)
    for index in range(x.shape[0]):
        out[index] = x[index] * factor * weight[index]


@_compiled
def _rotate(heads, cosines, sines):
    """Rotate heads [H, K] in place, as attention.rotate()."""
    half = heads.shape[1] // 2
    for head in range(heads.shape[0]):
        for channel in range(half):
            first, second = heads[head, channel], heads[head, channel + half]
            heads[head, channel] = first * cosines[channel] + second * sines[channel]
            heads[head, channel + half] = (
                second * cosines[channel + half] + first * sines[channel + half])


@_compiled
def _exponentials(values, number, bits):
    """
    Replace the first values by their exponentials, good to 2e-7; bits i32 [L] is overwritten.

    exp(x) is 2**n * 2**f, where n is a whole number and f at most 0.5 in size: 2**n by writing
    the exponent of a float, 2**f by its series.
    """
    powers = bits.view(np.float32)
    for index in range(number):
        scaled = min(max(values[index] * _LOG2_E, _F(-126)), _F(126))
        exponent = np.int32(scaled + _F(127.5))  # as floats store it: n + 127
        bits[index] = exponent << np.int32(23)
        f = scaled - _F(exponent - np.int32(127))
        values[index] = _F(1) + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    for index in range(number):
        values[index] *= powers[index]


@_compiled
def _attend(queries, keys, values, number, scores, bits, out):
    """Attend from queries [H, K] to the first entries of keys and values [Hkv, K, L]."""
    num_heads, dim = queries.shape
    group = num_heads // keys.shape[0]
    scale = _F(1) / np.sqrt(_F(dim))
    for head in range(num_heads):
        head_keys, head_values = keys[head // group], values[head // group]
        for index in range(number):
            scores[index] = _F(0)
        for channel in range(0, dim, 2):
            first, second = scale * queries[head, channel], scale * queries[head, channel + 1]
            first_keys, second_keys = head_keys[channel], head_keys[channel + 1]
            for index in range(number):
                scores[index] += first * first_keys[index] + second * second_keys[index]
        largest = scores[0]
        for index in range(number):
            largest = max(largest, scores[index])
        for index in range(number):
            scores[index] -= largest
        _exponentials(scores, number, bits)
        total = _F(0)
        for index in range(number):
            total += scores[index]
        for channel in range(dim):
            weighted, channel_values = _F(0), head_values[channel]
            for index in range(number):
                weighted += scores[index] * channel_values[index]
            out[head, channel] = weighted / total


@_compiled
def _store_frame(states, projection, key_norm, eps, cosines, sines, keys, values, first):
    """Store what states [N, D] of a frame give, as CrossAttentionLayer.project_frames()."""
    num_kv_heads, dim = keys.shape[:2]
    heads = np.empty((2 * num_kv_heads, dim), _F)
    for state in range(states.shape[0]):
        _multiply(projection, states[state], heads.reshape(heads.size))
        _rotate(heads[:num_kv_heads], cosines, sines)
        for head in range(num_kv_heads):
            _norm(heads[head], key_norm, eps, heads[head])
            for channel in range(dim):
                keys[head, channel, first + state] = heads[head, channel]
                values[head, channel, first + state] = heads[num_kv_heads + head, channel]


@_compiled
def _run(token_ids, image_token_id, states, position, num_frames, num_heads, eps, table,
         is_cross, norms, projections, outs, cross_norms, query_projections, query_norms,
         frame_projections, key_norms, cross_outs, cross_scales, mlp_norms, gate_ups, downs,
         mlp_scales, last_norm, head_matrix, text, frames, cosines, sines, logits):
    """
    Append tokens from position on and write the logits [T, V] after each.

    token_ids: i64 [T]. states [k, N, D]: of the frames of the image tokens among them, behind
    num_frames others. The arrays of weights have a first dimension for the layers that they
    belong to. text [s, 2, Hkv, K, L] and frames [c, 2, Hkv, K, L]: keys and values. cosines,
    sines: [L, K].
    """
    num_new_frames = 0
    num_kv_heads, dim = text.shape[2:4]
    size = downs.shape[2]
    x, normed = np.empty(table.shape[1], _F), np.empty(table.shape[1], _F)
    heads = np.empty((num_heads + 2 * num_kv_heads, dim), _F)
    queries = heads[:num_heads]
    attended, both = np.empty((num_heads, dim), _F), np.empty(2 * size, _F)
    longest = max(size, text.shape[4], frames.shape[4])
    scores, bits = np.empty(longest, _F), np.empty(longest, np.int32)
    for token in range(token_ids.shape[0]):
        x[:] = table[token_ids[token]]
        at = position + token
        if token_ids[token] == image_token_id:
            for layer in range(frames.shape[0]):
                _store_frame(states[num_new_frames], frame_projections[layer], key_norms[layer],
                             eps, cosines[at], sines[at], frames[layer, 0], frames[layer, 1],
                             num_frames * states.shape[1])
            num_new_frames += 1
            num_frames += 1
        self_layer = cross_layer = 0
        for layer in range(is_cross.shape[0]):
            if not is_cross[layer]:
                _norm(x, norms[self_layer], eps, normed)
                _multiply(projections[self_layer], normed, heads.reshape(heads.size))
                _rotate(heads[:num_heads + num_kv_heads], cosines[at], sines[at])
                keys, values = text[self_layer, 0], text[self_layer, 1]
                for head in range(num_kv_heads):
                    for channel in range(dim):
                        keys[head, channel, at] = heads[num_heads + head, channel]
                        values[head, channel, at] = heads[num_heads + num_kv_heads + head, channel]
                _attend(queries, keys, values, at + 1, scores, bits, attended)
                _add_product(outs[self_layer], attended.reshape(attended.size), _F(1), x)
                self_layer += 1
            elif num_frames > 0:
                _norm(x, cross_norms[cross_layer], eps, normed)
                _multiply(query_projections[cross_layer], normed, queries.reshape(queries.size))
                for head in range(num_heads):
                    _norm(queries[head], query_norms[cross_layer], eps, queries[head])
                _rotate(queries, cosines[at], sines[at])
                _attend(queries, frames[cross_layer, 0], frames[cross_layer, 1],
                        num_frames * states.shape[1], scores, bits, attended)
                _add_product(cross_outs[cross_layer], attended.reshape(attended.size),
                             cross_scales[cross_layer], x)
                cross_layer += 1
            else:
                continue
            _norm(x, mlp_norms[layer], eps, normed)
            _multiply(gate_ups[layer], normed, both)
            for index in range(size):
                scores[index] = -both[index]
            _exponentials(scores, size, bits)
            for index in range(size):  # silu(gate) * up
                both[index] = both[index] / (_F(1) + scores[index]) * both[size + index]
            _add_product(downs[layer], both[:size], mlp_scales[layer], x)
        _norm(x, last_norm, eps, normed)
        _multiply(head_matrix, normed, logits[token])


class CompiledStep:
    """Copies of the weights of a decoder, ordered for the loops, and the call of them."""

    def __init__(self, decoder: TextDecoder, lm_head: nn.Linear):
        layers = list(decoder.layers)
        cross = [layer for layer in layers if isinstance(layer, CrossAttentionLayer)]
        others = [layer for layer in layers if layer not in cross]
        text = decoder.config.text
        dim, size = text.head_dim, text.hidden_size
        scales = [layer.gates() if layer in cross else (1.0, 1.0) for layer in layers]
        self._num_heads = text.num_attention_heads
        self._image_token_id = decoder.config.image_token_id
        self._no_states = np.empty((0, decoder.config.num_frame_tokens, size), _F)
        self._weights = (
            _F(text.rms_norm_eps), _array(decoder.embed_tokens.weight),
            np.array([layer in cross for layer in layers]),
            _stacked([layer.attention_norm.weight for layer in others], size),
            _stacked([layer.qkv_proj.weight for layer in others], size, size),
            _stacked([layer.o_proj.weight for layer in others], size, size),
            _stacked([layer.attention_norm.weight for layer in cross], size),
            _stacked([layer.q_proj.weight for layer in cross], size, size),
            _stacked([layer.q_norm.weight for layer in cross], dim),
            _stacked([layer.kv_proj.weight for layer in cross], size, size),
            _stacked([layer.k_norm.weight for layer in cross], dim),
            _stacked([layer.o_proj.weight for layer in cross], size, size),
            np.array([scale for layer, (scale, _) in zip(layers, scales) if layer in cross], _F),
            _stacked([layer.mlp_norm.weight for layer in layers], size),
            _stacked([layer.mlp.gate_up_proj.weight for layer in layers], size, size),
            _stacked([layer.mlp.down_proj.weight for layer in layers], size, size),
            np.array([mlp_scale for _, mlp_scale in scales], _F),
            _array(decoder.norm.weight), _array(lm_head.weight))
        self._num_logits = len(lm_head.weight)

    def run(self, cache: DecoderCache, token_ids: Sequence[int],
            frame_states: torch.Tensor | None = None) -> torch.Tensor:
        """
        Append tokens to a cache with room for them; return the logits [T, V] after each.

        frame_states f32 [k, N, D] belong to the k image tokens among them, in order.
        """
        states = self._no_states if frame_states is None else frame_states.contiguous().numpy()
        logits = np.empty((len(token_ids), self._num_logits), _F)
        _run(np.array(token_ids), self._image_token_id, states, cache.num_tokens,
             cache.num_frames, self._num_heads, *self._weights, *cache.arrays, logits)
        cache.num_tokens += len(token_ids)
        cache.num_frames += len(states)
        return torch.from_numpy(logits)


def _array(weight):
    return weight.detach().numpy()


def _stacked(weights, *sizes):
    """Return weights of the same shape as one array; where there are none, of the right rank."""
    return np.stack([_array(weight) for weight in weights]) if weights \
        else np.empty((0, *sizes), _F)
