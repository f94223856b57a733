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
The compressedDepth of image_transport to depth: a header of 12 bytes, then PNG or RVL.

RVL is the algorithm of Wilson, "Fast Lossless Depth Image Compression" (ISS 2017); the header, and
how metres become 16 bits, are those of compressed_depth_image_transport. The fields of a message
go in as plain values, depth comes out. Called by compressed.py.
"""

from dataclasses import dataclass
import struct

import cv2
from moss_ros.images.png_pictures import (
    DamagedPngError, is_png_whole, png_size, PNG_START, png_values,
)
from moss_ros.images.raw import BadImageError
import numpy as np

_HEADER = struct.Struct('<iff')  # a number that says nothing, and how metres are coded
_RVL_SIZE = struct.Struct('<II')  # width and height
_METRES, _MILLIMETRES = '32FC1', '16UC1'
_MILLIMETRE_NAMES = (_MILLIMETRES, 'mono16', '')
_MAX_NUM_NIBBLES = 11  # of a value of 32 bits, 3 bits in each


@dataclass(frozen=True)
class CodedDepth:
    """
    A compressedDepth whose header is read.

    - encoding: '16UC1' or '32FC1', as sensor_msgs/Image names them. height_px, width_px: its size.
    - is_png: else it is RVL. content: what is behind the header.
    - quantum_a, quantum_b: metres are quantum_a / (value - quantum_b).
    """

    encoding: str
    height_px: int
    width_px: int
    is_png: bool
    content: bytes
    quantum_a: float
    quantum_b: float


def read_coded_depth(format_text: str, data: bytes) -> CodedDepth:
    """
    Return what the header says; unpacks nothing.

    format_text: as in the message, such as '32FC1; compressedDepth rvl'. Raises BadImageError
    with the kinds 'unknown_encoding' and 'truncated'.
    """
    name = format_text.partition(';')[0].strip()
    name = '' if 'compressedDepth' in name else name
    if name != _METRES and name not in _MILLIMETRE_NAMES:
        raise BadImageError(
            'unknown_encoding', f'format {format_text!r} is depth of no known encoding; let the '
            f'camera send {_MILLIMETRES} or {_METRES}')
    quantum_a = quantum_b = 0.0
    if data[:len(PNG_START)] != PNG_START:  # which some send without the header
        if len(data) < _HEADER.size:
            raise _cut_off(format_text, data)
        _, quantum_a, quantum_b = _HEADER.unpack_from(data)
        data = data[_HEADER.size:]
    is_png = data[:len(PNG_START)] == PNG_START
    if is_png:
        size = png_size(data) if is_png_whole(data) else None
    else:
        size = _RVL_SIZE.unpack_from(data)[::-1] if len(data) >= _RVL_SIZE.size else None
    if size is None:
        raise _cut_off(format_text, data)
    return CodedDepth(name if name == _METRES else _MILLIMETRES, *size, is_png,
                      data if is_png else data[_RVL_SIZE.size:], quantum_a, quantum_b)


def depth_values(depth: CodedDepth) -> np.ndarray:
    """
    Return the depth [H, W]: '<u2' in millimetres, or '<f4' in metres, 0 where none was measured.

    Its size must have been found small enough. Raises BadImageError with the kinds 'truncated'
    and 'not_convertible'.
    """
    if depth.is_png:
        try:
            values = png_values(depth.content, cv2.IMREAD_UNCHANGED)
        except DamagedPngError as error:
            raise BadImageError('not_convertible', f'the depth is damaged: {error}') from error
        if values.dtype != np.uint16 or values.ndim != 2:
            raise BadImageError(
                'not_convertible', f'a PNG of {values.dtype} {list(values.shape)} is no depth; '
                'it must be grey and have 16 bits')
    else:
        values = decode_rvl(depth.content, depth.height_px * depth.width_px).reshape(
            depth.height_px, depth.width_px)
    if depth.encoding == _MILLIMETRES:
        return values.astype('<u2')
    with np.errstate(divide='ignore', invalid='ignore'):
        metres = np.float32(depth.quantum_a) / (values.astype('<f4') - np.float32(
            depth.quantum_b))
    return np.where(values == 0, np.float32(0), metres)


def decode_rvl(data: bytes, num_px: int) -> np.ndarray:
    """
    Return u16 [num_px] of RVL data; BadImageError where it holds less, or nonsense.

    A value is as many nibbles as it needs, 3 bits in each, the lowest first. Values come in turns:
    number of pixels that are 0, number of others, and of each its difference to the one before.
    640x480 pixels take about 20 ms.
    """
    values = _rvl_values(data)
    num_left, index = num_px, 0
    runs: list[int] = []  # numbers of zeros and of others, in turns
    starts: list[int] = []
    while num_left > 0:
        if index + 1 >= len(values):
            raise _rvl_cut_off(num_px, num_left)
        num_zeros, num_others = int(values[index]), int(values[index + 1])
        num_left -= num_zeros + num_others
        if num_left < 0 or num_zeros + num_others == 0:
            raise BadImageError(
                'not_convertible', f'the depth is damaged: its RVL runs beyond {num_px} pixels, '
                'or stands still')
        index += 2
        starts.append(index)
        runs += (num_zeros, num_others)
        index += num_others
    if index > len(values):
        raise _rvl_cut_off(num_px, index - len(values))
    is_difference = np.ones(index, np.bool_)
    heads = np.array(starts, np.int64)
    is_difference[heads - 1] = is_difference[heads - 2] = False
    differences = values[:index][is_difference]
    differences = (differences >> 1) ^ -(differences & 1)
    depth = np.zeros(num_px, np.uint16)
    is_measured = np.repeat(np.tile((False, True), len(starts)), runs)
    depth[is_measured] = np.cumsum(differences).astype(np.uint16)  # which wraps as it does in C
    return depth


def _rvl_values(data):
    """Return the values i64 [N] of RVL data, those that are whole."""
    num_words = len(data) // 4
    big_endian = np.frombuffer(data, '<u4', num_words).astype('>u4').view(np.uint8)
    nibbles = np.empty(2 * len(big_endian), np.uint8)
    nibbles[::2], nibbles[1::2] = big_endian >> 4, big_endian & 15
    ends = np.flatnonzero(nibbles < 8)  # the highest bit says that more follows
    if not len(ends):
        return np.zeros(0, np.int64)
    nibbles = nibbles[:ends[-1] + 1] & 7
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_NUM_NIBBLES:
        raise BadImageError(
            'not_convertible', 'the depth is damaged: a value of its RVL has more than 32 bits')
    places = np.arange(len(nibbles)) - np.repeat(starts, lengths)
    return np.add.reduceat(nibbles.astype(np.int64) << 3 * places, starts)


def _cut_off(format_text, data):
    return BadImageError(
        'truncated', f'{len(data)} bytes of format {format_text!r} do not reach to the end of '
        'the picture')


def _rvl_cut_off(num_px, num_left):
    return BadImageError(
        'truncated', f'the RVL data ends {num_left} pixels before the end of {num_px}')
