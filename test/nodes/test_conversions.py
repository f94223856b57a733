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

"""Image messages to pictures through the narrator's converter, with and without cv_bridge."""

from array import array
import sys

import cv2
from encoded_pictures import (
    DEPTH_RANGE_M, ENCODED, HEIGHT_PX, max_difference, message_fields, PICTURE, WIDTH_PX,
)
from moss_ros.images import BadImageError, ENCODINGS
from moss_ros.nodes.conversions import ImageConverter
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image


def message_of(encoding, num_padding=0, is_bigendian=False):
    """Return an Image message of the known picture."""
    step, data = message_fields(encoding, num_padding, is_bigendian)
    return Image(
        height=HEIGHT_PX, width=WIDTH_PX, encoding=encoding, step=step,
        is_bigendian=is_bigendian, data=array('B', data))


@pytest.fixture(scope='module')
def converter():
    """Return one converter for all."""
    return ImageConverter(DEPTH_RANGE_M)


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('num_padding', [0, 1, 16])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_every_encoding_gives_the_picture(converter, encoding, num_padding, is_bigendian):
    message = message_of(encoding, num_padding, is_bigendian)
    converter.check(message)
    assert max_difference(converter.to_rgb(message), encoding) <= 2


def test_compressed_pictures_are_converted(converter):
    data = cv2.imencode('.png', PICTURE[..., ::-1])[1].tobytes()
    message = CompressedImage(format='rgb8; png compressed bgr8', data=array('B', data))
    converter.check(message)
    assert (converter.to_rgb(message) == PICTURE).all()
    message.data = message.data[:-20]
    with pytest.raises(BadImageError, match='the end') as caught:
        converter.check(message)
    assert caught.value.kind == 'truncated'


def test_a_bad_image_is_refused_by_both(converter):
    message = message_of('rgb8')
    message.data = message.data[:-1]
    for use in (converter.check, converter.to_rgb):
        with pytest.raises(BadImageError, match='143 bytes') as caught:
            use(message)
        assert caught.value.kind == 'truncated'


def test_cv_bridge_does_what_it_can(converter):
    pytest.importorskip('cv_bridge')
    assert converter.without_cv_bridge == ''
    # Any cv_bridge can do these; those of the distributions more.
    assert {'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'bayer_rggb8'} <= converter.by_cv_bridge


def test_an_unpadded_picture_is_not_copied(converter):
    message = message_of('rgb8')
    assert np.shares_memory(
        converter.to_rgb(message), np.frombuffer(message.data, np.uint8))


class WrongBridge:
    """A cv_bridge of which nothing is right."""

    def imgmsg_to_cv2(self, message, encoding):
        if message.encoding.startswith('b'):
            raise RuntimeError('no')
        return np.zeros((message.height, message.width, 3), np.uint8)


def test_a_cv_bridge_that_is_wrong_is_not_used(monkeypatch):
    module = type(sys)('cv_bridge')
    module.CvBridge = WrongBridge
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    converter = ImageConverter(DEPTH_RANGE_M)
    assert converter.by_cv_bridge == set()
    for encoding in ENCODED:
        assert max_difference(converter.to_rgb(message_of(encoding)), encoding) <= 2


def test_a_cv_bridge_that_fails_later_is_replaced(monkeypatch):
    module = pytest.importorskip('cv_bridge')
    converter = ImageConverter()
    monkeypatch.setattr(module.CvBridge, 'imgmsg_to_cv2', WrongBridge.imgmsg_to_cv2)
    assert max_difference(converter.to_rgb(message_of('bgr8')), 'bgr8') == 0


def test_without_cv_bridge_every_encoding_is_converted(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    converter = ImageConverter(DEPTH_RANGE_M)
    assert 'cv_bridge' in converter.without_cv_bridge
    assert converter.by_cv_bridge == set()
    for encoding in ENCODED:
        assert max_difference(converter.to_rgb(message_of(encoding)), encoding) <= 2


def test_a_depth_range_that_does_not_ascend_is_refused():
    with pytest.raises(ValueError, match='depth_min_m is 5 and depth_max_m 2'):
        ImageConverter((5.0, 2.0))
