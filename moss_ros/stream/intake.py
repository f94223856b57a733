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
Chooses which images of a camera the model is shown, and notices late ones and clocks set back.

Stamped images go in, in the order of arrival or recording; frames come out. Frames are chosen by
header stamp, at the rate that the model was trained on, or when a question asks for one. Only
chosen images are converted. Used by the node and by the reader of bags, so that both show the
model the same frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Generic, Protocol, TypeVar

from moss_ros.checks import require_number
from moss_ros.stream.frame import Frame
from moss_ros.stream.stamp_clock import StampClock
from moss_ros.stream.stamp_order import LateFrameError, RESTART_NS, StampOrder

__all__ = ['FrameIntake', 'FrameSampler', 'LateFrameError', 'RESTART_NS', 'StampedImage']
_NUM_INTERVALS = 5


class FrameSampler:
    """
    Chooses the frames nearest to a grid of times, frame_rate_fps a second.

    The grid starts at the first frame and does not drift: a 30 Hz camera at 2 fps gives 2.0 a
    second over any length of time. A frame may be early by half the camera's own interval (at
    most half a grid interval), so that jitter does not move the choice to the next frame. If a
    frame is late by about a grid interval or more, the grid starts again at this frame. One thread
    at a time may call; nothing blocks.
    """

    def __init__(self, frame_rate_fps: float):
        """Make a sampler; ValueError quotes a rate that is not a number above 0."""
        require_number('frame_rate_fps', frame_rate_fps, above=0)
        self._frame_rate_fps = float(frame_rate_fps)
        self._intervals_ns: deque[int] = deque(maxlen=_NUM_INTERVALS)
        self.reset()

    @property
    def frame_rate_fps(self) -> float:
        """Largest number of frames a second that are kept."""
        return self._frame_rate_fps

    def reset(self) -> None:
        """Forget all stamps: the next frame is chosen and starts a new grid."""
        self._newest_ns: int | None = None
        self._origin_ns = 0
        self._num_intervals = 0
        self._intervals_ns.clear()

    def select(self, stamp_ns: int) -> bool:
        """
        Return whether to keep the frame with this header stamp; call it once for each frame.

        A stamp that is not newer than the newest one is not kept and changes nothing. If the
        caller finds that the clock was set back, it may reset().
        """
        if self._newest_ns is None:
            self._newest_ns = stamp_ns
            self._restart(stamp_ns)
            return True
        if stamp_ns <= self._newest_ns:
            return False
        self._intervals_ns.append(stamp_ns - self._newest_ns)
        self._newest_ns = stamp_ns
        period_ns = 1e9 / self._frame_rate_fps
        tolerance_ns = min(median(self._intervals_ns), period_ns) / 2
        late_ns = stamp_ns - self._due_ns()
        if late_ns < -tolerance_ns:
            return False
        if late_ns >= period_ns - tolerance_ns:
            self._restart(stamp_ns)
        else:
            self._num_intervals += 1
        return True

    def restart_from(self, stamp_ns: int) -> None:
        """
        Start the grid anew at a frame that is shown out of turn, as at a first frame.

        It does not matter whether select() was called for that frame.
        """
        if self._newest_ns is None or stamp_ns > self._newest_ns:
            if self._newest_ns is not None:
                self._intervals_ns.append(stamp_ns - self._newest_ns)
            self._newest_ns = stamp_ns
        self._restart(stamp_ns)

    def snapshot(self) -> dict:
        """Return all that select() depends on, as plain values for JSON."""
        return {
            'newest_ns': self._newest_ns, 'origin_ns': self._origin_ns,
            'num_intervals': self._num_intervals, 'intervals_ns': list(self._intervals_ns)}

    def restore(self, snapshot: dict) -> None:
        """Take over a snapshot() of a sampler with the same rate."""
        self._newest_ns = snapshot['newest_ns']
        self._origin_ns = snapshot['origin_ns']
        self._num_intervals = snapshot['num_intervals']
        self._intervals_ns.clear()
        self._intervals_ns.extend(snapshot['intervals_ns'])

    def _restart(self, stamp_ns):
        self._origin_ns = stamp_ns
        self._num_intervals = 1

    def _due_ns(self):
        # Counted from the origin: a sum of rounded intervals would drift.
        return self._origin_ns + round(self._num_intervals * 1e9 / self._frame_rate_fps)


class StampedImage(Protocol):
    """What the intake needs to know of an image before it is converted."""

    @property
    def stamp_ns(self) -> int:
        """When the image was taken, by the camera's clock."""


Image = TypeVar('Image', bound=StampedImage)


