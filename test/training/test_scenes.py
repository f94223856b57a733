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

"""Scenes: deterministic, unambiguous, and every sentence true of what is drawn."""

import math
import random

from moss_ros.training.scenes import (
    answer_question, EventKind, ObjectState, Question, question_by_text, random_question, Scene,
    SceneRenderer,
)
from moss_ros.training.scenes.rendering import RGB_BY_COLOUR
from moss_ros.training.scenes.world import (
    MAX_OBJECTS, MIN_DISTANCE, MIN_VERTICAL_MOVE, SPEED_PER_S,
)
from moss_ros.training.varied_looks import VariedRenderer
import numpy as np
import pytest

SEEDS = range(12)


def objects_every_100_ms(scene, end_s):
    return [(tick / 10, scene.objects_at(tick / 10)) for tick in range(int(end_s * 10))]


@pytest.mark.parametrize('seed', SEEDS)
def test_same_seed_same_scene_however_it_is_asked(seed):
    """A scene grown in one go equals one grown step by step."""
    stepwise, at_once = Scene(seed), Scene(seed)
    later = at_once.events_between(0, 90)
    events = [event for second in range(90)
              for event in stepwise.events_between(second, second + 1)]
    assert events == later
    assert stepwise.objects_at(42.0) == at_once.objects_at(42.0)
    assert Scene(seed + 1000).events_between(0, 90) != later


@pytest.mark.parametrize('seed', SEEDS)
def test_objects_keep_apart_and_can_be_told_by_colour(seed):
    """Nothing hides anything, at most one object moves, and colours are unique."""
    for _, objects in objects_every_100_ms(Scene(seed), 120):
        assert len(objects) <= MAX_OBJECTS
        assert len({state.colour for state in objects}) == len(objects)
        assert sum(state.motion != 'still' for state in objects) <= 1
        for first in objects:
            for second in objects:
                if first is not second:
                    assert math.hypot(first.x - second.x, first.y - second.y) > \
                        MIN_DISTANCE - 0.01


@pytest.mark.parametrize('seed', SEEDS)
def test_every_sentence_is_true_of_the_objects(seed):
    """Before and after each event the objects are as its sentence says."""
    scene = Scene(seed)
    for event in scene.events_between(1, 120):
        words = event.sentence.rstrip('.').split()
        before = {state.name: state for state in scene.objects_at(event.time_s - 0.05)}
        after = {state.name: state for state in scene.objects_at(event.time_s + 0.05)}
        name = f'{event.colour} {event.shape}'
        if event.kind is EventKind.APPEARS:
            assert name not in before and name in after
            x = after[name].x
            assert {'left': x < 1 / 3, 'middle': 1 / 3 < x < 2 / 3, 'right': x > 2 / 3}[words[-1]]
        elif event.kind is EventKind.ENTERS:
            assert not before[name].in_picture and after[name].in_picture
            assert (after[name].x < 0.5) == (words[-1] == 'left')
        elif event.kind is EventKind.LEAVES:
            assert before[name].in_picture
            assert name not in after or not after[name].in_picture
            assert (before[name].x < 0.5) == (words[-1] == 'left')
        elif event.kind is EventKind.MOVES:
            assert before[name].motion == 'still' and after[name].motion == words[-1]
        elif event.kind is EventKind.STOPS:
            assert before[name].motion != 'still' and after[name].motion == 'still'
        else:
            assert name in before and name not in after
            assert f'{words[-1]} {event.shape}' in after


def test_all_kinds_of_events_happen_and_moves_can_be_seen():
    """No kind is rare, and every move lasts long enough to be seen at 2 frames/s."""
    kinds = [event.kind for seed in range(40) for event in Scene(seed).events_between(0, 120)]
    for kind in EventKind:
        assert kinds.count(kind) > len(kinds) * 0.03
    assert MIN_VERTICAL_MOVE / max(SPEED_PER_S) > 1.0


def test_static_scene_has_objects_and_no_events():
    """A static scene shows something, for as long as one likes, and nothing happens."""
    scene = Scene(3, static=True)
    assert scene.events_between(0, 3600) == []
    assert scene.objects_at(0) and scene.objects_at(0) == scene.objects_at(3600)


def test_forgetting_the_past_leaves_the_future():
    """What a long-running camera forgets does not change what comes."""
    forgetful, other = Scene(5), Scene(5)
    forgetful.events_between(0, 300)
    forgetful.forget_before(300)
    assert forgetful.events_between(300, 400) == other.events_between(300, 400)
    assert forgetful.objects_at(350) == other.objects_at(350)
    assert forgetful.events_between(0, 299) == []


@pytest.mark.parametrize('size_px', [(320, 240), (64, 48), (641, 33)])
def test_rendering_is_deterministic_and_sized(size_px):
    """The same scene, time and size give the same picture; another time gives another."""
    width_px, height_px = size_px
    picture = SceneRenderer(Scene(4), width_px, height_px).render(7.3)
    assert picture.shape == (height_px, width_px, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, SceneRenderer(Scene(4), width_px, height_px).render(7.3))
    assert not np.array_equal(picture, SceneRenderer(Scene(4), width_px, height_px).render(8.3))


