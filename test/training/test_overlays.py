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

"""Training streams with titles and drawings that fade in: which of them, and what they show."""

from moss_ros.training.unknown.overlays import overlaid_by_chance, P_OVERLAYS
import numpy as np
import pytest

NUM_SEEDS = 200
NUM_FRAMES = 40
CONTENT_PX = 48, 64


def grey_pictures():
    """Return grey pictures of 64 px, black below as wide cameras' are."""
    pictures = np.full((NUM_FRAMES, 3, 64, 64), 120, np.uint8)
    pictures[:, :, CONTENT_PX[0]:] = 0
    return pictures


@pytest.fixture(scope='module')
def overlaid():
    """Return by seed the pictures of those seeds that have overlays."""
    plain = grey_pictures()
    found = {seed: overlaid_by_chance(plain, CONTENT_PX, seed) for seed in range(NUM_SEEDS)}
    return {seed: pictures for seed, pictures in found.items() if (pictures != plain).any()}


def test_some_streams_have_overlays_and_the_rest_are_as_they_were(overlaid):
    assert P_OVERLAYS / 2 < len(overlaid) / NUM_SEEDS < 2 * P_OVERLAYS


def test_the_same_seed_has_the_same_overlays(overlaid):
    for seed, pictures in overlaid.items():
        assert (overlaid_by_chance(grey_pictures(), CONTENT_PX, seed) == pictures).all()


def test_what_the_camera_does_not_fill_stays_black(overlaid):
    for pictures in overlaid.values():
        assert (pictures[:, :, CONTENT_PX[0]:] == 0).all()


def test_overlays_are_not_there_from_the_start_and_come_by_and_by(overlaid):
    num_fading = 0
    for pictures in overlaid.values():
        changes = np.abs(pictures.astype(int) - 120)[:, :, :CONTENT_PX[0]].sum((1, 2, 3))
        assert changes[0] == 0
        first = int(np.flatnonzero(changes)[0])
        num_fading += changes[first] < 0.8 * changes.max()
    assert num_fading > 0.6 * len(overlaid)


def test_some_overlays_fill_most_of_the_picture_and_others_little_of_it(overlaid):
    parts = [
        (pictures[:, :, :CONTENT_PX[0]] != 120).any(1).mean((1, 2)).max()
        for pictures in overlaid.values()]
    assert max(parts) > 0.6 and min(parts) < 0.05


def test_what_moves_behind_an_overlay_shows():
    """Between a dark and a light world most pixels differ by what an eye can see."""
    dark = np.full((NUM_FRAMES, 3, 64, 64), 30, np.uint8)
    hidden = []
    for seed in range(NUM_SEEDS):
        light_seen, dark_seen = (overlaid_by_chance(pictures, CONTENT_PX, seed)
                                 for pictures in (dark + np.uint8(180), dark))
        contrast = (light_seen.astype(int) - dark_seen)[:, 0, :CONTENT_PX[0]]
        hidden.append((contrast < 25).mean((1, 2)).max())
    assert max(hidden) < 0.5
    assert np.mean(hidden) < 0.03
