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
The shipped checkpoint before a second renderer, which shares no code with the training one.

MOSS_PHOTOGRAPHS names a folder of photographs for backgrounds; without it they are made up.
MOSS_NUM_SCENES takes more scenes than the few that are cheap.
"""

import ast
import os
from pathlib import Path

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.training.evaluation import Evaluator
from moss_ros.training.fresh_streams import (
    Conditions, make_fresh, read_photographs, renderer_class,
)
from moss_ros.training.scenes import Question, Scene
from moss_ros.training.scenes.language import DO_NOT_KNOW
import numpy as np
import pytest

RENDERER = Path(__file__).with_name('other_renderer.py')
NUM_SCENES = int(os.environ.get('MOSS_NUM_SCENES', 8))
# What was measured, less what the smallness of the sample can do.
LEAST = {'event_recall': 0.88, 'sentence_precision': 0.88, 'silence_kept': 0.97,
         'question_accuracy': 0.8}


@pytest.fixture
def renderer():
    return renderer_class(RENDERER)


def test_it_shares_no_code_with_the_package():
    tree = ast.parse(RENDERER.read_text(encoding='utf-8'))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
             for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {'cv2', 'math', 'numpy', 'random'}


def test_things_are_where_the_truth_says(renderer):
    """In the middle of each object is its colour: by the strongest and weakest of the three."""
    order = {'red': (0, 2), 'green': (1, 0), 'blue': (2, 0), 'yellow': (0, 2), 'purple': (2, 1)}
    num = 0
    for seed in range(12):
        scene = Scene(seed)
        picture = renderer(scene).render(9.0)
        assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8
        for state in scene.objects_at(9.0):
            if 0.1 < state.x < 0.9 and state.colour in order:
                row, column = int(state.y * 320), int(state.x * 320)
                colour = picture[row - 2:row + 4, column - 2:column + 3].mean((0, 1))
                most, least = order[state.colour]
                assert colour[most] > colour[least] + 40, (seed, state)
                num += 1
    assert num > 12


def test_photographs_become_backgrounds(renderer):
    """Of the same scenes some have the photograph behind them, and all are as they were drawn."""
    stripes = np.zeros((300, 400, 3), np.uint8)
    stripes[:, ::40] = stripes[:, 1::40] = 255
    changed = [not np.array_equal(renderer(Scene(seed)).render(1.0),
                                  renderer(Scene(seed), [stripes]).render(1.0))
               for seed in range(10)]
    assert any(changed)
    assert {renderer(Scene(seed), [stripes]).shows_photograph for seed in range(10)} == {
        False, True}
    assert not any(renderer(Scene(seed)).shows_photograph for seed in range(10))
    again = [renderer(Scene(4), [stripes]).render(1.0) for _ in range(2)]
    assert np.array_equal(*again)


def test_an_empty_picture_before_a_photograph_is_any_worlds(renderer):
    """Before a thing has shown there, what is true is that the scene is not known."""
    stripes = np.full((300, 400, 3), 90, np.uint8)
    see, count = Question('see', ''), Question('count', '')
    answers = set()
    for seed in range(30_000, 30_040):
        conditions = Conditions(1, 30, 3, photographs=[stripes], renderer=RENDERER)
        stream = make_fresh(conditions, seed, 2.0)[0]
        is_photograph = renderer(stream.scene, [stripes]).shows_photograph
        first_thing = next(index for index, objects in enumerate(stream.objects)
                           if any(state.in_picture for state in objects))
        for index in range(1, 30):
            answer = stream.answer(see, index)
            is_any_worlds = is_photograph and index < first_thing
            assert is_any_worlds == answer.startswith('I do not know this scene.')
            assert is_any_worlds == (stream.answer(count, index) == DO_NOT_KNOW)
            answers.add((is_photograph, answer.startswith('I see nothing.')))
    assert len(answers) == 4


def test_the_shipped_checkpoint_narrates_another_look_as_truly():
    folder = os.environ.get('MOSS_PHOTOGRAPHS')
    photographs = read_photographs(Path(folder)) if folder else []
    with Evaluator(DEMO_CHECKPOINT) as evaluator:
        figures = evaluator.figures(Conditions(
            NUM_SCENES, 40, 77, renderer=RENDERER, photographs=photographs))
    assert figures['num_events'] > 5 * NUM_SCENES
    assert {name: figures[name] for name, least in LEAST.items() if figures[name] < least} == {}
