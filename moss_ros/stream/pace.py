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
How fast a stream speaks: when the next token of a narration is due.

Used by the own and the remote channel, and by the live call of the queue API. Times are seconds of
time.monotonic(). One thread at a time may call.
"""

# Longest time between two tokens, however slow the pace. A condition can not wait much longer.
_MAX_INTERVAL_S = 86400.0


class Pace:
    """Keeps the time between two tokens of a stream; 0 tokens a second: as fast as possible."""

    def __init__(self, max_tokens_per_s: float):
        self._interval_s = _interval_s(max_tokens_per_s)
        self._due_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next token is due, 0 if now."""
        return max(0.0, self._due_s - now_s)

    def token_said(self, time_s: float) -> None:
        """Note that a token was said at time_s."""
        self._due_s = time_s + self._interval_s

    def begin_anew(self) -> None:
        """Let the next token come at once, as at the start or after an interruption."""
        self._due_s = 0.0

    def change(self, max_tokens_per_s: float) -> None:
        """Change the pace, counted from the last token: the old pace is not waited for."""
        interval_s = _interval_s(max_tokens_per_s)
        self._due_s += interval_s - self._interval_s
        self._interval_s = interval_s


def _interval_s(max_tokens_per_s):
    return min(1 / max_tokens_per_s, _MAX_INTERVAL_S) if max_tokens_per_s else 0.0
