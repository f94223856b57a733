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
Image messages to pictures: sensor_msgs/Image and CompressedImage in, u8 [H, W, 3] RGB out.

cv_bridge converts the encodings for which it gives the same picture as moss_ros.images (tested
once, when the converter is made); moss_ros.images converts the rest. Called by the narrator's
input for each chosen frame.
"""

from array import array

from builtin_interfaces.msg import Time
from moss_ros.images import (
    check_compressed, check_image, compressed_to_rgb, DEFAULT_DEPTH_RANGE_M, ENCODINGS,
    image_to_rgb, row_bytes,
)
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

# Two conversions of a picture count as the same up to this difference in grey levels.
MAX_DIFFERENCE = 2
# cv_bridge cannot convert these: it does not know the range by which depth is scaled, nor pictures
# in stacked planes (nv12 and the like), and makes no colour of 8-bit types that name none.
_NEVER_BY_CV_BRIDGE = ('16UC1', '32FC1', '8UC1', '8UC3', '8UC4', 'nv12', 'nv21', 'nv24')
_PROBE_HEIGHT_PX, _PROBE_WIDTH_PX = 6, 8


def stamp_to_ns(stamp: Time) -> int:
    """Return a header stamp in ns; below 0 for what some drivers send, which rclpy refuses."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


class ImageConverter:
    """
    Converts messages; one thread at a time, about 1 ms at 1080p.

    - by_cv_bridge: the encodings that cv_bridge converts, because its picture is the same as that
      of moss_ros.images. On a robot cv_bridge is the distribution's, elsewhere an older one.
    - without_cv_bridge: why cv_bridge is not used at all; '' if it is used.
    """

    def __init__(self, depth_range: tuple[float, float] = DEFAULT_DEPTH_RANGE_M):
        """Raise ValueError unless 0 <= depth_range[0] < depth_range[1], in metres."""
        if not 0 <= depth_range[0] < depth_range[1]:
            raise ValueError(
                f'depth_min_m is {depth_range[0]:g} and depth_max_m {depth_range[1]:g}; the '
                'first must be below the second')
        self._depth_range = depth_range
        self._bridge = None
        self.without_cv_bridge = ''
        try:
            from cv_bridge import CvBridge
            self._bridge = CvBridge()
        # A cv_bridge that was built against another numpy raises AttributeError or anything else.
        except Exception as error:
            self.without_cv_bridge = f'{type(error).__name__}: {error}'
        self.by_cv_bridge = frozenset(filter(self._does_cv_bridge_agree, ENCODINGS))

    @staticmethod
    def check(message: Image | CompressedImage) -> None:
        """Raise BadImageError where a message cannot hold a picture; converts nothing."""
        if isinstance(message, CompressedImage):
            check_compressed(message.format, message.data)
        else:
            check_image(message.encoding, message.height, message.width, message.step,
                        len(message.data))

    def to_rgb(self, message: Image | CompressedImage) -> np.ndarray:
        """
        Return the picture u8 [H, W, 3], RGB; it may share the message's memory.

        Raises BadImageError for anything that is no whole picture of a known encoding.
        """
        if isinstance(message, CompressedImage):
            return compressed_to_rgb(message.format, message.data, self._depth_range)
        if message.encoding in self.by_cv_bridge and not (
                message.is_bigendian and message.encoding.endswith('16')):
            self.check(message)
            picture = self._bridged(message)
            if picture is not None:
                return picture
        return self._own(message)

    def _own(self, message):
        return image_to_rgb(
            message.encoding, message.height, message.width, message.step, message.is_bigendian,
            message.data, self._depth_range)

    def _bridged(self, message):
        """Return what cv_bridge makes of a checked message, None where that is no picture."""
        try:
            picture = np.asarray(self._bridge.imgmsg_to_cv2(_packed(message), 'rgb8'))
        # Which error depends on the cv_bridge: CvBridgeError, KeyError, cv2.error, RuntimeError.
        except Exception:
            return None
        is_picture = picture.dtype == np.uint8 and picture.shape == (
            message.height, message.width, 3)
        return picture if is_picture else None

    def _does_cv_bridge_agree(self, encoding):
        if self._bridge is None or encoding in _NEVER_BY_CV_BRIDGE:
            return False
        message = _probe(encoding)
        picture = self._bridged(message)
        return picture is not None and np.abs(
            picture.astype(int) - self._own(message)).max() <= MAX_DIFFERENCE


def _probe(encoding):
    """Return a small message of one plane, full of different bytes."""
    step = row_bytes(encoding, _PROBE_WIDTH_PX)
    pixels = np.random.default_rng(1).integers(0, 256, _PROBE_HEIGHT_PX * step, np.uint8)
    message = Image(
        encoding=encoding, height=_PROBE_HEIGHT_PX, width=_PROBE_WIDTH_PX, step=step)
    message.data = array('B', pixels.tobytes())
    return message


def _packed(message):
    """Return a checked message, or a copy of it without row padding, and never big-endian."""
    num_bytes = row_bytes(message.encoding, message.width)
    if message.step == num_bytes and not message.is_bigendian:
        return message
    # ROS 1's cv_bridge ignores step, and ROS 2's needs it to be whole pixels. Byte order means
    # nothing for bytes, yet both would swap.
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    packed = Image(
        header=message.header, height=message.height, width=message.width,
        encoding=message.encoding, step=num_bytes)
    # Only an array is taken over without a check of every single byte.
    packed.data = array('B', rows[:, :num_bytes].tobytes())
    return packed
