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

"""The names that Humble's rclpy lacks, with an rclpy in which they are taken away."""

import importlib
import sys
from types import ModuleType

from moss_ros.nodes import rclpy_names
import pytest
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter


class OldNode(Node):
    """A node whose rclpy calls nobody back after parameters were set."""

    def __getattribute__(self, name):
        if name == 'add_post_set_parameters_callback':
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.fixture
def humble(monkeypatch):
    """Return the module as it is imported with Humble's rclpy; later ones get it as it was."""
    from rclpy.event_handler import SubscriptionEventCallbacks
    old = ModuleType('rclpy.qos_event')
    old.SubscriptionEventCallbacks = SubscriptionEventCallbacks
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'rclpy.event_handler', None)
        patch.setitem(sys.modules, 'rclpy.qos_event', old)
        patch.delattr('rclpy.clock.ClockChange')
        yield importlib.reload(rclpy_names)
    importlib.reload(rclpy_names)


def test_what_has_another_name_is_found(humble):
    assert humble.SubscriptionEventCallbacks(incompatible_qos=print).incompatible_qos is print
    assert humble.ClockChange is rclpy_implementation.ClockChange
    assert humble.ClockChange.ROS_TIME_NO_CHANGE is not None


@pytest.mark.parametrize('node_class', [Node, OldNode])
def test_who_waits_for_parameters_sees_the_new_values(host, node_class):
    node = host.add(node_class('node_under_test'))
    node.declare_parameter('pace', 1.0)
    seen = []
    rclpy_names.call_after_parameters_are_set(
        node, lambda parameters: seen.append(
            ([item.name for item in parameters], node.get_parameter('pace').value)))
    for value in (2.0, 3.0):
        assert node.set_parameters([Parameter('pace', value=value)])[0].successful
        host.until(lambda: (['pace'], value) in seen, what=f'the value {value}')
    assert len(seen) == 2
