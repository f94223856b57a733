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

"""Depth as compressed_depth_image_transport codes it: PNG or RVL behind a header."""

import struct

import cv2


def encode_rvl(values):
    """Encode u16 values as the paper does: nibbles of 3 bits, eight to a word, highest first."""
    nibbles, before, index = [], 0, 0
    values = [int(value) for value in values]

    def put(number):
        while True:
            number, bits = number >> 3, number & 7
            nibbles.append(bits | 8 * bool(number))
            if not number:
                return

    while index < len(values):
        for is_zero in (True, False):
            end = index
            while end < len(values) and (values[end] == 0) == is_zero:
                end += 1
            put(end - index)
            if not is_zero:
                for value in values[index:end]:
                    difference = (value - before + 32768) % 65536 - 32768  # of 16 bits
                    put(difference << 1 if difference >= 0 else (-difference << 1) - 1)
                    before = value
            index = end
    nibbles += [0] * (-len(nibbles) % 8)
    return b''.join(
        struct.pack('<I', sum(nibble << 28 - 4 * place for place, nibble in enumerate(
            nibbles[start:start + 8]))) for start in range(0, len(nibbles), 8))


def png_of(values):
    return cv2.imencode('.png', values)[1].tobytes()


def coded_depth(values, kind='png', quantum=(0.0, 0.0)):
    """Return the data of a compressedDepth message."""
    height, width = values.shape
    content = png_of(values) if kind == 'png' else struct.pack('<II', width, height) + encode_rvl(
        values.reshape(-1))
    return struct.pack('<iff', 0, *quantum) + content
