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

"""Header stamps that stand still give way to the times of arrival, and come back."""

import json
from random import Random

from moss_ros.stream.stamp_clock import StampClock
import pytest

ARRIVAL_NS = 1_790_000_000_000_000_000
STAMP_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000


class Camera:
    """Images that arrive ten times a second; its clock goes through JSON all the time."""

    def __init__(self):
        self.clock = StampClock()
        self.arrival_ns = ARRIVAL_NS

    def times(self, stamps_ns, period_ns=PERIOD_NS):
        """Return for each stamp 'stamp' or 'arrival', as the clock has it."""
        return [self._time(stamp_ns, period_ns) for stamp_ns in stamps_ns]

    def _time(self, stamp_ns, period_ns):
        other = StampClock()
        other.restore(json.loads(json.dumps(self.clock.snapshot())))
        self.clock = other
        time_ns = self.clock.time_ns(stamp_ns, self.arrival_ns)
        told = {stamp_ns: 'stamp', self.arrival_ns: 'arrival'}[time_ns]
        self.arrival_ns += period_ns
        return told


@pytest.fixture
def camera():
    return Camera()


def moving(num, start_ns=STAMP_NS):
    return [start_ns + index * PERIOD_NS for index in range(num)]


def test_stamps_that_never_change_give_way_to_arrival(camera):
    assert camera.times([STAMP_NS] * 10) == ['stamp'] * 2 + ['arrival'] * 8
    assert camera.clock.is_frozen


def test_they_may_stop_later_and_move_again(camera):
    assert camera.times(moving(20)) == ['stamp'] * 20
    assert camera.times([STAMP_NS + 19 * PERIOD_NS] * 9) == ['stamp'] + ['arrival'] * 8
    assert camera.times(moving(10, STAMP_NS + 30 * PERIOD_NS)) == (
        ['arrival'] * 2 + ['stamp'] * 8)
    assert not camera.clock.is_frozen


def test_copies_that_come_at_once_are_no_frozen_stamps(camera):
    random = Random(0)
    for stamp_ns in moving(200):
        assert set(camera.times([stamp_ns] * random.randrange(1, 5), 2_000_000)) == {'stamp'}
        camera.arrival_ns += PERIOD_NS
    assert not camera.clock.is_frozen


def test_stamps_of_whole_seconds_are_none(camera):
    told = camera.times([STAMP_NS + index // 10 * 10**9 for index in range(100)])
    assert told == ['stamp'] * 2 + ['arrival'] * 98


def test_without_a_time_of_arrival_stamps_count(camera):
    assert [camera.clock.time_ns(STAMP_NS, None) for _ in range(10)] == [STAMP_NS] * 10
