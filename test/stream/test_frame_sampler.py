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

"""Which frames of a camera are kept."""

import random

from moss_ros.stream import FrameSampler
import pytest

START_NS = 1_763_000_000_123_456_789


def camera(rate_fps, duration_s, jitter_s=0.0, start_ns=START_NS):
    """Return the stamps of a camera, each off by at most jitter_s, in their order."""
    generator = random.Random(3)
    return sorted(
        start_ns + round((index / rate_fps + generator.uniform(-jitter_s, jitter_s)) * 1e9)
        for index in range(round(duration_s * rate_fps)))


def kept(sampler, stamps_ns):
    return [index for index, stamp_ns in enumerate(stamps_ns) if sampler.select(stamp_ns)]


def test_every_fifth_frame_of_10_hz_is_2_fps():
    assert kept(FrameSampler(2.0), camera(10, 30)) == list(range(0, 300, 5))


@pytest.mark.parametrize('jitter_s', [0.001, 0.02])
def test_jitter_does_not_move_the_choice(jitter_s):
    # The first frame starts the grid, so its own jitter counts twice.
    assert kept(FrameSampler(2.0), camera(10, 30, jitter_s)) == list(range(0, 300, 5))


@pytest.mark.parametrize('rate_fps', [7, 15, 24, 29.97, 30, 60])
@pytest.mark.parametrize('jitter_s', [0.0, 0.01])
def test_the_rate_does_not_drift(rate_fps, jitter_s):
    stamps_ns = camera(rate_fps, 600, jitter_s)
    indices = kept(FrameSampler(2.0), stamps_ns)
    assert len(indices) == pytest.approx(1200, abs=1)
    for number, index in enumerate(indices):
        late_s = (stamps_ns[index] - stamps_ns[0]) / 1e9 - number / 2
        assert abs(late_s) <= 0.5 / rate_fps + 2 * jitter_s + 1e-6


@pytest.mark.parametrize('rate_fps', [0.4, 1, 1.5, 2])
def test_a_camera_that_is_no_faster_is_kept_whole(rate_fps):
    stamps_ns = camera(rate_fps, 60, jitter_s=0.1 / rate_fps)
    assert len(kept(FrameSampler(2.0), stamps_ns)) == len(stamps_ns)


def test_a_gap_restarts_the_grid_and_brings_no_burst():
    before, after = camera(10, 3), camera(10, 3, start_ns=START_NS + 100_330_000_000)
    assert kept(FrameSampler(2.0), before + after) == list(range(0, 60, 5))


def test_an_older_or_equal_stamp_is_not_kept_and_changes_nothing():
    stamps_ns = camera(10, 10)
    sampler, disturbed = FrameSampler(2.0), FrameSampler(2.0)
    for stamp_ns in stamps_ns:
        chosen = sampler.select(stamp_ns)
        assert disturbed.select(stamp_ns) == chosen
        assert not disturbed.select(stamp_ns)
        assert not disturbed.select(stamp_ns - 1_000_000_000)


def test_after_a_reset_any_stamp_is_kept():
    sampler = FrameSampler(2.0)
    assert sampler.select(10_000_000_000)
    assert not sampler.select(0)
    sampler.reset()
    assert sampler.select(0)
    assert not sampler.select(100_000_000)
    assert sampler.select(500_000_000)


@pytest.mark.parametrize('was_asked_about', [True, False])
def test_after_a_frame_out_of_turn_the_next_is_due_an_interval_later(was_asked_about):
    stamps_ns = camera(10, 4)
    sampler = FrameSampler(2.0)
    assert kept(sampler, stamps_ns[:13]) == [0, 5, 10]
    if was_asked_about:
        assert not sampler.select(stamps_ns[13])
    sampler.restart_from(stamps_ns[13])
    assert not sampler.select(stamps_ns[13])  # it is not shown twice
    assert [14 + index for index in kept(sampler, stamps_ns[14:])] == [18, 23, 28, 33, 38]


def test_a_sampler_can_begin_with_a_frame_out_of_turn():
    stamps_ns = camera(10, 2)
    sampler, other = FrameSampler(2.0), FrameSampler(2.0)
    sampler.restart_from(stamps_ns[0])
    assert other.select(stamps_ns[0])
    assert sampler.snapshot() == other.snapshot()
    assert kept(sampler, stamps_ns) == [5, 10, 15]


@pytest.mark.parametrize('rate_fps', [0, -1, float('nan'), float('inf'), '2', None, True])
def test_an_impossible_rate_is_refused(rate_fps):
    with pytest.raises(ValueError) as error:
        FrameSampler(rate_fps)
    assert repr(rate_fps) in str(error.value)
