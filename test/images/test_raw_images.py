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

"""Raw pictures in every encoding to RGB, with padding and both byte orders; what is refused."""

from encoded_pictures import (
    DEPTH_RANGE_M, ENCODED, HEIGHT_PX, max_difference, message_fields, WIDTH_PX,
)
from moss_ros.images import BadImageError, check_image, ENCODINGS, image_to_rgb, row_bytes
import numpy as np
import pytest


def test_the_table_is_complete():
    assert set(ENCODED) == set(ENCODINGS)


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('num_padding', [0, 1, 16])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_every_encoding_gives_the_picture(encoding, num_padding, is_bigendian):
    step, data = message_fields(encoding, num_padding, is_bigendian)
    check_image(encoding, HEIGHT_PX, WIDTH_PX, step, len(data))
    picture = image_to_rgb(
        encoding, HEIGHT_PX, WIDTH_PX, step, is_bigendian, data, DEPTH_RANGE_M)
    assert max_difference(picture, encoding) <= 2


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_depth_is_shown_up_to_ten_metres_where_nobody_says_more(encoding):
    metres = np.array([[0.0, 0.1, 5.0, 10.0, 60.0]])
    values = metres.astype('<f4') if encoding == '32FC1' else (1000 * metres).astype('<u2')
    data = values.tobytes()
    picture = image_to_rgb(encoding, 1, 5, len(data), False, data)
    assert np.abs(picture[0, :, 0].astype(int) - [0, 3, 128, 255, 255]).max() <= 1


@pytest.mark.parametrize('depth_range', [(2.0, 2.0), (3.0, 2.0), (-1.0, 2.0), (np.nan, 2.0)])
def test_a_depth_range_must_ascend(depth_range):
    with pytest.raises(ValueError, match='depth_range is'):
        image_to_rgb('mono8', 1, 1, 1, False, b'\0', depth_range)


def test_an_unpadded_picture_is_not_copied():
    data = bytearray(3)
    picture = image_to_rgb('rgb8', 1, 1, 3, False, data)
    data[1] = 7
    assert picture.tolist() == [[[0, 7, 0]]]


# encoding, height, width, step, number of bytes; kind and words of the error.
BAD = {
    'no height': ('rgb8', 0, 8, 24, 0, 'zero_size', '8x0'),
    'no width': ('rgb8', 6, 0, 0, 0, 'zero_size', '0x6'),
    'nothing': ('', 0, 0, 0, 0, 'zero_size', '0x0'),
    'no encoding': ('', 6, 8, 24, 144, 'unknown_encoding', "''"),
    'unknown encoding': ('rgb9', 6, 8, 24, 144, 'unknown_encoding', "'rgb9'"),
    'no picture': ('64FC1', 6, 8, 64, 384, 'unknown_encoding', 'one of rgb8, bgr8'),
    'short step': ('rgb8', 6, 8, 23, 138, 'bad_step', '23'),
    'no step': ('rgb8', 6, 8, 0, 0, 'bad_step', 'step is 0'),
    'wide': ('rgb8', 6, 4000000000, 24, 144, 'bad_step', '12000000000'),
    'no data': ('rgb8', 6, 8, 24, 0, 'truncated', '0 bytes'),
    'last byte missing': ('rgb8', 6, 8, 24, 143, 'truncated', '143 bytes'),
    'one byte more': ('rgb8', 6, 8, 24, 145, 'size_mismatch', '145 bytes'),
    'taller than its data': ('rgb8', 7, 8, 24, 144, 'truncated', '168'),
    'second plane missing': ('nv12', 6, 8, 8, 48, 'truncated', '9 rows of 8 bytes are 72'),
    'odd height of nv21': ('nv21', 5, 8, 8, 60, 'bad_size', 'blocks of 2x2 px'),
    'odd width of yuv': ('yuyv', 6, 7, 14, 84, 'bad_size', '7x6 px'),
    'odd width of bayer': ('bayer_rggb8', 6, 7, 7, 42, 'bad_size', '2x2 px'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_wrong_with_a_bad_picture_is_said(name):
    *fields, num_bytes, kind, words = BAD[name]
    for use in (lambda: check_image(*fields, num_bytes),
                lambda: image_to_rgb(*fields, False, bytes(num_bytes))):
        with pytest.raises(BadImageError) as caught:
            use()
        assert caught.value.kind == kind
        assert words in str(caught.value)


@pytest.mark.parametrize(('encoding', 'num_bytes'), [
    ('rgb8', 3), ('bgra8', 4), ('mono16', 2), ('rgba16', 8), ('bayer_grbg8', 1), ('32FC1', 4),
    ('yuyv', 2), ('nv12', 1)])
def test_row_bytes(encoding, num_bytes):
    assert row_bytes(encoding, 10) == 10 * num_bytes


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_a_picture_of_four_pixels_is_one(encoding):
    step = row_bytes(encoding, 2)
    num_rows = {'nv12': 3, 'nv21': 3, 'nv24': 6}.get(encoding, 2)
    picture = image_to_rgb(encoding, 2, 2, step, False, bytes(step * num_rows))
    assert (picture.dtype, picture.shape) == (np.uint8, (2, 2, 3))
