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
Scenes as the model sees them: frames at its rate, and what is true at each of them.

A seed goes in; frame times, observable events, object states and pictures (u8 RGB, fitted to the
model's size) come out. Training renders many streams in several processes; evaluation makes fresh
ones. Shapes: N streams, L frames in a stream, S = IMAGE_SIZE_PX.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
import random

from moss_ros.model import fit_frame
from moss_ros.training.lamp import lit_by_chance
from moss_ros.training.render_processes import render_in_processes
from moss_ros.training.scenes import (
    answer_question, EventKind, ObjectState, Question, Scene, SceneEvent, SceneRenderer,
)
from moss_ros.training.unknown.statements import answer_in_unknown_world
from moss_ros.training.varied_looks import has_picture_behind, VariedRenderer
import numpy as np
import torch

FRAME_RATE_FPS = 2.0
IMAGE_SIZE_PX = 64
# Seeds of training streams start here; evaluation uses those below.
FIRST_TRAINING_SEED = 1_000_000_000
# A move is called a move once this much of it can be seen, in picture widths (3 of 64 pixels);
# an object whose last two frames differ by less has stopped.
VISIBLE_MOVE = 0.05
VISIBLE_REST = 0.02
# A sampler that picks frames of a 10 Hz camera does not hit the grid exactly.
TIME_JITTER_S = 0.02


@dataclass(frozen=True)
class Stream:
    """
    One scene seen at the model's frame rate.

    times_s: time of each frame in the scene, seconds. truth: what happened, with the index of
    the first frame at or after it. observable: for each frame, the events that can be told from
    the frames up to it, but not earlier. objects: for each frame, the objects at that time.
    is_known_when_empty: whether pictures with nothing in them tell that this is the painted world.
    """

    scene: Scene
    times_s: tuple[float, ...]
    truth: tuple[tuple[int, SceneEvent], ...]
    observable: tuple[tuple[SceneEvent, ...], ...]
    objects: tuple[tuple[ObjectState, ...], ...]
    is_known_when_empty: bool = True

    def is_known(self, first: int, last: int) -> bool:
        """Return whether frames first to last tell that this is the painted world."""
        return self.is_known_when_empty or any(
            state.in_picture for objects in self.objects[first:last + 1] for state in objects)

    def answer(self, question: Question, index: int, first: int = 0) -> str:
        """Return the answer that is true at frame index, when those from first on were seen."""
        if not self.is_known(first, index):
            return answer_in_unknown_world(question.kind, None, of_one_frame=index == first)
        return answer_question(question, self.objects[index])

    @staticmethod
    def is_visible(event: SceneEvent, num_before: int) -> bool:
        """Return whether the event shows, given how many frames of the window came before it."""
        return num_before >= (2 if event.kind is EventKind.STOPS else 1)


def make_stream(seed: int, num_frames: int) -> Stream:
    """Return the stream of num_frames frames of Scene(seed), with a seeded random phase."""
    generator = random.Random(f'stream {seed}')
    start_s = generator.uniform(0.0, 1.0 / FRAME_RATE_FPS)
    return scene_stream(Scene(seed), tuple(
        start_s + index / FRAME_RATE_FPS
        + generator.uniform(-TIME_JITTER_S, TIME_JITTER_S) * (index > 0)
        for index in range(num_frames)))


def scene_stream(scene: Scene, times_s: Sequence[float]) -> Stream:
    """Return what is true of scene at the frames of times_s, ascending, seconds of the scene."""
    num_frames = len(times_s)
    events = scene.events_between(times_s[0], times_s[-1])
    grid = np.asarray(times_s)
    truth = tuple((int(np.searchsorted(grid, event.time_s)), event) for event in events)
    observable = [[] for _ in times_s]
    for _, event in truth:
        index = observable_frame(event, grid)
        if index < num_frames:
            observable[index].append(event)
    objects = tuple(tuple(scene.objects_at(time_s)) for time_s in times_s)
    return Stream(scene, tuple(times_s), truth, tuple(map(tuple, observable)), objects)


def observable_frame(event: SceneEvent, times_s: np.ndarray) -> int:
    """
    Return the index of the first frame from which the event can be told; len(times_s) if none.

    times_s: f64 [F], times of the frames in the scene, ascending.
    """
    if event.kind is EventKind.MOVES:
        return int(np.searchsorted(times_s, event.time_s + VISIBLE_MOVE / event.speed_per_s))
    if event.kind is EventKind.STOPS:
        # Two frames in a row must show (nearly) the same place.
        return int(np.searchsorted(
            times_s, event.time_s - VISIBLE_REST / event.speed_per_s)) + 1
    return int(np.searchsorted(times_s, event.time_s))


# Share of the training streams that do not look as the demo camera's.
P_VARIED = 0.75
# Twice the model's size, 4:3 as the demo camera; some streams have another camera's shape, wide,
# square or upright.
SIZES_PX = ((128, 96),) * 12 + (
    (128, 72), (128, 80), (128, 104), (160, 120), (96, 96), (112, 112), (72, 96), (84, 112))


def camera_size_px(stream: Stream) -> tuple[int, int]:
    """Return the width and height of the pictures of stream, drawn from its seed."""
    return random.Random(f'size {stream.scene.seed}').choice(SIZES_PX)


def content_part(stream: Stream) -> tuple[float, float]:
    """Return which part of the width and height of the model's square the pictures fill."""
    width_px, height_px = camera_size_px(stream)
    longer_px = max(width_px, height_px)
    return width_px / longer_px, height_px / longer_px


def make_training_stream(seed: int, num_frames: int) -> Stream:
    """
    Return make_stream(seed, num_frames) as training_renderer() shows it.

    A made-up picture with nothing before it may be of the unknown world as well.
    """
    return replace(make_stream(seed, num_frames), is_known_when_empty=not (
        _is_varied(seed) and has_picture_behind(seed)))


def training_renderer(scene: Scene, width_px: int, height_px: int) -> SceneRenderer:
    """Return what draws scene for training, in the look of its seed."""
    return (VariedRenderer if _is_varied(scene.seed) else SceneRenderer)(
        scene, width_px, height_px)


def _is_varied(seed):
    return random.Random(f'look {seed}').random() < P_VARIED


def render_stream(stream: Stream) -> np.ndarray:
    """Return the stream's pictures u8 [L, 3, S, S]: size, look and lamp by its seed."""
    renderer = training_renderer(stream.scene, *camera_size_px(stream))
    pictures = np.stack([
        fit_frame(renderer.render(time_s), IMAGE_SIZE_PX).numpy() for time_s in stream.times_s])
    return lit_by_chance(pictures, stream.scene.seed)


def _render_seed(seed: int, num_frames: int) -> np.ndarray:
    torch.set_num_threads(1)
    return render_stream(make_stream(seed, num_frames))


def render_streams(seeds: range, num_frames: int, num_processes: int) -> np.ndarray:
    """Return u8 [N, L, 3, S, S]: the pictures of the streams of all seeds, in their order."""
    pictures = np.empty((len(seeds), num_frames, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX), np.uint8)
    render_in_processes(_render_seed, seeds, (num_frames,), num_processes, pictures.__setitem__)
    return pictures
