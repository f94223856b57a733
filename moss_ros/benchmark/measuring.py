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
One run of the benchmark: what is to be measured goes in, a dict of figures for JSON comes out.

prepare() checks everything that can be wrong before it takes time; measure() measures one thing
after the other. Called by the command. docs/benchmarks.md explains each figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
import platform
from statistics import median

from moss_ros.benchmark import decode_measures as measures
from moss_ros.benchmark.launches import (
    count_gpu_launches, count_host_syncs, count_launches,
)
from moss_ros.benchmark.memory_floor import cache_bytes, state_bytes, step_bytes, weight_bytes
from moss_ros.benchmark.peer import PeerDecoder, require_peer
from moss_ros.benchmark.presets import (
    DEFAULT_FRAMES, empty_model, EndlessChat, preset_config, preset_options, random_subject,
    Subject, word_chat,
)
from moss_ros.benchmark.room import Room
from moss_ros.benchmark.single_layers import measure_layers
from moss_ros.benchmark.stream_measures import WatchedStream
from moss_ros.model import choose_device, choose_dtype, ModelConfig
from moss_ros.model.attention import flash_kernel
from moss_ros.model.quantization import check_quantization, decoder_weights
from moss_ros.stream import encode_frames, StreamCheckpoint
import psutil
import torch

_MOST_STEPS = 64  # of a round
# Streams that share a step, as the cameras of one machine.
_NUM_STREAMS = 4
_NUM_SHARED_PAIRS = 5
_NUM_ROUNDS = 3
_GROUP = 8  # frames encoded at once
# A room for what a stream says, in case that it is faster than the model by itself was measured.
_ROOM = 2.0


@dataclass(frozen=True)
class Plan:
    """
    What to measure, and how.

    - name: of the preset; None: checkpoint, a folder or an id.
    - num_frames: watched before; None: as many as suit the preset or the checkpoint.
    - ingest_fps: rates at which frames arrive. seconds: for which each figure is measured.
    - num_prompts: questions asked, and frames shown, for the percentiles.
    - up_to: frames up to which the cost of more frames is measured.
    - num_pairs: measurements of each in turn with the peer; 0: no peer.
    - num_threads: of the CPU; None: as torch chooses. eager: without CUDA graphs.
    """

    name: str | None
    checkpoint: str | None
    device: str
    dtype: str
    attention: str
    quantization: str | None
    num_frames: int | None
    ingest_fps: tuple[float, ...]
    seconds: float
    num_prompts: int
    up_to: int
    num_pairs: int
    num_threads: int | None
    seed: int
    eager: bool


@dataclass(frozen=True)
class Bench:
    """
    All that was checked and made for a Plan.

    - attention: 'sdpa' or 'flash'.
    - subject: None where the model does not fit into memory; then single layers are measured.
    - num_frames, num_tokens: of the context before what is measured.
    - num_free_frames: frames up to which the cost of more frames can be measured here.
    """

    plan: Plan
    device: torch.device
    dtype: torch.dtype
    attention: str
    config: ModelConfig
    subject: Subject | None
    num_frames: int
    num_tokens: int
    num_free_frames: int


def prepare(plan: Plan, say: Callable[[str], None]) -> Bench:
    """
    Check the plan and load or make the model; say() is told what takes time.

    Raises ValueError, CheckpointError or PeerError that name what is wrong and the way out.
    """
    if plan.num_threads is not None:
        torch.set_num_threads(plan.num_threads)
    device = choose_device(plan.device)
    dtype = choose_dtype(plan.dtype, device)
    checkpoint = None
    if plan.name is None:
        checkpoint = StreamCheckpoint.open(plan.checkpoint, plan.seed)
        config = ModelConfig.from_folder(checkpoint.folder)
        num_frames, options = checkpoint.options.max_context_frames, checkpoint.options
        chat = EndlessChat(checkpoint.chat.tokenizer_file)
    else:
        config = preset_config(plan.name)
        num_frames, chat = DEFAULT_FRAMES[plan.name], word_chat(config.text.vocab_size)
        options = preset_options(plan.name, plan.seed)
    num_frames = num_frames if plan.num_frames is None else plan.num_frames
    num_tokens = len(chat.opening(options.system_prompt)) + 2 * num_frames
    empty = empty_model(config)
    kernel = flash_kernel(plan.attention, device, dtype)
    check_quantization(plan.quantization, device, dtype, empty)
    if plan.num_pairs:
        require_peer(config)
    room = Room.beside(config, empty, device, dtype, plan.quantization, num_tokens, num_frames)
    subject = None
    # Of a checkpoint that does not fit, load_model() says what would.
    if room.holds_weights:
        room.require_context(has_peer=plan.num_pairs > 0)
    if checkpoint is not None:
        say(f'reading {checkpoint.folder}')
        model = checkpoint.load_model(device, dtype, plan.attention, plan.quantization)
        subject = Subject(str(checkpoint.folder), False, model, chat, options)
    elif room.holds_weights:
        say(f'making random weights of preset {plan.name}')
        subject = random_subject(
            plan.name, device, dtype, plan.attention, plan.quantization, plan.seed)
    else:
        if plan.num_pairs:
            raise ValueError(
                f'--peer transformers needs two whole models in memory, and {plan.name} alone '
                f'{room.shortage}: leave it out, and single layers are measured')
        say(f'{plan.name} {room.shortage}: one layer of each kind is measured, at true width')
    if subject is not None:
        subject.model.eager = plan.eager
    num_free_frames = room.num_more_frames(plan.up_to)
    if subject is not None and num_free_frames < plan.up_to:
        say(f'there is memory for {num_free_frames} of the {plan.up_to} frames of --up-to')
    return Bench(plan, device, dtype, 'sdpa' if kernel is None else 'flash', config, subject,
                 num_frames, num_tokens, num_free_frames)


