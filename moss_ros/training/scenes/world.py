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
The world of the demo camera: coloured shapes that appear, enter, move, stop, turn and leave.

A seed goes in; an endless, deterministic timeline of events and the state of every object at any
time come out. rendering.py draws it; language.py asks and answers questions about it.

Units: times in seconds since the start of the scene; x in picture widths from the left edge
(0 to 1); y in picture widths from the top edge (0 to 0.75, the picture is 4:3).
"""

from dataclasses import dataclass, field, replace
from enum import Enum
import math
import random

SHAPES = ('ball', 'box', 'cone')
COLOURS = ('red', 'green', 'blue', 'yellow', 'purple', 'white')
MOTIONS = ('still', 'left', 'right', 'up', 'down')
PICTURE_HEIGHT = 0.75

MAX_OBJECTS = 3
# Two events are at least this far apart, three frames of the embedded model's 2 frames/s, but for
# the stop of a move that is shorter.
MIN_EVENT_GAP_S = 1.6
MAX_EVENT_GAP_S = 3.6
# A move shows as 0.065 to 0.1 widths between two frames at 2 frames/s: 4 to 6 of 64 pixels.
SPEED_PER_S = (0.13, 0.20)
# No move takes longer: across the picture and out of it, at the lowest speed.
MAX_MOVE_S = 1.3 / SPEED_PER_S[0]
MIN_MOVE = 0.26
MIN_VERTICAL_MOVE = 0.24
SIZE = (0.155, 0.185)
# Rest positions keep away from the borders between left, middle and right.
REST_X = ((0.10, 0.27), (0.41, 0.59), (0.73, 0.90))
REST_Y = (0.13, 0.62)
# Centres never come closer: nothing ever hides anything.
MIN_DISTANCE = 0.22


class EventKind(Enum):
    """What can happen to an object."""

    APPEARS = 'appears'
    ENTERS = 'enters'
    MOVES = 'moves'
    STOPS = 'stops'
    TURNS = 'turns'
    LEAVES = 'leaves'


@dataclass(frozen=True)
class SceneEvent:
    """
    One thing that happens, with the sentence that says it.

    An object enters or leaves at the moment its centre crosses the edge of the picture.
    colour is the one before the event, so for TURNS it differs from what is seen afterwards.
    """

    time_s: float
    kind: EventKind
    sentence: str
    colour: str
    shape: str
    speed_per_s: float = 0.0


@dataclass(frozen=True)
class ObjectState:
    """One object at one time; motion is one of MOTIONS."""

    shape: str
    colour: str
    x: float
    y: float
    size: float
    motion: str

    @property
    def in_picture(self) -> bool:
        """Whether the centre is inside the picture."""
        return 0.0 <= self.x <= 1.0

    @property
    def name(self) -> str:
        """Return the words that tell this object from the others, such as 'red ball'."""
        return f'{self.colour} {self.shape}'


@dataclass
class _Leg:
    """A straight move from start_s to end_s, (x0, y0) to (x1, y1)."""

    start_s: float
    end_s: float
    x0: float
    y0: float
    x1: float
    y1: float
    motion: str


@dataclass
class _Track:
    """The life of one object: colours by time, rest position or legs, beginning and end."""

    shape: str
    size: float
    born_s: float
    x: float
    y: float
    colours: list[tuple[float, str]]
    legs: list[_Leg] = field(default_factory=list)
    gone_s: float = math.inf

    @property
    def rest(self) -> tuple[float, float]:
        """Return where the object is when its last move has ended."""
        return (self.legs[-1].x1, self.legs[-1].y1) if self.legs else (self.x, self.y)

    def colour_at(self, time_s: float) -> str:
        colour = self.colours[0][1]
        for since_s, name in self.colours:
            if since_s <= time_s:
                colour = name
        return colour

    def state_at(self, time_s: float) -> ObjectState:
        x, y, motion = self.x, self.y, 'still'
        for leg in self.legs:
            if time_s < leg.start_s:
                break
            part = min(1.0, (time_s - leg.start_s) / (leg.end_s - leg.start_s))
            x = leg.x0 + (leg.x1 - leg.x0) * part
            y = leg.y0 + (leg.y1 - leg.y0) * part
            motion = leg.motion if time_s < leg.end_s else 'still'
        return ObjectState(self.shape, self.colour_at(time_s), x, y, self.size, motion)


def zone_of(x: float) -> str:
    """Return where in the picture x is: 'on the left', 'in the middle' or 'on the right'."""
    return ('on the left', 'in the middle', 'on the right')[min(2, max(0, int(x * 3)))]


class Scene:
    """
    An endless, deterministic scene; the timeline grows as far as it is asked for.

    seed: any int; the same seed gives the same scene. static: the objects of the beginning stay
    as they are and nothing ever happens. Not thread-safe.
    """

    def __init__(self, seed: int, static: bool = False):
        self.seed = seed
        self._random = random.Random(seed)
        self._tracks: list[_Track] = []
        self._events: list[SceneEvent] = []
        self._static = static
        # The one object that moves, and the event that its move still owes.
        self._mover: _Track | None = None
        self._owed: SceneEvent | None = None
        self._now_s = 0.0
        for _ in range(self._random.randint(1, 3) if static else self._random.randint(0, 3)):
            self._place(-1.0)
        self._now_s = self._random.uniform(0.5, 2.0)

    def events_between(self, start_s: float, end_s: float) -> list[SceneEvent]:
        """Return the events with start_s <= time_s < end_s in order of time."""
        self._grow(end_s)
        return [event for event in self._events if start_s <= event.time_s < end_s]

    def objects_at(self, time_s: float) -> list[ObjectState]:
        """Return every object that exists at time_s, in the picture or partly outside it."""
        self._grow(time_s)
        return [track.state_at(time_s) for track in self._tracks
                if track.born_s <= time_s < track.gone_s]

    def forget_before(self, time_s: float) -> None:
        """Free what ended before time_s; a scene that runs for days then stays small."""
        self._tracks = [track for track in self._tracks if track.gone_s >= time_s]
        self._events = [event for event in self._events if event.time_s >= time_s]

    def _grow(self, end_s: float) -> None:
        # A move that begins before end_s must be known, and so must the next event's start.
        while not self._static and self._now_s <= end_s + MAX_EVENT_GAP_S:
            self._add_next_event()

    def _live(self) -> list[_Track]:
        return [track for track in self._tracks if track.gone_s > self._now_s]

    def _free_colours(self) -> list[str]:
        # Colours that no object has, after all events so far: so all names stay unique.
        used = {track.colours[-1][1] for track in self._live()}
        return [colour for colour in COLOURS if colour not in used]

    def _add_next_event(self) -> None:
        gap_s = self._random.uniform(MIN_EVENT_GAP_S, MAX_EVENT_GAP_S)
        if self._owed is not None:
            self._add_during_move(gap_s)
            return
        self._now_s += gap_s
        num = len(self._live())
        choices = []
        if num < MAX_OBJECTS:
            choices += [(self._appear, 1.6), (self._enter, 1.4)]
        if num > 0:
            choices += [(self._move, 1.0), (self._leave, 0.7 if num < 3 else 1.4),
                        (self._turn, 1.2)]
        actions, weights = zip(*choices)
        self._random.choices(actions, weights)[0]()

    def _add_during_move(self, gap_s: float) -> None:
        """Add the event that ends the running move, or another one before it if time allows."""
        owed = self._owed
        time_s = self._now_s + gap_s
        if time_s + MIN_EVENT_GAP_S <= owed.time_s and self._random.random() < 0.6:
            self._now_s = time_s
            self._turn()
            # A mover that turned owes its sentence in the new colour.
            self._owed = self._named(owed, self._mover)
            return
        self._now_s = owed.time_s
        self._events.append(owed)
        self._owed = None
        self._mover = None

    def _event(self, kind: EventKind, track: _Track, rest: str, article: str = 'The',
               speed_per_s: float = 0.0, time_s: float | None = None) -> SceneEvent:
        colour = track.colours[-1][1]
        sentence = f'{article} {colour} {track.shape} {kind.value}{rest}.'
        return SceneEvent(self._now_s if time_s is None else time_s, kind, sentence, colour,
                          track.shape, speed_per_s)

    def _named(self, event: SceneEvent, track: _Track) -> SceneEvent:
        colour = track.colours[-1][1]
        sentence = event.sentence.replace(f' {event.colour} ', f' {colour} ', 1)
        return replace(event, sentence=sentence, colour=colour)

    def _is_clear(self, x0, y0, x1, y1, but: _Track | None = None) -> bool:
        """Return whether a move along the segment keeps its distance from all other objects."""
        for track in self._live():
            if track is but:
                continue
            if _distance_to_segment(*track.rest, x0, y0, x1, y1) < MIN_DISTANCE:
                return False
        return True

    def _place(self, born_s: float) -> _Track | None:
        for _ in range(30):
            x = self._random.uniform(*self._random.choice(REST_X))
            y = self._random.uniform(*REST_Y)
            if self._is_clear(x, y, x, y):
                track = self._new_track(x, y, born_s)
                self._tracks.append(track)
                return track
        return None

    def _new_track(self, x: float, y: float, born_s: float) -> _Track:
        return _Track(self._random.choice(SHAPES), self._random.uniform(*SIZE), born_s, x, y,
                      [(born_s, self._random.choice(self._free_colours()))])

    def _appear(self) -> None:
        if (track := self._place(self._now_s)) is not None:
            self._events.append(
                self._event(EventKind.APPEARS, track, f' {zone_of(track.x)}', 'A'))

    def _turn(self) -> None:
        track = self._random.choice(self._live())
        colour = self._random.choice(self._free_colours())
        self._events.append(self._event(EventKind.TURNS, track, f' {colour}'))
        track.colours.append((self._now_s, colour))

    def _enter(self) -> None:
        for _ in range(30):
            side = self._random.choice(('left', 'right'))
            zone = self._random.choice(REST_X)
            x, y = self._random.uniform(*zone), self._random.uniform(*REST_Y)
            edge = 0.0 if side == 'left' else 1.0
            if abs(x - edge) < MIN_MOVE or not self._is_clear(edge, y, x, y):
                continue
            speed = self._random.uniform(*SPEED_PER_S)
            # Starts wholly outside; the centre crosses the edge at the time of the event.
            outside = -0.12 if side == 'left' else 1.12
            lead_s = 0.12 / speed
            track = self._new_track(x, y, self._now_s - lead_s)
            end_s = self._now_s + abs(x - edge) / speed
            motion = 'right' if side == 'left' else 'left'
            track.legs.append(_Leg(self._now_s - lead_s, end_s, outside, y, x, y, motion))
            self._tracks.append(track)
            self._events.append(
                self._event(EventKind.ENTERS, track, f' from the {side}', 'A', speed))
            self._owe(EventKind.STOPS, track, '', end_s, speed)
            return

    def _move(self) -> None:
        for _ in range(30):
            track = self._random.choice(self._live())
            x0, y0 = track.rest
            if self._random.random() < 0.6:
                x, y = self._random.uniform(*self._random.choice(REST_X)), y0
                motion, shortest = 'left' if x < x0 else 'right', MIN_MOVE
            else:
                x, y = x0, self._random.uniform(*REST_Y)
                motion, shortest = 'up' if y < y0 else 'down', MIN_VERTICAL_MOVE
            if abs(x - x0) + abs(y - y0) >= shortest and self._is_clear(x0, y0, x, y, track):
                speed = self._start_leg(track, x, y, motion)
                self._owe(EventKind.STOPS, track, '', track.legs[-1].end_s, speed)
                return

    def _leave(self) -> None:
        for _ in range(30):
            track = self._random.choice(self._live())
            side = self._random.choice(('left', 'right'))
            edge, outside = (0.0, -0.12) if side == 'left' else (1.0, 1.12)
            x, y = track.rest
            length = abs(x - edge)
            if length < MIN_MOVE or not self._is_clear(x, y, edge, y, track):
                continue
            speed = self._start_leg(track, outside, y, side)
            track.gone_s = track.legs[-1].end_s
            self._owe(EventKind.LEAVES, track, f' on the {side}', self._now_s + length / speed,
                      speed)
            return

    def _start_leg(self, track: _Track, x: float, y: float, motion: str) -> float:
        speed = self._random.uniform(*SPEED_PER_S)
        x0, y0 = track.rest
        end_s = self._now_s + (abs(x - x0) + abs(y - y0)) / speed
        track.legs.append(_Leg(self._now_s, end_s, x0, y0, x, y, motion))
        self._events.append(
            self._event(EventKind.MOVES, track, f' {motion}', speed_per_s=speed))
        return speed

    def _owe(self, kind: EventKind, track: _Track, rest: str, time_s: float,
             speed: float) -> None:
        self._mover = track
        self._owed = self._event(kind, track, rest, speed_per_s=speed, time_s=time_s)


def _distance_to_segment(x, y, x0, y0, x1, y1) -> float:
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy
    part = 0.0 if length2 == 0 else max(0.0, min(1.0, ((x - x0) * dx + (y - y0) * dy) / length2))
    return math.hypot(x - x0 - dx * part, y - y0 - dy * part)
