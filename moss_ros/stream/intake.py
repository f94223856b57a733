"""
Takes in the images of a camera: which are late, which begin the stream anew, which are shown.

Stamped images go in, in the order in which they arrived or were recorded; frames come out. They
are chosen by header stamp, at the rate the model was trained on, before anything is converted, or
asked for by a question. The node and the reader of bags use it, so both show the model the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
import math
from statistics import median
from typing import Generic, Protocol, TypeVar

from moss_ros.stream.frame import Frame
from moss_ros.stream.stamp_clock import StampClock

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
        if isinstance(frame_rate_fps, bool) or not isinstance(frame_rate_fps, (int, float)) \
                or not math.isfinite(frame_rate_fps) or frame_rate_fps <= 0:
            raise ValueError(
                f'frame_rate_fps must be a finite number above 0, not {frame_rate_fps!r}')
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
# order. What goes back by less may be a recording that is played in a loop.
RESTART_NS = 2_000_000_000
# So many images behind the newest one, with none before it in between, are no images out of order.
_NUM_BEHIND = 10
# So many of the last stamps are known again.
_NUM_SEEN = 256
# So many images behind the newest, at most so many newer ones between two, are of another camera.
_NUM_REGULAR, _MOST_BETWEEN = 20, 3


class LateFrameError(Exception):
    """An image came too late to be shown; the text says by how much."""

    kind = 'late'


@dataclass
class _OrderState:
    """Of a StampOrder; plain values for JSON."""

    newest_ns: int | None = None
    seen_ns: list[int] = field(default_factory=list)  # the last ones, of late images as well
    num_behind: int = 0  # images in a row that are behind the newest one
    repeated_ns: int | None = None  # of those, the last one with a stamp that was seen before
    back_from_ns: int | None = None  # the newest stamp before stamps went back last ...
    back_ns: int = 0  # ... by so much
    has_returned: bool = False  # whether they went on from there since
    num_returns: int = 0  # how often they did, less the times that they did not
    late_ns: int | None = None  # the last one that was late
    num_newer: int = 0  # images since then
    num_regular: int = 0  # late ones in a row with few others between


class StampOrder:
    """
    Tells which stamps of a stream are late, and which begin it anew.

    A stamp that is not newer than the newest one is late: images out of order come single, and
    each of them once. Stamps begin anew where they

    - go back by RESTART_NS: a camera or a clock that started again;
    - are behind the newest by less, but were seen before, two in a row that ascend: a recording
      that is played in a loop;
    - are behind it in ten images in a row: any other loop.

    Two cameras on one topic, whose clocks differ, would begin the stream anew again and again. So
    where stamps go on from where they went back from, leaping forward by more than half the way,
    only what is behind in twice as many images in a row begins anew, and twice as many each time;
    the images of the one that is behind are late. One thread at a time; nothing blocks.
    """

    def __init__(self):
        self._state = _OrderState()

    @property
    def newest_ns(self) -> int | None:
        """The stamp up to which an image is late; None before the first."""
        return self._state.newest_ns

    @property
    def has_two_clocks(self) -> bool:
        """Whether images of two cameras, or of one camera played twice, come in turn."""
        return bool(self._state.num_returns) or self._state.num_regular >= _NUM_REGULAR

    def admit(self, stamp_ns: int) -> int:
        """Return by how many ns the stamps went back; LateFrameError where it is late."""
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
            back_ns=back_ns, num_returns=num_returns)
        return back_ns

    def snapshot(self) -> dict:
        """Return all that admit() depends on, as plain values for JSON."""
        return {**vars(self._state), 'seen_ns': [*self._state.seen_ns]}

    def restore(self, snapshot: dict) -> None:
        """Go on as the one whose snapshot() this is."""
        self._state = replace(_OrderState(**snapshot), seen_ns=[*snapshot['seen_ns']])

    def _note_newer(self, stamp_ns):
        state = self._state
        if state.back_from_ns is not None and stamp_ns > state.back_from_ns:
            if stamp_ns - state.newest_ns > state.back_ns / 2:
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
        if self.has_two_clocks:
            return state.num_behind >= _NUM_BEHIND << min(state.num_returns, 20)
        is_repeated_again = (
            is_seen and state.repeated_ns is not None and stamp_ns > state.repeated_ns)
        if is_seen:
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


class StampedImage(Protocol):
    """What the intake must know of an image before it is converted."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken, by the camera's clock."""


Image = TypeVar('Image', bound=StampedImage)


class FrameIntake(Generic[Image]):
    """
    Chooses frame_rate_fps frames a second, and has only those converted that are shown.

    - Call admit() with the stamp of each image, then offer() with the image; where stamps may
      stand still, have time_ns() say before what is to count as its stamp.
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
        self._clock = StampClock()
        self._order = StampOrder()
        # Before the image that was admitted last, unless that began the stream anew.
        self._order_before: dict | None = None
        self._left_out: Image | None = None

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that are chosen, at most."""
        return self._sampler.frame_rate_fps

    @property
    def newest_stamp_ns(self) -> int | None:
        """The stamp up to which an image is late; None before the first."""
        return self._order.newest_ns

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
        self._order = StampOrder()
        self._order_before = self._left_out = None

    @property
    def has_frozen_stamps(self) -> bool:
        """Whether the stamps do not change, so that images are as old as they arrived."""
        return self._clock.is_frozen

    @property
    def has_two_clocks(self) -> bool:
        """Whether images of two cameras come in turn, of which those of one are late."""
        return self._order.has_two_clocks

    def time_ns(self, stamp_ns: int, arrival_ns: int | None) -> int:
        """
        Return what is to count as the stamp of the next image; call it once for each, or never.

        That is its stamp, or arrival_ns where the stamps do not change; None: it is not known.
        """
        return self._clock.time_ns(stamp_ns, arrival_ns)

    def admit(self, stamp_ns: int) -> int:
        """
        Return by how many ns the stamps went back; 0 where they did not, as is usual.

        Where they did, the camera or its clock began anew: all before this stamp is forgotten.
        Raises LateFrameError where the image is only out of order.
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
        Return the frame of an admitted image, None where it is left out.

        is_wanted: show it whether or not its turn has come, and choose on from its stamp.
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
        return {'clock': self._clock.snapshot(), 'order': self._order.snapshot(),
                'sampler': self._sampler.snapshot()}

    def restore(self, snapshot: dict, left_out: Image | None = None) -> None:
        """Go on as the intake of the same rate that had this snapshot() and this left_out."""
        self._sampler.restore(snapshot['sampler'])
        self._clock.restore(snapshot['clock'])
        self._order.restore(snapshot['order'])
        self._left_out = left_out
