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
Restarts a failed stream, with a growing delay if it fails again soon.

A Supervisor gets a channel and looks at its state whenever look() is called, which the narrator's
timer does.
"""

from collections.abc import Callable
import time

from moss_ros.stream import Channel, WorkerState

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
# If a stream ran longer than this plus the last backoff, the next backoff is the first one again.
STABLE_AFTER_S = 60.0


class Supervisor:
    """Restarts one channel when it fails. Made when the channel starts; one thread at a time."""

    def __init__(self, channel: Channel, before_restart: Callable[[], None], logger):
        """Call before_restart just before a failed stream is started again."""
        self._channel = channel
        self._before_restart = before_restart
        self._logger = logger
        self._started_s = time.monotonic()
        self._backoff_s = 0.0
        self._restart_at_s: float | None = None

    @property
    def restart_in_s(self) -> float | None:
        """Seconds until a failed stream is started again; None if no restart is due."""
        if self._restart_at_s is None:
            return None
        return max(0.0, self._restart_at_s - time.monotonic())

    def look(self) -> None:
        """Check whether the stream has failed, and start it again when it is time."""
        if self._channel.state is not WorkerState.FAILED:
            return
        now_s = time.monotonic()
        if self._restart_at_s is None:
            if now_s - self._started_s > STABLE_AFTER_S + self._backoff_s:
                self._backoff_s = 0.0
            self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S) or FIRST_BACKOFF_S
            self._restart_at_s = now_s + self._backoff_s
            self._logger.error(
                f'the stream failed; it is started again in {self._backoff_s:g} s')
        elif now_s >= self._restart_at_s:
            self._started_s = now_s
            self._restart_at_s = None
            self._before_restart()
            self._channel.restart()
