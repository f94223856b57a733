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

"""Which topics are offered as a camera: not one's own, and those named as cameras first."""

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.nodes.camera_topics import camera_topics
from moss_ros.nodes.narrator import Narrator
import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

TYPE_NAMES = {Image: 'sensor_msgs/msg/Image', CompressedImage: 'sensor_msgs/msg/CompressedImage'}


@pytest.fixture
def node(host):
    """Return the node that looks for a camera."""
    return host.add(Node('narrator', namespace='front'))


@pytest.mark.parametrize('message_type', TYPE_NAMES)
def test_ones_own_topics_and_overlays_are_left_out(host, node, message_type):
    qos = QoSProfile(depth=1)
    sibling = host.add(Node('narrator', namespace='rear'))
    end = '/compressed' if message_type is CompressedImage else ''
    node.create_publisher(message_type, f'~/overlay{end}', qos)
    node.create_publisher(message_type, 'a_camera_of_its_own', qos)
    sibling.create_publisher(message_type, f'~/overlay{end}', qos)
    driver = host.add(Node('driver'))
    for name in ('depth', 'usb/image_raw', 'left_camera/picture', 'an_overlay', 'zoom'):
        driver.create_publisher(message_type, name, qos)
    expected = ['/left_camera/picture', '/usb/image_raw', '/an_overlay', '/depth', '/zoom']
    host.until(lambda: camera_topics(node, {TYPE_NAMES[message_type]}) == expected,
               what=f'{expected}')


def test_what_others_publish_as_well_is_offered(host, node):
    node.create_publisher(Image, 'image', QoSProfile(depth=1))
    host.add(Node('driver')).create_publisher(Image, 'front/image', QoSProfile(depth=1))
    host.until(lambda: camera_topics(node, {TYPE_NAMES[Image]}) == ['/front/image'], what='image')


def test_a_topic_that_is_only_listened_to_is_none(host, node):
    host.add(Node('viewer')).create_subscription(
        Image, 'image_raw', lambda message: None, QoSProfile(depth=1))
    host.until(lambda: '/image_raw' in dict(node.get_topic_names_and_types()), what='the topic')
    assert camera_topics(node, {TYPE_NAMES[Image]}) == []


def test_the_warning_of_a_narrator_does_not_offer_what_it_paints(host, listener, capfd):
    listener.create_publisher(Image, 'usb/image_raw', QoSProfile(depth=1))
    host.add(Narrator(parameter_overrides=[
        Parameter('checkpoint', value=str(DEMO_CHECKPOINT)),
        Parameter('stale_after_s', value=0.2)]))
    texts = []
    host.until(lambda: texts.append(capfd.readouterr().err) or 'nobody' in ''.join(texts),
               what='the warning')
    line, = [one for one in ''.join(texts).splitlines() if 'nobody publishes' in one]
    assert line.endswith('there is /usb/image_raw')
