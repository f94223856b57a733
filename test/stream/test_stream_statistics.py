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

"""The figures of a stream, from events at given times."""

from moss_ros.stream import (
    EndReason, NarrationEvent, PromptEvent, SilenceEvent, StreamSpeed, StreamStatistics,
    TokenEvent,
)
import pytest

MS = 1_000_000


def token(stamp_ns, received_ns, narration_id=1, prompt_id=None):
    return TokenEvent(stamp_ns=stamp_ns, received_ns=received_ns, text=' red', token_id=5,
                      narration_id=narration_id, prompt_id=prompt_id)


def test_before_the_first_event_nothing_is_known():
    assert StreamStatistics().speed() == StreamSpeed()


def test_latency_counts_each_frame_once_by_its_first_event():
    statistics = StreamStatistics()
    for index in range(1, 101):
        received_ns = index * 1000 * MS
        frame = {'stamp_ns': index, 'received_ns': received_ns}
        statistics.observe(SilenceEvent(**frame), received_ns + index * MS)
        statistics.observe(SilenceEvent(**frame), received_ns + 900 * MS)
    speed = statistics.speed()
    assert speed.latency_p50_ms == pytest.approx(50, abs=1)
    assert speed.latency_p95_ms == pytest.approx(95, abs=1)
    assert speed.first_token_ms is None


def test_tokens_a_second_leave_out_the_time_between_narrations():
    statistics = StreamStatistics()
    for narration_id in (1, 2):
        for index in range(5):
            statistics.observe(token(1, MS, narration_id),
                               narration_id * 10_000 * MS + index * 20 * MS)
    assert statistics.speed().num_tokens_per_s == pytest.approx(50)


def test_the_first_narration_of_a_new_stream_is_none_of_the_one_before():
    """Narrations are counted from 1 again: the time between them is no time between tokens."""
    statistics = StreamStatistics()
    for begin_ns in (10_000 * MS, 60_000 * MS):
        for index in range(5):
            statistics.observe(token(1, begin_ns - 30 * MS), begin_ns + index * 20 * MS)
        statistics.observe(NarrationEvent(
            stamp_ns=1, received_ns=begin_ns, text=' red', narration_id=1, prompt_id=None,
            reason=EndReason.STOPPED, first_stamp_ns=1), begin_ns + 100 * MS)
    assert statistics.speed().num_tokens_per_s == pytest.approx(50)
    assert statistics.speed().first_token_ms == pytest.approx(30)


def test_the_first_token_counts_from_the_frame_or_from_the_prompt():
    statistics = StreamStatistics()
    statistics.observe(token(1, 1000 * MS), 1030 * MS)
    assert statistics.speed().first_token_ms == pytest.approx(30)
    statistics.observe(
        PromptEvent(stamp_ns=1, received_ns=1000 * MS, prompt_id='p', text='?'), 5000 * MS)
    statistics.observe(token(1, 1000 * MS, narration_id=2, prompt_id='p'), 5040 * MS)
    assert statistics.speed().first_token_ms == pytest.approx(40)


def test_a_stream_without_a_clock_of_arrivals_has_no_latency():
    statistics = StreamStatistics()
    statistics.observe(token(1, 0), 5 * MS)
    speed = statistics.speed()
    assert (speed.latency_p50_ms, speed.first_token_ms) == (None, None)
