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
Messages of a camera to images that are not converted yet: pictures, or packets of coded video.

An image knows its stamp and how to become RGB, or why it cannot. Of video every packet is decoded,
for the next ones are made from it, and only what is wanted is converted. Used by the narrator's
input.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from builtin_interfaces.msg import Time
from moss_ros.images import (
    BadImageError, codec_of, DecodedPacket, PacketStream, unknown_codec,
)
from moss_ros.nodes.conversions import ImageConverter, stamp_to_ns
import numpy as np
from sensor_msgs.msg import CompressedImage


@dataclass(frozen=True, eq=False)
class CameraImage:
    """
    An image of a camera.

    - stamp, frame_id: of its header. encoding: what it says that it is.
    - received_ns: when its message came, by time.monotonic_ns().
    - to_rgb(): returns the picture u8 [H, W, 3] RGB; BadImageError where it is none.
    - content: the bytes that were sent of it, by which pictures can be compared; None of coded
      video, of which a packet is no whole picture.
    - error: why it is no picture, where that is known already; else None.
    """

    stamp: Time
    frame_id: str
    encoding: str
    received_ns: int
    to_rgb: Callable[[], np.ndarray]
    content: array | None = None
    error: BadImageError | None = None


class ImageReader(Protocol):
    """Makes images of the messages of one topic, given in their order."""

    def images(self, message, received_ns: int) -> list[CameraImage]:
        """Return what is known now: of this message, or of those before it."""


class PictureReader:
    """Reads sensor_msgs/Image and CompressedImage: each message is a picture."""

    def __init__(self, converter: ImageConverter):
        self._converter = converter

    def images(self, message, received_ns: int) -> list[CameraImage]:
        """Return the one image of a message."""
        is_compressed = isinstance(message, CompressedImage)
        error = None
        try:
            self._converter.check(message)
        except BadImageError as bad:
            error = bad
        return [CameraImage(
            message.header.stamp, message.header.frame_id,
            message.format if is_compressed else message.encoding, received_ns,
            partial(self._converter.to_rgb, message), message.data, error)]


class VideoReader:
    """
    Reads packets: CompressedImage, foxglove_msgs/CompressedVideo, FFMPEGPacket.

    A CompressedImage that is no packet is a picture. Decoding takes a few milliseconds a packet.
    """

    def __init__(self, converter: ImageConverter):
        self._pictures = PictureReader(converter)
        self._packets: PacketStream[CameraImage] = PacketStream()

    def images(self, message, received_ns: int) -> list[CameraImage]:
        """Return the images that are known now, each with the stamp of its own message."""
        is_ffmpeg, is_foxglove = hasattr(message, 'pts'), hasattr(message, 'timestamp')
        encoding = message.encoding if is_ffmpeg else message.format
        stamp = message.timestamp if is_foxglove else message.header.stamp
        frame_id = message.frame_id if is_foxglove else message.header.frame_id
        codec = codec_of(encoding, message.data)
        tag = CameraImage(stamp, frame_id, encoding, received_ns, _no_picture)
        if codec:
            clock = message.pts if is_ffmpeg else stamp_to_ns(stamp) or None
            return list(map(_decoded, self._packets.decode(
                codec, bytes(message.data), tag, clock)))
        if isinstance(message, CompressedImage):
            return self._pictures.images(message, received_ns)
        return [replace(tag, error=unknown_codec(encoding))]


def _decoded(packet: DecodedPacket) -> CameraImage:
    if packet.error is not None:
        return replace(packet.tag, error=packet.error)
    return replace(packet.tag, to_rgb=packet.picture.to_rgb)


def _no_picture():
    raise BadImageError('no_picture', 'its packet is not decoded yet')
