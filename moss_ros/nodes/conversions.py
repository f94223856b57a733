"""
Image messages to pictures: sensor_msgs/Image in, u8 [H, W, 3] RGB out.

Colour conversion is cv_bridge's; here is what it does not check, and the one error for all that
can be wrong with an image. Knows nothing of topics. Called by the narrator for each chosen frame.
"""

from array import array

import numpy as np
from sensor_msgs.msg import Image

_MISSING_CV_BRIDGE = (
    'cv_bridge is missing, images cannot be converted: install ros-<distribution>-cv-bridge by '
    'apt on a robot, or cv-bridge by pip (requirements/ros.txt)')
_CHANNELS_BY_PREFIX = {'rgba': 4, 'bgra': 4, 'rgb': 3, 'bgr': 3, 'mono': 1, 'bayer': 1}


class BadImageError(Exception):
    """
    An image that cannot be shown to the model.

    kind: what is wrong, one of 'zero_size', 'unknown_encoding', 'bad_step', 'truncated',
    'size_mismatch' and 'not_convertible'; the text names the values.
    """

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class ImageConverter:
    """Converts messages through one cv_bridge; one thread at a time, about 1 ms at 1080p."""

    def __init__(self):
        """Raise ImportError that names the package to install where cv_bridge is missing."""
        try:
            from cv_bridge import CvBridge
        except ImportError as error:
            raise ImportError(f'{_MISSING_CV_BRIDGE} ({error})') from error
        self._bridge = CvBridge()

    @staticmethod
    def check(message: Image) -> None:
        """Raise BadImageError where sizes or encoding cannot be a picture's; looks at no pixel."""
        _check(message)

    def to_rgb(self, message: Image) -> np.ndarray:
        """
        Return the picture u8 [H, W, 3], RGB; it may share the message's memory.

        Raises BadImageError for anything that is no whole picture of a known encoding.
        """
        packed = _packed(message)
        try:
            picture = np.asarray(self._bridge.imgmsg_to_cv2(packed, 'rgb8'))
        # Each cv_bridge raises its own: CvBridgeError, KeyError, cv2.error, RuntimeError, ...
        except Exception as error:
            raise BadImageError(
                'not_convertible',
                f'cv_bridge cannot convert encoding {message.encoding!r} of '
                f'{message.width}x{message.height} px to rgb8 '
                f'({type(error).__name__}: {error})') from error
        if picture.dtype != np.uint8 or picture.shape != (message.height, message.width, 3):
            raise BadImageError(
                'not_convertible',
                f'cv_bridge makes {picture.dtype} {list(picture.shape)} of encoding '
                f'{message.encoding!r}, not uint8 [height, width, 3]')
        return picture


def bytes_per_pixel(encoding: str) -> int:
    """
    Return the bytes of one pixel of a sensor_msgs encoding, such as 3 for 'rgb8'.

    Raises BadImageError for one that is not known to have whole bytes per pixel.
    """
    name = encoding
    for prefix, num_channels in _CHANNELS_BY_PREFIX.items():
        if name.startswith(prefix) and name.endswith(('8', '16')):
            return num_channels * (2 if name.endswith('16') else 1)
    bits, _, channels = name.partition('C')
    if channels in ('1', '2', '3', '4') and bits in (
            '8U', '8S', '16U', '16S', '32S', '32F', '64F'):
        return int(bits[:-1]) // 8 * int(channels)
    raise BadImageError('unknown_encoding', f'encoding {encoding!r} is not known')


def _check(message):
    """Return the bytes of a row without padding; BadImageError where it is no picture."""
    height, width, step, num_bytes = (
        message.height, message.width, message.step, len(message.data))
    if height == 0 or width == 0:
        raise BadImageError('zero_size', f'the image is {width}x{height} px')
    row_bytes = width * bytes_per_pixel(message.encoding)
    if step < row_bytes:
        raise BadImageError(
            'bad_step', f'step is {step} bytes, but a row of {width} px {message.encoding} has '
            f'{row_bytes}')
    if num_bytes != step * height:
        raise BadImageError(
            'truncated' if num_bytes < step * height else 'size_mismatch',
            f'{num_bytes} bytes of data, but {height} rows of {step} bytes are {step * height}')
    return row_bytes


def _packed(message):
    """Return message, or a copy without row padding; BadImageError where it is no picture."""
    row_bytes = _check(message)
    if message.step == row_bytes and not (
            message.is_bigendian and message.encoding.endswith('8')):
        return message
    # ROS 1's cv_bridge ignores step, and ROS 2's needs it to be whole pixels. Byte order means
    # nothing for bytes, yet both would swap.
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    packed = Image(
        header=message.header, height=message.height, width=message.width,
        encoding=message.encoding, step=row_bytes,
        is_bigendian=message.is_bigendian and not message.encoding.endswith('8'))
    # Only an array is taken over without a check of every single byte.
    packed.data = array('B', rows[:, :row_bytes].tobytes())
    return packed
