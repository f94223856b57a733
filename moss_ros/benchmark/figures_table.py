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
Figures as a table for people: what measuring.py measured goes in, lines of text come out.

Knows the keys of the figures and how to say them; docs/benchmarks.md explains each.
"""

from __future__ import annotations

from collections.abc import Iterator

_NAME_WIDTH = 34


def table_of(figures: dict) -> str:
    """Return lines for people, without a line break at the end."""
    lines = [_heading(figures)]
    lines += [f'  {name:<{_NAME_WIDTH}} {value}' for name, value in _rows(figures)]
    return '\n'.join(lines)


def _heading(figures):
    machine, model = figures['machine'], figures['model']
    weights = 'random weights' if model['is_random'] else 'its own weights'
    quantization = f', {model["quantization"]}' if model['quantization'] else ''
    return (f'{model["name"]}: {model["num_parameters"] / 1e6:,.1f} M parameters, {weights}, '
            f'{model["dtype"]}{quantization}, attention {model["attention"]}\n'
            f'on {machine["device"]} ({machine["name"]}), {machine["num_threads"]} of '
            f'{machine["num_cores"]} CPU cores, torch {machine["torch"]}; '
            f'{figures["frames"]} frames and {figures["text_tokens"]} text tokens before')


def _rows(figures) -> Iterator[tuple[str, str]]:
    yield 'copy bandwidth', f'{figures["copy_gb_per_s"]:.1f} GB/s'
    if figures['layers'] is not None:
        yield from _layer_rows(figures)
        return
    decode = figures['decode']
    yield ('decode', f'{decode["tokens_per_s"]:.1f} tokens/s '
                     f'({_ms(decode["step_ms"])} a step)')
    yield ('memory floor', f'{decode["floor_ms"]:.3g} ms for {decode["bytes"] / 1e6:,.1f} MB a '
                           f'step; share reached: {decode["share_of_floor"]:.2f}')
    operations = figures['operations']
    yield ('operations a step', f'{operations["decode"]} '
                                f'(with a frame {operations["with_frame"]}, in a session '
                                f'{operations["session"]}; to encode a frame '
                                f'{operations["encode"]})')
    if figures['gpu_launches'] is not None:
        yield 'launches on the GPU a step', str(figures['gpu_launches'])
    num_syncs = figures['host_syncs']
    yield ('host synchronisations a step',
           'none: a CPU has no device to wait for' if num_syncs is None else str(num_syncs))
    shared = figures['shared']
    yield (f'{shared["num_streams"]} streams in one step',
           f'{shared["tokens_per_s"]:.1f} tokens/s in all, {shared["ratio"]:.2f} times one')
    if figures['peer'] is not None:
        yield from _peer_rows(figures['peer'])
    first = figures['first_token_ms']
    yield 'first token, asked in silence', _ms(first['silent'])
    yield 'first token, asked in a sentence', _ms(first['speaking'])
    yield 'frame to first token, in silence', _ms(figures['frame_to_token_ms'])
    encode = figures['encode_ms']
    yield ('encoding, a frame', f'{encode["one"]:.3g} ms alone, {encode["of_8"]:.3g} ms in a '
                                f'group of 8')
    for row in figures['ingest']:
        yield f'speaking at {row["fps"]:g} frames/s', _ingest_text(row)
    yield from _memory_rows(figures)


def _ingest_text(row):
    text = f'{row["tokens_per_s"]:.1f} tokens/s'
    if row['share_of_idle'] is not None:
        text += f' ({row["share_of_idle"]:.2f} of the rate without frames)'
    if row['num_arrived']:
        text += (f'; {row["num_seen"]} of {row["num_arrived"]} frames seen, '
                 f'{row["num_dropped"]} dropped')
    if row['frame_to_token_ms']:
        text += f'; frame to token {_ms(row["frame_to_token_ms"])}'
    if row['num_rollovers']:
        text += '; the context was full, so the rate is too low: measure for less long'
    return text


def _memory_rows(figures):
    memory = figures['memory_bytes']
    weights = ', '.join(f'{name} {_mb(num)}' for name, num in memory['weights'].items())
    yield 'memory, weights', weights
    yield ('memory, caches', f'text {_mb(memory["text_cache"])}, frames '
                             f'{_mb(memory["frame_cache"])}, states of frames '
                             f'{_mb(memory["frame_states"])}')
    yield f'memory, {memory["measured"]}', _mb(memory['total'])
    more = figures['more_frames']
    cost = 'not measured' if more['ms_per_64'] is None else f'{more["ms_per_64"]:.3g} ms a step'
    yield 'a further 64 frames', f'{cost}, {_mb(more["bytes_per_64"])}'
    for num_frames, step_ms in more['step_ms']:
        yield f'  a step with {num_frames} frames', f'{step_ms:.3g} ms'


def _peer_rows(peer):
    yield (f'{peer["name"]} {peer["version"]}',
           f'{peer["tokens_per_s"]:.1f} tokens/s in turn with {peer["own_tokens_per_s"]:.1f} of '
           f'this package, {len(peer["pairs_ms"])} pairs')
    yield 'times the rate of transformers', f'{peer["ratio"]:.2f}'


def _layer_rows(figures):
    yield 'NOT the whole model', figures['note']
    for row in figures['layers']:
        text = f'{row["ms"]:.3g} ms'
        if row['bytes'] is not None:
            text += (f' a step; floor {row["floor_ms"]:.3g} ms for {row["bytes"] / 1e6:,.1f} MB; '
                     f'share reached: {row["share_of_floor"]:.2f}')
        else:
            text += ' a frame'
        yield f'one layer, {row["kind"]} (of {row["num_in_model"]})', text


def _ms(figure):
    return f'p50 {figure["p50"]:.3g} ms, p95 {figure["p95"]:.3g} ms'


def _mb(num_bytes):
    return f'{num_bytes / 1e6:,.1f} MB'
