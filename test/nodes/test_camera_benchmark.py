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

"""The comparison of several cameras: each is counted against its own scene."""

from moss_ros.training.scenes import Scene
from moss_ros.training.scoring import Tally
import pytest
from tools.camera_benchmark import figures, run_cameras

SECOND_NS = 10**9


def test_each_camera_is_counted_with_what_happened_before_it(ros):
    tallies = run_cameras([3, 5], 8.0)
    for seed, tally in zip((3, 5), tallies):
        assert tally.num_frames >= 4
        happened = [event.sentence for event in Scene(seed).events_between(0.0, 120.0)]
        assert tally.truth and {sentence for _, sentence in tally.truth} <= set(happened)


def test_a_process_that_cannot_start_is_told(ros):
    with pytest.raises(RuntimeError, match='camera_0 has ended'):
        run_cameras([-1], 5.0)


def test_what_only_another_camera_saw_is_counted():
    tallies = [Tally(), Tally()]
    for tally, sentence in zip(tallies, ('The red ball stops.', 'The blue box stops.')):
        tally.add_truth({'stamp_ns': 3 * SECOND_NS, 'kind': 'moves', 'sentence': sentence})
        for index in range(1, 9):
            tally.add_event({'type': 'silence', 'stamp_ns': index * SECOND_NS, 'prompt_id': None})
    for sentence in ('The red ball stops.', 'The blue box stops.', 'A cone leaves.'):
        tallies[0].add_event({
            'type': 'narration', 'stamp_ns': 4 * SECOND_NS, 'first_stamp_ns': 3 * SECOND_NS,
            'prompt_id': None, 'text': sentence})
    found = figures(7, tallies[0], tallies)
    assert found['seed'] == 7 and found['cameras'] == 2 and found['frames'] == 8
    assert (found['events'], found['right'], found['missed'], found['false']) == (1, 1, 0, 2)
    assert found['of_another_camera'] == 1
