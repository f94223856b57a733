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
What can be said of an unknown world: its events, what is true at a moment, and answers.

What goes on goes in, sentences come out; nothing here names a thing. Used by the samples of
training and by the evaluation.
"""

from dataclasses import dataclass
from enum import Enum

from moss_ros.training.scenes.language import DO_NOT_KNOW, NOTHING_IS_MOVING

UNKNOWN_SCENE = 'I do not know this scene.'
# The kind of a truth that is a cut to another scene: nobody is to tell it.
SCENE_KIND = 'scene'


class Happening(Enum):
    """What can begin or end; the values name kinds in figures and tables."""

    LEFT = 'turns left'
    RIGHT = 'turns right'
    UP = 'tilts up'
    DOWN = 'tilts down'
    FORWARD = 'moves forward'
    BACKWARD = 'moves backward'
    MOVES = 'moves'
    STOPS = 'camera stops'
    SOMETHING_LEFT = 'something on the left'
    SOMETHING_MIDDLE = 'something in the middle'
    SOMETHING_RIGHT = 'something on the right'
    NOTHING = 'nothing any more'
    DARK = 'too dark'
    BRIGHT = 'too bright'
    COVERED = 'covered'
    BLURRED = 'blurred'
    CLEAR = 'clear again'


SENTENCES = {
    Happening.LEFT: 'The camera turns left.',
    Happening.RIGHT: 'The camera turns right.',
    Happening.UP: 'The camera tilts up.',
    Happening.DOWN: 'The camera tilts down.',
    Happening.FORWARD: 'The camera moves forward.',
    Happening.BACKWARD: 'The camera moves backward.',
    Happening.MOVES: 'The camera moves.',
    Happening.STOPS: 'The camera stops.',
    Happening.SOMETHING_LEFT: 'Something moves on the left.',
    Happening.SOMETHING_MIDDLE: 'Something moves in the middle.',
    Happening.SOMETHING_RIGHT: 'Something moves on the right.',
    Happening.NOTHING: 'Nothing moves any more.',
    Happening.DARK: 'It is too dark to see.',
    Happening.BRIGHT: 'It is too bright to see.',
    Happening.COVERED: 'Something covers the camera.',
    Happening.BLURRED: 'The picture is blurred.',
    Happening.CLEAR: 'The picture is clear again.',
}
CAMERA_KINDS = (Happening.LEFT, Happening.RIGHT, Happening.UP, Happening.DOWN,
                Happening.FORWARD, Happening.BACKWARD, Happening.MOVES)
SOMETHING_BY_ZONE = (
    Happening.SOMETHING_LEFT, Happening.SOMETHING_MIDDLE, Happening.SOMETHING_RIGHT)
DISTURBANCES = (Happening.DARK, Happening.BRIGHT, Happening.COVERED, Happening.BLURRED)
# Whether the sentences tell turns, tilts and ways apart; if not, all are told as MOVES. To teach
# it, the encoder has to be shown them too: _SHARES in motion_truth.py.
DIRECTIONS_ARE_TOLD = False
# What can go on, in the order of SENTENCES; None: the camera stands, nothing moves.
GOING_ON = (None, *CAMERA_KINDS, *SOMETHING_BY_ZONE, *DISTURBANCES)
# The end of each is said in these words.
END_OF = {**dict.fromkeys(CAMERA_KINDS, Happening.STOPS),
          **dict.fromkeys(SOMETHING_BY_ZONE, Happening.NOTHING),
          **dict.fromkeys(DISTURBANCES, Happening.CLEAR)}


def told_as(kind: Happening) -> Happening:
    """Return the kind in whose words another is told: its own, or that of any camera's motion."""
    return Happening.MOVES if kind in CAMERA_KINDS and not DIRECTIONS_ARE_TOLD else kind


@dataclass(frozen=True)
class UnknownEvent:
    """Something that began or ended at time_s, seconds of the scene."""

    time_s: float
    kind: Happening

    @property
    def sentence(self) -> str:
        """Return the words in which it is told."""
        return SENTENCES[self.kind]


def answer_in_unknown_world(kind: str, going_on: Happening | None,
                            of_one_frame: bool = False) -> str:
    """
    Return the true answer to a question of a kind of the painted world's WORDINGS, or another.

    going_on: one of GOING_ON. of_one_frame: a single picture was seen, which shows no movement.
    """
    is_unseen = of_one_frame and going_on not in DISTURBANCES
    if kind == 'see':
        if is_unseen:
            return UNKNOWN_SCENE
        return f'{UNKNOWN_SCENE} {_statement(going_on)}'
    if kind == 'moving' and not is_unseen:
        return _statement(going_on)
    return DO_NOT_KNOW


def _statement(going_on):
    return NOTHING_IS_MOVING if going_on is None else SENTENCES[going_on]
