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

"""Which stamps are late and which begin a stream anew: loops, networks, two cameras at once."""

import json
from random import Random

from moss_ros.stream.stamp_order import LateFrameError, RESTART_NS, StampOrder
import pytest

START_NS = 1_763_000_000_123_456_789
MS_NS = 1_000_000


class Judge:
    """Hands stamps (in ms after START_NS) to a StampOrder, which now and then is in JSON."""

    def __init__(self):
        self.order = StampOrder()
        self.admitted, self.restarts, self.num_late = [], [], 0

    def take(self, stamps_ms):
        for index, stamp_ms in enumerate(stamps_ms):
            if index % 13 == 0:
                other = StampOrder()
                other.restore(json.loads(json.dumps(self.order.snapshot())))
                self.order = other
            try:
                back_ns = self.order.admit(START_NS + round(stamp_ms * MS_NS))
            except LateFrameError:
                self.num_late += 1
                continue
            self.admitted.append(stamp_ms)
            if back_ns:
                self.restarts.append(stamp_ms)
        return self


def stamps_ms(num, fps, start_ms=0.0, jitter=None, jitter_part=0.2):
    """Return stamps of a camera; each is off by up to a part of the interval."""
    step_ms = 1000 / fps
    return [start_ms + (index + (jitter.uniform(-1, 1) * jitter_part if jitter else 0)) * step_ms
            for index in range(num)]


@pytest.mark.parametrize('fps', [5, 10, 15, 30, 60])
@pytest.mark.parametrize('loop_s', [0.5, 1.0, 1.9])
@pytest.mark.parametrize('seed', range(3))
def test_each_round_of_a_short_loop_begins_anew(fps, loop_s, seed):
    """Whoever hears it begins in the middle of a round; the stamps are those of the recording."""
    jitter = Random(seed)
    one_round = stamps_ms(round(fps * loop_s), fps, jitter=jitter)
    if len(one_round) < 4:
        one_round = stamps_ms(4, 4 / loop_s)
    first = jitter.randrange(len(one_round))
    judge = Judge().take(one_round[first:]).take(one_round * 10)
    assert 9 <= len(judge.restarts) <= 10
    # One image of a round is needed to know it; of the first rounds, a few more.
    assert judge.num_late <= 10 + 2 * len(one_round)
    assert not judge.order.has_two_clocks


@pytest.mark.parametrize('seed', range(10))
def test_a_loop_of_which_many_images_are_lost_begins_anew(seed):
    random = Random(seed)
    one_round = stamps_ms(30, 30)
    heard = [stamp for stamp in one_round * 20 if random.random() < 0.6]
    judge = Judge().take(heard)
    assert len(judge.restarts) >= 17
    assert not judge.order.has_two_clocks


def test_a_loop_whose_stamps_are_never_the_same_begins_anew():
    random = Random(4)
    judge = Judge()
    for _ in range(10):
        judge.take(stamps_ms(45, 30, jitter=random))
    assert len(judge.restarts) == 9


@pytest.mark.parametrize('depth', [2, 4, 8])
@pytest.mark.parametrize('seed', range(10))
def test_a_network_that_brings_images_out_of_order_begins_nothing_anew(depth, seed):
    """Each image is held up by as many others, at most."""
    random = Random(seed)
    sent = stamps_ms(600, 30, jitter=random)
    arrived = sorted(sent, key=lambda stamp: stamp + random.uniform(0, depth * 1000 / 30))
    assert arrived != sent
    judge = Judge().take(arrived)
    assert judge.restarts == []
    assert judge.admitted == sorted(judge.admitted)
    assert judge.num_late + len(judge.admitted) == 600


@pytest.mark.parametrize('seed', range(5))
def test_copies_and_delayed_copies_begin_nothing_anew(seed):
    random = Random(seed)
    sent = stamps_ms(300, 30, jitter=random)
    copies = sorted(
        [(stamp, stamp) for stamp in sent]
        + [(stamp + random.uniform(0, 10), stamp) for stamp in sent]
        + [(stamp + random.uniform(30, 60), stamp) for stamp in sent if random.random() < 0.3])
    judge = Judge().take(stamp for _, stamp in copies)
    assert judge.restarts == []
    assert judge.admitted == sent


@pytest.mark.parametrize('apart_s', [0.3, 1.5, 2.5, 100.0, 1e6])
@pytest.mark.parametrize('rates_fps', [(30, 30), (30, 7), (7, 30), (10, 1), (1, 10), (30, 0.4)])
@pytest.mark.parametrize('seed', range(2))
def test_two_cameras_on_one_topic_do_not_begin_anew_again_and_again(apart_s, rates_fps, seed):
    """Their clocks are apart; images of both come as they are taken, for five minutes."""
    random = Random(seed)
    ahead, behind = (
        [(time_ms, time_ms + offset_ms) for time_ms in stamps_ms(
            round(300 * fps), fps, random.uniform(0, 300), jitter=random)]
        for fps, offset_ms in zip(rates_fps, (1000 * apart_s, 0)))
    judge = Judge().take(stamp for _, stamp in sorted(ahead + behind))
    assert len(judge.restarts) <= 4
    # One of them is seen nearly all the time.
    assert len(judge.admitted) > 0.9 * min(len(ahead), len(behind))


@pytest.mark.parametrize('apart_s', [1.5, 2.5, 1e5])
def test_that_there_are_two_cameras_is_known(apart_s):
    stamps = [stamp for pair in zip(stamps_ms(60, 30, 1000 * apart_s), stamps_ms(60, 30))
              for stamp in pair]
    judge = Judge().take(stamps)
    assert judge.order.has_two_clocks
    assert judge.restarts == ([] if apart_s < 2 else [0])
    # When one of them is stopped, the other is seen alone.
    judge.take(stamps_ms(200, 30, 3000))
    assert judge.admitted[-100:] == stamps_ms(200, 30, 3000)[-100:]


def test_one_image_of_before_a_restart_does_no_harm():
    """It was under way when the camera began anew."""
    judge = Judge().take([*stamps_ms(30, 10, 60_000), 0, 63_000])
    assert judge.restarts == [0]
    judge.take(stamps_ms(100, 10, 100))
    assert len(judge.restarts) == 2 and judge.admitted[-70:] == stamps_ms(100, 10, 100)[-70:]


def test_a_clock_that_was_set_back_a_little_goes_on_at_last():
    judge = Judge().take([*stamps_ms(30, 10), *stamps_ms(30, 10, 1250)])
    assert judge.restarts == [1250 + 9 * 100]
    assert judge.num_late == 9


def test_late_and_restart_are_told_in_ns():
    order = StampOrder()
    order.admit(START_NS)
    with pytest.raises(LateFrameError, match=r'^the stamp is 200\.0 ms before that of an earlier'):
        order.admit(START_NS - 200 * MS_NS)
    assert order.admit(START_NS - RESTART_NS) == RESTART_NS
    assert order.newest_ns == START_NS - RESTART_NS


@pytest.mark.parametrize('seed', range(4))
def test_a_stamp_far_ahead_costs_no_image_but_its_own(seed):
    """A driver that now and then writes nonsense must not have the others taken for late."""
    random = Random(seed)
    stamps = stamps_ms(600, 10)
    faulty = set(random.sample(range(20, 600), 12))
    sent = [random.uniform(1e6, 1e11) if index in faulty else stamp_ms
            for index, stamp_ms in enumerate(stamps)]
    judge = Judge().take(sent)
    assert judge.num_late == 0
    assert {stamp_ms for index, stamp_ms in enumerate(stamps)
            if index not in faulty} <= set(judge.admitted)
    assert not judge.order.has_two_clocks
