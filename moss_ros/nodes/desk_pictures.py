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
Makes what the desk shows of camera and overlay: messages go in, JPEGs of a bounded size come out.

A thread of its own takes the newest message of each picture; those in between are dropped. Made by
the desk.
"""

from __future__ import annotations

import threading
import time

from moss_ros.desk import DeskServer
from moss_ros.desk.memory import DeskMemory
from moss_ros.images import BadImageError, check_compressed
from moss_ros.images.jpeg import rgb_to_jpeg
from moss_ros.images.jpeg_pictures import JPEG_START
from moss_ros.nodes.conversions import ImageConverter, stamp_to_ns
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage

SMALL_PERIOD_S = 0.5
SMALL_WIDTH_PX, SMALL_QUALITY = 160, 70
QUALITY = 75
MAX_MESSAGE_BYTES = 200_000_000


class PictureMaker:
    """Converts pictures until close(); add() may be called by any thread, and never waits."""

    def __init__(self, server: DeskServer, rate_fps: float, max_width_px: int,
                 has_thumbnails: bool, logger):
        """rate_fps: at most so many pictures a second of each; max_width_px: of the pictures."""
        self._server, self._logger = server, logger
        self._period_s, self._max_width_px = 1 / rate_fps, max_width_px
        self._has_thumbnails = has_thumbnails
        self._converter = ImageConverter()
        self._condition = threading.Condition()  # guards _newest and _is_closed
        self._newest: dict[tuple[str, str], tuple[type, bytes]] = {}
        self._is_closed = False
        self._due_s: dict[tuple[str, str], float] = {}
        self._small_due_s: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name='moss-desk-pictures', daemon=True)
        self._thread.start()

    def add(self, name: str, source: str, message_type: type, data: bytes) -> None:
        """Take the serialised message of a narrator's camera or overlay."""
        if len(data) > MAX_MESSAGE_BYTES:
            return
        with self._condition:
            self._newest[name, source] = (message_type, data)
            self._condition.notify()

    def close(self) -> None:
        """End the thread; block until the picture in work is done, at most 0.5 s."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._thread.join(0.5)

    def _run(self):
        while True:
            with self._condition:
                picture = self._next()
                while picture is None and not self._is_closed:
                    self._condition.wait(self._wait_s())
                    picture = self._next()
                if self._is_closed:
                    return
                message_type, data = self._newest.pop(picture)
            self._due_s[picture] = time.monotonic() + self._period_s
            try:
                self._make(*picture, deserialize_message(data, message_type))
            except BadImageError as error:
                self._logger.warning(
                    f'a picture of {picture[0]} cannot be shown: {error}', once=True)
            # The others go on, whatever is wrong with this one.
            except Exception as error:
                self._logger.error(f'a picture of {picture[0]} failed: {error!r}', once=True)

    def _next(self):
        """Return the picture that is due for the longest time; None where none is."""
        now_s = time.monotonic()
        due = [picture for picture in self._newest if self._due_s.get(picture, 0.0) <= now_s]
        return min(due, key=lambda picture: self._due_s.get(picture, 0.0), default=None)

    def _wait_s(self):
        if not self._newest:
            return None
        now_s = time.monotonic()
        return max(0.001, min(self._due_s.get(each, 0.0) for each in self._newest) - now_s)

    def _make(self, name, source, message):
        # As the narrator does where a driver leaves the stamp zero.
        time_ns = stamp_to_ns(message.header.stamp) or time.time_ns()
        now_s = time.monotonic()
        is_small_due = (source == 'camera' and self._has_thumbnails
                        and self._small_due_s.get(name, 0.0) <= now_s)
        is_watched = (name, source) in self._server.watched
        if is_watched and self._is_ready(message):
            self._server.show(name, source, bytes(message.data), time_ns)
            is_watched = False
        if not is_watched and not is_small_due:
            return
        picture = self._converter.to_rgb(message)
        if is_watched:
            self._server.show(
                name, source, rgb_to_jpeg(picture, self._max_width_px, QUALITY), time_ns)
        if is_small_due:
            self._small_due_s[name] = now_s + SMALL_PERIOD_S
            self._server.take(DeskMemory.take_small_picture, name, time_ns, rgb_to_jpeg(
                picture, SMALL_WIDTH_PX, SMALL_QUALITY))

    def _is_ready(self, message):
        """Return whether a message holds a JPEG that can be shown as it is."""
        if not isinstance(message, CompressedImage) \
                or bytes(message.data[:len(JPEG_START)]) != JPEG_START:
            return False
        _, width_px = check_compressed(message.format, message.data)
        return width_px <= self._max_width_px
