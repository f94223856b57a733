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
Tells which stamps of a stream of images are late, and where a camera or its clock began anew.

Stamps go in, in the order in which images arrived or were recorded. Used by the intake of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# If a stamp is older than the newest one by this much or more, the camera or its clock was
# restarted. If by less, the image may be out of order, or the recording be played in a loop.
RESTART_NS = 2_000_000_000
# What is repeated sooner is a copy that came a little later.
_LEAST_LOOP_NS = 250_000_000
# So many images in a row that are behind the newest one are not just out of order.
_NUM_BEHIND = 10
# How many of the latest stamps are remembered, to know them again.
_NUM_SEEN = 256
# After so many late images, stamps that went back and returned are told to be of two cameras.
_NUM_LATE = 3
# If so many images were late, with at most so many others between two, they are of another camera.
_NUM_REGULAR, _MOST_BETWEEN = 20, 3


class LateFrameError(Exception):
    """An image came too late to be shown; the message says why."""

    kind = 'late'


@dataclass
class _OrderState:
    """What a StampOrder remembers; plain values for JSON."""

    newest_ns: int | None = None
    seen_ns: list[int] = field(default_factory=list)  # the last ones, of late images as well
    num_behind: int = 0  # images in a row that are behind the newest one
    repeated_ns: int | None = None  # of those, the last one with a stamp that was seen before
    back_from_ns: int | None = None  # the newest stamp before stamps went back last ...
    back_ns: int = 0  # ... by so much
    has_returned: bool = False  # whether they went on from there since
    num_returns: int = 0  # how often they did, less the times that they did not
    num_late_since: int = 0  # images that were late since they first did
    late_ns: int | None = None  # the last one that was late
    num_newer: int = 0  # images since then
    num_regular: int = 0  # late ones in a row with few others between


class StampOrder:
    """
    Judges one stamp after the other.

    A stamp that is not newer than the newest one is late. The network brings images out of order,
    but few in a row, and none of them twice. So the stream begins anew if stamps

    - go back by RESTART_NS or more: the camera or its clock was restarted;
    - go back by 0.25 s or more to one that was seen before, and another one follows, with none
      newer than the newest in between: a recording is played in a loop;
    - are behind the newest in ten images in a row: a loop whose stamps differ each time.

    Two cameras on one topic, whose clocks differ, must not begin the stream anew again and again.
    They show when the stamps leap forward, past where they went back from, by more than half of
    what they had gone back, to where that clock must be by now; a stamp still farther ahead is the
    fault of one image. Then the images that are behind are late, and only if 20 come in a row
    does the stream begin anew; each further leap doubles that number. One thread at a time may
    call; nothing blocks.
    """

    def __init__(self):
        self._state = _OrderState()

    @property
    def newest_ns(self) -> int | None:
        """Return the stamp up to which an image is late; None before the first."""
        return self._state.newest_ns

    @property
    def has_two_clocks(self) -> bool:
        """Whether images of two cameras, or of two replays of one, come in turn."""
        state = self._state
        return state.num_regular >= _NUM_REGULAR or (
            state.num_returns > 0 and state.num_late_since >= _NUM_LATE)

    def admit(self, stamp_ns: int) -> int:
        """
        Return by how many ns the stamps went back where they begin anew; normally 0.

        Raises LateFrameError if the stamp is late.
        """
        state = self._state
        if state.newest_ns is None or stamp_ns > state.newest_ns:
            self._note_newer(stamp_ns)
            return 0
        back_ns = state.newest_ns - stamp_ns
        if not self._begins_anew(stamp_ns, back_ns):
            raise LateFrameError(
                f'the stamp is {back_ns / 1e6:.1f} ms before that of an earlier image')
        num_returns = state.num_returns if state.has_returned else max(0, state.num_returns - 1)
        self._state = _OrderState(
            newest_ns=stamp_ns, seen_ns=state.seen_ns, back_from_ns=state.newest_ns,
            back_ns=back_ns, num_returns=num_returns,
            num_late_since=state.num_late_since if num_returns else 0)
        return back_ns

    def snapshot(self) -> dict:
        """Return all that admit() depends on, as plain values for JSON."""
        return {**vars(self._state), 'seen_ns': [*self._state.seen_ns]}

    def restore(self, snapshot: dict) -> None:
        """Take over a snapshot()."""
        self._state = replace(_OrderState(**snapshot), seen_ns=[*snapshot['seen_ns']])

    def _note_newer(self, stamp_ns):
        state = self._state
        if state.back_from_ns is not None and stamp_ns > state.back_from_ns:
            progress_ns = state.newest_ns - (state.back_from_ns - state.back_ns)
            is_leap = stamp_ns - state.newest_ns > state.back_ns / 2
            if is_leap and stamp_ns - state.back_from_ns <= 4 * progress_ns + RESTART_NS:
                state.has_returned = True
                state.num_returns += 1
            if stamp_ns > state.back_from_ns + 4 * state.back_ns:
                state.back_from_ns = None  # too long ago
        state.newest_ns = stamp_ns
        state.num_behind, state.repeated_ns = 0, None
        state.num_newer += 1
        self._note_seen(stamp_ns)

    def _begins_anew(self, stamp_ns, back_ns):
        """Judge a stamp that is not newer, and remember it."""
        state = self._state
        is_seen = stamp_ns in state.seen_ns
        self._note_seen(stamp_ns)
        self._note_late(stamp_ns)
        if back_ns == 0:
            return False  # a copy
        state.num_behind += 1
        if state.num_returns or self.has_two_clocks:
            state.num_late_since += 1
            return state.num_behind >= _NUM_BEHIND << min(state.num_returns, 20)
        is_repeated_again = (
            is_seen and state.repeated_ns is not None and stamp_ns > state.repeated_ns)
        if is_seen and (back_ns >= _LEAST_LOOP_NS or state.repeated_ns is not None):
            state.repeated_ns = stamp_ns
        return back_ns >= RESTART_NS or is_repeated_again or state.num_behind >= _NUM_BEHIND

    def _note_seen(self, stamp_ns):
        self._state.seen_ns.append(stamp_ns)
        del self._state.seen_ns[:-_NUM_SEEN]

    def _note_late(self, stamp_ns):
        state = self._state
        if state.num_newer:
            is_regular = state.num_newer <= _MOST_BETWEEN and (
                state.late_ns is None or stamp_ns > state.late_ns)
            state.num_regular = state.num_regular + 1 if is_regular else 0
        state.late_ns, state.num_newer = stamp_ns, 0
