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

"""The disturbed cameras of the table of robustness, and the streams that they show."""

from pathlib import Path

import cv2
from moss_ros.images import image_to_rgb
from moss_ros.training.disturbances import CLEAN, DISTURBANCES
from moss_ros.training.evaluation_run import Evaluation
from moss_ros.training.fresh_streams import Conditions, make_fresh, WORLDS
from moss_ros.training.robustness import measure_robustness, robustness_table
import numpy as np
import pytest

TIMES_S = tuple(index / 2 for index in range(400))
SEED = 5


def picture():
    """Return a picture with edges, colours, dark and bright, u8 [60, 80, 3]."""
    rows, columns = np.mgrid[0:60, 0:80]
    values = np.stack([3 * columns, 4 * rows, 255 - 3 * columns], -1).astype(np.uint8)
    values[20:40, 30:50] = (200, 30, 30)
    return values


def disturbed(name, time_s=1.5, seed=SEED):
    return DISTURBANCES[name].disturbed(lambda _: picture(), seed)(time_s)


@pytest.mark.parametrize('name', [
    name for name, row in DISTURBANCES.items()
    if name != CLEAN and not (row.size_px or row.p_drop or row.step > 1)])
def test_a_picture_is_changed_the_same_way_each_time(name):
    found = disturbed(name)
    assert found.dtype == np.uint8 and found.shape[1:] == (80, 3)
    assert found.shape != picture().shape or (found != picture()).any()
    assert np.array_equal(found, disturbed(name))


def test_a_clean_camera_changes_nothing():
    assert np.array_equal(disturbed(CLEAN), picture())
    assert DISTURBANCES[CLEAN].kept_times_s(TIMES_S, SEED) == TIMES_S


@pytest.mark.parametrize('name', ['noise', 'flicker_50hz'])
def test_what_changes_with_time_does(name):
    assert not np.array_equal(disturbed(name), disturbed(name, time_s=1.503))


