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
JPEG pictures to u8 [H, W, 3] RGB, as whole as cameras and drivers leave them.

Reads the segments itself, as the decoders do, and gives the decoder those that the picture is made
of: what fills the gaps, or is broken in a segment that describes the picture only, does no harm,
and a thumbnail is not taken for the picture. OpenCV decodes what has its end mark; for the rest it
takes Pillow, which says what is missing. Called by compressed.py.
"""

from dataclasses import dataclass
from io import BytesIO
import re

import cv2
import numpy as np
from PIL import Image

JPEG_START = b'\xff\xd8\xff'
_END = b'\xff\xd9'
# Whatever stands before a marker is skipped, as every decoder does.
_MARKER = re.compile(rb'\xff+([^\x00\xff])', re.DOTALL)
# In the coded data FF 00 is a value, and FF D0 to FF D7 are marks to restart from.
_MARKER_BEHIND_SCAN = re.compile(rb'\xff+([^\x00\xff\xd0-\xd7])', re.DOTALL)
_EDGE_OF_IMAGE = re.compile(rb'\xff[\xd8\xd9]')
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _APP0, _APP14 = 0xd8, 0xd9, 0xda, 0xe0, 0xee
# Markers that hold the size, by the kind of coding; the first two code all of a picture in turn.
_FRAME_MARKERS = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
_SEQUENTIAL = frozenset((0xc0, 0xc1))
# Tables, restart interval: what else of the header the decoder needs.
_NEEDED_MARKERS = _FRAME_MARKERS | {0xc4, 0xcc, 0xdb, 0xdd}
# Markers that stand alone, without a length and content; all below are reserved.
_BARE_MARKERS = frozenset((*range(0x01, 0xc0), *range(0xd0, 0xd8)))
_RESTART = re.compile(rb'\xff+([\xd0-\xd7])', re.DOTALL)
# From OpenCV 4.11 on it can give RGB by itself.
_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', cv2.IMREAD_COLOR)
# Codes that have nothing in common, of which no decoder makes what was there.
_PADDINGS = (b'\x55', b'\xb2')


class DamagedJpegError(Exception):
    """It cannot be decoded; is_cut: because it is not all there."""

    def __init__(self, reason: str, is_cut: bool = False):
        super().__init__(reason)
        self.is_cut = is_cut


@dataclass(frozen=True)
class JpegLayout:
    """
    Where the picture lies in a JPEG.

    - height_px, width_px: what the header says.
    - header: from the start on, what the decoder needs of it. scan_start: where the data begins.
    - scan_end: where it ends, with the end mark where is_ended; else where nothing more of it is.
    - num_colours: 1 for grey, 3, or 4 for CMYK. has_all_colours: each is in one of the scans.
    - is_in_one_scan: all of it is coded in turn, so that nothing but the end can be missing.
    """

    height_px: int
    width_px: int
    header: bytes
    scan_start: int
    scan_end: int
    is_ended: bool
    num_colours: int
    has_all_colours: bool
    is_in_one_scan: bool


def jpeg_layout(data: bytes) -> JpegLayout | None:
    """Return where the picture is; None where the data ends before it. Decodes nothing."""
    header, position = [data[:2]], 2
    frame_marker = size = num_components = None
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker in _BARE_MARKERS:
            continue
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE):
            return None
        end = position + max(2, int.from_bytes(data[position:position + 2], 'big'))
        segment = data[position:end]
        if marker == _START_OF_SCAN and size is not None and len(segment) > 2:
            colours = _colours(segment)
            is_in_one_scan = frame_marker in _SEQUENTIAL and len(colours) >= num_components
            if is_in_one_scan:
                scan_end, is_ended = _only_scan_end(data, end)
            else:
                scan_end, is_ended, scans = _scans(data, end)
                colours = colours.union(*map(_colours, scans))
            return JpegLayout(
                *size, b''.join(header), found.end() - 2, scan_end, is_ended,
                num_components, len(colours) >= num_components, is_in_one_scan)
        if marker in _FRAME_MARKERS and len(segment) > 7:
            frame_marker, num_components = marker, segment[7]
            size = (int.from_bytes(segment[3:5], 'big'), int.from_bytes(segment[5:7], 'big'))
        if marker in _NEEDED_MARKERS or _tells_colours(marker, segment):
            header.append(bytes((0xff, marker)) + segment)
        position = end
    return None


def jpeg_to_rgb(data: bytes, layout: JpegLayout) -> np.ndarray:
    """
    Return the picture u8 [H, W, 3] RGB; DamagedJpegError where it cannot be, or is not whole.

    Where the end mark is missing, as some cameras leave it, the decoder tells whether anything
    else is: it would show what follows the data. That takes three times as long.
    """
    scan = data[layout.scan_start:layout.scan_end]
    if layout.is_ended and layout.has_all_colours:
        # Of CMYK each decoder makes an RGB of its own: Pillow's is what the other path shows.
        decode = _decoded if layout.num_colours == 4 else _decoded_by_opencv
        return decode(layout.header + scan)
    if not layout.is_in_one_scan:
        raise DamagedJpegError('it has no end, or not all of its colours', is_cut=True)
    # Drivers fill up with zeros.
    scan = scan.rstrip(b'\0')
    scan = layout.header + scan + (b'\0' if scan.endswith(b'\xff') else b'')
    picture = _decoded(scan + _END)
    for value in _PADDINGS:
        if not np.array_equal(picture, _decoded(scan + _padding(scan, value) + _END)):
            raise DamagedJpegError('it ends too early', is_cut=True)
    return picture


def _padding(scan, value):
    """Return data that would be shown behind the scan, if it lacks any."""
    # Where a restart is due, decoders pass over all that is before its mark.
    marks = _RESTART.findall(scan)
    due = marks[-1][0] + 1 if marks else 0
    return value * 64 + b''.join(
        bytes((0xff, 0xd0 + (due + index) % 8)) + value * 16 for index in range(8))


def _only_scan_end(data, position):
    """Return where the only scan ends, and whether by the end mark; many times as fast."""
    found = _EDGE_OF_IMAGE.search(data, position)
    if found is None:
        return len(data), False
    if found[0] != _END:
        return found.start(), False  # another picture
    return found.end(), True


def _scans(data, position):
    """Return where the coded data ends, whether by the end mark, and the heads of more scans."""
    scans: list[bytes] = []
    while (found := _MARKER_BEHIND_SCAN.search(data, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return position, True, scans
        if marker == _START_OF_IMAGE:
            return found.start(), False, scans  # another picture
        if marker not in _BARE_MARKERS:
            end = position + max(2, int.from_bytes(data[position:position + 2], 'big'))
            if marker == _START_OF_SCAN:
                scans.append(data[position:end])
            position = end
    return len(data), False, scans


def _colours(scan_head):
    """Return the ids of the components that a scan has."""
    return set(scan_head[3:3 + 2 * scan_head[2]:2]) if len(scan_head) > 2 else set()


def _tells_colours(marker, segment):
    return (marker == _APP0 and segment[2:7] == b'JFIF\0' and len(segment) >= 16
            or marker == _APP14 and segment[2:7] == b'Adobe' and len(segment) >= 14)


def _decoded_by_opencv(data):
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), _RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DamagedJpegError(' '.join(str(error).split())) from error
    if picture is None:
        raise DamagedJpegError('OpenCV cannot read it')
    if _RGB == cv2.IMREAD_COLOR:
        cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture)
    return picture


def _decoded(data):
    try:
        with Image.open(BytesIO(data), formats=('JPEG',)) as image:
            return np.array(image.convert('RGB'))
    except Exception as error:  # OSError, SyntaxError, struct.error, ...: by what it meets
        raise DamagedJpegError(
            ' '.join(str(error).split()) or type(error).__name__,
            is_cut=isinstance(error, OSError) and 'truncated' in str(error)) from error
