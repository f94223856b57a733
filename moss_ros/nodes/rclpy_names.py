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

"""
What Humble's rclpy has under other names, or not at all, by the names of later ones.

Imported by the nodes in place of rclpy. Nothing else asks which rclpy it is.
"""

from collections.abc import Callable, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:
    from rclpy.qos_event import SubscriptionEventCallbacks
try:
    from rclpy.clock import ClockChange
except ImportError:
    ClockChange = rclpy_implementation.ClockChange

__all__ = ['ClockChange', 'SubscriptionEventCallbacks', 'call_after_parameters_are_set']


def call_after_parameters_are_set(
        node: Node, callback: Callable[[Sequence[Parameter]], None]) -> None:
    """
    Have callback called on the executor's thread with the parameters that were set on node.

    In Humble it comes with the next turn of the executor, and also where another callback has
    refused the change: it must read the values, not believe the ones that it is given.
    """
    if hasattr(node, 'add_post_set_parameters_callback'):
        node.add_post_set_parameters_callback(callback)
        return
    from rcl_interfaces.msg import SetParametersResult

    def on_set(parameters):
        def once():
            node.destroy_timer(timer)
            callback(parameters)

        timer = node.create_timer(0.0, once, clock=Clock(clock_type=ClockType.STEADY_TIME))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)
