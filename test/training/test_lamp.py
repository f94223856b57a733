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

"""Training streams under a lamp on the mains: which of them, and what their pictures show."""

from moss_ros.training.lamp import DEPTHS, lit_by_chance, P_LAMP
import numpy as np
import pytest

NUM_SEEDS = 600


def grey_pictures():
    """Return six grey pictures of 64 px, black below as wide cameras' are."""
    pictures = np.full((6, 3, 64, 64), 120, np.uint8)
    pictures[:, :, 48:] = 0
    return pictures


@pytest.fixture(scope='module')
def lit():
    """Return by seed the pictures of those seeds that have a lamp."""
    plain = grey_pictures()
    found = {seed: lit_by_chance(plain, seed) for seed in range(NUM_SEEDS)}
    return {seed: pictures for seed, pictures in found.items() if (pictures != plain).any()}


def test_some_streams_have_a_lamp_and_the_rest_are_as_they_were(lit):
    assert P_LAMP / 2 < len(lit) / NUM_SEEDS < 2 * P_LAMP


def test_the_same_seed_has_the_same_lamp(lit):
    for seed, pictures in lit.items():
        assert (lit_by_chance(grey_pictures(), seed) == pictures).all()


def test_rows_get_lighter_and_darker_within_bounds_and_black_stays_black(lit):
    for pictures in lit.values():
        assert (pictures[:, :, 48:] == 0).all()
        rows = pictures[:, 0, :48]
        assert (rows == rows[..., :1]).all()
        assert np.abs(rows / 120 - 1).max() <= DEPTHS[1] + 1 / 120


def test_frames_have_other_bands(lit):
    # Grey levels are whole numbers, so two frames under a weak lamp may be the same.
    for pictures in lit.values():
        assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) >= 3
