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
Streams that no training has seen, as one camera shows them, for the evaluation.

What is to be shown goes in (a world, photographs or another renderer, a disturbance), and for a
seed a stream and its pictures come out. The same seed shows the same scene in all conditions, but
for cameras of another size in the unknown world: its things move as the shape of the picture lets
them. Of the painted world by a camera without colours that is true which is in colourless.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
import random
import runpy

import cv2
from moss_ros.training.colourless import colourless_stream
from moss_ros.training.disturbances import CLEAN, DISTURBANCES
from moss_ros.training.questions import other_question
from moss_ros.training.scenes import SceneRenderer
from moss_ros.training.scenes.wordings import known_wording, random_wording
from moss_ros.training.streams import FIRST_TRAINING_SEED, make_stream, scene_stream, Stream
from moss_ros.training.unknown import make_unknown_stream, UnknownStream
from moss_ros.training.unknown.happenings import UnknownScene
from moss_ros.training.unknown.unknown_streams import stream_of
from moss_ros.training.unseen_questions import unseen_other_question, unseen_wording
import numpy as np

# The demo camera's picture size.
PICTURE_SIZE_PX = (320, 240)
SCENES_PER_SEED = 10_000
MAX_SEED = 2 ** 31
# Scenes of seeds above that leave no room below the seeds of training begin here.
FIRST_HIGH_SEED = 2 ** 40
MAX_PHOTOGRAPHS = 4
WORLDS = ('painted', 'unknown')
# By name, what gives the wordings of what can be answered, and the questions that can't be.
QUESTIONS = {'known': (known_wording, None), 'wide': (random_wording, other_question),
             'unseen': (unseen_wording, unseen_other_question)}


@dataclass(frozen=True, eq=False)
class Conditions:
    """
    What is shown and asked.

    - num_scenes, num_frames: how many scenes, of how many frames each.
    - seed: 0 to MAX_SEED; no training with a seed below a million has the same streams.
    - world: one of WORLDS. questions: 'known' asks in the wordings of the docs, 'wide' in all
      that training asks and also what nobody can answer, 'unseen' both in wordings that training
      never asks.
    - photographs: u8 [H, W, 3] RGB of which the unknown world's streams are made, or which the
      other renderer has for backgrounds; none: all is made up.
    - disturbance: a name in DISTURBANCES.
    - renderer: a Python file whose class Renderer(scene, photographs) draws the painted world in
      place of the package's own; its render(time_s) returns u8 [H, W, 3] RGB. Where it has an
      attribute shows_photograph that is true, a picture with nothing in it is any world's.

    Raises ValueError for what cannot be.
    """

    num_scenes: int
    num_frames: int
    seed: int
    world: str = 'painted'
    questions: str = 'known'
    photographs: Sequence[np.ndarray] = ()
    disturbance: str = CLEAN
    renderer: Path | None = None

    def __post_init__(self):
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f'seed is {self.seed}; take one from 0 to {MAX_SEED}')
        if not 1 <= self.num_scenes <= SCENES_PER_SEED:
            raise ValueError(f'num_scenes is {self.num_scenes}; take 1 to {SCENES_PER_SEED}')
        if self.num_frames < 8:
            raise ValueError(f'num_frames is {self.num_frames}; a scene needs at least 8')
        for name, known in (('world', WORLDS), ('questions', QUESTIONS),
                            ('disturbance', tuple(DISTURBANCES))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f'{name} is {getattr(self, name)!r}; take one of {", ".join(known)}')
        if self.renderer is not None:
            if self.world != 'painted':
                raise ValueError(f'world is {self.world!r}; a renderer is for the painted world')
            renderer_class(self.renderer)
        elif len(self.photographs) and self.world != 'unknown':
            raise ValueError(f'world is {self.world!r}; photographs are for the unknown world, '
                             'or for a renderer')

    @property
    def scene_seeds(self) -> range:
        """Return the seeds of the scenes."""
        first = self.seed * SCENES_PER_SEED
        first += 0 if first < FIRST_TRAINING_SEED else FIRST_HIGH_SEED
        return range(first, first + self.num_scenes)


