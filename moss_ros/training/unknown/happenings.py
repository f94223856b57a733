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
The course of an unknown scene: when the camera moves, something moves or the picture is spoilt.

A seed goes in; phases of activity with rest between them, the events that they are, and the pose
of the camera at any time come out. Knows nothing of pixels, which filming.py makes.

Units: seconds of the scene; ways in picture widths, y grows downward; zoom is the logarithm of the
magnification, roll in radians.
"""

from dataclasses import dataclass, field, replace
import math
import random

from moss_ros.training.unknown.statements import (
    CAMERA_KINDS, DISTURBANCES, END_OF, Happening, SOMETHING_BY_ZONE, told_as,
    UnknownEvent,
)

RAMP_S = (0.05, 0.4)
REST_S = (2.2, 6.0)
ACTIVITY_S = (2.0, 6.0)
TURN_PER_S = (0.06, 0.45)
ZOOM_PER_S = (0.08, 0.40)
MAX_ZOOM = 0.8
ROLL_PER_S = (0.25, 0.9)
SHAKE = (0.018, 0.07)
MOVER_PER_S = (0.07, 0.42)
MOVER_SIZE = (0.13, 0.36)
# Centres of what moves keep to a zone and away from its borders.
ZONES = ((0.08, 0.27), (0.41, 0.59), (0.73, 0.92))
# What comes in over an edge moves from when so much of its side is in the picture, and what leaves
# until no more is left.
EDGE_PART = 0.2
# An event can be told once the picture has moved by this much since it began.
VISIBLE_MOVE = 0.016
P_CHAINED = 0.15
P_LONG_REST = 0.2
_WEIGHTS = {Happening.LEFT: 1.5, Happening.RIGHT: 1.5, Happening.UP: 1.3, Happening.DOWN: 1.3,
            Happening.FORWARD: 1.4, Happening.BACKWARD: 1.4, Happening.MOVES: 1.2,
            **dict.fromkeys(SOMETHING_BY_ZONE, 1.4), Happening.DARK: 0.7,
            Happening.BRIGHT: 0.7, Happening.COVERED: 0.9, Happening.BLURRED: 0.9}


@dataclass(frozen=True)
class Pose:
    """Where the camera looks; lateral is a way that near layers show more of than far ones."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 0.0
    roll: float = 0.0
    lateral: float = 0.0

    def moved(self, speed: 'Pose', part: float) -> 'Pose':
        """Return the pose after part seconds at speed."""
        return Pose(self.x + speed.x * part, self.y + speed.y * part,
                    self.zoom + speed.zoom * part, self.roll + speed.roll * part,
                    self.lateral + speed.lateral * part)


@dataclass(frozen=True)
class Phase:
    """
    One activity from start_s to end_s, which it takes ramp_s to begin and to end.

    speed: of the camera, of the part of the picture that counts as one for the speed to be seen:
    visible_per_s. shake: how far it swings. mover: index of what moves, -1 for none.
    """

    kind: Happening
    start_s: float
    end_s: float
    ramp_s: float
    speed: Pose = Pose()
    visible_per_s: float = 1.0
    shake: float = 0.0
    mover: int = -1

    def part_at(self, time_s: float) -> float:
        """Return 0 before and after the phase, 1 within, and between those in the ramps."""
        rise = (time_s - self.start_s) / self.ramp_s
        fall = (self.end_s - time_s) / self.ramp_s
        return max(0.0, min(1.0, rise, fall))

    def way_at(self, time_s: float) -> float:
        """Return the seconds at full speed that have been covered until time_s."""
        run = max(0.0, min(time_s, self.end_s) - self.start_s)
        length, ramp_s = self.end_s - self.start_s, self.ramp_s
        way = min(run, ramp_s) ** 2 / (2 * ramp_s) + max(0.0, run - ramp_s)
        late = max(0.0, run - (length - ramp_s))
        return way - late ** 2 / (2 * ramp_s)


@dataclass
class Mover:
    """Something that rests, moves along corners (time_s, x, y) and rests again or is gone."""

    size: float
    corners: list[tuple[float, float, float]]
    is_seen_before: bool
    is_seen_after: bool
    spin_per_s: float = 0.0
    look: int = 0

    def place_at(self, time_s: float) -> tuple[float, float] | None:
        """Return x and y of the centre; None while it is not there."""
        (first_s, x, y), (last_s, *_) = self.corners[0], self.corners[-1]
        if time_s <= first_s:
            return (x, y) if self.is_seen_before else None
        if time_s >= last_s and not self.is_seen_after:
            return None
        for (start_s, x0, y0), (end_s, x1, y1) in zip(self.corners, self.corners[1:]):
            if time_s < end_s:
                part = (time_s - start_s) / (end_s - start_s)
                return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part
        return self.corners[-1][1:]


