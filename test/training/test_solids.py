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

"""Solids of the painted world: where they are, how large, and how light falls on them."""

from moss_ros.training.scenes.rendering import signed_distance
from moss_ros.training.scenes.world import SHAPES
from moss_ros.training.solids import Solids
import numpy as np
import pytest

SPAN = np.linspace(-2, 2, 161, dtype=np.float32)
X, Y = SPAN[None, :], SPAN[:, None]
MANY = range(40)


@pytest.mark.parametrize('shape', SHAPES)
def test_solids_stand_where_flat_shapes_do_and_are_about_as_large(shape):
    """Otherwise a thing would not be where the scene says it is, nor as near to others."""
    flat = signed_distance(shape, X, Y) < 0
    for seed in MANY:
        distance, light = Solids(np.random.default_rng(seed)).surface(shape, X, Y)
        is_inside = distance < 0
        assert 0.8 < is_inside.sum() / flat.sum() < 1.25
        rows, columns = np.nonzero(is_inside)
        assert abs(SPAN[rows].mean() - SPAN[np.nonzero(flat)[0]].mean()) < 0.12
        assert abs(SPAN[columns].mean()) < 0.12
        assert np.hypot(SPAN[rows], SPAN[columns]).max() < 1.6
        # What is inside is in one piece: each row of it has no gap.
        for row in np.unique(rows):
            assert np.ptp(columns[rows == row]) + 1 == (rows == row).sum()
        assert 0.4 < light[is_inside].min() and light[is_inside].max() < 1.6


def test_a_box_shows_its_front_a_flank_and_its_top():
    """The flank is on one side of the front, the top above it, each in its own light."""
    sides = set()
    for seed in MANY:
        distance, light = Solids(np.random.default_rng(seed)).surface('box', X, Y)
        lights, counts = np.unique(light[distance < 0], return_counts=True)
        assert len(lights) == 3 and lights[counts.argmax()] == 1.0
        # Half-way up, from the middle outward: the front, and then the flank of one side.
        middle = len(SPAN) // 2
        halves = slice(middle, None), slice(middle, None, -1)
        found = [light[middle, half][distance[middle, half] < 0][-1] for half in halves]
        assert found.count(1.0) == 1
        sides.add(found.index(1.0))
    assert sides == {0, 1}


def test_looks_differ_and_the_same_seed_is_the_same_look():
    """The outline of a ball and the light on it come from the seed."""
    def look(seed):
        return np.stack(Solids(np.random.default_rng(seed)).surface('ball', X, Y))

    assert np.array_equal(look(3), look(3))
    assert len({look(seed).tobytes() for seed in MANY}) == len(MANY)
