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

"""JPEG and PNG to RGB, told by their content; what is refused before anything is unpacked."""

import struct
import zlib

import cv2
from moss_ros.images import BadImageError, check_compressed, compressed_to_rgb, MAX_NUM_PIXELS
import numpy as np
import pytest

HEIGHT_PX, WIDTH_PX = 48, 64


def smooth_picture():
    """Return an RGB picture without edges, which JPEG keeps within two grey levels."""
    down, right = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    return np.stack([60 + 2 * right, 200 - 2 * down, 90 + right + down], axis=2).astype(np.uint8)


PICTURE = smooth_picture()
GREY = np.ascontiguousarray(PICTURE[..., 0])


def encoded(extension, picture, *options):
    ok, data = cv2.imencode(extension, picture, options)
    assert ok
    return data.tobytes()


FINE = (cv2.IMWRITE_JPEG_QUALITY, 98,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
JPEG = encoded('.jpg', PICTURE[..., ::-1], *FINE)
PNG = encoded('.png', PICTURE[..., ::-1])
PNG_16 = encoded('.png', PICTURE[..., ::-1].astype(np.uint16) << 8)
SHAPES_OF_GREY = np.repeat(GREY[..., None], 3, axis=2)
GOOD = {
    'jpeg': ('rgb8; jpeg compressed bgr8', JPEG, PICTURE),
    'jpeg, short name': ('jpeg', JPEG, PICTURE),
    'progressive jpeg': ('jpeg', encoded(
        '.jpg', PICTURE[..., ::-1], *FINE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), PICTURE),
    'grey jpeg': ('mono8; jpeg compressed ', encoded(
        '.jpg', GREY, cv2.IMWRITE_JPEG_QUALITY, 98), SHAPES_OF_GREY),
    'jpeg filled up': ('jpeg', JPEG + bytes(500), PICTURE),
    'png': ('rgb8; png compressed bgr8', PNG, PICTURE),
    'png with alpha': ('png', encoded('.png', np.dstack([PICTURE[..., ::-1], GREY])), PICTURE),
    'grey png': ('mono8; png compressed ', encoded('.png', GREY), SHAPES_OF_GREY),
    'png of 16 bits': ('bgr16; png compressed bgr16', PNG_16, PICTURE),
    'grey png of 16 bits': ('mono16; png compressed ', encoded(
        '.png', GREY.astype(np.uint16) << 8), SHAPES_OF_GREY),
    'png that is called jpeg': ('jpeg', PNG, PICTURE),
    'jpeg without a name': ('', JPEG, PICTURE),
    # As RealSense cameras send their depth where JPEG is asked for: grey, of 8 bits.
    'jpeg that is called depth': ('16UC1; jpeg compressed ', encoded(
        '.jpg', GREY, cv2.IMWRITE_JPEG_QUALITY, 98), SHAPES_OF_GREY),
    'grey png that is called depth': (
        '16UC1; png compressed ', encoded('.png', GREY), SHAPES_OF_GREY),
}


@pytest.mark.parametrize('name', GOOD)
def test_every_kind_gives_the_picture(name):
    format_text, data, expected = GOOD[name]
    assert check_compressed(format_text, data) == (HEIGHT_PX, WIDTH_PX)
    picture = compressed_to_rgb(format_text, data)
    assert (picture.dtype, picture.shape) == (np.uint8, expected.shape)
    assert np.abs(picture.astype(int) - expected).max() <= 2


def test_depth_as_png_is_shown_over_the_range():
    millimetres = np.array([[0, 1000, 2000, 3000, 9000]], np.uint16)
    picture = compressed_to_rgb('16UC1; png compressed ', encoded('.png', millimetres), (1.0, 3.0))
    assert picture[0].tolist() == [[grey] * 3 for grey in (0, 0, 128, 255, 255)]


def png_header(width, height):
    """Return the begin and end of a PNG that claims a size, without any pixels."""
    def chunk(name, content):
        return struct.pack('>I', len(content)) + name + content + struct.pack(
            '>I', zlib.crc32(name + content))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0,
                                                              0, 0))
            + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b''))


def jpeg_header(width, height):
    """Return a JPEG whose frame header claims a size."""
    position = JPEG.index(b'\xff\xc0')
    return JPEG[:position + 5] + struct.pack('>HH', height, width) + JPEG[position + 9:]


BAD = {
    'colours as depth': ('16UC1; compressedDepth png', PNG, 'not_convertible', 'no depth'),
    'video': ('h264', b'\0\0\0\1\x65', 'coded_video', 'set image_transport to video'),
    'nothing': ('jpeg', b'', 'unknown_format', '0 bytes'),
    'text': ('jpeg', b'no picture at all', 'unknown_format', 'neither JPEG nor PNG'),
    'webp': ('webp', encoded('.webp', PICTURE), 'unknown_format', "b'RIFF'"),
    'first bytes of a jpeg': ('jpeg', JPEG[:8], 'truncated', 'no size'),
    'half a jpeg': ('jpeg', JPEG[:len(JPEG) // 2], 'truncated', 'the end'),
    'jpeg without a frame': ('jpeg', b'\xff\xd8\xff\xd9' + bytes(20), 'truncated', 'no size'),
    'jpeg of no height': ('jpeg', jpeg_header(64, 0), 'zero_size', '64x0'),
    'jpeg that is a bomb': ('jpeg', jpeg_header(65535, 65535), 'too_large', '65535x65535'),
    'first bytes of a png': ('png', PNG[:20], 'truncated', 'no size'),
    'half a png': ('png', PNG[:len(PNG) // 2], 'truncated', 'the end'),
    'png that is a bomb': ('png', png_header(100000, 100000), 'too_large', '100000x100000'),
    'png without pixels': ('png', png_header(64, 48), 'not_convertible', 'damaged'),
    'png with changed bytes': ('png', PNG[:90] + bytes(40) + PNG[130:], 'not_convertible', ''),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_wrong_with_a_bad_picture_is_said(name):
    format_text, data, kind, words = BAD[name]
    with pytest.raises(BadImageError) as caught:
        compressed_to_rgb(format_text, data)
    assert caught.value.kind == kind
    assert words in str(caught.value)


def test_the_size_limit_takes_every_camera():
    assert MAX_NUM_PIXELS >= 7680 * 4320
    side_px = int(MAX_NUM_PIXELS ** 0.5)
    assert check_compressed('png', png_header(side_px, side_px)) == (side_px, side_px)
