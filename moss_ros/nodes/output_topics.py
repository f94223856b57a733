"""
The topics on which a narrator publishes what its stream reports.

Events go in, messages go out, on the thread that reports. Made by the narrator when it is
configured, and gone when it is cleaned up.
"""

import itertools
import time

from moss_ros.stream import Event, NarrationEvent, SessionState, StateEvent, TokenEvent
from moss_ros.stream.records import event_json
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String


class Outputs:
    """
    The lifecycle publishers of a narrator; rclpy's may be used by any thread.

    overlay, compressed_overlay: publishers of the pictures, for the OverlayPublisher.
    """

    def __init__(self, node: LifecycleNode, event_numbers: itertools.count):
        """Create the publishers; event_numbers counts the events over the life of the node."""
        in_order = QoSProfile(depth=100)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node = node
        self._event_numbers = event_numbers
        self._tokens = node.create_lifecycle_publisher(String, '~/tokens', in_order)
        self._silence = node.create_lifecycle_publisher(Bool, '~/silence', latched)
        self._narration = node.create_lifecycle_publisher(String, '~/narration', in_order)
        self._events = node.create_lifecycle_publisher(String, '~/events', in_order)
        self.overlay = node.create_lifecycle_publisher(
            Image, '~/overlay', qos_profile_sensor_data)
        self.compressed_overlay = node.create_lifecycle_publisher(
            CompressedImage, '~/overlay/compressed', qos_profile_sensor_data)

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._tokens, self._silence, self._narration, self._events,
                          self.overlay, self.compressed_overlay):
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, event: Event) -> None:
        """Publish an event of the stream on every topic that it belongs to."""
        if isinstance(event, TokenEvent):
            self._send(self._tokens, String(data=event.text))
        elif isinstance(event, StateEvent):
            self._send(self._silence, Bool(data=event.state is SessionState.SILENT))
        elif isinstance(event, NarrationEvent) and event.text:
            self._send(self._narration, String(data=event.text.strip()))
        self._send(self._events, String(data=event_json(
            event, next(self._event_numbers), time.monotonic_ns())))

    def _send(self, publisher, message):
        try:
            publisher.publish(message)
        except (rclpy_implementation.RCLError, InvalidHandle):
            # The process was told to end while the worker was in a step.
            if self._node.context.ok():
                raise
