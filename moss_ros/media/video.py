"""
Reads video files: a path and times in, frames uint8 [H, W, 3] RGB out, one at a time.

Also chooses the times at which to look at a video, and decodes no more of it than they need.
Called by the offline answerer and by the reader of bags.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
import logging
import math
from pathlib import Path

import av
from av.stream import Disposition
from moss_ros.media.pictures import existing_file, MediaError
import numpy as np

# A gap between two wanted times, in seconds, from which on it pays to seek instead of decoding.
# Most videos have key frames, where decoding can start, more often than this.
_JUMP_S = 10.0

_LOGGER = logging.getLogger(__name__)


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


class VideoFile:
    """
    An open video: its duration, and the frames shown at given times. Close it, or use `with`.

    One thread at a time may call. It holds the decoder and one frame in memory.
    """

    def __init__(self, path: str | Path):
        """Open the file. Raises MediaError if it is missing, no video, or has no video stream."""
        self.path = existing_file(path, 'video')
        self._container = self._open()
        try:
            self._stream = self._video_stream()
            self._start_s = float((self._stream.start_time or 0) * self._stream.time_base)
            self.duration_s = self._find_duration_s()
            self._frame_s = 1 / float(self._stream.average_rate or 1000)  # on average
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

    def sample_times_s(self, fps: float, min_frames: int, max_frames: int) -> list[float]:
        """Return the times in seconds at which to look at it; see the function of this name."""
        num_frames = num_samples(self.duration_s, fps, 1, max_frames + 1)
        is_uniform = not min_frames <= num_frames <= max_frames
        return sample_times_s(self.duration_s, fps, min_frames, max_frames,
                              self._find_last_s() if is_uniform else None)

    def count_frames(self, most: int) -> int:
        """Return how many frames can be decoded, but at most `most`."""
        if self._stream.frames >= 2 * most:
            return most  # the file's own count, which may be wrong by a few
        with self._open() as container:
            stream = container.streams[self._stream.index]
            stream.thread_type = 'AUTO'
            decoder = _Decoder(container, stream, self._start_s)
            return sum(1 for _ in islice(decoder.frames(), most))

    def every_frame(self) -> Iterator[np.ndarray]:
        """Yield all frames, uint8 [H, W, 3] RGB. Call it once, and not with frames_at()."""
        decoder = _Decoder(self._container, self._stream, self._start_s)
        for frame, _ in decoder.frames():
            yield _rgb_array_of_frame(frame)
        self._tell_damage(decoder)

    def frames_at(self, times_s: list[float]) -> Iterator[np.ndarray]:
        """
        Yield the frame, uint8 [H, W, 3] RGB, that is shown at each of times_s (ascending seconds).

        That is the last frame that begins at or before the time, or the first frame if none does.
        Damaged parts are skipped. Raises MediaError if nothing at all can be decoded. Call it
        once.
        """
        decoder = _Decoder(self._container, self._stream, self._start_s)
        tolerance_s = self._tolerance_s()
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
        self._tell_damage(decoder)

    def _tell_damage(self, decoder):
        if decoder.num_damaged:
            _LOGGER.warning('%s: %d damaged parts were passed over', self.path,
                            decoder.num_damaged)

    def _tolerance_s(self):
        """Return how far after a wanted time a frame may begin, in seconds, due to rounding."""
        tick_s = float(self._stream.time_base)
        # If a tick is as long as a frame, frame times are exact; if it is shorter, they are
        # rounded to ticks.
        is_rounded = tick_s < self._frame_s / 2
        return 1e-6 + (min(tick_s, self._frame_s / 20) if is_rounded else 0.0)

    def _open(self):
        try:
            # 'file:' keeps FFmpeg from reading a file name such as 'concat:a' as a protocol.
            return av.open(f'file:{self.path}')
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f'{self.path} is not a video that can be read '
                             f'({getattr(error, "strerror", None) or error})') from error

    def _video_stream(self):
        kinds = []
        for stream in self._container.streams:
            # The cover picture of a song is a video stream too, and is passed over.
            if stream.type == 'video' and not stream.disposition & Disposition.attached_pic:
                if stream.codec_context is None:
                    raise MediaError(f'{self.path}: no decoder for its video stream')
                stream.thread_type = 'AUTO'
                return stream
            kinds.append(stream.type)
        if not kinds:
            raise MediaError(f'{self.path} is not a video that can be read (nothing is in it)')
        raise MediaError(f'{self.path} has no video stream, only {", ".join(sorted(set(kinds)))}')

    def _find_last_s(self):
        """Return when the last frame begins, in seconds; reads packets, but decodes none."""
        estimate_s = max(0.0, self.duration_s - self._frame_s)
        newest_s = None
        try:
            with self._open() as container:
                stream = container.streams[self._stream.index]
                container.seek(round((self._start_s + self.duration_s) / stream.time_base),
                               stream=stream)
                for packet in container.demux(stream):
                    if packet.pts is not None:
                        time_s = float(packet.pts * stream.time_base) - self._start_s
                        newest_s = time_s if newest_s is None else max(newest_s, time_s)
        except av.FFmpegError:
            return estimate_s
        return newest_s if newest_s is not None and 0 <= newest_s <= self.duration_s \
            else estimate_s

    def _find_duration_s(self):
        stream = self._stream
        if stream.duration:
            return float(stream.duration * stream.time_base)
        if self._container.duration:
            return self._container.duration / av.time_base
        return self._read_duration_s()

    def _read_duration_s(self):
        """Return the duration in seconds by reading all packets; nothing is decoded."""
        end, num_packets = 0, 0
        with self._open() as container:
            for packet in container.demux(container.streams[self._stream.index]):
                num_packets += packet.size > 0
                if packet.pts is not None:
                    end = max(end, packet.pts + (packet.duration or 0))
        if end:
            return float(end * self._stream.time_base) - self._start_s
        return num_packets / float(self._stream.average_rate or 25)


class _Decoder:
    """Decodes one stream from its start, skips damaged parts, and can jump ahead."""

    def __init__(self, container, stream, start_s: float):
        self.num_damaged = 0
        self._container = container
        self._stream = stream
        self._start_s = start_s
        self._packets = None
        self._can_jump = True
        self._jumped_from_s: float | None = None  # only until the first frame after a jump
        self._jumped_to_s: float | None = None
        self._num_frames = 0

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
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.num_damaged += 1
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
        target = round((self._start_s + wanted_s) / float(self._stream.time_base))
        try:
            self._container.seek(target, stream=self._stream)
        except av.FFmpegError:
            self._can_jump = False
            return
        self._packets = self._container.demux(self._stream)
        self._jumped_from_s = time_s

    def _time_s(self, frame):
        self._num_frames += 1
        if frame.time is None:  # a raw stream has no times
            self._can_jump = False
            return (self._num_frames - 1) / float(self._stream.average_rate or 25)
        return frame.time - self._start_s


def _rgb_array_of_frame(frame):
    array = frame.to_ndarray(format='rgb24')
    # Phones store upright videos lying on their side, with a rotation counterclockwise in degrees.
    return np.rot90(array, round(frame.rotation / 90)) if frame.rotation else array
