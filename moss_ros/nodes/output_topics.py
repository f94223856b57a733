"""
The topics on which a narrator publishes what its stream reports.

Events go in, messages go out, on the thread that reports. Made by the narrator when it is
configured, and gone when it is cleaned up.
"""

import itertools
import time

from moss_ros.records import BOOL_TYPE, OUTPUT_TOPICS, record_of, STRING_TYPE
from moss_ros.stream import Event
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String

_MESSAGE_BY_TYPE = {STRING_TYPE: String, BOOL_TYPE: Bool}


class Outputs:
    """
    The lifecycle publishers of a narrator; rclpy's may be used by any thread.

    overlay, compressed_overlay: publishers of the pictures, for the OverlayPublisher.
    """

    def __init__(self, node: LifecycleNode, event_numbers: itertools.count):
        """Create the publishers; event_numbers counts the events over the life of the node."""
        self._node = node
        self._event_numbers = event_numbers
        self._publishers = [(topic, self._publisher(topic)) for topic in OUTPUT_TOPICS]
        self.overlay = node.create_lifecycle_publisher(
            Image, '~/overlay', qos_profile_sensor_data)
        self.compressed_overlay = node.create_lifecycle_publisher(
            CompressedImage, '~/overlay/compressed', qos_profile_sensor_data)

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (*(publisher for _, publisher in self._publishers),
                          self.overlay, self.compressed_overlay):
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, event: Event) -> None:
        """Publish an event of the stream on every topic that it belongs to."""
        record = record_of(event, next(self._event_numbers), time.monotonic_ns())
        for topic, publisher in self._publishers:
            data = topic.data_of(record)
            if data is not None:
                self._send(publisher, _MESSAGE_BY_TYPE[topic.message_type](data=data))

    def _publisher(self, topic):
        durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.is_latched \
            else DurabilityPolicy.VOLATILE
        return self._node.create_lifecycle_publisher(
            _MESSAGE_BY_TYPE[topic.message_type], f'~/{topic.name}',
            QoSProfile(depth=topic.depth, durability=durability))

    def _send(self, publisher, message):
        try:
            publisher.publish(message)
        except (rclpy_implementation.RCLError, InvalidHandle):
            # The process was told to end while the worker was in a step.
            if self._node.context.ok():
                raise
