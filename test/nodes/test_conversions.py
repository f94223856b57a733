"""Image messages to pictures, and all that can be wrong with them."""

from array import array
import sys

from moss_ros.nodes.conversions import BadImageError, bytes_per_pixel, ImageConverter
import numpy as np
import pytest
from sensor_msgs.msg import Image

HEIGHT_PX, WIDTH_PX = 6, 8
RED, GREEN, BLUE = 200, 90, 30
GREY = 77
PICTURE = np.random.default_rng(3).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
ALPHA = np.full((HEIGHT_PX, WIDTH_PX, 1), 255, np.uint8)
PLAIN = np.broadcast_to(np.array([RED, GREEN, BLUE], np.uint8), PICTURE.shape)


def bayer(top_left, top_right, bottom_left, bottom_right):
    """Return what a sensor with this pattern sees of PLAIN: u8 [H, W, 1]."""
    tile = np.array([[top_left, top_right], [bottom_left, bottom_right]], np.uint8)
    return np.tile(tile, (HEIGHT_PX // 2, WIDTH_PX // 2))[..., None]


# encoding: (pixels of the message, picture that they mean)
ENCODED = {
    'rgb8': (PICTURE, PICTURE),
    'bgr8': (PICTURE[..., ::-1], PICTURE),
    'rgba8': (np.concatenate([PICTURE, ALPHA], axis=2), PICTURE),
    'bgra8': (np.concatenate([PICTURE[..., ::-1], ALPHA], axis=2), PICTURE),
    'mono8': (np.full((HEIGHT_PX, WIDTH_PX, 1), GREY, np.uint8), np.full_like(PICTURE, GREY)),
    'bayer_rggb8': (bayer(RED, GREEN, GREEN, BLUE), PLAIN),
    'bayer_bggr8': (bayer(BLUE, GREEN, GREEN, RED), PLAIN),
    'bayer_gbrg8': (bayer(GREEN, BLUE, RED, GREEN), PLAIN),
}


def message_of(pixels, encoding, num_padding=0, is_bigendian=False):
    """Return an Image message of pixels u8 [H, W, C] with padded rows."""
    rows = pixels.reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, num_padding)), constant_values=123)
    return Image(
        height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1],
        is_bigendian=is_bigendian, data=array('B', rows.tobytes()))


@pytest.fixture(scope='module')
def converter():
    """Return one converter for all."""
    return ImageConverter()


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('num_padding', [0, 1, 16])
@pytest.mark.parametrize('encoding', ENCODED)
def test_every_encoding_gives_the_picture(converter, encoding, num_padding, is_bigendian):
    pixels, expected = ENCODED[encoding]
    message = message_of(pixels, encoding, num_padding, is_bigendian)
    converter.check(message)
    picture = converter.to_rgb(message)
    assert picture.dtype == np.uint8
    assert picture.shape == expected.shape
    difference = np.abs(picture.astype(int) - expected.astype(int))
    assert difference.max() <= 2


def bad(**changes):
    """Return a good message with some fields changed."""
    message = message_of(PICTURE, 'rgb8')
    for name, value in changes.items():
        setattr(message, name, value)
    return message


BAD = {
    'no height': (bad(height=0), 'zero_size', '8x0'),
    'no width': (bad(width=0), 'zero_size', '0x6'),
    'empty': (Image(), 'zero_size', '0x0'),
    'no encoding': (bad(encoding=''), 'unknown_encoding', "''"),
    'unknown encoding': (bad(encoding='rgb9'), 'unknown_encoding', "'rgb9'"),
    'short step': (bad(step=23), 'bad_step', '23'),
    'no step': (bad(step=0), 'bad_step', 'step is 0'),
    'wide': (bad(width=4000000000), 'bad_step', '12000000000'),
    'no data': (bad(data=array('B')), 'truncated', '0 bytes'),
    'last byte missing': (bad(data=bad().data[:-1]), 'truncated', '143 bytes'),
    'one byte more': (bad(data=bad().data + array('B', [0])), 'size_mismatch', '145 bytes'),
    'taller than its data': (bad(height=7), 'truncated', '168'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_wrong_with_a_bad_image_is_said(converter, name):
    message, kind, words = BAD[name]
    for use in (converter.check, converter.to_rgb):
        with pytest.raises(BadImageError) as caught:
            use(message)
        assert caught.value.kind == kind
        assert words in str(caught.value)


def test_what_cv_bridge_cannot_do_is_the_same_error(converter):
    pixels = np.zeros((HEIGHT_PX, WIDTH_PX, 8), np.uint8)
    message = message_of(pixels, '64FC1')
    with pytest.raises(BadImageError, match="'64FC1' of 8x6 px") as caught:
        converter.to_rgb(message)
    assert caught.value.kind == 'not_convertible'


def test_an_unpadded_picture_is_not_copied(converter):
    message = message_of(PICTURE, 'rgb8')
    assert np.shares_memory(
        converter.to_rgb(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize(('encoding', 'num_bytes'), [
    ('rgb8', 3), ('bgra8', 4), ('mono16', 2), ('rgba16', 8), ('bayer_grbg8', 1), ('32FC1', 4),
    ('16UC1', 2), ('8UC3', 3), ('64FC4', 32)])
def test_bytes_per_pixel(encoding, num_bytes):
    assert bytes_per_pixel(encoding) == num_bytes


def test_without_cv_bridge_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    with pytest.raises(ImportError, match='install ros-<distribution>-cv-bridge'):
        ImageConverter()
