"""
Which frames of a camera to keep so that the model sees them at the rate it was trained on.

Header stamps go in, yes or no comes out. Knows neither images nor the time of arrival. Called by
FrameIntake, before anything is converted.
"""

from __future__ import annotations

from collections import deque
import math
from statistics import median

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