def test_object_is_drawn_where_and_in_the_colour_it_has():
    """The pixel at an object's centre is nearest to the object's own colour."""
    num_objects = 0
    for seed in SEEDS:
        scene = Scene(seed, static=True)
        picture = SceneRenderer(scene, 320, 240).render(1.0) / 255
        for state in scene.objects_at(1.0):
            row, column = round(state.y * 320), round(state.x * 320)
            seen = picture[row - 3:row + 4, column - 3:column + 4].mean((0, 1))
            distances = {name: np.abs(seen - rgb).sum() for name, rgb in RGB_BY_COLOUR.items()}
            assert min(distances, key=distances.get) == state.colour
            num_objects += 1
    assert num_objects > 10


def test_too_small_a_picture_is_refused():
    """The error names the size and the least one."""
    with pytest.raises(ValueError, match='8x240 px is too small: 16x16'):
        SceneRenderer(Scene(0), 8, 240)


RED_BALL = ObjectState('ball', 'red', 0.1, 0.3, 0.17, 'still')
BLUE_BALL = ObjectState('ball', 'blue', 0.5, 0.3, 0.17, 'up')
GREEN_BOX = ObjectState('box', 'green', 0.9, 0.3, 0.17, 'still')
OUTSIDE = ObjectState('cone', 'white', -0.05, 0.3, 0.17, 'right')


@pytest.mark.parametrize('text, objects, answer', [
    ('What do you see?', [], 'I see nothing.'),
    ('what can you see', [BLUE_BALL, RED_BALL, OUTSIDE], 'I see a red ball and a blue ball.'),
    ('How many objects are there?', [], 'There are no objects.'),
    ('How many objects are there?', [RED_BALL], 'There is one object.'),
    ('How many things are there?', [RED_BALL, GREEN_BOX], 'There are two objects.'),
    ('Where is the red ball?', [RED_BALL], 'The red ball is on the left.'),
    ('Where is the blue ball?', [BLUE_BALL], 'The blue ball is in the middle.'),
    ('Where is the green box?', [GREEN_BOX], 'The green box is on the right.'),
    ('Where is the white cone?', [OUTSIDE], 'There is no white cone.'),
    ('What colour is the box?', [GREEN_BOX], 'The box is green.'),
    ('What color is the cone?', [OUTSIDE], 'There is no cone.'),
    ('What colour is the ball?', [RED_BALL, BLUE_BALL], 'There are two balls.'),
    ('Is there a red ball?', [RED_BALL], 'Yes.'),
    ('Is there a red box?', [RED_BALL, GREEN_BOX], 'No.'),
    ('Is anything moving?', [RED_BALL, OUTSIDE], 'Nothing is moving.'),
    ('Is anything moving?', [RED_BALL, BLUE_BALL], 'The blue ball is moving up.'),
])
def test_answers_are_true(text, objects, answer):
    """Each kind of question, answered of objects in and outside the picture."""
    assert answer_question(question_by_text(text), objects) == answer


def test_unknown_questions_are_told_as_such():
    """Neither an unknown text nor an unknown kind gets a made-up answer."""
    assert question_by_text('Who are you?') is None
    with pytest.raises(ValueError, match="kind of question 'why'"):
        answer_question(Question('why', 'Why?'), [])


def test_random_questions_are_recognised_by_their_text():
    """Whatever is asked in training can be understood from its text alone."""
    generator = random.Random(1)
    for _ in range(300):
        question = random_question(generator, [RED_BALL, GREEN_BOX])
        assert question_by_text(question.text) == question


def test_varied_looks_show_the_same_scene_otherwise():
    """The same seed gives the same picture; what is drawn stands where the scene has it."""
    scene = Scene(5003)
    state = next(state for state in scene.objects_at(10.0) if state.in_picture)
    column, row = int(state.x * 160), int(state.y * 160)
    looks = [VariedRenderer(scene, 160, 120).render(10.0) for _ in range(2)]
    assert np.array_equal(*looks)
    demo = SceneRenderer(scene, 160, 120).render(10.0)
    assert not np.array_equal(looks[0], demo)
    there = (slice(row - 2, row + 3), slice(column - 2, column + 3))
    for picture in (looks[0], demo):
        around = np.median(picture.reshape(-1, 3), axis=0)
        assert np.abs(picture[there].mean((0, 1)) - around).max() > 40


def test_backgrounds_and_light_vary_from_scene_to_scene():
    """No two of many scenes have the same mean colour; pictures are in no way spoilt."""
    means = set()
    for seed in range(24):
        picture = VariedRenderer(Scene(seed), 64, 48).render(3.0)
        assert picture.shape == (48, 64, 3) and picture.dtype == np.uint8
        assert 8 < picture.mean() < 247
        means.add(tuple(picture.mean((0, 1)).round(2)))
    assert len(means) == 24
