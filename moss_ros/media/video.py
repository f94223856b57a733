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
Reads video files: a path and times in, frames uint8 [H, W, 3] RGB out, one at a time.

Also chooses the times at which to look at a video, and decodes no more of it than they need.
Called by the offline answerer and by the reader of bags.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
import math
from pathlib import Path
import sys

import av
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from moss_ros.media.pictures import existing_file, MediaError
from moss_ros.media.video_times import read_times, VideoTimes
import numpy as np

# A gap between two wanted times, in seconds, from which on it pays to seek instead of decoding.
# Most videos have key frames, where decoding can start, more often than this.
_JUMP_S = 10.0


def num_samples(duration_s: float, fps: float, min_frames: int, max_frames: int) -> int:
    """Return how many times sample_times_s() chooses for the same arguments."""
    # Durations are rounded: 10.000001 s at 1 fps are ten frames, not eleven.
    return min(max(1, math.ceil(duration_s * fps - 1e-3), min_frames), max_frames)


def sample_times_s(duration_s: float, fps: float, min_frames: int, max_frames: int,
                   last_s: float | None = None) -> list[float]:
    """
    Return the times in seconds at which to look at a video of duration_s.

    As in the published scripts: ceil(duration * fps) frames at fps. If these are fewer than
    min_frames or more than max_frames, then that many frames, uniformly spaced from the first
    frame to the last one. last_s is when the last frame begins; None if not known, and duration_s
    is taken instead.
    """
    num_frames = num_samples(duration_s, fps, 1, max_frames + 1)
    if min_frames <= num_frames <= max_frames:
        return [index / fps for index in range(num_frames)]
    num_frames = num_samples(duration_s, fps, min_frames, max_frames)
    return np.linspace(0.0, duration_s if last_s is None else last_s, num_frames).tolist()


def grid_times_ns(pieces_ns: list[tuple[int, int]], fps: float) -> list[int]:
    """Return the times in ns, fps a second, at which to look at pieces of VideoTimes."""
    return [begin_ns + round(index * 1e9 / fps) for begin_ns, end_ns in pieces_ns
            for index in range(num_samples((end_ns - begin_ns) / 1e9, fps, 1, sys.maxsize))]


class VideoFile:
    """
    An open video: its times, and the frames shown at given ones. Close it, or use `with`.

    Time counts from the first frame that is shown, by the frames' own times; if the stream has
    none, by the rate that it tells. If its clock starts again, as in joined recordings, the time
    goes on. One thread at a time may call. It holds the decoder, one frame, and 100 bytes for each
    frame of the file in memory.
    """

    def __init__(self, path: str | Path):
        """Open the file. Raises MediaError if it is missing, no video, or has no video stream."""
        self.path = existing_file(path, 'video')
        self._decoder: _Decoder | None = None
        self._container = self._open()
        try:
            self._stream = self._video_stream()
            self.times = self._read_times()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._container.close()

    @property
    def duration_s(self) -> float:
        """From the begin of the first frame to the end of the last one, gaps and all."""
        return self.times.duration_s

    @property
    def num_damaged(self) -> int:
        """How many parts could not be decoded, so far."""
        return self._decoder.num_damaged if self._decoder else 0

    @property
    def notes(self) -> list[str]:
        """Return what is odd about the file, each in one sentence, besides damage."""
        notes = list(self.times.notes)
        num_streams = sum(map(_is_moving, self._container.streams))
        if num_streams > 1:
            notes.append(f'it has {num_streams} video streams, of which the first one is taken')
        return notes

    def sample_times_s(self, fps: float, min_frames: int, max_frames: int) -> list[float]:
        """Return the times in seconds at which to look at it; see the function of this name."""
        return sample_times_s(
            self.duration_s, fps, min_frames, max_frames, self.times.last_s)

    def count_frames(self, most: int) -> int:
        """Return how many frames can be decoded, but at most `most`."""
        if self._stream.frames >= 2 * most:
            return most  # the file's own count, which may be wrong by a few
        with self._open() as container:
            stream = container.streams[self._stream.index]
            stream.thread_type = 'AUTO'
            decoder = _Decoder(container, stream, self.times)
            return sum(1 for _ in islice(decoder.frames(), most))

    def every_frame(self) -> Iterator[np.ndarray]:
        """Yield all frames, uint8 [H, W, 3] RGB. Call it once, and not with frames_at()."""
        self._decoder = _Decoder(self._container, self._stream, self.times)
        for frame, _ in self._decoder.frames():
            yield _rgb_array_of_frame(frame)

    def frames_at(self, times_s: list[float]) -> Iterator[np.ndarray]:
        """
        Yield the frame, uint8 [H, W, 3] RGB, that is shown at each of times_s (ascending seconds).

        That is the last frame that begins at or before the time, or the first frame if none does.
        Damaged parts are skipped. Raises MediaError if nothing at all can be decoded. Call it
        once.
        """
        decoder = self._decoder = _Decoder(self._container, self._stream, self.times)
        tolerance_s = self.times.tolerance_s
        shown, picture = None, None
        index = 0
        for frame, time_s in decoder.frames():
            while index < len(times_s) and time_s > times_s[index] + tolerance_s:
                if shown is None:
                    shown, picture = frame, None
                if picture is None:
                    picture = _rgb_array_of_frame(shown)
                yield picture
                index += 1
            if index == len(times_s):
                break
            shown, picture = frame, None
            decoder.jump(time_s, times_s[index])
        if shown is None:
            raise MediaError(f'{self.path} has no frame that can be decoded; is it damaged?')
        for _ in times_s[index:]:
            picture = _rgb_array_of_frame(shown) if picture is None else picture
            yield picture

    def _open(self):
        try:
            # 'file:' keeps FFmpeg from reading a file name such as 'concat:a' as a protocol.
            return av.open(f'file:{self.path}')
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f'{self.path} is not a video that can be read '
                             f'({getattr(error, "strerror", None) or error})') from error

    def _video_stream(self):
        for stream in filter(_is_moving, self._container.streams):
            if stream.codec_context is None:
                raise MediaError(f'{self.path}: no decoder for its video stream')
            stream.thread_type = 'AUTO'
            return stream
        kinds = sorted({stream.type for stream in self._container.streams})
        if not kinds:
            raise MediaError(f'{self.path} is not a video that can be read (nothing is in it)')
        raise MediaError(f'{self.path} has no video stream, only {", ".join(kinds)}')

    def _read_times(self) -> VideoTimes:
        with self._open() as container:
            try:
                return read_times(container, self._stream.index)
            except ValueError as error:
                raise MediaError(
                    f'{self.path} has no frame that can be decoded; is it damaged?') from error


