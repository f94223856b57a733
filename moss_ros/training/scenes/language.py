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
Questions about a scene and the answers that are true at a moment.

A question and the objects of that moment go in, the true answer comes out. Training and
evaluation use the same functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import random

from moss_ros.training.scenes.wordings import (
    carelessly_typed, DrawWording, KINDS, known_wording, read_wording, WORDINGS,
)
from moss_ros.training.scenes.world import COLOURS, ObjectState, SceneEvent, SHAPES, zone_of

# The kind of all other questions; questions.py makes some.
OTHER = 'other'
DO_NOT_KNOW = 'I do not know.'
# Asked of a whole clip, after it has been seen.
WHAT_HAPPENS_WORDINGS = (
    'What happens?', 'What happens in the video?', 'What happened?', 'Describe the video.')
NOTHING_HAPPENS = 'Nothing happens.'
NOTHING_IS_MOVING = 'Nothing is moving.'
NUMBER_WORDS = ('no', 'one', 'two', 'three')
PLURALS = {'ball': 'balls', 'box': 'boxes', 'cone': 'cones'}
# What may never be said of another world.
PAINTED_WORDS = (*COLOURS, *SHAPES, *PLURALS.values())


@dataclass(frozen=True)
class Question:
    """A question as it is asked (text) and what it means (kind, colour, shape)."""

    kind: str
    text: str
    colour: str = ''
    shape: str = ''


def random_question(generator: random.Random, objects: Sequence[ObjectState],
                    any_wording: bool = True, of_one_frame: bool = False,
                    weights: Mapping[str, float] | None = None,
                    draw_wording: DrawWording = known_wording) -> Question:
    """
    Return a random question; one that names an object names a visible one half the time or more.

    draw_wording: gives the wording. any_wording: False keeps to the first one of WORDINGS, as
    it is written. of_one_frame: True leaves out what one frame alone cannot tell, that is
    movement. weights: how often each kind is asked in relation to the others, 1 where it is not
    named.
    """
    kinds = [kind for kind in KINDS if not (of_one_frame and kind == 'moving')]
    kind = generator.choices(kinds, [(weights or {}).get(kind, 1.0) for kind in kinds])[0]
    colour, shape = generator.choice(COLOURS), generator.choice(SHAPES)
    visible = [state for state in objects if state.in_picture]
    if visible and generator.random() < (0.75 if kind == 'where' else 0.5):
        target = generator.choice(visible)
        colour, shape = target.colour, target.shape
    wording = draw_wording(kind, generator) if any_wording else WORDINGS[kind][0]
    text = wording.format(colour=colour, shape=shape)
    if any_wording:
        text = carelessly_typed(text, generator)
    return Question(kind, text, colour if '{colour}' in wording else '',
                    shape if '{shape}' in wording else '')


def question_by_text(text: str) -> Question | None:
    """Return the question that is put in one of all wordings, case and end mark aside, or None."""
    found = read_wording(text)
    return None if found is None else Question(found[0], text, *found[1:])


def answer_question(question: Question, objects: Sequence[ObjectState]) -> str:
    """Return the answer that is true of objects, one sentence."""
    visible = sorted((state for state in objects if state.in_picture),
                     key=lambda state: COLOURS.index(state.colour))
    named = [state for state in visible
             if state.colour == question.colour and state.shape == question.shape]
    if question.kind == OTHER:
        return DO_NOT_KNOW
    if question.kind == 'see':
        if not visible:
            return 'I see nothing.'
        return 'I see ' + ' and '.join(f'a {state.name}' for state in visible) + '.'
    if question.kind == 'count':
        verb, noun = ('is', 'object') if len(visible) == 1 else ('are', 'objects')
        return f'There {verb} {NUMBER_WORDS[len(visible)]} {noun}.'
    if question.kind == 'where':
        if not named:
            return f'There is no {question.colour} {question.shape}.'
        return f'The {named[0].name} is {zone_of(named[0].x)}.'
    if question.kind == 'is_there':
        return 'Yes.' if named else 'No.'
    if question.kind == 'moving':
        moving = [state for state in visible if state.motion != 'still']
        if not moving:
            return NOTHING_IS_MOVING
        return f'The {moving[0].name} is moving {moving[0].motion}.'
    if question.kind != 'colour':
        raise ValueError(f'unknown kind of question {question.kind!r}; known: {KINDS}')
    same_shape = [state for state in visible if state.shape == question.shape]
    if not same_shape:
        return f'There is no {question.shape}.'
    if len(same_shape) > 1:
        return f'There are {NUMBER_WORDS[len(same_shape)]} {PLURALS[question.shape]}.'
    return f'The {question.shape} is {same_shape[0].colour}.'


def tell_events(events: Sequence[SceneEvent]) -> str:
    """Return the answer to WHAT_HAPPENS_WORDINGS: the sentences of events, in their order."""
    return ' '.join(event.sentence for event in events) or NOTHING_HAPPENS
