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
The launches of fused_kernels.py, in Triton. Imported only where one of them is made.

Each program reads its part of the weights once, adds in float32, and rounds when it writes. What
changes from token to token comes from `inputs`, int64 [4] on the device: token id, position,
filled entries of the text's cache, filled entries of the frames' cache.
"""

import triton
import triton.language as tl


@triton.jit
def norm_linear(x, norm, weight, out, size, num_rows, eps,
                ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Set out [E] to weight [E, D] times the normed x [D]; a program makes ROWS of it."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, COLUMNS)
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, size, COLUMNS):
        at = start + columns
        is_column = at < size
        part = tl.load(x + at, is_column, 0.0).to(tl.float32)
        scaled = part * tl.load(norm + at, is_column, 0.0).to(tl.float32)
        read = tl.load(weight + rows[:, None] * size + at[None, :],
                       (rows < num_rows)[:, None] & is_column[None, :], 0.0)
        sums += read.to(tl.float32) * scaled[None, :]
        squares += part * part
    total = tl.sum(sums, 1) * tl.rsqrt(tl.sum(squares, 0) / size + eps)
    tl.store(out + rows, total.to(out.dtype.element_ty), rows < num_rows)


@triton.jit
def gated_linear(x, norm, weight, out, size, num_rows, eps,
                 ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Set out [M] to silu(gate) * up, the halves of weight [2 M, D] times the normed x [D]."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, COLUMNS)
    gates = tl.zeros([ROWS, COLUMNS], tl.float32)
    ups = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, size, COLUMNS):
        at = start + columns
        is_column = at < size
        part = tl.load(x + at, is_column, 0.0).to(tl.float32)
        scaled = part * tl.load(norm + at, is_column, 0.0).to(tl.float32)
        is_read = (rows < num_rows)[:, None] & is_column[None, :]
        gate = tl.load(weight + rows[:, None] * size + at[None, :], is_read, 0.0)
        up = tl.load(weight + (num_rows + rows)[:, None] * size + at[None, :], is_read, 0.0)
        gates += gate.to(tl.float32) * scaled[None, :]
        ups += up.to(tl.float32) * scaled[None, :]
        squares += part * part
    factor = tl.rsqrt(tl.sum(squares, 0) / size + eps)
    gate, up = tl.sum(gates, 1) * factor, tl.sum(ups, 1) * factor
    tl.store(out + rows, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), rows < num_rows)


@triton.jit
def _rotated(source, cosines, sines, position, channels, is_channel, K: tl.constexpr):
    """Rotate the K channels at source; each is paired with the one half a head away."""
    partners = (channels + K // 2) % K
    head = tl.load(source + channels, is_channel, 0.0).to(tl.float32)
    partner = tl.load(source + partners, is_channel, 0.0).to(tl.float32)
    cosine = tl.load(cosines + position * K + channels, is_channel, 0.0).to(tl.float32)
    sine = tl.load(sines + position * K + channels, is_channel, 0.0).to(tl.float32)
    return head * cosine + partner * sine


@triton.jit
def rotate_and_store(heads, cosines, sines, inputs, queries, keys, values, head_stride, num_heads,
                     num_kv_heads, K: tl.constexpr, BLOCK: tl.constexpr):
    """Take one of heads [H + 2 Hkv, K] to queries [H, K], keys or values [Hkv, L, K]."""
    head = tl.program_id(0).to(tl.int64)
    channels = tl.arange(0, BLOCK)
    is_channel = channels < K
    position = tl.load(inputs + 1)
    source = heads + head * K
    if head < num_heads + num_kv_heads:
        rotated = _rotated(source, cosines, sines, position, channels, is_channel, K)
        if head < num_heads:
            tl.store(queries + head * K + channels, rotated.to(queries.dtype.element_ty),
                     is_channel)
        else:
            entry = keys + (head - num_heads) * head_stride + position * K
            tl.store(entry + channels, rotated.to(keys.dtype.element_ty), is_channel)
    else:
        entry = values + (head - num_heads - num_kv_heads) * head_stride + position * K
        tl.store(entry + channels, tl.load(source + channels, is_channel, 0.0), is_channel)


@triton.jit
def norm_rotate(heads, norm, cosines, sines, inputs, queries, eps,
                K: tl.constexpr, BLOCK: tl.constexpr):
    """Norm and rotate one of heads [H, K] to queries [H, K]."""
    channels = tl.arange(0, BLOCK)
    is_channel = channels < K
    partners = (channels + K // 2) % K
    position = tl.load(inputs + 1)
    source = heads + tl.program_id(0) * K
    head = tl.load(source + channels, is_channel, 0.0).to(tl.float32)
    partner = tl.load(source + partners, is_channel, 0.0).to(tl.float32)
    factor = tl.rsqrt(tl.sum(head * head, 0) / K + eps)
    head *= factor * tl.load(norm + channels, is_channel, 0.0).to(tl.float32)
    partner *= factor * tl.load(norm + partners, is_channel, 0.0).to(tl.float32)
    cosine = tl.load(cosines + position * K + channels, is_channel, 0.0).to(tl.float32)
    sine = tl.load(sines + position * K + channels, is_channel, 0.0).to(tl.float32)
    tl.store(queries + tl.program_id(0) * K + channels,
             (head * cosine + partner * sine).to(queries.dtype.element_ty), is_channel)


@triton.jit
def attend_part(queries, keys, values, inputs, parts, highest, totals, head_stride, scale,
                LENGTH_AT: tl.constexpr, NUM_CHUNKS: tl.constexpr, CHUNK: tl.constexpr,
                ENTRIES: tl.constexpr, G: tl.constexpr, GROUP: tl.constexpr, K: tl.constexpr,
                BLOCK: tl.constexpr):
    """
    Attend from the G queries of a key head to one chunk of its entries, as far as it is filled.

    parts [Hkv, NUM_CHUNKS, GROUP, BLOCK] are sums of values, not yet divided by totals; highest
    are the largest scores. GROUP and BLOCK are G and K made powers of two.
    """
    head, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    group, channels, entries = tl.arange(0, GROUP), tl.arange(0, BLOCK), tl.arange(0, ENTRIES)
    is_channel = channels < K
    query = tl.load(queries + (head * G + group)[:, None] * K + channels[None, :],
                    (group < G)[:, None] & is_channel[None, :], 0.0).to(tl.float32) * scale
    length = tl.load(inputs + LENGTH_AT)
    best = tl.full([GROUP], float('-inf'), tl.float32)
    total = tl.zeros([GROUP], tl.float32)
    summed = tl.zeros([GROUP, BLOCK], tl.float32)
    for start in range(chunk * CHUNK, tl.minimum(chunk * CHUNK + CHUNK, length), ENTRIES):
        at = start + entries
        is_read = (at < length)[:, None] & is_channel[None, :]
        place = head * head_stride + at[:, None] * K + channels[None, :]
        key = tl.load(keys + place, is_read, 0.0).to(tl.float32)
        score = tl.sum(query[:, None, :] * key[None, :, :], 2)
        score = tl.where((at < length)[None, :], score, float('-inf'))
        new_best = tl.maximum(best, tl.max(score, 1))
        kept = tl.exp(best - new_best)
        weight = tl.exp(score - new_best[:, None])
        value = tl.load(values + place, is_read, 0.0).to(tl.float32)
        summed = summed * kept[:, None] + tl.sum(weight[:, :, None] * value[None, :, :], 1)
        total = total * kept + tl.sum(weight, 1)
        best = new_best
    row = (head * NUM_CHUNKS + chunk) * GROUP + group
    tl.store(parts + row[:, None] * BLOCK + channels[None, :], summed)
    tl.store(highest + row, best)
    tl.store(totals + row, total)


@triton.jit
def join_parts(parts, highest, totals, out, NUM_CHUNKS: tl.constexpr, CHUNKS: tl.constexpr,
               G: tl.constexpr, GROUP: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr):
    """Join the chunks of one query head to its row of out [H, K]."""
    head = tl.program_id(0).to(tl.int64)
    chunks, channels = tl.arange(0, CHUNKS), tl.arange(0, BLOCK)
    row = ((head // G) * NUM_CHUNKS + chunks) * GROUP + head % G
    is_chunk = chunks < NUM_CHUNKS
    best = tl.load(highest + row, is_chunk, float('-inf'))
    factor = tl.exp(best - tl.max(best, 0))
    total = tl.sum(tl.load(totals + row, is_chunk, 0.0) * factor, 0)
    part = tl.load(parts + row[:, None] * BLOCK + channels[None, :], is_chunk[:, None], 0.0)
    summed = tl.sum(part * factor[:, None], 0) / total
    tl.store(out + head * K + channels, summed.to(out.dtype.element_ty), channels < K)
