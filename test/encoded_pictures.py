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

"""A known picture in every encoding that a camera may send, made from their definitions."""

import numpy as np

HEIGHT_PX, WIDTH_PX = 6, 8
DEPTH_RANGE_M = (1.0, 5.0)
RED, GREEN, BLUE = 200, 90, 30
_RANDOM = np.random.default_rng(3)

# Every pixel another colour; and blocks of 2x2 px, for what has one colour for four pixels.
PICTURE = _RANDOM.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
BLOCKS = np.repeat(np.repeat(PICTURE[::2, ::2], 2, axis=0), 2, axis=1)
PLAIN = np.broadcast_to(np.array([RED, GREEN, BLUE], np.uint8), PICTURE.shape)
ALPHA = _RANDOM.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 1), np.uint8)
GREY = np.repeat(PICTURE[..., :1], 3, axis=2)

METRES = _RANDOM.uniform(0.2, 6.0, (HEIGHT_PX, WIDTH_PX))
NOT_MEASURED = {(0, 0): 0.0, (1, 2): np.nan, (3, 4): np.inf, (5, 7): -np.inf}


def _bayer(top_left, top_right, bottom_left, bottom_right):
    """Return what a sensor with this pattern sees of PLAIN: u8 [H, W]."""
    tile = np.array([[top_left, top_right], [bottom_left, bottom_right]], np.uint8)
    return np.tile(tile, (HEIGHT_PX // 2, WIDTH_PX // 2))


def _yuv(picture):
    """Return Y, U and V, u8 [H, W, 3], of an RGB picture as ITU-R BT.601 defines them."""
    red, green, blue = np.moveaxis(picture / 255.0, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.rint(np.stack([
        16 + 219 * luma,
        128 + 224 * (blue - luma) / (2 * (1 - 0.114)),
        128 + 224 * (red - luma) / (2 * (1 - 0.299))], axis=2)).astype(np.uint8)


def _yuv422(order):
    """Return BLOCKS as rows of two pixels each in four bytes; order: such as 'UYVY'."""
    yuv = _yuv(BLOCKS)
    luma = [yuv[:, 0::2, 0], yuv[:, 1::2, 0]]
    values = {'Y': luma, 'U': [yuv[:, ::2, 1]], 'V': [yuv[:, ::2, 2]]}
    return np.stack([values[name].pop(0) for name in order], axis=2)


def _two_planes(chroma):
    """Return the luma of BLOCKS with rows of chroma below it."""
    return np.concatenate([_yuv(BLOCKS)[..., 0], chroma.reshape(-1, WIDTH_PX)])


def _sixteen(picture):
    """Return 16 bits that mean the same grey levels, with a lower byte that matters little."""
    return (picture.astype(np.uint16) << 8) + 128


def _depth_grey():
    near_m, far_m = DEPTH_RANGE_M
    grey = np.clip((METRES - near_m) / (far_m - near_m), 0, 1) * 255
    for place in NOT_MEASURED:
        grey[place] = 0
    return np.repeat(grey[..., None], 3, axis=2)


def _metres():
    metres = METRES.astype(np.float32)
    for place, value in NOT_MEASURED.items():
        metres[place] = value
    return metres


def _millimetres():
    metres = METRES.copy()
    for place in NOT_MEASURED:
        metres[place] = 0  # whole numbers have nothing else to say it
    return np.rint(1000 * metres).astype(np.uint16)


_BGR = PICTURE[..., ::-1]
_CHROMA = _yuv(BLOCKS)[..., 1:]
_BAYER = {
    'rggb': _bayer(RED, GREEN, GREEN, BLUE), 'bggr': _bayer(BLUE, GREEN, GREEN, RED),
    'gbrg': _bayer(GREEN, BLUE, RED, GREEN), 'grbg': _bayer(GREEN, RED, BLUE, GREEN)}

# By encoding: the values of the message, rows first, and the picture u8 [H, W, 3] they mean.
ENCODED = {
    'rgb8': (PICTURE, PICTURE),
    'bgr8': (_BGR, PICTURE),
    'rgba8': (np.concatenate([PICTURE, ALPHA], axis=2), PICTURE),
    'bgra8': (np.concatenate([_BGR, ALPHA], axis=2), PICTURE),
    'rgb16': (_sixteen(PICTURE), PICTURE),
    'bgr16': (_sixteen(_BGR), PICTURE),
    'rgba16': (_sixteen(np.concatenate([PICTURE, ALPHA], axis=2)), PICTURE),
    'bgra16': (_sixteen(np.concatenate([_BGR, ALPHA], axis=2)), PICTURE),
    'mono8': (GREY[..., 0], GREY),
    'mono16': (_sixteen(GREY[..., 0]), GREY),
    '8UC1': (GREY[..., 0], GREY),
    '8UC3': (_BGR, PICTURE),
    '8UC4': (np.concatenate([_BGR, ALPHA], axis=2), PICTURE),
    '16UC1': (_millimetres(), _depth_grey()),
    '32FC1': (_metres(), _depth_grey()),
    **{f'bayer_{pattern}8': (values, PLAIN) for pattern, values in _BAYER.items()},
    **{f'bayer_{pattern}16': (_sixteen(values), PLAIN) for pattern, values in _BAYER.items()},
    'yuv422': (_yuv422('UYVY'), BLOCKS),
    'uyvy': (_yuv422('UYVY'), BLOCKS),
    'yuv422_yuy2': (_yuv422('YUYV'), BLOCKS),
    'yuyv': (_yuv422('YUYV'), BLOCKS),
    'nv12': (_two_planes(_CHROMA[::2, ::2]), BLOCKS),
    'nv21': (_two_planes(_CHROMA[::2, ::2, ::-1]), BLOCKS),
}
# Each pixel has a colour of its own here, on rows of chroma twice as long as those of luma.
ENCODED['nv24'] = (
    np.concatenate([_yuv(PICTURE)[..., 0], _yuv(PICTURE)[..., 1:].reshape(-1, WIDTH_PX)]), PICTURE)


def message_fields(encoding, num_padding=0, is_bigendian=False):
    """Return (step, data) of the picture in an encoding, rows padded by num_padding bytes."""
    values = ENCODED[encoding][0]
    values = values.astype(values.dtype.newbyteorder('>' if is_bigendian else '<'))
    rows = np.ascontiguousarray(values.reshape(len(values), -1)).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, num_padding)), constant_values=123)
    return rows.shape[1], rows.tobytes()


def max_difference(picture, encoding):
    """Return by how many grey levels a picture differs from the known one, at most."""
    expected = ENCODED[encoding][1]
    assert (picture.dtype, picture.shape) == (np.uint8, expected.shape)
    return np.abs(picture.astype(float) - expected).max()
