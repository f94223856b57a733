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
The time of an image: its header stamp, or when it arrived where the stamps do not change.

Used by the intake of frames, for a live camera and for a bag alike; knows neither clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

# So many equal stamps in a row, over so long, are no stamps. Copies of one image come at once.
_NUM_SAME = 3
_SAME_FOR_NS = 100_000_000
# So many that move, in a row, are stamps again: those of whole seconds only are none.
_NUM_MOVED = 3


@dataclass
class _State:
    """Of a StampClock; plain values for JSON."""

    stamp_ns: int | None = None  # of the image before
    since_ns: int = 0  # when the first image of that stamp arrived
    num_same: int = 0  # images of that stamp in a row
    num_moved: int = 0  # images in a row, each newer than the one before
    is_frozen: bool = False


class StampClock:
    """
    Tells the time of one image after the other. One thread at a time; nothing blocks.

    Stamps are frozen once three images in a row, over 0.1 s at least, have the same one; until
    three in a row have each a newer one, images are as old as they arrived.
    """

    def __init__(self):
        self._state = _State()

    @property
    def is_frozen(self) -> bool:
        """Whether the stamps do not change, so that the time is that of arrival."""
        return self._state.is_frozen

    def time_ns(self, stamp_ns: int, arrival_ns: int | None) -> int:
        """
        Return the time of the next image; stamp_ns and arrival_ns may be of different clocks.

        arrival_ns: when it arrived or was recorded; None: not known, so that the stamp counts.
        """
        state = self._state
        if arrival_ns is None:
            return stamp_ns
        if stamp_ns == state.stamp_ns:
            state.num_same += 1
            state.num_moved = 0
        else:
            is_newer = state.stamp_ns is not None and stamp_ns > state.stamp_ns
            state.num_moved = state.num_moved + 1 if is_newer else 0
            state.stamp_ns, state.since_ns, state.num_same = stamp_ns, arrival_ns, 1
        if state.num_same >= _NUM_SAME and arrival_ns - state.since_ns >= _SAME_FOR_NS:
            state.is_frozen = True
        elif state.num_moved >= _NUM_MOVED:
            state.is_frozen = False
        return arrival_ns if state.is_frozen else stamp_ns

    def snapshot(self) -> dict:
        """Return all that time_ns() depends on, as plain values for JSON."""
        return asdict(self._state)

    def restore(self, snapshot: dict) -> None:
        """Go on as the clock whose snapshot() this is."""
        self._state = _State(**snapshot)
