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
How fast the model is by itself: copies, decode steps, what frames cost, encoding of frames.

A model goes in, milliseconds and rates come out. No session and no threads of its own: that is
stream_measures.py. Called by the command, on its main thread; each function blocks for about as
long as it is told to measure.

Letters: N states a frame, D text channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median, quantiles
import time
from typing import Protocol

from moss_ros.model import DecoderCache, VideoModel
from moss_ros.stream import encode_frames, Frame
import numpy as np
import torch

# Larger than any cache of a processor, so that it is the memory that is measured.
_COPIED_BYTES = 256 * 2**20
_NUM_WARM_UP_STEPS = 3
_MIN_REPEATS = 3
# As the frames of a camera.
PICTURE_SIZE_PX = (640, 480)


def next_logits(model: VideoModel, cache: DecoderCache, token_id: int) -> torch.Tensor:
    """Append one text token to the cache; return the logits [V] after it: what is measured."""
    return model.decode([cache], [token_id])[0]


class Decoder(Protocol):
    """What is timed: a stream of text that says one token a step, greedily."""

    def step(self) -> None:
        """Decode one token and read its id back to the host; blocks until it is there."""


class OwnDecoder:
    """This package's model after text and frames: a Decoder."""

    def __init__(self, model: VideoModel, num_tokens: int, num_frames: int, num_steps: int):
        """
        Fill a cache with num_tokens and num_frames, and leave room for num_steps more tokens.

        Keys and values are random: the time of a step does not depend on them.
        """
        self.model = model
        self.num_tokens = num_tokens
        self.num_frames = num_frames
        # One frame more, for with_frame().
        self.cache = model.new_cache(num_tokens + num_steps + 1, num_frames + 1)
        fill_cache(self.cache, model, num_tokens, num_frames)
        self._token_id = 0
        states = torch.zeros(1, model.config.num_frame_tokens, model.config.text.hidden_size)
        self._states = states.to(model.device, model.dtype)

    def step(self) -> None:
        """Decode one token greedily; see Decoder."""
        token_id = int(next_logits(self.model, self.cache, self._token_id).argmax())
        self._token_id = 0 if token_id == self.model.config.image_token_id else token_id

    def step_with_frame(self) -> None:
        """Take in an encoded frame instead of a text token, and choose a token after it."""
        image_id = self.model.config.image_token_id
        int(self.model.append(self.cache, [image_id], self._states).argmax())

    def rewind(self) -> None:
        """Forget the tokens and frames of all steps."""
        self.cache.truncate(self.num_tokens, self.num_frames)


class SharedDecoder:
    """Several streams that say a token each in one step: a Decoder."""

    def __init__(self, model: VideoModel, num_streams: int, num_tokens: int, num_frames: int,
                 num_steps: int):
        """Fill as many caches as OwnDecoder fills one."""
        self._model = model
        self._caches = [model.new_cache(num_tokens + num_steps, num_frames)
                        for _ in range(num_streams)]
        for cache in self._caches:
            fill_cache(cache, model, num_tokens, num_frames)
        self._token_ids = [0] * num_streams

    def step(self) -> None:
        """Decode a token of each stream greedily; see Decoder."""
        token_ids = self._model.decode(self._caches, self._token_ids).argmax(-1).tolist()
        image_id = self._model.config.image_token_id
        self._token_ids = [0 if token_id == image_id else token_id for token_id in token_ids]


def fill_cache(cache: DecoderCache, model: VideoModel, num_tokens: int, num_frames: int) -> None:
    """Put random keys and values of so many tokens and frames into an empty cache."""
    text = model.config.text
    num_cross = len(text.cross_attention_layers)
    sizes = ((text.num_hidden_layers - num_cross, num_tokens),
             (num_cross, num_frames * model.config.num_frame_tokens))
    generator = torch.Generator(model.device).manual_seed(0)
    cache.restore(*(torch.empty(
        num_layers, 2, 1, text.num_key_value_heads, num_entries, text.head_dim,
        device=model.device, dtype=model.dtype).normal_(generator=generator)
        for num_layers, num_entries in sizes))


def step_times_ms(decoder: Decoder, num_steps: int) -> list[float]:
    """Return the ms that each of num_steps steps took."""
    times_ms = []
    for _ in range(num_steps):
        begin_s = time.perf_counter()
        decoder.step()
        times_ms.append(1e3 * (time.perf_counter() - begin_s))
    return times_ms


