"""
Takes in the images of a camera: which are late, which begin the stream anew, which are shown.

Stamped images go in, in the order in which they arrived or were recorded; frames come out. They
are chosen by header stamp, at the rate the model was trained on, before anything is converted, or
asked for by a question. The node and the reader of bags use it, so both show the model the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Generic, Protocol, TypeVar

from moss_ros.checks import require_number
from moss_ros.stream.frame import Frame

_NUM_INTERVALS = 5


class FrameSampler:
    """
    Chooses the frames nearest to a grid of times, frame_rate_fps a second.

    The grid starts at the first frame and does not drift: a 30 Hz camera at 2 fps gives 2.0 a
    second over any length of time. A frame may be early by half the camera's own interval, so
    that jitter does not push a choice to the next frame. After a gap of more than a grid
    interval the grid starts again at the next frame. One thread at a time; nothing blocks.
    """

    def __init__(self, frame_rate_fps: float):
        """Raise ValueError that quotes a rate that is no number above 0."""
        require_number('frame_rate_fps', frame_rate_fps, above=0)
        self._frame_rate_fps = float(frame_rate_fps)
        self._intervals_ns: deque[int] = deque(maxlen=_NUM_INTERVALS)
        self.reset()

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that are kept, at most."""
        return self._frame_rate_fps

    def reset(self) -> None:
        """Forget all stamps: the next frame is chosen and starts a new grid."""
        self._newest_ns: int | None = None
        self._origin_ns = 0
        self._num_intervals = 0
        self._intervals_ns.clear()

    def select(self, stamp_ns: int) -> bool:
        """
        Return whether to keep the frame with this header stamp; call once for each frame.

        A stamp that is not newer than the newest one is not kept and changes nothing: whether
        the clock was set back is for the caller to judge, who may then reset().
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
        Begin the grid anew at a frame that is shown out of turn: after it, as after the first.

        select() may have been asked about that frame before, or not.
        """
        if self._newest_ns is None or stamp_ns > self._newest_ns:
            if self._newest_ns is not None:
                self._intervals_ns.append(stamp_ns - self._newest_ns)
            self._newest_ns = stamp_ns
        self._restart(stamp_ns)

    def snapshot(self) -> dict:
        """Return all that select() depends on, as plain numbers for JSON."""
        return {
            'newest_ns': self._newest_ns, 'origin_ns': self._origin_ns,
            'num_intervals': self._num_intervals, 'intervals_ns': list(self._intervals_ns)}

    def restore(self, snapshot: dict) -> None:
        """Go on as the sampler of the same rate whose snapshot() this is."""
        self._newest_ns = snapshot['newest_ns']
        self._origin_ns = snapshot['origin_ns']
        self._num_intervals = snapshot['num_intervals']
        self._intervals_ns.clear()
        self._intervals_ns.extend(snapshot['intervals_ns'])

    def _restart(self, stamp_ns):
        self._origin_ns = stamp_ns
        self._num_intervals = 1

    def _due_ns(self):
        # Counted from the origin: adding rounded intervals up would drift.
        return self._origin_ns + round(self._num_intervals * 1e9 / self._frame_rate_fps)


# Stamps that fall back by as much are a camera or a clock that began anew, not images out of
# order.
RESTART_NS = 2_000_000_000


class LateFrameError(Exception):
    """An image came too late to be shown; the text says by how much."""

    kind = 'late'


class StampedImage(Protocol):
    """What the intake must know of an image before it is converted."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken, by the camera's clock."""


Image = TypeVar('Image', bound=StampedImage)


class FrameIntake(Generic[Image]):
    """
    Chooses frame_rate_fps frames a second, and has only those converted that are shown.

    - Call admit() with the stamp of each image, then offer() with the image.
    - An image that turns out bad when it is converted is treated as if it had not been there: the
      next one takes its place, and an image behind it is late only by the good ones. But where
      its stamp went back, the stream has begun anew: what was before it is of another time.
    - left_out is the newest image, unless that was shown: a question can have it shown at once.

    One thread at a time; nothing blocks but the conversion.
    """

    def __init__(self, frame_rate_fps: float, convert: Callable[[Image], Frame]):
        """
        Raise ValueError that quotes a rate that is no number above 0.

        What convert() raises of an image comes out of the call that had it converted.
        """
        self._sampler = FrameSampler(frame_rate_fps)
        self._convert = convert
        self._newest_stamp_ns: int | None = None
        self._left_out: Image | None = None

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that are chosen, at most."""
        return self._sampler.frame_rate_fps

    @property
    def newest_stamp_ns(self) -> int | None:
        """The stamp up to which an image is late; None before the first."""
        return self._newest_stamp_ns

    @property
    def left_out(self) -> Image | None:
        """The image that a question can have shown at once; None if there is none."""
        return self._left_out

    def set_frame_rate(self, frame_rate_fps: float) -> None:
        """Choose so many frames a second, from the next image on; ValueError as when made."""
        self._sampler = FrameSampler(frame_rate_fps)

    def forget(self) -> None:
        """Take whatever stamp comes next as the first one."""
        self._sampler.reset()
        self._newest_stamp_ns = self._left_out = None

    def admit(self, stamp_ns: int) -> int:
        """
        Return by how many ns the stamps went back; 0 where they did not, as is usual.

        Where they did, the camera or its clock began anew: all before this stamp is forgotten.
        Raises LateFrameError where the image is only out of order.
        """
        if self._newest_stamp_ns is None or stamp_ns > self._newest_stamp_ns:
            return 0
        back_ns = self._newest_stamp_ns - stamp_ns
        if back_ns < RESTART_NS:
            raise LateFrameError(
                f'the stamp is {back_ns / 1e6:.1f} ms before that of an earlier image')
        self.forget()
        self._newest_stamp_ns = stamp_ns
        return back_ns

    def offer(self, image: Image, is_wanted: bool = False) -> Frame | None:
        """
        Return the frame of an admitted image, None where it is left out.

        is_wanted: show it whether or not its turn has come, and choose on from its stamp.
        """
        before = self._sampler.snapshot()
        if is_wanted:
            self._sampler.restart_from(image.stamp_ns)
        elif not self._sampler.select(image.stamp_ns):
            self._newest_stamp_ns = image.stamp_ns
            self._left_out = image
            return None
        try:
            frame = self._convert(image)
        except Exception:
            self._sampler.restore(before)
            raise
        self._newest_stamp_ns = image.stamp_ns
        self._left_out = None
        return frame

    def show_left_out(self) -> Frame | None:
        """
        Return the frame of the image that was left out, and choose on from its stamp.

        None where there is none. Where it turns out bad, no older one is shown instead.
        """
        image, self._left_out = self._left_out, None
        if image is None:
            return None
        frame = self._convert(image)
        self._sampler.restart_from(image.stamp_ns)
        return frame

    def snapshot(self) -> dict:
        """Return all that is chosen by, as plain values for JSON; left_out is not among them."""
        return {'newest_stamp_ns': self._newest_stamp_ns, 'sampler': self._sampler.snapshot()}

    def restore(self, snapshot: dict, left_out: Image | None = None) -> None:
        """Go on as the intake of the same rate that had this snapshot() and this left_out."""
        self._sampler.restore(snapshot['sampler'])
        self._newest_stamp_ns = snapshot['newest_stamp_ns']
        self._left_out = left_out
