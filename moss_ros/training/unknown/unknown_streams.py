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
Unknown scenes as the model sees them: frames at its rate, and what is true at each of them.

A seed goes in; frame times, observable events, what goes on and pictures (u8 RGB, fitted to the
model's size) come out, in the way of the painted scenes' streams. Training renders many in
several processes; evaluation makes fresh ones, also of photographs.

Shapes: L frames in a stream, S image side in pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
import math
import random
from typing import ClassVar

import cv2
from moss_ros.model.preprocess import fit_frame, fitted_size
from moss_ros.training.false_colours import colourless_by_chance
from moss_ros.training.lamp import lit_by_chance
from moss_ros.training.render_processes import render_in_processes
from moss_ros.training.scenes import Question
from moss_ros.training.unknown.dissolves import dissolved_by_chance
from moss_ros.training.unknown.filming import Film, film_size_px
from moss_ros.training.unknown.happenings import Phase, UnknownScene, VISIBLE_MOVE
from moss_ros.training.unknown.overlays import overlaid_by_chance
from moss_ros.training.unknown.statements import (
    answer_in_unknown_world, CAMERA_KINDS, DISTURBANCES, END_OF, GOING_ON, Happening,
    SOMETHING_BY_ZONE, told_as, UnknownEvent,
)
import numpy as np
import torch

# Two frames that differ by less show rest.
VISIBLE_REST = 0.012
# Height of the picture in widths: mostly that of cameras, some upright.
ASPECTS = (0.75, 0.75, 0.75, 0.5625, 0.5625, 0.625, 1.0, 1.3333)
P_STILL, P_HALF_RATE, P_DROPPING, P_DROP = 0.06, 0.08, 0.08, 0.15
ENDS = (Happening.STOPS, Happening.NOTHING)


@dataclass(frozen=True)
class UnknownStream:
    """
    One unknown scene seen at the model's frame rate, as Stream is one painted scene.

    going_on: by frame index, one of GOING_ON, that which has been observable and has not ended.
    colourless_share: of the training's cameras of such streams, which part shows no true colours.
    """

    colourless_share: ClassVar[float] = 0.08

    scene: UnknownScene
    times_s: tuple[float, ...]
    truth: tuple[tuple[int, UnknownEvent], ...]
    observable: tuple[tuple[UnknownEvent, ...], ...]
    going_on: tuple[Happening | None, ...]

    def answer(self, question: Question, index: int, first: int = 0) -> str:
        """Return the answer that is true at frame index, when those from first on were seen."""
        return answer_in_unknown_world(question.kind, self.going_on[index], index == first)

    def camera(self, photographs: Sequence[np.ndarray] = ()) -> Callable[[float], np.ndarray]:
        """Return what gives the picture u8 [H, W, 3] RGB at a time; photographs: as of Film."""
        cv2.setNumThreads(1)
        return Film(self.scene, photographs).picture

    @staticmethod
    def is_visible(event: UnknownEvent, num_before: int) -> bool:
        """
        Return whether the event shows, given how many frames of the window came before it.

        One move may have begun before the first frame; an end needs something that ended.
        """
        is_of_picture = event.kind in DISTURBANCES or event.kind is Happening.CLEAR
        return num_before >= (1 if is_of_picture else 2)


def make_unknown_stream(seed: int, num_frames: int, frame_rate_fps: float) -> UnknownStream:
    """Return a stream of num_frames frames, with seeded phase, jitter, drops and faults."""
    generator = random.Random(f'unknown stream {seed}')
    rate = frame_rate_fps * (0.5 if generator.random() < P_HALF_RATE else 1.0)
    p_drop = P_DROP if generator.random() < P_DROPPING else 0.0
    times_s, time_s = [], generator.uniform(0.0, 1 / rate)
    while len(times_s) < num_frames:
        if not times_s or generator.random() >= p_drop:
            times_s.append(time_s + generator.uniform(-0.02, 0.02) * bool(times_s))
        time_s += 1 / rate
    scene = UnknownScene(seed, times_s[-1], generator.choice(ASPECTS),
                         is_still=generator.random() < P_STILL)
    return stream_of(scene, times_s)


def stream_of(scene: UnknownScene, times_s: Sequence[float]) -> UnknownStream:
    """Return what is true of scene at the frames of times_s, ascending, seconds of the scene."""
    grid = np.asarray(times_s)
    truth, observable, going_on = [], [[] for _ in times_s], [None] * len(times_s)
    now = None
    changes: dict[int, list] = {}
    for event in scene.events():
        phase = _phase_of(scene, event)
        if event.time_s > times_s[-1]:
            continue
        truth.append((int(np.searchsorted(grid, event.time_s)), event))
        index = observable_index(event, phase, grid)
        if index < len(times_s):
            observable[index].append(event)
            changes.setdefault(index, []).append(event.kind)
    for index in range(len(times_s)):
        for kind in changes.get(index, ()):
            now = kind if kind in GOING_ON else None
        going_on[index] = now
    return UnknownStream(scene, tuple(times_s), tuple(truth), tuple(map(tuple, observable)),
                         tuple(going_on))


def _phase_of(scene, event) -> Phase:
    """Return the phase that an event begins or ends."""
    return next(phase for phase in scene.phases
                if phase.start_s == event.time_s and told_as(phase.kind) is event.kind
                or phase.end_s == event.time_s and END_OF[phase.kind] is event.kind)


def observable_index(event: UnknownEvent, phase: Phase, times_s: np.ndarray) -> int:
    """Return the index of the first frame from which the event can be told, or len(times_s)."""
    if event.kind in DISTURBANCES:
        return int(np.searchsorted(times_s, event.time_s + 0.8 * phase.ramp_s))
    if event.kind is Happening.CLEAR:
        return int(np.searchsorted(times_s, event.time_s - 0.1 * phase.ramp_s))
    if event.kind in ENDS:
        late_s = math.sqrt(2 * phase.ramp_s * VISIBLE_REST / phase.visible_per_s)
        late_s = min(late_s, VISIBLE_REST / phase.visible_per_s + phase.ramp_s / 2)
        return int(np.searchsorted(times_s, event.time_s - late_s)) + 1
    if event.kind in CAMERA_KINDS and phase.shake:
        return int(np.searchsorted(times_s, event.time_s + phase.ramp_s))
    if event.kind in CAMERA_KINDS or event.kind in SOMETHING_BY_ZONE:
        way_s = VISIBLE_MOVE / phase.visible_per_s
        return int(np.searchsorted(times_s, event.time_s + way_s + phase.ramp_s / 2))
    raise ValueError(f'unknown kind of event {event.kind!r}')


def render_unknown_stream(stream: UnknownStream, image_size_px: int,
                          photographs: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Return the stream's pictures u8 [L, 3, S, S]."""
    picture_at = stream.camera(photographs)
    return np.stack([
        fit_frame(picture_at(time_s), image_size_px).numpy() for time_s in stream.times_s])


def _render(stream: UnknownStream, image_size_px: int) -> np.ndarray:
    torch.set_num_threads(1)
    scene, pictures = stream.scene, render_unknown_stream(stream, image_size_px)
    if not any(phase.kind in DISTURBANCES for phase in scene.phases):
        content_px = fitted_size(*film_size_px(scene), image_size_px)
        pictures = dissolved_by_chance(pictures, scene.seed, partial(
            render_unknown_stream, stream, image_size_px))
        pictures = overlaid_by_chance(pictures, content_px, scene.seed)
        pictures = colourless_by_chance(pictures, content_px, scene.seed, stream.colourless_share)
    return lit_by_chance(pictures, scene.seed)


def render_unknown_streams(streams: Sequence[UnknownStream], image_size_px: int,
                           num_processes: int) -> np.ndarray:
    """Return u8 [N, L, 3, S, S]: streams of one length for training, some spoilt by chance."""
    shape = len(streams), len(streams[0].times_s), 3, image_size_px, image_size_px
    pictures = np.empty(shape, np.uint8)
    render_in_processes(_render, streams, (image_size_px,), num_processes, pictures.__setitem__)
    return pictures
