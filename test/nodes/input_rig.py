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

"""An ImageInput under test, on a node of its own, with a camera beside it."""

from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.image_input import ImageInput
from moss_ros.settings import NarratorSettings
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

RELIABLE = QoSProfile(depth=10)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class CountingConverter(ImageConverter):
    """Counts what it converts."""

    def __init__(self, depth_range):
        super().__init__(depth_range)
        self.num_converted = 0

    def to_rgb(self, message):
        self.num_converted += 1
        return super().to_rgb(message)


class Rig:
    """An ImageInput on a node of its own, a camera's node, and what the input logs."""

    def __init__(self, host, *ros_arguments, frame_rate_fps=2.0, **settings):
        self.host = host
        self.frames, self.restarts, self.troubles, self.log = [], [], [], []
        self.camera = host.add(Node('camera'))
        self.camera.create_subscription(
            Log, '/rosout', self._keep_log,
            QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self.input_node = host.add(Node('eyes', cli_args=['--ros-args', *ros_arguments]))
        self.input = ImageInput(
            self.input_node, self._take, self.restarts.append, self.troubles.append)
        self._frame_rate_fps = frame_rate_fps
        self._start(settings)

    def _start(self, settings):
        settings = NarratorSettings(**settings)
        self.converter = CountingConverter((settings.depth_min_m, settings.depth_max_m))
        self.input.start(settings, self._frame_rate_fps, self.converter)

    def restart(self, **settings):
        self.input.stop()
        self._start(settings)

    def _take(self, frame, _frame_id):
        self.frames.append(frame)
        return True

    def _keep_log(self, message):
        if message.name == 'eyes':
            self.log.append((message.level, message.msg))

    def publisher(self, topic='image', message_type=Image, qos=RELIABLE):
        """Return a publisher that the input hears."""
        publisher = self.camera.create_publisher(message_type, topic, qos)
        self.host.until(publisher.get_subscription_count, what='the subscription')
        return publisher

    def show(self, publisher, message):
        """Publish a message and wait until it has arrived."""
        num_before = self.input.num_received
        publisher.publish(message)
        self.host.until(lambda: self.input.num_received > num_before, what='the image')

    def wait_log(self, words, count=1):
        """Wait until so many lines hold the words; return the severity and text of the last."""
        def found():
            lines = [line for line in self.log if words in line[1]]
            return lines if len(lines) >= count else []
        return self.host.until(found, what=f'{words!r} in {self.log}')[-1]

    def wait_state(self, state):
        self.host.until(lambda: self.input.state is state, what=str(state))
