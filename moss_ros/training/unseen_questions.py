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
Wordings that training never asks: how well a model takes what people really type.

They were written by somebody who had not seen those of training, and what training asks was left
out. Never add to training what is here. Called by the evaluation.
"""

import random

from moss_ros.training.scenes import COLOURS, Question, SHAPES
from moss_ros.training.scenes.language import OTHER

WORDINGS = {
    'see': (
        'What have you got in view?', 'Anything you can see? Tell me all of it.',
        'Let me know what your camera is seeing, please.', 'Mind describing the image?',
        'What are the things in front of you?', "Explain to me what's in the scene.",
        "I can't see the picture. What's on it?", 'What is there to see?',
        'Please give me an overview of what you see.',
        'Which items are visible to you right now?', 'What do your eyes see?',
        'Talk me through the picture.', 'Could you list the objects in this image?',
        'What all do you see there?', 'What do you have in front of you now?',
        "Look around and tell me what's there."),
    'count': (
        "What's the total of all objects here?",
        'Could you count the things in front of you, please?',
        'Robot, give me a total count of the objects.',
        'Altogether, how many shapes do you see?',
        'If you count them all, how many objects do you get?',
        'Would you count up all the objects?', 'I need the number of objects, please.',
        'Tell me the total number of things you can see', 'How many objects are visible to you?',
        'how many items can your camera see right now', 'What number of objects is in view?',
        'How large is the number of objects in the picture?', 'Add up all the shapes: how many?',
        "Let's count: how many things are in the scene?",
        'The number of objects in this picture is what?',
        'Can you work out how many objects there are in total?'),
    'where': (
        "where's my {colour} {shape}", 'What side is the {colour} {shape} on, left or right?',
        'Left, middle or right: where is the {colour} {shape}?',
        "I can't find the {colour} {shape}, can you tell me where to look?",
        'At what place in the picture is the {colour} {shape}?',
        'Where exactly do you see the {colour} {shape}?',
        'Let me know the place of the {colour} {shape}, please.',
        'Where does the {colour} {shape} stand?',
        'Tell me on which side I can find the {colour} {shape}',
        'To which side should I look to see the {colour} {shape}?',
        'Can you describe the location of the {colour} {shape}?'),
    'colour': (
        'what colour has the {shape} got', 'Look at the {shape}. What colour is it?',
        'What color do you see on the {shape}?',
        'How would you describe the color of the {shape}?',
        'And the {shape}, which colour is that?',
        "I can't tell what colour the {shape} is, can you?",
        "Let me know the {shape}'s colour, please.", "What's the {shape}'s color?",
        'Which colour can you see the {shape} in?',
        'As for the {shape}, what might its colour be?'),
    'is_there': (
        "Would you say there's a {colour} {shape} in the picture?",
        'Look for a {colour} {shape}: is there one?',
        'Could there be a {colour} {shape} in this image?',
        'Can you find a {colour} {shape} in the picture, yes or no?',
        'Do we have a {colour} {shape} here?', 'Is it true that there is a {colour} {shape}?',
        'So, is there a {colour} {shape} or not?',
        'Have a look, please: is there a {colour} {shape}?',
        'Do you happen to see a {colour} {shape}?', 'Is a {colour} {shape} part of the picture?',
        "Can you confirm there's a {colour} {shape}?",
        'Would I see a {colour} {shape} if I looked at this picture?'),
    'moving': (
        'Robot, tell me if anything moves.', 'Is any object on the move?',
        'Are things moving in the picture?', 'Let me know if you see movement, please.',
        'Is anything at all in motion?', "what thing's moving now", 'Did you see anything move?',
        'Are all the objects still, or is one moving?', 'Look closely: does something move?',
        'I think something is moving. What is it?', 'Name the object that is moving.'),
}
OTHERS = (
    'What shape is the {colour} thing?', 'How many boxes can you see?', 'Do you see any cones?',
    'Are there more balls than boxes?', 'Count to ten, please.', 'Count the {colour} things.',
    'What is to the left of the {colour} {shape}?', 'Which is closer, the {shape} or the cone?',
    "What's the distance to the {colour} {shape}?", 'Is the {colour} {shape} heavy?',
    'Why is the {colour} {shape} moving?', 'What is the {shape} for?',
    'How long has the {shape} been there?', 'What did you see yesterday?', 'turn around',
    'Come here please', 'Switch off the light.', 'Move a little to the right.', 'Take a photo.',
    'Open the door', 'Go to sleep now', 'What are you thinking about?', 'Who built you?',
    'Do you have any friends?', 'Are you happy?', 'How do you work?', 'Where do you live?',
    'What language do you speak?', 'Is it raining?', 'How warm is it in here?',
    'Will it snow tomorrow?', 'What month is it?', 'How late is it?',
    'Is there a window in this room?', 'Where is the bathroom?', 'What color is my shirt?',
    'Do you see me?', 'Who is standing in front of you?', 'Is there a child in the picture?',
    'Where is my mother?', 'How many fingers am I holding up?',
    'How many doors does the house have?', 'Nice to meet you', 'hi robot how are you',
    'See you later!', 'I love you', "Comment tu t'appelles ?", 'Quelle heure est-il ?',
    'Dove sei?', 'Hoe gaat het?', 'lalala boing {shape}', 'xyzzy', 'What does {colour} mean?',
    'Can you draw a {colour} {shape}?', 'Would you rather be a {shape}?',
    'Is {colour} a nice colour?', "What's for dinner?", 'Spell the word {shape}.',
    'Can you say that again?', 'Did you understand my question?',
    'Could I sit on the {colour} {shape}?')


def unseen_wording(kind: str, generator: random.Random) -> str:
    """Return one of WORDINGS."""
    return generator.choice(WORDINGS[kind])


def unseen_other_question(generator: random.Random) -> Question:
    """Return one of OTHERS, which nobody here can answer."""
    return Question(OTHER, generator.choice(OTHERS).format(
        colour=generator.choice(COLOURS), shape=generator.choice(SHAPES)))
