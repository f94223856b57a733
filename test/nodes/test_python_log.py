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

"""What the package says by Python's logging, on /rosout: once, and by its severity."""

import logging

from moss_ros.nodes.python_log import log_to
import pytest
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

LOGGER = logging.getLogger('moss_ros.stream.somewhere')


@pytest.fixture
def heard(host):
    """Return (name, severity, text) of all that is logged by the nodes 'front' and 'rear'."""
    lines = []
    node = host.add(Node('ear'))
    node.create_subscription(
        Log, '/rosout', lambda log: log.name in ('front', 'rear') and lines.append(
            (log.name, log.level, log.msg)),
        QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    return lines


def test_it_is_told_once_by_the_oldest_node_and_by_its_severity(host, heard):
    front, rear = host.add(Node('front')), host.add(Node('rear'))
    undo_front, undo_rear = log_to(front), log_to(rear)
    LOGGER.info('%s taken', 'a prompt')
    LOGGER.warning('slow')
    try:
        raise ValueError('broken')
    except ValueError:
        LOGGER.exception('failed')
    undo_front()
    LOGGER.info('the other tells')
    undo_rear()
    LOGGER.warning('nobody tells')
    rear.get_logger().info('the end')
    front.get_logger().info('the end')
    host.until(lambda: [text for _, _, text in heard].count('the end') == 2, what='the ends')
    told = {name: [(level, text.splitlines()[0]) for one, level, text in heard if one == name]
            for name in ('front', 'rear')}
    info, warning, error = (int.from_bytes(level, 'little') if isinstance(level, bytes) else level
                            for level in (Log.INFO, Log.WARN, Log.ERROR))
    assert told == {
        'front': [(info, 'a prompt taken'), (warning, 'slow'), (error, 'failed'),
                  (info, 'the end')],
        'rear': [(info, 'the other tells'), (info, 'the end')]}
    assert any('ValueError: broken' in text for _, _, text in heard)
