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
Compressed pictures to u8 [H, W, 3] RGB, told apart by what they hold, not by what they say.

JPEG, PNG and the compressedDepth of image_transport: the fields of a sensor_msgs/CompressedImage
go in as plain values, a picture comes out, or a BadImageError that names what is wrong. Knows
neither ROS nor the time. Called by the narrator and by readers of bags.
"""

import cv2
from moss_ros.images.coded_video import codec_of
from moss_ros.images.depth_pictures import depth_values, read_coded_depth
from moss_ros.images.jpeg_pictures import (
    DamagedJpegError, jpeg_layout, JPEG_START, jpeg_to_rgb,
)
from moss_ros.images.png_pictures import (
    DamagedPngError, is_png_whole, png_size, PNG_START, png_values,
)
from moss_ros.images.raw import BadImageError, DEFAULT_DEPTH_RANGE_M, image_to_rgb, MAX_NUM_PIXELS
import numpy as np

_DEPTH_ENCODING = '16UC1'
_DEPTH_TRANSPORT = 'compressedDepth'


def check_compressed(format_text: str, data) -> tuple[int, int]:
    """
    Return (height, width) in pixels from the header; unpacks nothing.

    format_text: as in the message, such as 'rgb8; jpeg compressed bgr8'; data: anything with a
    buffer of bytes. Raises BadImageError with the kinds 'coded_video', 'unknown_encoding',
    'unknown_format', 'truncated', 'zero_size' and 'too_large'. A JPEG that lacks its end mark may
    turn out to be cut off only when it is decoded.
    """
    size, _ = _checked(format_text, _bytes_of(data))
    return size


def compressed_to_rgb(
        format_text: str, data,
        depth_range: tuple[float, float] = DEFAULT_DEPTH_RANGE_M) -> np.ndarray:
    """
    Return the picture u8 [H, W, 3], RGB, 0 to 255, of a JPEG or PNG of any depth, grey or colour.

    A compressedDepth, and a PNG of 16 bits whose format_text begins with 16UC1, is depth, shown
    as image_to_rgb() shows it; one of 8 bits, as some cameras send, is the grey picture that it
    is. Raises BadImageError with the kinds of check_compressed(), and 'not_convertible' where the
    content is damaged. Any thread; nothing is kept.
    """
    data = _bytes_of(data)
    _, found = _checked(format_text, data)
    if data[:len(JPEG_START)] == JPEG_START:
        try:
            return jpeg_to_rgb(data, found)
        except DamagedJpegError as error:
            raise (_cut_off(format_text, data) if error.is_cut
                   else _damaged(format_text, data, error)) from error
    if _DEPTH_TRANSPORT in format_text:
        return _depth_to_rgb(depth_values(found), depth_range)
    try:
        if format_text.partition(';')[0].strip() == _DEPTH_ENCODING:
            values = png_values(data, cv2.IMREAD_UNCHANGED)
            if values.dtype == np.uint16 and values.ndim == 2:
                return _depth_to_rgb(values.astype('<u2'), depth_range)
        picture = png_values(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except DamagedPngError as error:
        raise _damaged(format_text, data, error) from error
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _checked(format_text, data):
    """Return (height, width), and what more was found: of a JPEG its layout, of depth its head."""
    found = None
    if data[:len(JPEG_START)] == JPEG_START:
        found = layout = jpeg_layout(data)
        size = layout and (layout.height_px, layout.width_px)
        is_whole = layout is not None and (
            layout.is_ended and layout.has_all_colours or layout.is_in_one_scan)
    elif _DEPTH_TRANSPORT in format_text:
        found = read_coded_depth(format_text, data)
        size, is_whole = (found.height_px, found.width_px), True
    elif data[:len(PNG_START)] == PNG_START:
        size, is_whole = png_size(data), is_png_whole(data)
    else:
        raise _unknown(format_text, data)
    if size is None:
        raise BadImageError(
            'truncated', f'{len(data)} bytes of format {format_text!r} hold no size')
    height, width = size
    if height == 0 or width == 0:
        raise BadImageError('zero_size', f'the image is {width}x{height} px')
    if height * width > MAX_NUM_PIXELS:
        raise BadImageError(
            'too_large', f'the image would be {width}x{height} px; at most {MAX_NUM_PIXELS} '
            'pixels are unpacked')
    if not is_whole:
        raise _cut_off(format_text, data)
    return size, found


def _depth_to_rgb(depth, depth_range):
    encoding = _DEPTH_ENCODING if depth.dtype == np.uint16 else '32FC1'
    height, width = depth.shape
    return image_to_rgb(encoding, height, width, depth.strides[0], False, depth.tobytes(),
                        depth_range)


def _bytes_of(data):
    return data if isinstance(data, bytes) else memoryview(data).cast('B').tobytes()


def _unknown(format_text, data):
    codec = codec_of(format_text)
    if codec:
        return BadImageError(
            'coded_video', f'format {format_text!r} is a stream of {codec}, not of pictures; set '
            'image_transport to video')
    return BadImageError(
        'unknown_format', f'{len(data)} bytes of format {format_text!r} that begin with '
        f'{data[:4]!r} are neither JPEG nor PNG')


def _cut_off(format_text, data):
    return BadImageError(
        'truncated', f'{len(data)} bytes of format {format_text!r} do not reach to the end of '
        'the picture')


def _damaged(format_text, data, reason):
    return BadImageError(
        'not_convertible', f'{len(data)} bytes of format {format_text!r} are damaged: {reason}')
