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

"""Windows that came near to a painted word are drawn again, until they no longer do."""

import random

from moss_ros.training.hard_windows import HardWindows, MAX_WINDOWS, MIN_NEARNESS, Window
import torch

WINDOWS = [Window(row, row % 7) for row in range(4)]
NEARNESS = torch.tensor([MIN_NEARNESS / 2, MIN_NEARNESS * 1.01, 0.0, 0.9])


def test_what_came_near_is_drawn_once():
    hard = HardWindows(random.Random(1), 1.0)
    assert hard.draw() is None
    hard.note(WINDOWS, NEARNESS)
    assert len(hard) == 2
    assert {hard.draw(), hard.draw()} == {WINDOWS[1], WINDOWS[3]}
    assert hard.draw() is None
    hard.note(WINDOWS[3:], NEARNESS[3:])
    assert hard.draw() == WINDOWS[3]


def test_a_sample_that_is_no_window_is_not_kept():
    hard = HardWindows(random.Random(1), 1.0)
    hard.note([None, None, None, WINDOWS[3]], torch.ones(4))
    assert len(hard) == 1 and hard.draw() == WINDOWS[3]


def test_new_windows_are_drawn_too():
    hard = HardWindows(random.Random(1), 0.25)
    hard.note(WINDOWS * 300, NEARNESS.repeat(300))
    drawn = [hard.draw() for _ in range(400)]
    assert 70 < sum(window is not None for window in drawn) < 130


def test_a_course_without_them_draws_as_ever():
    generator = random.Random(1)
    hard = HardWindows(generator, 0.0)
    state = generator.getstate()
    hard.note(WINDOWS, NEARNESS)
    assert hard.draw() is None and not len(hard)
    assert generator.getstate() == state


def test_the_newest_are_kept():
    hard = HardWindows(random.Random(1), 1.0)
    hard.note([Window(row, 0) for row in range(MAX_WINDOWS + 5)], torch.ones(MAX_WINDOWS + 5))
    assert len(hard) == MAX_WINDOWS
    assert {hard.draw() for _ in range(MAX_WINDOWS)} == {
        Window(row, 0) for row in range(5, MAX_WINDOWS + 5)}
