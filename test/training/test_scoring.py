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

"""Scoring: sentences are matched with events one to one, in time."""

from moss_ros.training.scoring import (
    match_narration, match_pairs, NarrationScore, split_sentences,
)
import pytest

TRUTH = [(10, 'A red ball appears.'), (20, 'The red ball stops.'), (30, 'A red ball appears.')]


@pytest.mark.parametrize('said, num_matched', [
    ([], 0),
    ([(10, 'A red ball appears.'), (22, 'The red ball stops.'), (28, 'A red ball appears.')], 3),
    ([(13, 'A red ball appears.')], 0),
    ([(20, 'the red ball stops.')], 0),
    ([(10, 'A red ball appears.'), (11, 'A red ball appears.')], 1),
])
def test_matching(said, num_matched):
    """In time and literally alike counts, too late, another wording or a repetition does not."""
    score = match_narration(TRUTH, said, tolerance=2)
    assert score == NarrationScore(3, len(said), num_matched)
    assert score.num_missed == 3 - num_matched
    assert score.num_false == len(said) - num_matched


def test_a_sentence_tells_one_event_only():
    """Of two events of one wording near each other, each needs a sentence of its own."""
    truth = [(8, 'The camera moves.'), (3, 'The camera stops.'), (4, 'The camera moves.')]
    assert match_pairs(truth, [(6, 'The camera moves.')], 2) == {2: 0}
    said = [(7, 'The camera moves.'), (5, 'The camera moves.'), (6, 'The camera moves.')]
    assert match_pairs(truth, said, 2) == {2: 1, 0: 2}


def test_each_sentence_serves_one_event():
    """Two events of the same wording within the tolerance need two sentences."""
    truth = [(10, 'It stops.'), (11, 'It stops.')]
    assert match_narration(truth, [(11, 'It stops.')], 2).num_matched == 1
    assert match_narration(truth, [(11, 'It stops.'), (12, 'It stops.')], 2).num_matched == 2


def test_fractions_and_sums():
    """Scores of several streams add up; empty ones count as perfect, not as a division by 0."""
    assert NarrationScore().event_recall == NarrationScore().sentence_precision == 1.0
    total = NarrationScore(4, 2, 1) + NarrationScore(0, 2, 1)
    assert (total.event_recall, total.sentence_precision) == (0.5, 0.5)


@pytest.mark.parametrize('text, sentences', [
    ('', []),
    ('The red ball stops.', ['The red ball stops.']),
    (' A. B. ', ['A.', 'B.']),
    ('The red', ['The red']),
])
def test_split_sentences(text, sentences):
    """Whole sentences and a cut one at the end."""
    assert split_sentences(text) == sentences
