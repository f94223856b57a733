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

"""How questions are put: what is drawn is understood, and what training never asks is not."""

import random

from moss_ros.training import unseen_questions
from moss_ros.training.questions import other_question
from moss_ros.training.scenes.wordings import KINDS, random_wording, read_wording, WORDINGS
import pytest


def asked(wording):
    return wording.format(colour='green', shape='box')


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_drawn_is_read_as_its_kind(kind):
    """In hundreds of wordings, of what they name too, whatever the case and the end mark."""
    generator, drawn = random.Random(7), set()
    for _ in range(1500):
        wording = random_wording(kind, generator)
        drawn.add(wording)
        assert '  ' not in wording and '[' not in wording and '<' not in wording
        named = ('green' if '{colour}' in wording else '', 'box' if '{shape}' in wording else '')
        for text in (asked(wording), asked(wording).lower(), asked(wording).rstrip('?.')):
            assert read_wording(text) == (kind, *named), text
    assert len(drawn) > 500
    assert drawn >= set(WORDINGS[kind])


@pytest.mark.parametrize('text, read', [
    ("what's in the picture", ('see', '', '')),
    ('What\u2019s in the picture?', ('see', '', '')),
    ('Describe the picture.', ('see', '', '')),
    ('Could you please count the things?', ('count', '', '')),
    ('Tell me where the red ball is.', ('where', 'red', 'ball')),
    ('Is the white cone visible?', ('is_there', 'white', 'cone')),
    ('Hey robot, which color does the cone have?', ('colour', '', 'cone')),
    ('Is there any movement?', ('moving', '', '')),
    ('Where is the ball?', None),
    ('Is the red ball moving?', None),
    ('How many red balls are there?', None),
    ('Is there a red ball and a blue box?', None),
    ('What is behind you?', None),
    ('', None),
    ('{colour} {shape}', None)])
def test_known_and_unknown_wordings(text, read):
    assert read_wording(text) == read


def test_what_training_never_asks_is_none_of_its_wordings():
    """Neither as a known kind nor among what nobody can answer."""
    generator = random.Random(3)
    others = {other_question(generator).text.rstrip('?.!').lower() for _ in range(20_000)}
    for wordings in unseen_questions.WORDINGS.values():
        assert len(wordings) >= 10
        assert not any(read_wording(asked(wording)) for wording in wordings)
    for text in unseen_questions.OTHERS:
        assert read_wording(asked(text)) is None
        assert asked(text).rstrip('?.!').lower() not in others


def test_what_is_around_a_question_does_not_tell_whether_it_can_be_answered():
    """Both come with and without a request to tell."""
    generator = random.Random(5)
    polite = ('Tell me', 'Can you tell me', 'Hey', 'Please')
    for texts in ([asked(random_wording('where', generator)) for _ in range(2000)],
                  [other_question(generator).text for _ in range(2000)]):
        assert all(any(text.startswith(words) for text in texts) for words in polite)
