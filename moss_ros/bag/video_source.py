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
A video file as a source: looked at frame_rate_fps a second; its time begins at 0.

A picture is held until the next one begins, but not over a gap: there nothing was recorded, and
nothing is shown. Opened by reading.py; one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.bag.source import files_of, Message, ReadPosition, Source, SourceInfo
from moss_ros.media import GAP_S, grid_times_ns, MediaError, VideoFile
import numpy as np


class VideoSource(Source):
    """A video file, looked at frame_rate_fps a second; its time begins at 0."""

    def __init__(self, path: Path, frame_rate_fps: float):
        """Open it; BagError where it is no video."""
        self._path = path
        try:
            self._video = VideoFile(path)
        except MediaError as error:
            raise BagError(path, f'is neither a bag nor a video that can be read: '
                           f'{_without_path(error, path)}') from error
        # Times on both sides of a gap are far enough apart for the sampler to choose both.
        pieces = self._video.times.pieces_ns(max(GAP_S, 2 / frame_rate_fps))
        self._times_ns = grid_times_ns(pieces, frame_rate_fps)
        end_ns = max(round(self._video.duration_s * 1e9), self._times_ns[-1])
        self.info = SourceInfo(
            'video', path.resolve().name, files_of(path), 0, end_ns,
            num_images=len(self._times_ns),
            notes=(*self._video.notes, *_gap_notes(pieces, end_ns)))

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._video.close()

    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield the frame at each time; call it once.

        Always decoded from the start: not every video gives the same pictures after a jump. Raises
        BagError if nothing can be decoded, and INCOMPLETE at the end if parts could not.
        """
        frames = self._video.frames_at([time_ns / 1e9 for time_ns in self._times_ns])
        try:
            for time_ns, picture in islice(
                    zip(self._times_ns, frames), position.num_messages, None):
                yield Message(time_ns, False, picture)
        except MediaError as error:
            raise BagError(self._path, _without_path(error, self._path)) from error
        if self._video.times.breaks_off:
            raise BagError(self._path, f'breaks off: {self._video.times.breaks_off}',
                           ExitCode.INCOMPLETE)
        if self._video.num_damaged:
            raise BagError(self._path, f'is damaged: {self._video.num_damaged} parts of it could '
                           'not be decoded, and were passed over', ExitCode.INCOMPLETE)

    def stamp_ns(self, message: Message) -> int:
        """Return the time since the start of the video."""
        return message.bag_time_ns

    def picture(self, message: Message) -> np.ndarray:
        """Return the frame u8 [H, W, 3] RGB."""
        return message.content


def _gap_notes(pieces, end_ns):
    ends_ns = [end for _, end in pieces]
    gaps_ns = [(end, begin - end) for end, begin in zip(
        ends_ns, [*(begin for begin, _ in pieces[1:]), max(end_ns, ends_ns[-1])]) if begin > end]
    if gaps_ns:
        after_ns, length_ns = gaps_ns[0]
        others = f', and {len(gaps_ns) - 1} more times' if len(gaps_ns) > 1 else ''
        length = (f'{length_ns / 3.6e12:.1f} h' if length_ns >= 3.6e12
                  else f'{length_ns / 6e10:.1f} min')
        yield (f'its pictures pause for {length} after {after_ns / 1e9:.1f} s{others}; nothing is '
               'shown meanwhile')


def _without_path(error, path):
    return str(error).replace(f'{path} ', '').replace(f'{path}: ', '')
