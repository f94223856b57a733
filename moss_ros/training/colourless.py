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
The painted world as a camera without colours sees it, and what is true of it there.

A Stream goes in; the stream of the same frames by the truth of the unknown world comes out. What
has no colour has no name: it is told that something moves and that nothing moves any more, and no
more than that. That a thing appears in its place or turns another grey is not told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import random
from typing import ClassVar

from moss_ros.training.scenes import EventKind
from moss_ros.training.scenes.world import MAX_MOVE_S, PICTURE_HEIGHT, zone_of
from moss_ros.training.streams import make_stream, Stream, training_renderer
from moss_ros.training.unknown import SOMETHING_BY_ZONE, UnknownStream
from moss_ros.training.unknown.filming import film_size_px
from moss_ros.training.unknown.happenings import EDGE_PART, Phase, UnknownScene
from moss_ros.training.unknown.unknown_streams import stream_of
import numpy as np

# Of the training streams of the unknown world, which part is the painted one without colours.
P_COLOURLESS = 0.1
_ZONES = {'on the left': SOMETHING_BY_ZONE[0], 'in the middle': SOMETHING_BY_ZONE[1],
          'on the right': SOMETHING_BY_ZONE[2]}
# Painted things begin and end to move at once.
_RAMP_S = 0.02


@dataclass(frozen=True)
class ColourlessStream(UnknownStream):
    """A painted scene by a camera without colours; painted: what it is with them."""

    painted: Stream

    colourless_share: ClassVar[float] = 1.0

    def camera(self, photographs: Sequence[np.ndarray] = ()) -> Callable[[float], np.ndarray]:
        """Return what gives the pictures, still in their colours; photographs are not shown."""
        height_px, width_px = film_size_px(self.scene)
        return training_renderer(self.painted.scene, width_px, height_px).render


def make_colourless_by_chance(seed: int, num_frames: int) -> ColourlessStream | None:
    """Return the stream of P_COLOURLESS of the seeds, None for the others."""
    if random.Random(f'colourless {seed}').random() >= P_COLOURLESS:
        return None
    return colourless_stream(make_stream(seed, num_frames))


def colourless_stream(stream: Stream) -> ColourlessStream:
    """Return what is true of the frames of a painted stream where no colour can be told."""
    times_s = stream.times_s
    scene = UnknownScene(stream.scene.seed, times_s[-1], PICTURE_HEIGHT, is_still=True,
                         phases=_moves(stream.scene, times_s[-1]))
    found = stream_of(scene, times_s)
    # A thing that moves crosses the picture, and is where it was seen last.
    going_on = []
    for kind, objects in zip(found.going_on, stream.objects):
        before = going_on[-1] if going_on else None
        going_on.append(kind and (_zone_of_mover(objects) or before or kind))
    return ColourlessStream(scene, found.times_s, found.truth, found.observable,
                            tuple(going_on), stream)


def _moves(scene, end_s):
    """Return as phases what moves in a painted scene, one thing at a time, from its beginning."""
    phases, begun = [], None
    for event in scene.events_between(0.0, end_s + MAX_MOVE_S):
        if event.kind in (EventKind.MOVES, EventKind.ENTERS):
            begun = event
        elif event.kind in (EventKind.STOPS, EventKind.LEAVES):
            mover = next(state for state in scene.objects_at(begun.time_s)
                         if (state.colour, state.shape) == (begun.colour, begun.shape))
            # An object enters, and leaves, with its centre.
            at_edge_s = (0.5 - EDGE_PART) * mover.size / begun.speed_per_s
            phases.append(Phase(
                _ZONES[zone_of(mover.x)],
                begun.time_s - at_edge_s * (begun.kind is EventKind.ENTERS),
                event.time_s + at_edge_s * (event.kind is EventKind.LEAVES),
                _RAMP_S, visible_per_s=begun.speed_per_s))
    return phases


def _zone_of_mover(objects):
    return next((_ZONES[zone_of(state.x)] for state in objects if state.motion != 'still'), None)
