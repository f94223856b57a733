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

"""What the benchmark notes of a stream's events, by a clock that stands still."""

from types import SimpleNamespace

from moss_ros.benchmark import stream_measures
from moss_ros.benchmark.decode_measures import frame_counts, ms_per_64_frames, percentiles
from moss_ros.benchmark.stream_measures import EventLog, StreamError
from moss_ros.stream import ErrorEvent, SilenceEvent, TokenEvent
import pytest

MS = 10**6


@pytest.fixture
def clock(monkeypatch):
    """Return an object whose now_ms the log takes for the time."""
    clock = SimpleNamespace(now_ms=0)
    monkeypatch.setattr(stream_measures, 'time', SimpleNamespace(
        monotonic_ns=lambda: clock.now_ms * MS))
    return clock


def token(narration_id, prompt_id=None, stamp_ns=1, received_ms=1):
    return TokenEvent(stamp_ns=stamp_ns, received_ns=received_ms * MS, text='a', token_id=1,
                      narration_id=narration_id, prompt_id=prompt_id)


def test_the_rate_is_of_speaking_only(clock):
    log = EventLog()
    for now_ms, event in ((10, token(1)), (30, token(1)), (50, token(1)),
                          (1000, token(2)), (1020, token(2))):
        clock.now_ms = now_ms
        log.take(event)
    assert log.tokens_per_s() == pytest.approx(50)
    assert log.num_tokens == 5


def test_a_rate_needs_two_tokens_of_a_narration(clock):
    log = EventLog()
    log.take(token(1))
    log.take(token(2))
    with pytest.raises(StreamError, match='fewer than two tokens'):
        log.tokens_per_s()


def test_the_first_token_of_an_answer_and_of_a_frame_count(clock):
    log = EventLog()
    for now_ms, event in (
            (10, SilenceEvent(stamp_ns=1, received_ns=4 * MS)),
            (20, SilenceEvent(stamp_ns=1, received_ns=4 * MS)),
            (30, token(1, 'prompt-1', stamp_ns=2, received_ms=25)),
            (40, token(1, 'prompt-1', stamp_ns=2, received_ms=25)),
            # A frame that was watched before has no time of arrival.
            (50, SilenceEvent(stamp_ns=3, received_ns=0))):
        clock.now_ms = now_ms
        log.take(event)
    assert log.latencies_ms == {1: 6.0, 2: 5.0}
    assert log.first_token_ns == {'prompt-1': 30 * MS}
    log.clear()
    assert (log.latencies_ms, log.first_token_ns, log.num_tokens) == ({}, {}, 0)


def test_who_waits_is_told_of_an_error(clock):
    log = EventLog()
    assert not log.wait_for(lambda: False, timeout_s=0)
    log.take(ErrorEvent(stamp_ns=1, received_ns=1, message='the model is gone'))
    with pytest.raises(StreamError, match='the stream failed: the model is gone'):
        log.wait_for(lambda: True, timeout_s=0)


def test_percentiles_of_one_and_of_many():
    assert percentiles([3.0]) == {'p50': 3.0, 'p95': 3.0, 'num': 1}
    figures = percentiles([float(value) for value in range(1, 101)])
    assert figures['p50'] == pytest.approx(50.5, abs=0.6)
    assert figures['p95'] == pytest.approx(95.5, abs=0.6)


def test_the_cost_of_64_frames_is_the_slope():
    assert ms_per_64_frames([(64, 5.0), (128, 7.0), (256, 11.0)]) == pytest.approx(2.0)
    assert ms_per_64_frames([(64, 5.0)]) is None


@pytest.mark.parametrize(('up_to', 'counts'), [
    (1024, [64, 128, 256, 512, 768, 1024]), (300, [64, 128, 256]), (64, [64]), (63, []), (0, [])])
def test_steps_are_timed_at_multiples_of_64_frames(up_to, counts):
    assert frame_counts(up_to) == counts