def measure(bench: Bench, say: Callable[[str], None]) -> dict:
    """
    Measure all figures, one after the other; say() is told what is measured now.

    Returns plain values for JSON. Raises StreamError where the stream fails.
    """
    plan = bench.plan
    say('copying')
    bytes_per_s = measures.copy_bytes_per_s(bench.device, plan.seconds)
    figures = {
        'benchmark': 'bench_stream', 'machine': _machine(bench.device), 'model': _model(bench),
        'frames': bench.num_frames, 'text_tokens': bench.num_tokens, 'seconds': plan.seconds,
        'copy_gb_per_s': bytes_per_s / 1e9, 'note': None,
        **dict.fromkeys((
            'decode', 'operations', 'gpu_launches', 'host_syncs', 'shared', 'peer',
            'first_token_ms', 'frame_to_token_ms', 'encode_ms', 'ingest', 'memory_bytes',
            'more_frames', 'layers'))}
    if bench.subject is None:
        say('one layer of each kind')
        figures['note'] = ('the model does not fit into memory: these are single layers, and say '
                           'nothing of the whole')
        figures['layers'] = measure_layers(
            bench.config, bench.device, bench.dtype, plan.attention, plan.quantization,
            bench.num_tokens, bench.num_frames, bytes_per_s, plan.seconds)
        return figures
    _measure_model(bench, bytes_per_s, figures, say)
    _measure_stream(bench, figures, say)
    figures['memory_bytes'] = _memory(bench)  # after all else, for the peak
    return figures


