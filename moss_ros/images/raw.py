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
Converts raw camera pictures to u8 [H, W, 3] RGB, from every encoding of sensor_msgs/Image.

The fields of the message go in as plain values. A picture comes out, or a BadImageError that
names what is wrong. Called by the narrator and by readers of bags.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

# The default range of depths that is shown: nearest and farthest, in metres.
DEFAULT_DEPTH_RANGE_M = (0.0, 10.0)
MM_PER_M = 1000.0
# A few kilobytes can unpack to many gigabytes. The limit is twice the pixels of an 8K picture.
MAX_NUM_PIXELS = 2 * 7680 * 4320


class BadImageError(Exception):
    """
    A picture that cannot be shown to the model.

    kind is what is wrong in one word, such as 'truncated', for counting. The message names the
    values and, if there is one, the way out.
    """

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class _Encoding:
    """
    How a picture lies in memory, and how to convert it to RGB.

    - value_type: numpy type of a value, without byte order.
    - num_values: values per pixel in the (first) plane.
    - num_rows_of_two: rows of data for two rows of the picture; more than 2 mean a second plane.
    - num_px_of_block: width and height must be whole multiples of these.
    - to_rgb: converts values [rows, W, num_values] (the rows of all planes) and the depth range
      in metres to RGB.
    """

    value_type: str
    num_values: int
    to_rgb: Callable[[np.ndarray, tuple[float, float]], np.ndarray]
    num_rows_of_two: int = 2
    num_px_of_block: tuple[int, int] = (1, 1)

    def row_bytes(self, width_px: int) -> int:
        return width_px * self.num_values * np.dtype(self.value_type).itemsize

    def num_rows(self, height_px: int) -> int:
        return height_px * self.num_rows_of_two // 2


def _by_cv2(code):
    return lambda values, _: cv2.cvtColor(_to_8_bit(values), code)


def _bayer(code):
    # Interpolate with all 16 bits, and only then reduce to 8.
    return lambda values, _: _to_8_bit(cv2.cvtColor(values, code))


def _to_8_bit(values):
    if values.dtype == np.uint8:
        return values
    # Map the full range of 16 bits to that of 8 bits, as cv_bridge does.
    return cv2.convertScaleAbs(values, alpha=255 / 65535).reshape(values.shape)


def _depth(num_units_per_m):
    def to_rgb(values, range_m):
        near_m, far_m = range_m
        with np.errstate(invalid='ignore'):
            metres = values[..., 0] / np.float32(num_units_per_m)
            # 0, nan and infinity all say that nothing was measured.
            is_measured = np.isfinite(metres) & (metres > 0)
        metres = np.clip(np.where(is_measured, metres, near_m), near_m, far_m)
        grey = np.rint((metres - near_m) * (255 / (far_m - near_m))).astype(np.uint8)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return to_rgb


def _half_size_chroma(code):
    def to_rgb(values, _):
        height_px = values.shape[0] * 2 // 3
        chroma = values[height_px:].reshape(height_px // 2, -1, 2)
        return cv2.cvtColorTwoPlane(values[:height_px, :, 0], chroma, code)
    return to_rgb


def _full_size_chroma(values, _):
    height_px, width_px = values.shape[0] // 3, values.shape[1]
    chroma = values[height_px:].reshape(height_px, width_px, 2)
    # OpenCV converts NV12, but not NV24. With luma repeated to four times the pixels this is NV12.
    luma = np.repeat(np.repeat(values[:height_px, :, 0], 2, axis=0), 2, axis=1)
    return np.ascontiguousarray(
        cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12)[::2, ::2])


