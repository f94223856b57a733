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

"""A camera that shows black pictures of 64x48 px, with the header stamps that it is told."""

from array import array

from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

NS_PER_S = 1_000_000_000


class BlackCamera:
    """Publishes on a topic of node, which host spins."""

    def __init__(self, host, node, topic='image'):
        self._host, self._node = host, node
        self._images = node.create_publisher(Image, topic, QoSProfile(depth=10))
        self._stamp_ns = 0

    def send(self, stamp_ns):
        """Publish a picture."""
        image = Image(height=48, width=64, step=192, encoding='rgb8')
        image.data = array('B', bytes(48 * 192))
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)
        self._images.publish(image)

    def wait_subscribed(self):
        """Wait until somebody subscribes."""
        self._host.until(self._images.get_subscription_count, what='the subscription')

    def show(self):
        """Publish a picture that is a second newer than the one before; return its stamp_ns."""
        self.wait_subscribed()
        self._stamp_ns += NS_PER_S
        self.send(self._stamp_ns)
        return self._stamp_ns

    def run(self):
        """Show ten pictures a second from now on."""
        self.wait_subscribed()
        self._node.create_timer(0.1, self.show)
