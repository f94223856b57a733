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

"""Makes videos whose pictures tell what they are, and writes down when they are to be seen."""

from fractions import Fraction
import struct

import av
import numpy as np
from thread_priorities import kept_priorities

SIZE = HEIGHT_PX, WIDTH_PX = 48, 64


def grey(level):
    """Return a picture of this grey, uint8 [H, W, 3] RGB."""
    return np.full((*SIZE, 3), level, np.uint8)


def levels_at(video, times_s):
    """Return the grey levels that a VideoFile shows at some times."""
    return [round(float(picture.mean())) for picture in video.frames_at(times_s)]


def write_video(path, pictures, codec='libx264', time_base=Fraction(1, 90_000), container=None,
                **options):
    """Write pictures, {begin in seconds: grey level or picture}; container: options of it."""
    with kept_priorities(), av.open(str(path), 'w', options=container or {}) as file:
        stream = file.add_stream(codec, rate=10, options={
            name: str(value) for name, value in options.items()})
        stream.height, stream.width = HEIGHT_PX, WIDTH_PX
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        stream.codec_context.time_base = time_base
        for begin_s, picture in pictures.items():
            if np.isscalar(picture):
                picture = grey(picture)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = round(begin_s / time_base), time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def evenly(num, start_s=0.0, fps=10, first_level=20, step=3):
    """Return num pictures for write_video, ever lighter."""
    return {start_s + index / fps: first_level + step * index for index in range(num)}


def join(path, *paths):
    """Write the bytes of files one after the other, as `cat` does."""
    path.write_bytes(b''.join(part.read_bytes() for part in paths))
    return path


def set_display_matrix(path, a, b, c, d):
    """Have players of an MP4 show a pixel (x, y) at (a x + c y, b x + d y), moved into sight."""
    one = 1 << 16
    data = path.read_bytes()
    neutral = struct.pack('>9i', one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    matrix = struct.pack('>9i', a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    at = data.index(neutral, data.index(b'tkhd'))
    path.write_bytes(data[:at] + matrix + data[at + len(matrix):])
    return path
