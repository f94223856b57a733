"""
A video file as a source: looked at frame_rate_fps a second, its time begins at 0.

Opened by reading.py; one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
import math
from pathlib import Path

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.source import files_of, Message, ReadPosition, Source, SourceInfo
from moss_ros.media import MediaError, VideoFile
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
        num_frames = max(1, math.ceil(self._video.duration_s * frame_rate_fps - 1e-3))
        self._times_ns = [
            round(index * 1e9 / frame_rate_fps) for index in range(num_frames)]
        self.info = SourceInfo(
            'video', path.resolve().name, files_of(path), 0,
            max(round(self._video.duration_s * 1e9), self._times_ns[-1]),
            num_images=num_frames)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._video.close()

    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield the frame at each time; BagError where nothing can be decoded. Call it once.

        Always decoded from the start: not every video gives the same pictures after a jump.
        """
        frames = self._video.frames_at([time_ns / 1e9 for time_ns in self._times_ns])
        try:
            for time_ns, picture in islice(
                    zip(self._times_ns, frames), position.num_messages, None):
                yield Message(time_ns, False, picture)
        except MediaError as error:
            raise BagError(self._path, _without_path(error, self._path)) from error

    def stamp_ns(self, message: Message) -> int:
        """Return the time since the start of the video."""
        return message.bag_time_ns

    def picture(self, message: Message) -> np.ndarray:
        """Return the frame u8 [H, W, 3] RGB."""
        return message.content


def _without_path(error, path):
    return str(error).replace(f'{path} ', '').replace(f'{path}: ', '')