def test_noise_is_as_strong_to_the_model_at_any_size():
    """Scaled to the width that the model sees, it has the same deviation."""
    row = DISTURBANCES['noise']
    for width_px in (128, 512):
        grey = np.full((width_px * 3 // 4, width_px, 3), 128, np.uint8)
        seen = cv2.resize(row.disturbed(lambda _: grey, SEED)(0.0), (64, 48),
                          interpolation=cv2.INTER_AREA)
        # Of 128 grey levels hardly any noise is cut off; of 64 a pixel some is.
        assert 6.0 < seen.std() < 8.5


def test_lost_frames_and_half_the_rate():
    kept = DISTURBANCES['dropped_frames'].kept_times_s(TIMES_S, SEED)
    assert 0.65 < len(kept) / len(TIMES_S) < 0.85 and set(kept) <= set(TIMES_S)
    assert kept != DISTURBANCES['dropped_frames'].kept_times_s(TIMES_S, SEED + 1)
    assert DISTURBANCES['half_rate'].kept_times_s(TIMES_S, SEED) == TIMES_S[::2]


def test_cameras_without_colours_are_shown_as_the_package_shows_them():
    grey = cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY)
    assert np.array_equal(disturbed('mono8'), image_to_rgb(
        'mono8', 60, 80, 80, False, grey.tobytes()))
    depth = disturbed('depth')
    assert (depth == depth[..., :1]).all()
    # Brighter is farther, but where nothing was measured, which is black.
    is_measured = depth[..., 0] > 0
    assert 0.9 < is_measured.mean() < 1
    assert np.corrcoef(depth[is_measured][:, 0], grey[is_measured])[0, 1] > 0.99
    assert np.ptp(disturbed('depth_in_colours').astype(int), -1).max() > 100


def test_an_upright_camera_sees_the_same_and_more():
    found = disturbed('portrait_filled')
    assert found.shape == (106, 80, 3)
    assert np.array_equal(found[23:83], picture())


@pytest.mark.parametrize('world', ['painted', 'unknown'])
@pytest.mark.parametrize('name', ['portrait', 'size_96x72', 'dropped_frames', 'half_rate'])
def test_streams_of_disturbed_cameras(world, name):
    """A camera of another size sees the same events; lost frames leave as many as are wanted."""
    clean, _ = make_fresh(Conditions(1, 20, 3, world), 30_000, 2.0)
    stream, picture_at = make_fresh(Conditions(1, 20, 3, world, disturbance=name), 30_000, 2.0)
    size_px = DISTURBANCES[name].size_px
    assert len(stream.times_s) == 20
    if size_px:
        assert picture_at(stream.times_s[3]).shape == (size_px[1], size_px[0], 3)
        assert stream.times_s == clean.times_s
        assert [event.time_s for _, event in stream.truth] == [
            event.time_s for _, event in clean.truth]
    else:
        assert stream.times_s[-1] > clean.times_s[-1] + 0.5
        assert all(stream.times_s[index - 1] < event.time_s <= stream.times_s[index]
                   for index, event in stream.truth if index)


@pytest.mark.parametrize('name', ['dropped_frames', 'half_rate'])
def test_lost_frames_are_lost_of_the_same_scene(name):
    """What happens while the clean camera looks happens there too, seen in the same shape."""
    num_events = 0
    for seed in range(30_000, 30_020):
        clean, _ = make_fresh(Conditions(1, 40, 3, 'unknown'), seed, 2.0)
        stream, _ = make_fresh(Conditions(1, 40, 3, 'unknown', disturbance=name), seed, 2.0)
        assert (stream.scene.aspect, stream.scene.is_still) == (
            clean.scene.aspect, clean.scene.is_still)
        until_s = clean.times_s[-1]
        events = [(event.time_s, event.kind) for _, event in clean.truth]
        assert [(event.time_s, event.kind) for _, event in stream.truth
                if event.time_s <= until_s] == events
        num_events += len(events)
    assert num_events > 40


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'disturbance': 'rain'}, "disturbance is 'rain'; take one of clean, size_96x72"),
    ({'world': 'real'}, "world is 'real'; take one of painted, unknown"),
    ({'renderer': Path(__file__)}, 'has no class Renderer'),
    ({'renderer': Path('/nowhere.py')}, 'renderer /nowhere.py is no file'),
    ({'renderer': Path(__file__), 'world': 'unknown'}, 'a renderer is for the painted world'),
])
def test_conditions_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Conditions(1, 20, 3, **arguments)


class CountingEvaluator:
    """Stands for an Evaluator: gives figures of nothing, and keeps the conditions."""

    def __init__(self):
        self.asked = []

    def figures(self, conditions):
        self.asked.append(conditions)
        return {**Evaluation().figures(), 'num_events': 10, 'cpu_s': 0.5}


def test_the_table_has_a_row_for_each_camera_in_both_worlds():
    """All of the same scenes; photographs are for the unknown world alone."""
    evaluator, lines = CountingEvaluator(), []
    photograph = picture()
    rows = measure_robustness(evaluator, Conditions(
        3, 20, 8, 'unknown', photographs=[photograph]), WORLDS, lines.append)
    assert set(rows) == set(DISTURBANCES) and len(lines) == 2 * len(rows)
    assert {(asked.disturbance, asked.world) for asked in evaluator.asked} == {
        (name, world) for name in DISTURBANCES for world in WORLDS}
    assert all(asked.seed == 8 and len(asked.photographs) == (asked.world == 'unknown')
               for asked in evaluator.asked)
    table = robustness_table(rows, WORLDS).splitlines()
    assert len(table) == 2 + 2 * len(DISTURBANCES)
    # But where another renderer has them behind its things.
    evaluator.asked.clear()
    measure_robustness(evaluator, Conditions(
        3, 20, 8, photographs=[photograph],
        renderer=Path(__file__).with_name('other_renderer.py')), ('painted',))
    assert all(len(asked.photographs) == 1 and asked.renderer for asked in evaluator.asked)
    # Nothing was said: a part of nothing is not shown as if all were right.
    assert table[2].startswith('| painted | clean | 1.000 (0.000 to 1.000) | - | - | - |')
