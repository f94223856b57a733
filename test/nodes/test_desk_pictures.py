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

"""What the desk makes of camera messages: JPEGs of a bounded width, the newest, never too many."""

from array import array
import threading

import cv2
from moss_ros.desk.memory import DeskMemory
from moss_ros.nodes.desk_pictures import PictureMaker, SMALL_WIDTH_PX
import numpy as np
import pytest
from rclpy.logging import get_logger
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

NAME, CAMERA = '/narrator', 'camera'


class Shown:
    """Stands in for the server: keeps what it is told."""

    def __init__(self):
        self.watched = frozenset({(NAME, CAMERA)})
        self.pictures, self.small = [], []
        self._told = threading.Condition()

    def show(self, name, source, jpeg, stamp_ns):
        assert (name, source) == (NAME, CAMERA)
        with self._told:
            self.pictures.append((jpeg, stamp_ns))
            self._told.notify()

    def take(self, method, *values):
        assert method is DeskMemory.take_small_picture
        with self._told:
            self.small.append(values)
            self._told.notify()

    def until(self, is_true):
        with self._told:
            assert self._told.wait_for(is_true, 20)


@pytest.fixture
def shown():
    return Shown()


@pytest.fixture
def make(shown):
    """Return a function that makes a PictureMaker; it is closed after the test."""
    makers = []

    def make(rate_fps=60.0, has_thumbnails=False):
        makers.append(PictureMaker(shown, rate_fps, 96, has_thumbnails, get_logger('test')))
        return makers[-1]

    yield make
    for maker in makers:
        maker.close()


def picture(width_px, value=100):
    return np.full((width_px * 3 // 4, width_px, 3), value, np.uint8)


def raw(width_px, value=100, second=1):
    pixels = picture(width_px, value)
    message = Image(height=pixels.shape[0], width=width_px, encoding='rgb8', step=3 * width_px)
    message.data = array('B', pixels.tobytes())
    message.header.stamp.sec = second
    return Image, serialize_message(message)


def packed(suffix, width_px):
    message = CompressedImage(format=suffix[1:])
    message.data = array('B', cv2.imencode(suffix, picture(width_px))[1].tobytes())
    return CompressedImage, serialize_message(message)


def shape(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape


@pytest.mark.parametrize(('message', 'expected'), [
    (raw(64), (48, 64, 3)), (raw(640), (72, 96, 3)), (packed('.jpg', 640), (72, 96, 3)),
    (packed('.png', 64), (48, 64, 3)), (packed('.jpg', 64), (48, 64, 3))])
def test_pictures_of_every_kind_become_jpegs_that_are_not_too_wide(
        make, shown, message, expected):
    make().add(NAME, CAMERA, *message)
    shown.until(lambda: shown.pictures)
    assert shape(shown.pictures[0][0]) == expected


def test_a_jpeg_that_is_small_enough_is_passed_on_as_it_is(make, shown):
    make().add(NAME, CAMERA, *packed('.jpg', 64))
    shown.until(lambda: shown.pictures)
    assert shown.pictures[0][0] == cv2.imencode('.jpg', picture(64))[1].tobytes()


def test_of_many_the_newest_is_shown(make, shown):
    maker = make(rate_fps=5.0)
    for second in range(1, 101):
        maker.add(NAME, CAMERA, *raw(64, second=second))
    shown.until(lambda: shown.pictures and shown.pictures[-1][1] == 100 * 10 ** 9)
    assert len(shown.pictures) <= 3


def test_one_that_is_damaged_keeps_no_other_from_being_shown(make, shown):
    maker = make()
    maker.add(NAME, CAMERA, Image, serialize_message(Image(height=48, width=64, encoding='rgb8')))
    maker.add('/other', CAMERA, Image, b'no message at all')
    maker.add(NAME, CAMERA, *raw(64))
    shown.until(lambda: shown.pictures)


def test_for_thumbnails_a_small_one_is_kept_also_while_nobody_looks(make, shown):
    shown.watched = frozenset()
    make(has_thumbnails=True).add(NAME, CAMERA, *raw(640))
    shown.until(lambda: shown.small)
    name, stamp_ns, jpeg = shown.small[0]
    assert (name, stamp_ns, shape(jpeg)[1]) == (NAME, 10 ** 9, SMALL_WIDTH_PX)
    assert not shown.pictures
