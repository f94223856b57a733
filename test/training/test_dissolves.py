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

"""Training streams whose picture dissolves into another: which, when, and what still shows."""

import random

from moss_ros.model.preprocess import fitted_size
from moss_ros.training.unknown import make_unknown_stream
from moss_ros.training.unknown.dissolves import dissolved_by_chance, P_DISSOLVE
from moss_ros.training.unknown.filming import film_size_px
from moss_ros.training.unknown.unknown_streams import render_unknown_stream
import numpy as np
import pytest

NUM_SEEDS = 300
NUM_FRAMES = 40
DARK, LIGHT = 40, 200


def film(value):
    """Return the pictures of a stream that shows but one grey."""
    return np.full((NUM_FRAMES, 3, 8, 8), value, np.uint8)


@pytest.fixture(scope='module')
def dissolved():
    """Return by seed the greys f64 [L] of those streams that end or begin in another picture."""
    found = {seed: dissolved_by_chance(film(DARK), seed, lambda _: film(LIGHT))
             for seed in range(NUM_SEEDS)}
    return {seed: pictures.mean((1, 2, 3)) for seed, pictures in found.items()
            if (pictures != DARK).any()}


def test_some_streams_dissolve_and_the_rest_are_as_they_were(dissolved):
    assert P_DISSOLVE / 2 < len(dissolved) / NUM_SEEDS < 2 * P_DISSOLVE


def test_a_stream_begins_with_its_own_picture(dissolved):
    assert all(greys[0] == DARK for greys in dissolved.values())


def test_pictures_are_cut_or_mixed_by_and_by_and_some_come_back(dissolved):
    steps = [np.abs(np.diff(greys)).max() for greys in dissolved.values()]
    assert sum(step == LIGHT - DARK for step in steps) > 2
    assert sum(step < (LIGHT - DARK) / 2 for step in steps) > 5
    assert any(greys.max() == LIGHT and greys[-1] == DARK for greys in dissolved.values())


def test_the_other_picture_is_another_for_each_stream(dissolved):
    shown = []
    for seed in dissolved:
        dissolved_by_chance(film(DARK), seed, lambda photographs: shown.append(
            photographs[0].mean()) or film(LIGHT))
    assert len(set(shown)) == len(dissolved)


def test_what_is_told_happens_before_both_pictures():
    """A stream's own truth stays that of its dissolved pictures: the same camera films both."""
    generator = random.Random(4)
    streams = (make_unknown_stream(generator.randrange(10 ** 6), NUM_FRAMES, 2.0)
               for _ in range(1000))
    stream = next(stream for stream in streams if any(
        event.kind.value == 'moves' for _, event in stream.truth) and not stream.scene.is_still)
    other = np.tile(np.random.default_rng(1).integers(0, 255, (12, 16, 3), np.uint8), (18, 20, 1))
    for photographs in ((), (other,)):
        pictures = render_unknown_stream(stream, 64, photographs).astype(np.float32)
        height_px, width_px = fitted_size(*film_size_px(stream.scene), 64)
        content = pictures[:, :, :height_px, :width_px]
        changes = np.abs(np.diff(content, axis=0)).mean((1, 2, 3))
        kinds = [kind and kind.value for kind in stream.going_on[1:]]
        moves, rests = (np.array([kind == wanted for kind in kinds]) for wanted in ('moves', None))
        assert changes[moves].mean() > 1.5 * changes[rests].mean()
