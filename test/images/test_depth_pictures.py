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

"""compressedDepth to depth: PNG and RVL, millimetres and metres; what is cut off or damaged."""

import struct

from depth_coding import coded_depth, encode_rvl, png_of
from moss_ros.images import BadImageError, check_compressed, compressed_to_rgb, MAX_NUM_PIXELS
from moss_ros.images.depth_pictures import decode_rvl, depth_values, read_coded_depth
import numpy as np
import pytest

DRAW = np.random.default_rng(17)
HEIGHT_PX, WIDTH_PX = 30, 42


def depth_picture():
    """Return depth u16 [H, W] in millimetres: a slope with noise, holes and far walls."""
    depth = np.add.outer(np.arange(HEIGHT_PX) * 40, np.arange(WIDTH_PX) * 9) + 700
    depth = depth + DRAW.integers(-3, 4, depth.shape)
    depth[5:9, 3:20] = 0
    depth[DRAW.random(depth.shape) < 0.1] = 0
    depth[20:, 30:] = 65535
    return depth.astype(np.uint16)


DEPTH = depth_picture()


@pytest.mark.parametrize('values', [
    DEPTH, np.zeros((3, 4), np.uint16), np.full((2, 3), 65535, np.uint16),
    np.array([[0, 65535, 0, 1, 40000, 5, 0]], np.uint16),
    DRAW.integers(0, 65536, (20, 20)).astype(np.uint16)])
@pytest.mark.parametrize('kind', ['png', 'rvl'])
def test_millimetres_come_out_as_they_went_in(values, kind):
    data = coded_depth(values, kind)
    assert check_compressed(f'16UC1; compressedDepth {kind}', data) == values.shape
    found = depth_values(read_coded_depth(f'16UC1; compressedDepth {kind}', data))
    assert found.dtype == np.uint16 and np.array_equal(found, values)


@pytest.mark.parametrize('format_text', [
    '16UC1; compressedDepth', '16UC1;compressedDepth png', 'mono16; compressedDepth png',
    'compressedDepth', '16UC1; compressedDepth rvl'])
def test_the_content_tells_what_it_is(format_text):
    assert np.array_equal(depth_values(read_coded_depth(format_text, coded_depth(DEPTH))), DEPTH)


def test_a_png_without_the_header_is_millimetres():
    found = depth_values(read_coded_depth('16UC1; compressedDepth png', png_of(DEPTH)))
    assert np.array_equal(found, DEPTH)


@pytest.mark.parametrize('kind', ['png', 'rvl'])
def test_metres_are_quantised_as_their_inverse(kind):
    """As compressed_depth_image_transport does it, with its quantisation of 100 up to 10 m."""
    metres = DRAW.uniform(0.3, 9.5, (HEIGHT_PX, WIDTH_PX)).astype(np.float32)
    metres[3, 4:9] = np.nan
    quantum_a = 100 * (100 + 1)
    quantum_b = 1 - quantum_a / 10.0
    with np.errstate(invalid='ignore'):
        values = np.where(np.isnan(metres), 0, quantum_a / metres + quantum_b).astype(np.uint16)
    data = coded_depth(values, kind, (quantum_a, quantum_b))
    found = depth_values(read_coded_depth(f'32FC1; compressedDepth {kind}', data))
    is_there = ~np.isnan(metres)
    assert np.allclose(found[is_there], metres[is_there], rtol=0.01)
    assert (found[~is_there] == 0).all()
    picture = compressed_to_rgb(f'32FC1; compressedDepth {kind}', data, (0.0, 10.0))
    expected = np.where(is_there, metres * 25.5, 0)
    assert np.abs(picture[..., 1] - expected).max() <= 2.5


def test_it_is_shown_over_the_range():
    values = np.array([[0, 1000, 2000, 3000, 9000]], np.uint16)
    for kind in ('png', 'rvl'):
        picture = compressed_to_rgb(
            f'16UC1; compressedDepth {kind}', coded_depth(values, kind), (1, 3))
        assert picture[0].tolist() == [[grey] * 3 for grey in (0, 0, 128, 255, 255)]


HEADER = bytes(12)
BAD = {
    'nothing': ('16UC1; compressedDepth png', b'', 'truncated', '0 bytes'),
    'header only': ('16UC1; compressedDepth rvl', HEADER, 'truncated', 'the end'),
    'half a png': ('16UC1; compressedDepth png', coded_depth(DEPTH)[:300], 'truncated', 'the end'),
    'half an rvl': ('16UC1; compressedDepth rvl', coded_depth(DEPTH, 'rvl')[:300], 'truncated',
                    'before the end of 1260'),
    'rvl without its last word': ('16UC1; compressedDepth rvl', coded_depth(DEPTH, 'rvl')[:-8],
                                  'truncated', 'before the end'),
    'colours': ('16UC1; compressedDepth png', HEADER + png_of(np.zeros((4, 4, 3), np.uint8)),
                'not_convertible', 'no depth'),
    'damaged png': ('16UC1; compressedDepth png', coded_depth(DEPTH)[:70] + b'????'
                    + coded_depth(DEPTH)[74:], 'not_convertible', 'checksum'),
    'bomb': ('16UC1; compressedDepth rvl', HEADER + struct.pack('<II', 65000, 65000) + bytes(80),
             'too_large', '65000x65000'),
    'no size': ('16UC1; compressedDepth rvl', HEADER + bytes(80), 'zero_size', '0x0'),
    'rvl that stands still': ('16UC1; compressedDepth rvl', HEADER + struct.pack('<II', 9, 9)
                              + bytes(80), 'not_convertible', 'stands still'),
    'rvl of one long value': ('16UC1; compressedDepth rvl', HEADER + struct.pack('<II', 9, 9)
                              + b'\xff' * 80 + bytes(8), 'not_convertible', '32 bits'),
    'colour camera': ('bgr8; compressedDepth png', coded_depth(DEPTH), 'unknown_encoding', 'bgr8'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_wrong_is_said(name):
    format_text, data, kind, words = BAD[name]
    with pytest.raises(BadImageError) as caught:
        compressed_to_rgb(format_text, data)
    assert caught.value.kind == kind
    assert words in str(caught.value)


def test_random_rvl_ends_in_depth_or_an_error():
    kinds = set()
    whole = encode_rvl(DEPTH.reshape(-1))
    for _ in range(400):
        data = bytearray(whole)
        del data[len(data) - 4 * DRAW.integers(0, 20):]
        for place in DRAW.integers(0, len(data), 3):
            data[place] = DRAW.integers(0, 256)
        try:
            kinds.add(decode_rvl(bytes(data), DEPTH.size).dtype.name)
        except BadImageError as error:
            kinds.add(error.kind)
    assert kinds == {'uint16', 'truncated', 'not_convertible'}
    assert DEPTH.size < MAX_NUM_PIXELS
