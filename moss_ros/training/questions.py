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
Questions that nobody here can answer.

A seeded generator goes in, a question comes out. The spread is wide on purpose: known nouns in
unknown sentences, random words, scraps and strings, so that a known question is known by all of
its words.
"""

import random

from moss_ros.training.scenes import COLOURS, Question, question_by_text, SHAPES
from moss_ros.training.scenes.language import OTHER

_THINGS = (
    'wall door window table chair person man woman child dog cat car bus truck bicycle tree '
    'flower house room kitchen street road floor ceiling lamp light sky cloud sun moon star '
    'water river bird horse cup bottle box ball cone robot camera screen phone book letter sign '
    'clock shoe hand face eye shadow corner stairs bed sofa plant picture box object thing '
    'battery map goal ladder fence bridge tower boat plane train engine wheel key lock bag hat '
    'coat shirt').split()
_PROPERTIES = (
    'far big small tall wide heavy old new hot cold warm loud fast slow deep long short round '
    'flat soft hard wet dry clean dirty open closed empty full safe dangerous expensive cheap '
    'dark bright near high low thick thin strong weak rich happy sad angry tired '
    'beautiful').split()
_VERBS = (
    'see find like know hear want need count open close move lift carry take bring drop push '
    'pull turn stop start follow avoid measure describe explain draw paint read write say tell '
    'ask buy sell eat drink make build break clean wash cook drive walk run jump sleep think '
    'feel').split()
_PEOPLE = ('you', 'I', 'we', 'they', 'he', 'she', 'it', 'people', 'somebody', 'everybody',
           'your owner', 'the robot')
_PLACES = ('here', 'there', 'outside', 'inside', 'behind you', 'in front of you', 'on the left',
           'on the right', 'in the middle', 'at home', 'in the room', 'under the table',
           'above the door', 'in the picture', 'in the corner')
QUESTION_FRAMES = (
    'How far is the {thing}?', 'How far away is the {thing}?', 'How {adjective} is the {thing}?',
    'How many {thing}s are there?', 'How many {thing}s do you see?', 'How much is the {thing}?',
    'Who is there?', 'Who are you?', 'Who is the {thing}?', 'Who made the {thing}?',
    'Why is the {thing} {adjective}?', 'Why do {people} {verb} the {thing}?',
    'When did the {thing} come?', 'When will {people} {verb}?', 'What time is it?',
    'What is the name of the {thing}?', 'What is your name?', 'What is the weather like?',
    'What is the {thing} made of?', 'What does the {thing} do?', 'What do {people} {verb}?',
    'What is {place}?', 'What is behind the {thing}?', 'What is next to the {thing}?',
    'What is on the {thing}?', 'What is under the {thing}?', 'What size is the {thing}?',
    'What shape is the {thing}?', 'What kind of {thing} is it?', 'Which {thing} is {adjective}?',
    'Where is the {thing}?', 'Where are {people}?', 'Where does the {thing} go?',
    'Where do {people} {verb} the {thing}?', 'Is the {thing} {adjective}?', 'Is it {adjective}?',
    'Is there a {thing}?', 'Is there any {thing} {place}?', 'Are there any {thing}s?',
    'Are {people} {adjective}?', 'Do {people} {verb}?', 'Do you {verb} the {thing}?',
    'Can you {verb}?', 'Can {people} {verb} the {thing}?',
    'Could you {verb} the {thing}, please?', 'Does the {thing} {verb}?',
    'Did anybody {verb} the {thing}?', 'Has the {thing} moved?', 'Will it {verb}?',
    'Should I {verb} the {thing}?', 'Tell me a story.', 'Tell me about the {thing}.',
    'Please {verb} the {thing}.', '{verb} the {thing}!', '{verb} it now', 'the {thing}',
    '{thing}?', 'Hello', 'Hi there', 'Good morning!', 'Thank you.', 'Yes', 'No', 'Stop.',
    'Go on.', 'Help!', 'What?', 'Why?', 'Who?', 'When?', 'How?', 'Where?', 'Really?',
    'Are you sure?', 'ok', 'test', 'What is two and two?', 'What is {number} plus {number}?',
    'How old are you?', 'Is the {colour} {shape} {adjective}?',
    'How far is the {colour} {shape}?', 'How {adjective} is the {shape}?',
    'Who owns the {colour} {shape}?', 'Why is the {shape} {colour}?',
    'When did the {colour} {shape} stop?', 'Did the {colour} {shape} {verb}?',
    'Can the {shape} {verb}?', 'What is in the {colour} {shape}?',
    'What is behind the {colour} {shape}?', 'Do {people} {verb} the {colour} {shape}?',
    'What does the {colour} {shape} {verb}?', '{verb} the {colour} {shape}',
    'the {colour} {shape}', 'Is the {shape} on the {thing}?',
    'Is the {colour} {shape} bigger than the {shape}?', 'Which {shape} is the {adjective} one?',
    'How heavy is the {colour} {shape}?', 'Where is the {colour} {thing}?',
    'Where is the {thing} {shape}?', 'Is there a {colour} {thing}?',
    'What colour is the {thing}?', 'What colour are {people}?', 'Is anything {adjective}?',
    'Is something {adjective}?', 'Is anybody {place}?', 'Is anybody moving?',
    'What is {adjective}?', 'How many {colour} {thing}s are there?',
    'How many people are there?', 'Do you see a {thing}?', 'Do you see any {thing}s {place}?',
    'Can you see a {colour} {thing}?', 'What did you see?', 'What will happen next?',
    'Describe the {thing}.', 'Describe yourself.', 'What do you like?')


def other_question(generator: random.Random) -> Question:
    """Return a question, or a scrap, that is none of the known six kinds."""
    while True:
        draw = generator.random()
        if draw < 0.78:
            text = _from_frame(generator)
        elif draw < 0.9:  # words in any order
            pool = (_THINGS, _PROPERTIES, _VERBS, _PEOPLE, _PLACES, COLOURS, SHAPES,
                    ('is', 'the', 'a', 'of', 'what', 'where', 'how', 'there', 'are', 'do'))
            words = [generator.choice(generator.choice(pool))
                     for _ in range(generator.randint(1, 8))]
            text = ' '.join(words) + generator.choice(('', '?', '.'))
        else:  # no words at all
            letters = 'abcdefghijklmnopqrstuvwxyz      ,.?!0123456789-ABCDEFGH'
            text = ''.join(generator.choice(letters)
                           for _ in range(generator.randint(1, 24))).strip() or 'x'
        text = _varied(generator, text)
        if question_by_text(text) is None:
            return Question(OTHER, text)


def _from_frame(generator):
    return generator.choice(QUESTION_FRAMES).format(
        thing=_noun(generator), adjective=generator.choice(_PROPERTIES),
        verb=generator.choice(_VERBS), people=generator.choice(_PEOPLE),
        place=generator.choice(_PLACES), colour=generator.choice(COLOURS),
        shape=generator.choice(SHAPES), number=generator.choice(('one', 'two', 'three', '12')))


def _noun(generator):
    """Return a noun that is no shape of the scenes, in one of ten cases one that is made up."""
    if generator.random() < 0.12:
        return ''.join(generator.choice(('ba', 'do', 'ki', 'ru', 'lem', 'tas', 'ox', 'pi'))
                       for _ in range(generator.randint(1, 3)))
    return generator.choice([thing for thing in _THINGS if thing not in SHAPES and thing not in (
        'object', 'thing')])


def _varied(generator, text):
    if generator.random() < 0.3:
        text = text[:1].lower() + text[1:]
    if generator.random() < 0.3:
        text = text.rstrip('?.!') or text
    return text
