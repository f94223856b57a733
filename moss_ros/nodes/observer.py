"""
Hears what truly happens at a demo camera, and what its narrator says of it.

Two topics in, a Tally out. Used by the demo and by `make benchmark-cameras`.
"""

import json

from moss_ros.records import read_event
from moss_ros.training.tally import Tally
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String


class Observer(Node):
    """Keeps a tally of both; its namespace is that of the camera."""

    def __init__(self, **node_options):
        super().__init__('observer', **node_options)
        self.tally = Tally()
        qos = QoSProfile(depth=1000)
        self.create_subscription(String, 'demo_camera/truth', self._on_truth, qos)
        self.create_subscription(String, 'narrator/events', self._on_event, qos)

    def _on_truth(self, message):
        self.tally.add_truth(json.loads(message.data))

    def _on_event(self, message):
        self.tally.add_event(read_event(message.data))