_GREY = _by_cv2(cv2.COLOR_GRAY2RGB)
_BGR = _by_cv2(cv2.COLOR_BGR2RGB)
_UYVY = _Encoding('u1', 2, _by_cv2(cv2.COLOR_YUV2RGB_UYVY), num_px_of_block=(2, 1))
_YUYV = _Encoding('u1', 2, _by_cv2(cv2.COLOR_YUV2RGB_YUY2), num_px_of_block=(2, 1))
# OpenCV names a Bayer pattern by the second and third pixel of the second row.
_BAYER_CODES = {
    'rggb': cv2.COLOR_BayerBG2RGB, 'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB, 'grbg': cv2.COLOR_BayerGB2RGB}
_ENCODINGS = {
    'rgb8': _Encoding('u1', 3, lambda values, _: values),
    'bgr8': _Encoding('u1', 3, _BGR),
    'rgba8': _Encoding('u1', 4, _by_cv2(cv2.COLOR_RGBA2RGB)),
    'bgra8': _Encoding('u1', 4, _by_cv2(cv2.COLOR_BGRA2RGB)),
    'rgb16': _Encoding('u2', 3, lambda values, _: _to_8_bit(values)),
    'bgr16': _Encoding('u2', 3, _BGR),
    'rgba16': _Encoding('u2', 4, _by_cv2(cv2.COLOR_RGBA2RGB)),
    'bgra16': _Encoding('u2', 4, _by_cv2(cv2.COLOR_BGRA2RGB)),
    'mono8': _Encoding('u1', 1, _GREY),
    'mono16': _Encoding('u2', 1, _GREY),
    # These do not say what their channels are. Their senders use OpenCV, whose order is BGR.
    '8UC1': _Encoding('u1', 1, _GREY),
    '8UC3': _Encoding('u1', 3, _BGR),
    '8UC4': _Encoding('u1', 4, _by_cv2(cv2.COLOR_BGRA2RGB)),
    # Depth (REP 118): whole millimetres, or metres.
    '16UC1': _Encoding('u2', 1, _depth(MM_PER_M)),
    '32FC1': _Encoding('f4', 1, _depth(1.0)),
    **{f'bayer_{pattern}{num_bits}': _Encoding(
        f'u{num_bits // 8}', 1, _bayer(code), num_px_of_block=(2, 2))
       for pattern, code in _BAYER_CODES.items() for num_bits in (8, 16)},
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': _Encoding('u1', 1, _half_size_chroma(cv2.COLOR_YUV2RGB_NV12), 3, (2, 2)),
    'nv21': _Encoding('u1', 1, _half_size_chroma(cv2.COLOR_YUV2RGB_NV21), 3, (2, 2)),
    'nv24': _Encoding('u1', 1, _full_size_chroma, 6),
}
# Every encoding that image_to_rgb() takes.
ENCODINGS = tuple(_ENCODINGS)


def row_bytes(encoding: str, width: int) -> int:
    """Return the bytes of a row of width pixels, unpadded; BadImageError for unknown encodings."""
    return _known(encoding).row_bytes(width)


def check_image(encoding: str, height: int, width: int, step: int, num_bytes: int) -> None:
    """
    Raise BadImageError if these fields do not describe a picture; the pixels are not read.

    height and width are in pixels, step is bytes from one row to the next, num_bytes is the
    length of the data. Kinds: 'zero_size', 'unknown_encoding', 'bad_size', 'bad_step',
    'truncated' and 'size_mismatch'.
    """
    if height <= 0 or width <= 0:
        raise BadImageError('zero_size', f'the image is {width}x{height} px')
    known = _known(encoding)
    for size_px, num_px in zip((width, height), known.num_px_of_block):
        if size_px % num_px:
            raise BadImageError(
                'bad_size', f'{encoding} comes in blocks of {known.num_px_of_block[0]}x'
                f'{known.num_px_of_block[1]} px, which {width}x{height} px are not made of')
    num_row_bytes = known.row_bytes(width)
    if step < num_row_bytes:
        raise BadImageError(
            'bad_step', f'step is {step} bytes, but a row of {width} px {encoding} has '
            f'{num_row_bytes}')
    num_rows = known.num_rows(height)
    if num_bytes != step * num_rows:
        raise BadImageError(
            'truncated' if num_bytes < step * num_rows else 'size_mismatch',
            f'{num_bytes} bytes of data, but {num_rows} rows of {step} bytes are '
            f'{step * num_rows}')


def image_to_rgb(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data,
                 depth_range: tuple[float, float] = DEFAULT_DEPTH_RANGE_M) -> np.ndarray:
    """
    Convert a picture to u8 [H, W, 3], RGB, 0 to 255; for rgb8 the result shares data's memory.

    The arguments are the fields of sensor_msgs/Image: height and width in pixels, step in bytes,
    data any buffer of bytes. A depth picture (16UC1, 32FC1) becomes grey: black at
    depth_range[0] metres and nearer, white at depth_range[1] and farther, and black where nothing
    was measured (0, nan, infinity). Raises BadImageError with a kind of check_image(), and
    ValueError for a depth_range that does not ascend. Any thread may call; nothing is kept.
    """
    check_image(encoding, height, width, step, len(data))
    if not 0 <= depth_range[0] < depth_range[1]:
        raise ValueError(f'depth_range is {depth_range}; it must ascend, from 0 m or more')
    known = _ENCODINGS[encoding]
    rows = np.frombuffer(data, np.uint8).reshape(-1, step)[:, :known.row_bytes(width)]
    value_type = np.dtype(known.value_type)
    values = rows.view(value_type.newbyteorder('>' if is_bigendian else '<'))
    values = values.reshape(len(rows), width, known.num_values)
    # OpenCV takes only the machine's own byte order, and no gaps between values.
    return known.to_rgb(np.require(values, value_type, ['C', 'A']), depth_range)


def _known(encoding):
    known = _ENCODINGS.get(encoding)
    if known is None:
        raise BadImageError(
            'unknown_encoding', f'encoding {encoding!r} is not known; let the camera send one of '
            f'{", ".join(ENCODINGS)}')
    return known