def measure_steps(decoder: OwnDecoder, num_steps: int, seconds: float) -> list[float]:
    """Return the ms of decode steps, in rounds of num_steps from the same beginning."""
    step_times_ms(decoder, _NUM_WARM_UP_STEPS)
    decoder.rewind()
    times_ms: list[float] = []
    end_s = time.perf_counter() + seconds
    while not times_ms or time.perf_counter() < end_s:
        times_ms += step_times_ms(decoder, num_steps)
        decoder.rewind()
    return times_ms


def steps_in(decoder: OwnDecoder, seconds: float, most: int) -> int:
    """Return how many steps fit into seconds, at least 4 and at most most; for rounds of them."""
    step_times_ms(decoder, _NUM_WARM_UP_STEPS)
    times_ms = step_times_ms(decoder, _NUM_WARM_UP_STEPS)
    decoder.rewind()
    return max(4, min(most, int(1e3 * seconds / median(times_ms))))


def measure_pairs(own: Decoder, peer: Decoder, num_steps: int,
                  num_pairs: int) -> list[tuple[float, float]]:
    """
    Return pairs of (own, peer): median ms of a step, over num_steps of one, then of the other.

    Both go on from where they were, so that both grow alike.
    """
    for decoder in (own, peer):
        step_times_ms(decoder, _NUM_WARM_UP_STEPS)
    return [(median(step_times_ms(own, num_steps)), median(step_times_ms(peer, num_steps)))
            for _ in range(num_pairs)]


def percentiles(values: Sequence[float]) -> dict[str, float | int]:
    """Return p50, p95 and how many there were; values must not be empty."""
    # Doubled, because quantiles() needs at least two values.
    ordered = quantiles([*values, *values], n=100, method='inclusive')
    return {'p50': ordered[49], 'p95': ordered[94], 'num': len(values)}


def copy_bytes_per_s(device: torch.device, seconds: float) -> float:
    """
    Return the bytes a second that a large copy on the device reads and writes, the best of some.

    On a CPU with the threads that torch has now, as the model has.
    """
    source = torch.ones(_COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    # On a GPU so many that their launch and the wait for the last one do not count.
    num_copies = 20 if device.type == 'cuda' else 1

    def copy():
        for _ in range(num_copies):
            target.copy_(source)

    return 2 * num_copies * _COPIED_BYTES / min(repeated_s(copy, device, seconds))


def measure_encoding(model: VideoModel, num_frames: int, seconds: float) -> float:
    """Return the median ms a frame to turn pictures, num_frames at a time, into states."""
    frames = [camera_frame(index, index) for index in range(num_frames)]
    times_s = repeated_s(lambda: encode_frames(model, frames), model.device, seconds)
    return 1e3 * median(times_s) / num_frames


def camera_frame(seed: int, stamp_ns: int, received_ns: int = 0) -> Frame:
    """Return a frame of noise, as large as a camera's."""
    width, height = PICTURE_SIZE_PX
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(image, stamp_ns, received_ns)


def repeated_s(function: Callable[[], object], device: torch.device,
               seconds: float) -> list[float]:
    """Return the seconds of each call, of at least a few; the first, to warm up, is left out."""
    times_s = []
    end_s = time.perf_counter() + seconds
    while len(times_s) <= _MIN_REPEATS or time.perf_counter() < end_s:
        begin_s = time.perf_counter()
        function()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        times_s.append(time.perf_counter() - begin_s)
    return times_s[1:]


def frame_counts(up_to: int) -> list[int]:
    """Return the numbers of frames at which a step is timed: multiples of 64 up to up_to."""
    most = up_to // 64 * 64
    return [count for count in (64, 128, 256, 512, 768) if count < most] + [most] * (most > 0)


def measure_more_frames(model: VideoModel, num_tokens: int, counts: Sequence[int], num_steps: int,
                        num_rounds: int) -> list[tuple[int, float]]:
    """Return (frames, median ms of a step) for each of counts, ascending, in turn by rounds."""
    decoder = OwnDecoder(model, num_tokens, counts[-1], num_steps)
    times_ms: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(num_rounds):
        fill_cache(decoder.cache, model, num_tokens, counts[-1])
        for count in reversed(counts):  # a cache can only be cut
            decoder.cache.truncate(num_tokens, count)
            times_ms[count] += step_times_ms(decoder, num_steps)
            decoder.cache.truncate(num_tokens, count)
    return [(count, median(times_ms[count])) for count in counts]


def ms_per_64_frames(points: Sequence[tuple[int, float]]) -> float | None:
    """Return the ms that 64 frames more cost: the slope of the line that fits points best."""
    if len(points) < 2:
        return None
    counts, times_ms = zip(*points)
    return 64 * float(np.polyfit(counts, times_ms, 1)[0])