class _Decoder:
    """Decodes one stream from its start, skips damaged parts, and can jump ahead."""

    def __init__(self, container, stream, times: VideoTimes):
        self.num_damaged = 0
        self._container = container
        self._stream = stream
        self._times = times
        self._packets = None
        self._can_jump = times.start_ticks is not None
        self._jumped_from_s: float | None = None  # only until the first frame after a jump
        self._jumped_to_s: float | None = None
        self._has_seen_key = False
        self._num_packets = self._num_frames = 0
        self._newest_ticks = -times.interval_ticks

    def frames(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Yield each frame with its time in seconds since the start of the video."""
        self._packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError:
                self.num_damaged += 1
                return
            if packet is None:
                return
            if not packet.size and packet.pts is not None:
                continue  # one without data in the middle would end the decoder
            self._has_seen_key |= packet.is_keyframe
            try:
                frames = self._stamped(packet).decode()
            except av.FFmpegError:
                # Nothing can be decoded before the first key frame.
                self.num_damaged += self._has_seen_key
                continue
            packets = self._packets
            for frame in frames:
                yield frame, self._time_s(frame)
                if self._packets is not packets:
                    break  # jump() was called: the rest of these frames is from before it

    def jump(self, time_s: float, wanted_s: float) -> None:
        """Go on decoding near wanted_s if that is far ahead of time_s; both in seconds."""
        if self._jumped_from_s is not None and time_s <= self._jumped_from_s:
            # The last jump led back: there was no key frame in between, and may be none at all.
            self._can_jump = False
        self._jumped_from_s = None
        if not self._can_jump or wanted_s == self._jumped_to_s or wanted_s - time_s < _JUMP_S:
            return
        self._jumped_to_s = wanted_s
        target = self._times.start_ticks + round(wanted_s / float(self._times.tick_s))
        try:
            self._container.seek(target, stream=self._stream)
        except av.FFmpegError:
            self._can_jump = False
            return
        self._packets = self._container.demux(self._stream)
        self._jumped_from_s = time_s

    def _stamped(self, packet):
        """Give a packet the time of a clock that goes on; the decoder hands it to its frame."""
        times = self._times
        if times.start_ticks is None and packet.size:
            if self._num_packets < len(times.packet_ticks):
                packet.pts = int(times.packet_ticks[self._num_packets])
            self._num_packets += 1
        return packet

    def _time_s(self, frame):
        times = self._times
        if times.is_counted:
            ticks = times.frame_ticks[min(self._num_frames, len(times.frame_ticks) - 1)]
        elif frame.pts is None:
            ticks = self._newest_ticks + times.interval_ticks
        else:
            ticks = frame.pts - (times.start_ticks or 0)
        self._num_frames += 1
        self._newest_ticks = int(ticks)
        return float(self._newest_ticks * times.tick_s)


def _is_moving(stream):
    """Return whether it is a video; the cover picture of a song is a video stream too."""
    return stream.type == 'video' and not stream.disposition & Disposition.attached_pic


def _rgb_array_of_frame(frame):
    return _as_displayed(frame.to_ndarray(format='rgb24'), _display_matrix(frame))


def _display_matrix(frame):
    """Return (a, b, c, d) by which a player turns a frame; None where it does not."""
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return None
    # Of the 3x3 matrix of QuickTime, row by row; scale and place are not for us.
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return a, b, c, d


def _as_displayed(array, matrix):
    """
    Return [H, W, 3], or [W, H, 3], turned and mirrored as a player shows it: copied.

    A pixel at (x, y) is shown at (a x + c y, b x + d y). Turns are rounded to quarters.
    """
    if matrix is None:
        return array
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        array, across, down = array.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(array[::-1 if down < 0 else 1, ::-1 if across < 0 else 1])
