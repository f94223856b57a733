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
A video file as a camera: played at its own speed, again and again.

A path and the time go in, pictures u8 [H, W, 3] RGB come out. Called by the demo camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from moss_ros.media.video import grid_times_ns, VideoFile
from moss_ros.media.video_times import GAP_S
import numpy as np

# A machine that decodes more slowly than the video plays lags no further behind; then it waits.
_MOST_LATE_S = 1.0


class LoopedVideo:
    """
    Plays a video from the first call of picture_at() on; gaps in it are left out.

    num_rounds: how often it has begun. is_slow: whether decoding cannot follow, so that it plays
    more slowly. One thread at a time; a call blocks for decoding.
    """

    def __init__(self, path: str | Path, fps: float):
        """Open it, to be looked at fps times a second; MediaError where nothing can be seen."""
        self.num_rounds = 0
        self.is_slow = False
        self._path, self._fps = path, fps
        self._video: VideoFile | None = None
        self._begin_s: float | None = None  # of this round, by the caller's time
        self._time_s = 0.0
        self._begin_round()
        # Whether it can be decoded is known only now.
        self._first: np.ndarray | None = next(self._pictures)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._video is not None:
            self._video.close()

    def picture_at(self, time_s: float) -> np.ndarray | None:
        """
        Return the picture at time_s, ascending seconds of any clock; None if it is not yet due.

        Where the clock was set back, the video goes on from where it is.
        """
        if self._begin_s is None:
            self._begin_s = time_s
        elif time_s < self._time_s:
            self._begin_s += time_s - self._time_s
        self._time_s = time_s
        num_due = self._num_due()
        if num_due >= self._num_pictures and self._num_shown >= self._num_pictures:
            self._begin_s += self._num_pictures / self._fps
            self._begin_round()
            num_due = self._num_due()
        num_due = min(num_due, self._num_pictures - 1)
        num_new = num_due + 1 - self._num_shown
        if num_new <= 0:
            return None
        most = max(1, round(_MOST_LATE_S * self._fps))
        if num_new > most:
            self.is_slow = True
            self._begin_s = time_s - (self._num_shown + most - 1) / self._fps
            num_new = most
        first, self._first = self._first, None
        self._num_shown += num_new
        pictures = self._pictures if first is None else self._with(first)
        return next(islice(pictures, num_new - 1, None))

    def _num_due(self):
        return int((self._time_s - self._begin_s) * self._fps + 1e-6)

    def _with(self, first) -> Iterator[np.ndarray]:
        yield first
        yield from self._pictures

    def _begin_round(self):
        self.close()
        self.num_rounds += 1
        self._video = VideoFile(self._path)
        pieces = self._video.times.pieces_ns(max(GAP_S, 2 / self._fps))
        times_s = [time_ns / 1e9 for time_ns in grid_times_ns(pieces, self._fps)]
        self._num_pictures, self._num_shown = len(times_s), 0
        self._pictures = self._video.frames_at(times_s)