def _measure_model(bench, bytes_per_s, figures, say):
    """Measure what needs no session."""
    plan, model = bench.plan, bench.subject.model
    say(f'decoding after {bench.num_frames} frames')
    decoder = measures.OwnDecoder(model, bench.num_tokens, bench.num_frames, _MOST_STEPS + 1)
    num_steps = measures.steps_in(decoder, plan.seconds / 4, _MOST_STEPS)
    times_ms = measures.measure_steps(decoder, num_steps, plan.seconds)
    num_bytes = step_bytes(
        bench.config, bench.num_tokens, bench.num_frames, bench.dtype, plan.quantization)
    step_ms, floor_ms = median(times_ms), 1e3 * num_bytes / bytes_per_s
    figures['decode'] = {
        'tokens_per_s': 1e3 / step_ms, 'step_ms': measures.percentiles(times_ms),
        'bytes': num_bytes, 'floor_ms': floor_ms, 'share_of_floor': floor_ms / step_ms}
    frames = [measures.camera_frame(0, 0)]
    figures['operations'] = {
        'decode': count_launches(decoder.step),
        'with_frame': count_launches(decoder.step_with_frame),
        'encode': count_launches(lambda: encode_frames(model, frames))}
    decoder.rewind()
    figures['gpu_launches'] = count_gpu_launches(decoder.step, bench.device)
    figures['host_syncs'] = count_host_syncs(decoder.step, bench.device)
    del decoder
    figures['shared'] = _shared(bench, num_steps, say)
    if plan.num_pairs:
        figures['peer'] = _peer(bench, num_steps, say)
    say('encoding frames')
    figures['encode_ms'] = {
        'one': measures.measure_encoding(model, 1, plan.seconds / 2),
        f'of_{_GROUP}': measures.measure_encoding(model, _GROUP, plan.seconds / 2)}
    say('the cost of more frames')
    counts = measures.frame_counts(bench.num_free_frames)
    points = measures.measure_more_frames(
        model, bench.num_tokens, counts, max(4, num_steps // 4), _NUM_ROUNDS) if counts else []
    figures['more_frames'] = {
        'ms_per_64': measures.ms_per_64_frames(points),
        'bytes_per_64': cache_bytes(bench.config, 0, 64, bench.dtype)[1]
        + state_bytes(bench.config, 64, bench.dtype),
        'step_ms': [list(point) for point in points]}


def _shared(bench, num_steps, say):
    say(f'{_NUM_STREAMS} streams in one step, in turn with one')
    model, num_all = bench.subject.model, (_NUM_SHARED_PAIRS + 1) * num_steps
    one = measures.OwnDecoder(model, bench.num_tokens, bench.num_frames, num_all)
    shared = measures.SharedDecoder(
        model, _NUM_STREAMS, bench.num_tokens, bench.num_frames, num_all)
    pairs_ms = measures.measure_pairs(one, shared, num_steps, _NUM_SHARED_PAIRS)
    return {
        'num_streams': _NUM_STREAMS,
        'tokens_per_s': 1e3 * _NUM_STREAMS / median(shared_ms for _, shared_ms in pairs_ms),
        'ratio': median(_NUM_STREAMS * one_ms / shared_ms for one_ms, shared_ms in pairs_ms)}


def _peer(bench, num_steps, say):
    say('transformers, in turn with this package')
    plan, model = bench.plan, bench.subject.model
    own = measures.OwnDecoder(
        model, bench.num_tokens, bench.num_frames, (plan.num_pairs + 1) * num_steps)
    peer = PeerDecoder(bench.config, bench.device, bench.dtype, bench.num_tokens, bench.num_frames)
    pairs_ms = measures.measure_pairs(own, peer, num_steps, plan.num_pairs)
    return {
        'name': 'transformers', 'version': peer.version, 'dtype': str(bench.dtype)[6:],
        'num_parameters': peer.num_parameters, 'pairs_ms': [list(pair) for pair in pairs_ms],
        'own_tokens_per_s': 1e3 / median(own_ms for own_ms, _ in pairs_ms),
        'tokens_per_s': 1e3 / median(peer_ms for _, peer_ms in pairs_ms),
        'ratio': median(peer_ms / own_ms for own_ms, peer_ms in pairs_ms)}


def _measure_stream(bench, figures, say):
    """Measure what needs a session and its worker."""
    plan = bench.plan
    if bench.device.type == 'cuda':  # the peak is told of a stream alone
        torch.cuda.reset_peak_memory_stats(bench.device)
    rate = figures['decode']['tokens_per_s']
    room = 64 + int(_ROOM * rate * plan.seconds)
    num_more_frames = int(max((*plan.ingest_fps, 0)) * plan.seconds) + plan.num_prompts
    say(f'a stream: watching {bench.num_frames} frames')
    stream = WatchedStream(
        bench.subject, bench.num_frames, room, num_more_frames, torch.get_num_threads())
    figures['operations']['session'] = count_launches(stream.speaking_step())
    stream.forget_steps()
    with stream:
        say('first tokens')
        figures['first_token_ms'] = {
            name: measures.percentiles(stream.first_token_ms(is_speaking, plan.num_prompts))
            for name, is_speaking in (('silent', False), ('speaking', True))}
        figures['frame_to_token_ms'] = measures.percentiles(
            stream.frame_to_token_ms(plan.num_prompts))
        rows = []
        for fps in plan.ingest_fps:
            say(f'speaking while {fps:g} frames a second arrive')
            rows.append(stream.ingest(fps, plan.seconds))
    idle = next((row.tokens_per_s for row in rows if row.fps == 0), None)
    figures['ingest'] = [{
        'fps': row.fps, 'tokens_per_s': row.tokens_per_s,
        'share_of_idle': row.tokens_per_s / idle if idle and row.fps else None,
        'num_arrived': row.num_arrived, 'num_seen': row.num_seen, 'num_dropped': row.num_dropped,
        'frame_to_token_ms': measures.percentiles(row.latencies_ms) if row.latencies_ms else None,
        'num_rollovers': row.num_rollovers} for row in rows]


def _machine(device):
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else _cpu_name()
    return {
        'device': str(device), 'name': name, 'num_cores': len(os.sched_getaffinity(0)),
        'num_threads': torch.get_num_threads(), 'torch': torch.__version__}


def _cpu_name():
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    return next((line.partition(':')[2].strip() for line in lines
                 if line.startswith('model name')), platform.machine())


def _model(bench):
    plan = bench.plan
    return {
        'name': plan.name or str(plan.checkpoint), 'is_random': plan.name is not None,
        'num_parameters': sum(each.numel() for each in empty_model(bench.config).parameters()),
        'dtype': str(bench.dtype)[6:], 'quantization': plan.quantization,
        'attention': bench.attention, 'eager': plan.eager}


def _memory(bench):
    empty = empty_model(bench.config)
    shapes = {name: parameter.shape for name, parameter in empty.named_parameters()}
    text, frames = cache_bytes(bench.config, bench.num_tokens, bench.num_frames, bench.dtype)
    if bench.device.type == 'cuda':
        measured, total = 'peak on the GPU', torch.cuda.max_memory_allocated(bench.device)
    else:
        measured, total = 'resident at the end', psutil.Process().memory_info().rss
    return {
        'weights': weight_bytes(
            shapes, set(decoder_weights(empty)), bench.dtype, bench.plan.quantization),
        'text_cache': text, 'frame_cache': frames,
        'frame_states': state_bytes(bench.config, bench.num_frames, bench.dtype),
        'measured': measured, 'total': total}