class FrameIntake(Generic[Image]):
    """
    Chooses frame_rate_fps frames a second, and converts only those that are shown.

    - Call admit() with the stamp of each image, then offer() with the image. If stamps may stand
      still, call time_ns() before, and take what it returns for the stamp.
    - If an image can not be converted, it is treated as if it had never come: the next one takes
      its place, and lateness is judged by the good images only. One thing remains: if its stamp
      went back, the stream has begun anew.
    - left_out is the newest image, if it was not shown: a question can have it shown at once.

    One thread at a time may call; only the conversion blocks.
    """

    def __init__(self, frame_rate_fps: float, convert: Callable[[Image], Frame]):
        """
        Make an intake; ValueError quotes a rate that is not a number above 0.

        An exception of convert() passes through offer() or show_left_out().
        """
        self._sampler = FrameSampler(frame_rate_fps)
        self._convert = convert
        self._clock = StampClock()
        self._order = StampOrder()
        # Before the image that was admitted last, unless that one began the stream anew.
        self._order_before: dict | None = None
        self._left_out: Image | None = None

    @property
    def frame_rate_fps(self) -> float:
        """Largest number of frames a second that are chosen."""
        return self._sampler.frame_rate_fps

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest image: one with this stamp or an older one is late; None if none."""
        return self._order.newest_ns

    @property
    def left_out(self) -> Image | None:
        """Return the newest image, which a question has shown at once; None if it was shown."""
        return self._left_out

    def set_frame_rate(self, frame_rate_fps: float) -> None:
        """Choose this many frames a second from the next image on; ValueError as __init__()."""
        self._sampler = FrameSampler(frame_rate_fps)

    @property
    def has_frozen_stamps(self) -> bool:
        """Whether the stamps do not change, so that time_ns() returns times of arrival."""
        return self._clock.is_frozen

    @property
    def has_two_clocks(self) -> bool:
        """Whether images of two cameras come in turn, of which those of one are late."""
        return self._order.has_two_clocks

    def forget(self) -> None:
        """Forget all stamps and left_out: the next image counts as the first."""
        self._sampler.reset()
        self._order = StampOrder()
        self._order_before = self._left_out = None

    def time_ns(self, stamp_ns: int, arrival_ns: int | None) -> int:
        """
        Return what to take for the stamp of the next image; call it once for each image, or never.

        That is the stamp, or arrival_ns if the stamps do not change (StampClock says when).
        arrival_ns is None if it is not known.
        """
        return self._clock.time_ns(stamp_ns, arrival_ns)

    def admit(self, stamp_ns: int) -> int:
        """
        Return by how many ns the stamps went back; normally 0.

        If they went back, the camera or its clock has restarted, or a recording began again: all
        earlier images are forgotten. Raises LateFrameError if the image is late; StampOrder says
        which is which.
        """
        before = self._order.snapshot()
        self._order_before = None
        back_ns = self._order.admit(stamp_ns)
        if back_ns:
            self._sampler.reset()
            self._left_out = None
        else:
            self._order_before = before
        return back_ns

    def offer(self, image: Image, is_wanted: bool = False) -> Frame | None:
        """
        Return the frame of an admitted image; None if it is left out.

        is_wanted: show it even if it is not its turn, and start the grid anew at its stamp.
        """
        before = self._sampler.snapshot()
        if is_wanted:
            self._sampler.restart_from(image.stamp_ns)
        elif not self._sampler.select(image.stamp_ns):
            self._left_out = image
            return None
        try:
            frame = self._convert(image)
        except Exception:
            self._sampler.restore(before)
            if self._order_before is not None:
                self._order.restore(self._order_before)
            raise
        self._left_out = None
        return frame

    def show_left_out(self) -> Frame | None:
        """
        Return the frame of the image left_out, and start the grid anew at its stamp.

        None if there is no such image. If it can not be converted, no older one is shown instead.
        """
        image, self._left_out = self._left_out, None
        if image is None:
            return None
        frame = self._convert(image)
        self._sampler.restart_from(image.stamp_ns)
        return frame

    def snapshot(self) -> dict:
        """Return all that the choice depends on, as plain values for JSON; without left_out."""
        return {'clock': self._clock.snapshot(), 'order': self._order.snapshot(),
                'sampler': self._sampler.snapshot()}

    def restore(self, snapshot: dict, left_out: Image | None = None) -> None:
        """Take over a snapshot() of an intake with the same rate, and its left_out."""
        self._sampler.restore(snapshot['sampler'])
        self._clock.restore(snapshot['clock'])
        self._order.restore(snapshot['order'])
        self._left_out = left_out
