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

"""Thousands of malformed images over DDS: the narrator lives on and narrates the next good one."""

from array import array
import random

import cv2
from encoded_pictures import HEIGHT_PX, message_fields, WIDTH_PX
from moss_ros.images import ENCODINGS
from moss_ros.nodes.narrator import Narrator
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

NUM_BAD = 1000  # of each kind
SEED = 11
START_S = 1_700_000_000
NAMES = (*ENCODINGS, '', 'RGB8', 'rgb9', '64FC1', 'h264', 'jpeg', 'bayer', '8UC', '\n', 'ä' * 99)
SIZES = (0, 1, 2, 3, 7, 48, 64, 65535, 2 ** 31, 2 ** 32 - 1)
PICTURE = np.random.default_rng(SEED).integers(0, 256, (48, 64, 3), np.uint8)
FORMATS = (
    'rgb8; jpeg compressed bgr8', 'png', '', '16UC1; png compressed ',
    'mono16; compressedDepth png', 'webp', 'ä' * 99)
FILES = tuple(cv2.imencode(kind, PICTURE)[1].tobytes() for kind in (
    '.jpg', '.png', '.webp', '.bmp', '.tiff'))


class BadImages:
    """Makes malformed messages, the same ones from the same seed."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def raw(self, number):
        """Return a known picture with one to four fields that are wrong, or nonsense."""
        draw = self._random
        encoding = draw.choice(ENCODINGS)
        step, data = message_fields(encoding)
        message = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding=encoding, step=step)
        message.is_bigendian = draw.randrange(256)
        self._stamp(message, number)
        for field in draw.sample(('height', 'width', 'step', 'encoding', 'data'),
                                 draw.randint(1, 4)):
            if field == 'encoding':
                message.encoding = draw.choice(NAMES)
            elif field == 'data':
                data = draw.randbytes(draw.choice((0, 1, len(data) - 1, len(data) + 1, 5000)))
            else:
                setattr(message, field, draw.choice((*SIZES, draw.randrange(100))))
        message.data = array('B', data)
        return message

    def compressed(self, number):
        """Return a picture file that is cut, changed or none at all."""
        draw = self._random
        message = CompressedImage(format=draw.choice(FORMATS))
        self._stamp(message, number)
        data = bytearray(draw.choice(FILES))
        match draw.randrange(4):
            case 0:
                del data[draw.randrange(len(data)):]
            case 1:
                for _ in range(draw.randint(1, 20)):
                    data[draw.randrange(draw.choice((30, 200, len(data))))] = draw.randrange(256)
            case 2:
                position = draw.randrange(len(data))
                data[position:position + draw.randrange(200)] = draw.randbytes(draw.randrange(99))
            case _:
                data = draw.randbytes(draw.randrange(300))
        message.data = array('B', bytes(data))
        return message

    def _stamp(self, message, number):
        draw = self._random
        message.header.frame_id = draw.choice(NAMES)
        # Mostly in order, at 10 Hz.
        message.header.stamp.sec, message.header.stamp.nanosec = (
            START_S + number // 10, number % 10 * 100_000_000)
        if draw.random() < 0.1:
            message.header.stamp.sec = draw.choice((-2 ** 31, -1, 0, 2 ** 31 - 1))
            message.header.stamp.nanosec = draw.randrange(2 ** 32)


def good_message(transport):
    """Return a picture with a stamp far from all the others."""
    if transport == 'raw':
        step, data = message_fields('rgb8')
        message = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding='rgb8', step=step)
    else:
        message, data = CompressedImage(format='jpeg'), FILES[0]
    message.data = array('B', data)
    message.header.stamp.sec = START_S // 2
    return message


@pytest.mark.parametrize(('transport', 'topic', 'message_type'), [
    ('raw', 'image', Image), ('compressed', 'image/compressed', CompressedImage)])
def test_the_next_good_frame_is_narrated(
        host, listener, babbling_checkpoint, transport, topic, message_type):
    narrator = host.add(Narrator(parameter_overrides=[
        Parameter(name, value=value) for name, value in (
            ('checkpoint', str(babbling_checkpoint)), ('image_transport', transport),
            # A random model would go on and on.
            ('image_reliability', 'reliable'), ('max_tokens_between_frames', 4))]))
    # One at a time and reliable: not one of them is lost on the way.
    publisher = listener.create_publisher(message_type, topic, QoSProfile(depth=1))
    host.until(publisher.get_subscription_count, what='active')
    camera = BadImages(SEED)
    make = camera.raw if transport == 'raw' else camera.compressed
    for number in range(NUM_BAD):
        publisher.publish(make(number))
        host.until(lambda: narrator.image_input.num_received > number, what=f'image {number}')
    counts = narrator.num_bad_by_kind
    assert counts.total() > 0.8 * NUM_BAD
    assert len(counts) >= 6, counts
    good = good_message(transport)
    publisher.publish(good)
    stamp_ns = good.header.stamp.sec * 10 ** 9
    host.until(lambda: [record for record in listener.of_type('narration')
                        if record['stamp_ns'] == stamp_ns and record['text']],
               what='a narration of the good picture')
    assert listener.of_type('error') == []


def test_resolution_and_encoding_may_change_while_it_narrates(host, listener, babbling_checkpoint):
    narrator = host.add(Narrator(parameter_overrides=[
        Parameter('checkpoint', value=str(babbling_checkpoint))]))
    publisher = listener.create_publisher(Image, 'image', QoSProfile(depth=10))
    host.until(publisher.get_subscription_count, what='active')
    for number, encoding in enumerate(('rgb8', 'yuyv', 'large', '32FC1')):
        if encoding == 'large':
            message = Image(height=1080, width=1920, encoding='bgr8', step=5760)
            message.data = array('B', np.full((1080, 5760), 90, np.uint8).tobytes())
        else:
            step, data = message_fields(encoding)
            message = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding=encoding, step=step,
                            data=array('B', data))
        message.header.stamp.sec = START_S + number
        publisher.publish(message)
        host.until(lambda: [record for record in listener.of_type('narration')
                            if record['stamp_ns'] == (START_S + number) * 10 ** 9],
                   what=f'a narration of {encoding}')
        assert narrator.image_input.picture_kind == (
            f'{message.width}x{message.height} {message.encoding}')
    assert listener.of_type('error') == []
    assert narrator.num_bad_by_kind == {}
