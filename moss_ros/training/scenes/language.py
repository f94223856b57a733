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
from dataclasses import dataclass, replace
from functools import cache
import random

from moss_ros.training.scenes.world import COLOURS, ObjectState, SceneEvent, SHAPES, zone_of

# By kind, those that the committed checkpoint was trained on; evaluation without an option asks
# these, and the first is the one of the docs.
WORDINGS = {
    'see': ('What do you see?', 'What can you see?', 'What is there?', 'Describe the scene.',
            'What do you see now?'),
    'count': ('How many objects are there?', 'How many objects do you see?',
              'How many things are there?'),
    'where': ('Where is the {colour} {shape}?', 'Where do you see the {colour} {shape}?',
              'Where is the {colour} {shape} now?'),
    'colour': ('What colour is the {shape}?', 'What color is the {shape}?',
               'Which colour is the {shape}?'),
    'is_there': ('Is there a {colour} {shape}?', 'Do you see a {colour} {shape}?',
                 'Can you see a {colour} {shape}?'),
    'moving': ('Is anything moving?', 'Is something moving?', 'What is moving?',
               'What is moving now?'),
}
_PARAPHRASES = {
    'see': ('What is in the picture?', 'Tell me what you see.', 'What is visible?',
            'Describe what you see.', 'What are you seeing?'),
    'count': ('How many things do you see?', 'How many objects can you see?',
              'Count the objects.'),
    'where': ('Tell me where the {colour} {shape} is.', 'Where can I find the {colour} {shape}?'),
    'colour': ('What is the colour of the {shape}?', 'Which colour does the {shape} have?'),
    'is_there': ('Is a {colour} {shape} there?', 'Is there any {colour} {shape}?'),
    'moving': ('Does anything move?', 'Does something move?', 'What moves?',
               'Do you see anything moving?'),
}
# What the training program teaches.
WIDE_WORDINGS = {kind: (*known, *_PARAPHRASES[kind]) for kind, known in WORDINGS.items()}
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
                    wordings: Mapping[str, Sequence[str]] = WORDINGS) -> Question:
    """
    Return a random question; one that names an object names a visible one half the time or more.

    wordings: by kind. any_wording: False keeps to the first one of each kind, as it is written.
    of_one_frame: True leaves out what one frame alone cannot tell, that is movement. weights:
    how often each kind is asked in relation to the others, 1 where it is not named.
    """
    kinds = [kind for kind in wordings if not (of_one_frame and kind == 'moving')]
    kind = generator.choices(kinds, [(weights or {}).get(kind, 1.0) for kind in kinds])[0]
    colour, shape = generator.choice(COLOURS), generator.choice(SHAPES)
    visible = [state for state in objects if state.in_picture]
    if visible and generator.random() < (0.75 if kind == 'where' else 0.5):
        target = generator.choice(visible)
        colour, shape = target.colour, target.shape
    wording = generator.choice(wordings[kind]) if any_wording else wordings[kind][0]
    text = wording.format(colour=colour, shape=shape)
    if any_wording:
        if generator.random() < 0.3:
            text = text[0].lower() + text[1:]
        if generator.random() < 0.3:
            text = text.rstrip('?.')
    return Question(kind, text, colour if '{colour}' in wording else '',
                    shape if '{shape}' in wording else '')


def question_by_text(text: str) -> Question | None:
    """Return the question with this one of WIDE_WORDINGS, case and end mark aside, or None."""
    known = _known_questions().get(_plain(text))
    return None if known is None else replace(known, text=text)


@cache
def _known_questions() -> dict[str, Question]:
    known: dict[str, Question] = {}
    for kind, wordings in WIDE_WORDINGS.items():
        for wording in wordings:
            for colour in COLOURS if '{colour}' in wording else ('',):
                for shape in SHAPES if '{shape}' in wording else ('',):
                    text = wording.format(colour=colour, shape=shape)
                    known[_plain(text)] = Question(kind, text, colour, shape)
    return known


def _plain(text):
    return text.strip().rstrip('?.!').lower()


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
        raise ValueError(f'unknown kind of question {question.kind!r}; known: {tuple(WORDINGS)}')
    same_shape = [state for state in visible if state.shape == question.shape]
    if not same_shape:
        return f'There is no {question.shape}.'
    if len(same_shape) > 1:
        return f'There are {NUMBER_WORDS[len(same_shape)]} {PLURALS[question.shape]}.'
    return f'The {question.shape} is {same_shape[0].colour}.'


def tell_events(events: Sequence[SceneEvent]) -> str:
    """Return the answer to WHAT_HAPPENS_WORDINGS: the sentences of events, in their order."""
    return ' '.join(event.sentence for event in events) or NOTHING_HAPPENS
