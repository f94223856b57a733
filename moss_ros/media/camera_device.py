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
A camera of this machine, /dev/videoN, read by FFmpeg's v4l2: the newest picture, whenever asked.

A path goes in, pictures u8 [H, W, 3] RGB come out. A thread reads, for a driver keeps old pictures
for who reads too slowly. Called by the demo camera.
"""

from __future__ import annotations

import errno
import glob
import os
import threading

import av
from moss_ros.media.pictures import MediaError
import numpy as np

FORMAT = 'v4l2'
_END_TIMEOUT_S = 1.0
_WAY_OUT = ('publish its pictures by a driver of ROS, such as v4l2_camera, and start a narrator '
            'on them, or record a clip and take --video')
_REASON_BY_NUMBER = {
    errno.EACCES: 'may not be read; add yourself to its group (video), and log in again',
    errno.EBUSY: 'is in use by another program; end that',
    errno.ENOTTY: 'is no camera that sends pictures; take another number',
    errno.ENODEV: 'is not connected any more'}


def device_path(number: int) -> str:
    """Return the path of a camera; MediaError that names those that are there if it is not."""
    if number < 0:
        raise MediaError(f'the number of a camera is N of /dev/videoN, from 0 up, not {number}')
    path = f'/dev/video{number}'
    if not os.path.exists(path):
        others = ', '.join(sorted(glob.glob('/dev/video*')))
        raise MediaError(f'there is no camera {path}; '
                         + (f'there is {others}' if others else 'this machine has none'))
    return path


class CameraDevice:
    """Reads from a camera until it is closed. One thread at a time; nothing blocks but close()."""

    def __init__(self, path: str, format_name: str = FORMAT):
        """Open it and begin to read; MediaError says why that cannot be done, and the way out."""
        self._path = path
        self._container = _open(path, format_name)
        self._lock = threading.Lock()  # guards the three below
        self._newest: av.VideoFrame | None = None
        self._trouble = ''
        self._is_closed = False
        self._thread = threading.Thread(target=self._read, name='moss-camera-device', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End reading; takes until the next picture, one second at most. May be called twice."""
        with self._lock:
            self._is_closed = True
        self._thread.join(_END_TIMEOUT_S)

    def newest(self) -> np.ndarray | None:
        """Return the newest picture, None if it was returned before; MediaError at the end."""
        with self._lock:
            newest, self._newest, trouble = self._newest, None, self._trouble
        if newest is None and trouble:
            raise MediaError(f'the camera {self._path} {trouble}')
        return None if newest is None else newest.to_ndarray(format='rgb24')

    def _read(self):
        trouble = 'sends no more pictures'
        try:
            with self._container:
                for packet in self._container.demux(video=0):
                    if not self._take(packet):
                        return
        except (av.FFmpegError, ValueError, IndexError) as error:
            trouble = _reason(error)
        with self._lock:
            self._trouble = trouble

    def _take(self, packet):
        """Keep the newest picture of a packet; return whether to go on."""
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []  # many a camera begins with half a picture
        with self._lock:
            if frames:
                self._newest = frames[-1]
            return not self._is_closed


def _open(path, format_name):
    try:
        av.format.ContainerFormat(format_name, 'r')
    except ValueError as error:
        raise MediaError(
            f'the camera {path} cannot be read: PyAV {av.__version__} was built without '
            f'{format_name}; {_WAY_OUT}') from error
    try:
        return av.open(path, format=format_name)
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f'the camera {path} {_reason(error)}') from error


def _reason(error):
    number = getattr(error, 'errno', None)
    return _REASON_BY_NUMBER.get(number) or (
        f'cannot be read ({getattr(error, "strerror", None) or error}); {_WAY_OUT}')