def make_fresh(conditions: Conditions, scene_seed: int, frame_rate_fps: float
               ) -> tuple[Stream | UnknownStream, Callable[[float], np.ndarray]]:
    """Return the stream of a seed, and what gives its picture u8 [H, W, 3] RGB at a time."""
    disturbance = DISTURBANCES[conditions.disturbance]
    num_made = disturbance.num_frames_needed(conditions.num_frames)
    generator = random.Random(f'photographs {scene_seed}')
    photographs = generator.sample(
        list(conditions.photographs), min(MAX_PHOTOGRAPHS, len(conditions.photographs)))
    if conditions.world == 'painted':
        stream = make_stream(scene_seed, num_made)
    else:
        stream = _unknown_stream(scene_seed, conditions.num_frames, num_made, frame_rate_fps)
    times_s = disturbance.kept_times_s(stream.times_s, scene_seed)[:conditions.num_frames]
    if conditions.world == 'painted':
        if times_s != stream.times_s:
            stream = scene_stream(stream.scene, times_s)
        stream, picture_at = _painted(conditions, stream, photographs, disturbance.size_px)
        stream = stream if disturbance.has_colours else colourless_stream(stream)
    else:
        stream, picture_at = _filmed(stream, times_s, photographs, disturbance.size_px)
    return stream, disturbance.disturbed(picture_at, scene_seed)


def _unknown_stream(scene_seed, num_frames, num_made, frame_rate_fps):
    """Return num_made frames, or more than num_frames, of the scene that num_frames are of."""
    stream = make_unknown_stream(scene_seed, num_frames, frame_rate_fps)
    if num_made == num_frames:
        return stream
    times_s = make_unknown_stream(scene_seed, num_made, frame_rate_fps).times_s
    return stream_of(UnknownScene(scene_seed, times_s[-1], stream.scene.aspect,
                                  stream.scene.is_still), times_s)


def _painted(conditions, stream, photographs, size_px):
    """Return the painted stream as the renderer shows it, and what gives its pictures."""
    if conditions.renderer is None:
        return stream, SceneRenderer(stream.scene, *(size_px or PICTURE_SIZE_PX)).render
    renderer = renderer_class(conditions.renderer)(stream.scene, photographs)
    stream = replace(stream, is_known_when_empty=not getattr(renderer, 'shows_photograph', False))
    return stream, (
        renderer.render if size_px is None else _resized(renderer.render, size_px))


def _filmed(stream, times_s, photographs, size_px):
    """Return the unknown stream at other times, by a camera of another size."""
    scene = stream.scene
    if size_px is not None:
        scene = UnknownScene(scene.seed, scene.length_s, size_px[1] / size_px[0], scene.is_still)
    if times_s != stream.times_s or scene is not stream.scene:
        stream = stream_of(scene, times_s)
    picture_at = stream.camera(photographs)
    return stream, picture_at if size_px is None else _resized(picture_at, size_px)


def _resized(picture_at, size_px):
    def resized_at(time_s):
        picture = picture_at(time_s)
        way = cv2.INTER_AREA if size_px[0] < picture.shape[1] else cv2.INTER_LINEAR
        return cv2.resize(picture, size_px, interpolation=way)
    return resized_at


@cache
def renderer_class(file: Path):
    """Return the class Renderer of a Python file; ValueError where there is none."""
    if not file.is_file():
        raise ValueError(f'renderer {file} is no file')
    found = runpy.run_path(str(file)).get('Renderer')
    if found is None:
        raise ValueError(f'renderer {file} has no class Renderer')
    return found


def read_photographs(folder: Path) -> list[np.ndarray]:
    """Return the pictures of a folder, u8 [H, W, 3] RGB, by name; ValueError if it has none."""
    return list(named_photographs(folder).values())


def named_photographs(folder: Path) -> dict[str, np.ndarray]:
    """Return the same with the names of their files."""
    pictures = {file.name: cv2.imread(str(file), cv2.IMREAD_COLOR)
                for file in sorted(folder.glob('*'))}
    found = {name: picture[..., ::-1].copy() for name, picture in pictures.items()
             if picture is not None}
    if not found:
        raise ValueError(f'{folder} holds no pictures')
    return found
