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

"""
Measures how fast a stream is: events and the times of their arrival in, a few figures out.

The node calls observe() on the worker's thread; its diagnostics read speed().
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import quantiles
import threading

from moss_ros.stream.events import Event, NarrationEvent, PromptEvent, SilenceEvent, TokenEvent

_NUM_LATENCIES = 200
_NUM_INTERVALS = 100


@dataclass(frozen=True)
class StreamSpeed:
    """
    Figures over the newest events; None if there were none yet.

    - latency_p50_ms, latency_p95_ms: percentiles of the time from the arrival of a frame to the
      first text or silence after it, over the newest 200 frames.
    - first_token_ms: time to the first text of the newest narration, from the arrival of the
      frame before it, or of the prompt that it answers.
    - answer_ms: time from the arrival of a prompt to the first text of its answer; the newest one.
    - num_tokens_per_s: rate while speaking, over the newest 100 token events.
    """

    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    first_token_ms: float | None = None
    answer_ms: float | None = None
    num_tokens_per_s: float | None = None


class StreamStatistics:
    """One thread calls observe(), any thread may call speed(). Neither blocks."""

    def __init__(self):
        self._lock = threading.Lock()
        self._latencies_ms: deque[float] = deque(maxlen=_NUM_LATENCIES)
        self._intervals_ns: deque[int] = deque(maxlen=_NUM_INTERVALS)
        self._first_token_ms: float | None = None
        self._newest_stamp_ns: int | None = None
        self._answer_ms: float | None = None
        self._asked: tuple[str, int] | None = None  # prompt id, monotonic time of its arrival
        self._spoken: tuple[int, int] | None = None  # narration id, time of its newest token

    def observe(self, event: Event, now_ns: int) -> None:
        """Take an event of the stream that arrived at now_ns (monotonic)."""
        with self._lock:
            if isinstance(event, PromptEvent):
                self._asked = event.prompt_id, event.prompt_received_ns or now_ns
            if isinstance(event, (TokenEvent, SilenceEvent)):
                self._observe_latency(event, now_ns)
            if isinstance(event, TokenEvent):
                self._observe_token(event, now_ns)
            if isinstance(event, NarrationEvent):
                # A new stream counts its narrations from 1 again.
                self._spoken = None

    def _observe_latency(self, event, now_ns):
        latency_ms = event.frame_latency_ms(now_ns)
        if event.stamp_ns != self._newest_stamp_ns and latency_ms is not None:
            self._newest_stamp_ns = event.stamp_ns
            self._latencies_ms.append(latency_ms)

    def _observe_token(self, event, now_ns):
        if self._spoken is not None and self._spoken[0] == event.narration_id:
            self._intervals_ns.append(now_ns - self._spoken[1])
        else:
            latency_ms = event.frame_latency_ms(now_ns)
            if self._asked is not None and self._asked[0] == event.prompt_id:
                latency_ms = self._answer_ms = (now_ns - self._asked[1]) / 1e6
            if latency_ms is not None:
                self._first_token_ms = latency_ms
        self._spoken = event.narration_id, now_ns

    def speed(self) -> StreamSpeed:
        """Return the figures as they are now."""
        with self._lock:
            latencies_ms, intervals_ns = list(self._latencies_ms), list(self._intervals_ns)
            first_token_ms, answer_ms = self._first_token_ms, self._answer_ms
        p50_ms = p95_ms = None
        if latencies_ms:
            # Doubled, because quantiles() needs at least two values.
            percentiles_ms = quantiles(latencies_ms * 2, n=100, method='inclusive')
            p50_ms, p95_ms = percentiles_ms[49], percentiles_ms[94]
        rate = None
        if sum(intervals_ns):
            rate = 1e9 * len(intervals_ns) / sum(intervals_ns)
        return StreamSpeed(p50_ms, p95_ms, first_token_ms, answer_ms, rate)
