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

"""The overlay's topics over DDS: for whom it is made, and what it belongs to."""

from array import array
import threading

import cv2
from moss_ros.nodes.narrator import Narrator
from moss_ros.views.overlay import OverlayPainter
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image

HEIGHT_PX, WIDTH_PX = 240, 320
START_NS = 1_700_000_000_123_456_789
PERIOD_NS = 1_000_000_000
FRAME_ID = 'front_camera_optical'
BLUE = (20, 40, 200)


class Scene:
    """A narrator that is shown blue pictures, and how many overlays it painted."""

    def __init__(self, host, listener, checkpoint, monkeypatch):
        self.host, self.listener = host, listener
        self.num_painted = 0
        paint = OverlayPainter.paint

        def count_and_paint(painter, picture, caption):
            self.num_painted += 1
            return paint(painter, picture, caption)

        monkeypatch.setattr(OverlayPainter, 'paint', count_and_paint)
        self.narrator = host.add(Narrator(parameter_overrides=[
            Parameter('checkpoint', value=str(checkpoint)),
            Parameter('max_tokens_per_second', value=40.0)]))
        self._images = listener.create_publisher(Image, 'image', QoSProfile(depth=10))
        self._next_ns = START_NS
        host.until(self._images.get_subscription_count, what='active')

    def show_and_hear(self):
        """Publish one picture and wait until the narration of it has ended; return its stamp."""
        stamp_ns = self._next_ns
        self._next_ns += PERIOD_NS
        picture = np.full((HEIGHT_PX, WIDTH_PX, 3), BLUE, np.uint8)
        message = Image(height=HEIGHT_PX, width=WIDTH_PX, step=3 * WIDTH_PX, encoding='rgb8',
                        data=array('B', picture.tobytes()))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
        message.header.frame_id = FRAME_ID
        self._images.publish(message)
        self.host.until(
            lambda: [record for record in self.listener.of_type('narration')
                     if record['stamp_ns'] == stamp_ns], what='a narration of the picture')
        return stamp_ns

    def subscribe(self, message_type, topic, qos=qos_profile_sensor_data):
        """Subscribe to a topic of the overlay; return the list of what comes."""
        kept = []
        subscription = self.listener.create_subscription(
            message_type, topic, kept.append, qos)
        self.host.until(
            lambda: self.narrator.count_subscribers(topic) and subscription.get_publisher_count(),
            what=f'the subscription of {topic}')
        return subscription, kept


@pytest.fixture
def make_scene(host, listener, babbling_checkpoint, monkeypatch):
    """Return a function that makes a Scene: pytest would keep one longer than the test."""
    return lambda: Scene(host, listener, babbling_checkpoint, monkeypatch)


def header_of(message):
    stamp = message.header.stamp
    return stamp.sec * 10 ** 9 + stamp.nanosec, message.header.frame_id


def num_overlay_threads():
    return sum(thread.name == 'moss-overlay' for thread in threading.enumerate())


def test_nothing_is_painted_while_nobody_subscribes(make_scene):
    scene = make_scene()
    scene.show_and_hear()
    assert scene.num_painted == 0
    assert num_overlay_threads() == 0
    subscription, kept = scene.subscribe(Image, 'narrator/overlay')
    scene.show_and_hear()
    scene.host.until(lambda: kept, what='an overlay')
    scene.listener.destroy_subscription(subscription)
    scene.host.until(
        lambda: not scene.narrator.count_subscribers('narrator/overlay'), what='no subscriber')
    scene.show_and_hear()
    num_painted = scene.num_painted
    scene.show_and_hear()
    assert scene.num_painted == num_painted
    scene.narrator.trigger_deactivate()
    assert num_overlay_threads() == 0


@pytest.mark.parametrize('qos', [qos_profile_sensor_data, QoSProfile(depth=10)],
                         ids=['best effort', 'reliable'])
def test_overlays_belong_to_the_frame_that_was_narrated(make_scene, qos):
    scene = make_scene()
    _, raw = scene.subscribe(Image, 'narrator/overlay', qos)
    _, compressed = scene.subscribe(CompressedImage, 'narrator/overlay/compressed')
    stamps = [scene.show_and_hear(), scene.show_and_hear()]
    scene.host.until(
        lambda: all(kept and header_of(kept[-1])[0] == stamps[1] for kept in (raw, compressed)),
        what='an overlay of the second frame')
    for kept in (raw, compressed):
        assert {header_of(message) for message in kept} == {
            (stamp_ns, FRAME_ID) for stamp_ns in stamps}
    image = raw[-1]
    assert (image.encoding, image.height, image.width) == ('rgb8', HEIGHT_PX, WIDTH_PX)
    picture = np.frombuffer(image.data, np.uint8).reshape(HEIGHT_PX, image.step // 3, 3)
    assert (picture[HEIGHT_PX // 3] == BLUE).all()
    assert (picture[-HEIGHT_PX // 3:] > 180).all(axis=-1).any(), 'no letters in the caption'
    assert 'jpeg' in compressed[-1].format
    decoded = cv2.imdecode(np.frombuffer(compressed[-1].data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == picture.shape
    blue = decoded[HEIGHT_PX // 3, :, ::-1].astype(int)
    assert abs(blue - BLUE).max() <= 6
