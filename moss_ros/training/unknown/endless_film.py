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
Unknown scenes one after the other without end, as a demo camera shows them, and their truth.

A seed and a size go in; pictures u8 [H, W, 3], RGB, and what happens come out. In the first part
of each scene the camera turns, something moves, and the camera is covered and clear again. Called
by the demo camera.
"""

from dataclasses import dataclass

import cv2
from moss_ros.training.unknown.filming import Film
from moss_ros.training.unknown.happenings import UnknownScene
from moss_ros.training.unknown.statements import Happening, SCENE_KIND, SOMETHING_BY_ZONE
import numpy as np

# Things that came stay where they stopped, and the camera wanders: later a scene is no pleasure.
SCENE_S = 120.0
# By then all that a scene must have has happened.
SOON_S = 50.0
TURNS = (Happening.LEFT, Happening.RIGHT)
NEXT_SCENE = 'Another scene begins.'
# Beyond all seeds of training and evaluation.
_FIRST_SEED = 1 << 50
_SEEDS_PER_FILM, _SEEDS_PER_SCENE = 1 << 20, 1 << 10
# Of so many scenes that fit, the richest is taken.
_NUM_LOOKED_AT = 4
_COARSE_PX = (16, 12)


@dataclass(frozen=True)
class FilmEvent:
    """What happens at time_s, seconds of the film; kind: what kind of event it is."""

    time_s: float
    kind: str
    sentence: str


class EndlessFilm:
    """Shows scenes of SCENE_S each; the same for the same arguments. Not thread-safe."""

    def __init__(self, seed: int, width_px: int, height_px: int):
        """Make the first scene, which takes about a second, as does each that follows."""
        self._seed = seed
        self._size_px = width_px, height_px
        self._film: Film | None = None
        self._number = -1  # of the scene that is shown
        self._events: list[FilmEvent] = []
        self._show(0)

    def picture_at(self, time_s: float) -> np.ndarray:
        """Return the picture u8 [H, W, 3], RGB, at time_s, seconds of the film."""
        number = max(0, int(time_s // SCENE_S))
        self._show(number)
        # Linear enlarging keeps the noise, and makes no rings around edges.
        return cv2.resize(self._film.picture(time_s - number * SCENE_S), self._size_px,
                          interpolation=cv2.INTER_LINEAR)

    def events_between(self, start_s: float, end_s: float) -> list[FilmEvent]:
        """Return the events with start_s <= time_s < end_s, up to the scene shown last."""
        return [event for event in self._events if start_s <= event.time_s < end_s]

    def _show(self, number):
        if number == self._number:
            return
        width_px, height_px = self._size_px
        found, seed = [], (
            _FIRST_SEED + self._seed * _SEEDS_PER_FILM + number * _SEEDS_PER_SCENE)
        while len(found) < _NUM_LOOKED_AT:
            scene = UnknownScene(seed, SCENE_S, height_px / width_px)
            seed += 1
            if is_worth_showing(scene):
                found.append(Film(scene))
        self._film, self._number = max(found, key=_richness), number
        begin_s = number * SCENE_S
        # Those of the scene before may not have been asked for yet.
        self._events = [event for event in self._events
                        if begin_s - SCENE_S <= event.time_s < begin_s]
        self._events += [FilmEvent(begin_s, SCENE_KIND, NEXT_SCENE)] if number else []
        self._events += [FilmEvent(begin_s + event.time_s, event.kind.value, event.sentence)
                         for event in self._film.scene.events() if event.time_s < SCENE_S]


def is_worth_showing(scene: UnknownScene) -> bool:
    """Return whether the camera soon turns, something moves, and the camera is covered."""
    kinds = {phase.kind for phase in scene.phases if phase.end_s < SOON_S}
    return (Happening.COVERED in kinds and not kinds.isdisjoint(TURNS)
            and not kinds.isdisjoint(SOMETHING_BY_ZONE))


def _richness(film):
    """Return how much a scene differs from place to place, in grey and, weighted more, in hue."""
    # Coarse: noise must not count.
    coarse = cv2.resize(film.picture(0.0), _COARSE_PX, interpolation=cv2.INTER_AREA)
    grey = coarse.mean(axis=2, dtype=np.float32)
    return float(grey.std() + 2 * (coarse - grey[..., None]).std(axis=(0, 1)).sum())
