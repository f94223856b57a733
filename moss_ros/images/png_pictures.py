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
PNG pictures to their values, as OpenCV decodes them, once the checksums are found right.

Only the chunks that the picture is made of are looked at and decoded. Knows no messages. Called
by compressed.py and for depth pictures.
"""

import zlib

import cv2
import numpy as np

PNG_START = b'\x89PNG\r\n\x1a\n'
_LAST_CHUNK = b'IEND'
# Beside the picture there may be texts, colour profiles and the time, which matter to nobody.
_NEEDED_CHUNKS = (b'IHDR', b'PLTE', b'IDAT', b'tRNS', _LAST_CHUNK)
_NUM_BYTES_AROUND = 12  # length, name and checksum of a chunk


class DamagedPngError(Exception):
    """It cannot be decoded."""


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) in pixels, None where the header is cut off."""
    # Behind the signature: length and name of the first chunk, then width and height.
    if len(data) < 24 or data[12:16] != b'IHDR':
        return None
    return int.from_bytes(data[20:24], 'big'), int.from_bytes(data[16:20], 'big')


def is_png_whole(data: bytes) -> bool:
    """Return whether the chunks follow each other to the last one; decodes nothing."""
    return any(name == _LAST_CHUNK for name, _ in _chunks(data))


def png_values(data: bytes, flags: int) -> np.ndarray:
    """
    Return what cv2.imdecode() makes of it with its flags; DamagedPngError where that is nothing.

    The decoder would write what is wrong on stderr, so the checksums are looked at before.
    """
    parts = [data[:len(PNG_START)]]
    for name, chunk in _chunks(data):
        if name not in _NEEDED_CHUNKS:
            continue
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], 'big'):
            raise DamagedPngError(f'a checksum is wrong, that of {name.decode()}')
        parts.append(chunk)
    try:
        values = cv2.imdecode(np.frombuffer(b''.join(parts), np.uint8), flags)
    except cv2.error as error:
        raise DamagedPngError(str(error)) from error
    if values is None or values.shape[:2] != png_size(data):
        raise DamagedPngError('OpenCV cannot read it')
    return values


def _chunks(data):
    """Yield (name, whole chunk) up to the last one, or to where they break off."""
    position = len(PNG_START)
    while position + _NUM_BYTES_AROUND <= len(data):
        name = data[position + 4:position + 8]
        end = position + _NUM_BYTES_AROUND + int.from_bytes(data[position:position + 4], 'big')
        if end > len(data):
            return
        yield name, data[position:end]
        if name == _LAST_CHUNK:
            return
        position = end
