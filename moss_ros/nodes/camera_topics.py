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
Which topics may be a camera: those that somebody else publishes, the likeliest first.

A node and message types go in, names of topics come out. Called by the narrator's input, which the
doctor uses as well.
"""

from collections.abc import Set

from rclpy.node import Node

# Parts of the names that drivers give to what a camera sends.
_LIKELY_PARTS = ('camera', 'image_raw')


def camera_topics(node: Node, type_names: Set[str]) -> list[str]:
    """
    Return the topics of types, such as 'sensor_msgs/msg/Image', that node could subscribe to.

    Left out are those that node alone publishes, and the overlays of all narrators. Those that are
    named as cameras are come first.
    """
    return sorted(
        (name for name, types in node.get_topic_names_and_types()
         if type_names & set(types) and _is_of_a_camera(node, name)),
        key=lambda name: (not any(part in name for part in _LIKELY_PARTS), name))


def _is_of_a_camera(node, topic):
    return any(
        (info.node_name, info.node_namespace) != (node.get_name(), node.get_namespace())
        and not _is_overlay(topic, info) for info in node.get_publishers_info_by_topic(topic))


def _is_overlay(topic, publisher):
    """Whether a topic is what its publisher paints, by the name that a narrator gives to it."""
    full_name = f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'
    return topic.removesuffix('/compressed') == f'{full_name}/overlay'