@dataclass
class UnknownScene:
    """
    The course of one scene up to length_s; the same for the same arguments.

    aspect: height of the picture in widths. is_still: nothing ever happens.
    """

    seed: int
    length_s: float
    aspect: float = 0.75
    is_still: bool = False
    phases: list[Phase] = field(default_factory=list)
    movers: list[Mover] = field(default_factory=list)

    def __post_init__(self):
        self._random = random.Random(f'unknown {self.seed}')
        self._pose = Pose(zoom=self._random.uniform(-0.2, 0.2))
        self.first_pose = self._pose
        self.has_near_layer = self._random.random() < 0.4
        time_s = self._random.uniform(1.3, 5.0)
        while not self.is_still and time_s < self.length_s:
            time_s = self._add_phase(time_s)
            if self._random.random() >= P_CHAINED or self.phases[-1].kind not in CAMERA_KINDS:
                time_s += self._random.uniform(*REST_S)
                if self._random.random() < P_LONG_REST:
                    time_s += self._random.uniform(4, 16)

    def phase_at(self, time_s: float) -> Phase | None:
        """Return the phase that has begun and not ended at time_s, None in rest."""
        return next((phase for phase in self.phases
                     if phase.start_s <= time_s < phase.end_s), None)

    def pose_at(self, time_s: float) -> Pose:
        """Return the camera's pose, shaking aside."""
        pose = self.first_pose
        for phase in self.phases:
            if phase.start_s > time_s:
                break
            pose = pose.moved(phase.speed, phase.way_at(time_s))
        return pose

    def events(self) -> list[UnknownEvent]:
        """Return what begins and ends, in order of time."""
        found = []
        for phase, following in zip(self.phases, [*self.phases[1:], None]):
            kind = told_as(phase.kind)
            if not found or found[-1].kind is not kind:
                found.append(UnknownEvent(phase.start_s, kind))
            if following is None or following.start_s > phase.end_s:
                found.append(UnknownEvent(phase.end_s, END_OF[phase.kind]))
        return found

    def _add_phase(self, start_s: float) -> float:
        generator = self._random
        kinds = list(_WEIGHTS)
        is_chained = bool(self.phases) and self.phases[-1].end_s == start_s
        weights = [0 if is_chained and (kind not in CAMERA_KINDS or kind is self.phases[-1].kind)
                   else weight for kind, weight in _WEIGHTS.items()]
        kind = generator.choices(kinds, weights)[0]
        kind = self._within_reach(kind)
        ramp_s = generator.uniform(*RAMP_S)
        end_s = start_s + generator.uniform(*ACTIVITY_S)
        if kind in CAMERA_KINDS:
            phase = self._camera_phase(kind, start_s, end_s, ramp_s)
            phase = replace(phase, speed=self._in_the_world(phase.speed))
        elif kind in DISTURBANCES:
            phase = Phase(kind, start_s, end_s, ramp_s)
        else:
            phase = self._mover_phase(kind, start_s, end_s)
        self._pose = self._pose.moved(phase.speed, phase.way_at(phase.end_s))
        self.phases.append(phase)
        return phase.end_s

    def _in_the_world(self, speed: Pose) -> Pose:
        """
        Return a speed in the picture as one in the world, for the pose of now.

        A nearer view needs shorter ways there, and one that is rolled turned ones.
        """
        shrink, roll = math.exp(-self._pose.zoom), self._pose.roll
        cosine, sine = shrink * math.cos(roll), shrink * math.sin(roll)
        return replace(speed, x=speed.x * cosine - speed.y * sine,
                       y=speed.x * sine + speed.y * cosine, lateral=speed.lateral * shrink)

    def _within_reach(self, kind: Happening) -> Happening:
        """Turn the kind around where the camera would leave what there is to see."""
        pose = self._pose
        for far, back, way, most in (
                (Happening.FORWARD, Happening.BACKWARD, pose.zoom, 0.35),
                (Happening.UP, Happening.DOWN, -pose.y, 0.8),
                (Happening.RIGHT, Happening.LEFT, pose.x, 2.0)):
            if kind is far and way > most:
                return back
            if kind is back and way < -most:
                return far
        return kind

    def _camera_phase(self, kind, start_s, end_s, ramp_s) -> Phase:
        generator = self._random
        low, high = TURN_PER_S
        turn = low * (high / low) ** generator.random()
        side = turn * generator.uniform(-0.22, 0.22)
        low, high = ZOOM_PER_S
        zoom = low * (high / low) ** generator.random()
        aside = generator.uniform(-0.12, 0.12) * zoom
        shake = 0.0
        if kind in (Happening.FORWARD, Happening.BACKWARD):
            sign = 1 if kind is Happening.FORWARD else -1
            speed = Pose(aside, generator.uniform(-0.12, 0.12) * zoom, sign * zoom)
            visible_per_s = 0.4 * zoom
            end_s = min(end_s, start_s + max(1.5, MAX_ZOOM / zoom))
        elif kind is Happening.MOVES:
            speed, visible_per_s, shake = self._any_motion(turn, zoom)
        else:
            x, y = {Happening.LEFT: (-1, 0), Happening.RIGHT: (1, 0), Happening.UP: (0, -1),
                    Happening.DOWN: (0, 1)}[kind]
            speed, visible_per_s = Pose(turn * x + side * y, turn * y + side * x), turn
        if visible_per_s < 0.12:
            ramp_s = min(ramp_s, 0.15)
        return Phase(kind, start_s, end_s, ramp_s, speed, visible_per_s, shake)

    def _any_motion(self, turn, zoom):
        """Return speed, visible speed and shake of a motion whose kind cannot be told."""
        generator = self._random
        sign = generator.choice((-1, 1))
        kind = generator.random()
        if kind < 0.35:
            return Pose(), 0.4, generator.uniform(*SHAKE)
        if kind < 0.5 and self.has_near_layer:  # sideways: near layers pass far ones
            return Pose(lateral=sign * 2 * turn), turn, 0.0
        if kind < 0.7:  # aslant
            x, y = sign * turn, turn * generator.choice((-1, 1)) * generator.uniform(0.7, 1.4)
            return Pose(x, y), turn, 0.0
        roll = sign * generator.uniform(*ROLL_PER_S)
        return Pose(roll=roll), 0.35 * abs(roll), 0.0

    def _mover_phase(self, kind, start_s, end_s) -> Phase:
        generator = self._random
        zone = SOMETHING_BY_ZONE.index(kind)
        size = generator.uniform(*MOVER_SIZE)
        low, high = MOVER_PER_S
        speed = low * (high / low) ** generator.random()
        low, high = ZONES[zone]
        place = generator.uniform(low, high), generator.uniform(0.15, self.aspect - 0.12)
        is_seen_before, is_seen_after = generator.random() < 0.55, generator.random() < 0.55
        if not is_seen_before:
            place = self._outside(zone, *place, size / 2)
        corners = [(start_s, *place)]
        while corners[-1][0] < end_s:
            goal = generator.uniform(low, high), generator.uniform(0.12, self.aspect - 0.1)
            way = math.dist(goal, corners[-1][1:])
            if way < 0.08:
                continue
            if len(corners) == 1 and not is_seen_before:
                corners = [(start_s - _at_edge_s(place, goal, size, speed), *place)]
            corners.append((corners[-1][0] + way / speed, *goal))
        end_s = corners[-1][0]
        if not is_seen_after:
            goal = corners[-1][1:]
            place = self._outside(zone, *goal, size / 2)
            gone_s = end_s + math.dist(place, goal) / speed
            corners.append((gone_s, *place))
            end_s = gone_s - _at_edge_s(place, goal, size, speed)
        self.movers.append(Mover(size, corners, is_seen_before, is_seen_after,
                                 generator.choice((0, 0, generator.uniform(-1, 1))),
                                 generator.randrange(1 << 30)))
        return Phase(kind, start_s, max(end_s, start_s + 1.0), 0.1,
                     visible_per_s=speed, mover=len(self.movers) - 1)

    def _outside(self, zone, x, y, reach):
        """Return a place just outside of the picture from where a zone is entered."""
        ways = [(x, -reach), (x, self.aspect + reach)]
        if zone != 1:
            ways += [(-reach if zone == 0 else 1 + reach, y)] * 3
        return self._random.choice(ways)


def _at_edge_s(outside, inside, size, speed):
    """Return how long less than EDGE_PART of what moves between both is in the picture."""
    axis = 1 if 0 < outside[0] < 1 else 0
    return EDGE_PART * size * math.dist(outside, inside) / (
        abs(outside[axis] - inside[axis]) * speed)
