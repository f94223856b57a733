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
Checks whether the camera reaches this machine by ROS, and how: topic, publishers, QoS, pictures.

Settings and a topic go in, findings come out. Called by the doctor, which has no ROS itself.
"""

from collections.abc import Iterator
from dataclasses import replace
import os
import time

from moss_ros.engines.machine_checks import Finding, Verdict
from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.image_input import ImageInput
from moss_ros.nodes.image_topic import InputState
from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.settings import NarratorSettings
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

CAMERA = 'camera'
# More than any camera sends, so that each picture is looked at.
_FRAME_RATE_FPS = 1000.0
# Longer: so that the rate is that of several pictures.
_LOOK_S = 1.0


class Doctor(Node):
    """A node with the narrator's parameters and topics, that looks and publishes nothing."""

    def __init__(self, **node_options):
        """Raise what rclpy raises for parameters that are not allowed."""
        super().__init__('doctor', **node_options)
        declare_settings(self, NarratorSettings)
        self.settings = read_settings(self, NarratorSettings)


def check_ros() -> Finding:
    """Say by which middleware and in which domain this machine takes part in ROS."""
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    return Finding(Verdict.OK, 'ROS', f'{get_rmw_implementation_identifier()}, domain '
                   f'{os.environ.get("ROS_DOMAIN_ID", "0")}, discovery range {reach}')


def check_cv_bridge(converter: ImageConverter) -> Finding:
    """Say whether cv_bridge converts images."""
    if converter.without_cv_bridge:
        return Finding(
            Verdict.WARN, 'cv_bridge', f'cannot be used ({converter.without_cv_bridge}): images '
            'are converted without it', 'apt install ros-$ROS_DISTRO-cv-bridge')
    return Finding(Verdict.OK, 'cv_bridge',
                   f'gives the right picture of {len(converter.by_cv_bridge)} encodings')


def check_camera(node: Node, settings: NarratorSettings, converter: ImageConverter,
                 wait_s: float) -> Iterator[Finding]:
    """
    Subscribe as a narrator would, for wait_s at most, and yield what is found of the camera.

    Blocks meanwhile, and spins the node.
    """
    frames = []

    def take(frame, _frame_id):
        frames.append(frame)
        return True

    camera = ImageInput(node, take, lambda reason: None, lambda event: None)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        camera.start(replace(settings, stale_after_s=wait_s),
                     _FRAME_RATE_FPS, converter)
        _spin(executor, camera, frames, wait_s)
        yield _finding(camera, frames, wait_s)
        if camera.stamp_trouble:
            yield Finding(Verdict.WARN, 'stamps', camera.stamp_trouble)
        yield from _quality(node, camera.topic, camera.state is InputState.INCOMPATIBLE)
    finally:
        camera.stop()
        executor.remove_node(node)
        executor.shutdown()


def _spin(executor, camera, frames, wait_s):
    """Spin until it is known how images arrive."""
    end_s = time.monotonic() + wait_s + 1.0
    while time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)
        if frames:
            end_s = min(end_s, time.monotonic() + _LOOK_S)
            frames.clear()
            frames.append(None)
        elif camera.state not in (InputState.WAITING, InputState.ARRIVING):
            return


def _finding(camera, frames, wait_s):
    if frames:
        return Finding(Verdict.OK, CAMERA, f'{camera.topic} sends {camera.picture_kind}, about '
                       f'{camera.input_fps:.0f} images/s')
    if camera.num_received:
        kinds = ', '.join(sorted(camera.num_bad_by_kind))
        return Finding(Verdict.FAIL, CAMERA, f'{camera.topic} sends {camera.num_received} images, '
                       f'none of which can be used ({kinds})', 'the warning above says why')
    return Finding(Verdict.FAIL, CAMERA,
                   camera.trouble or f'nothing is heard on {camera.topic} in {wait_s:g} s')


def _quality(node, topic, is_incompatible):
    """Yield what the publishers of the topic offer."""
    publishers = node.get_publishers_info_by_topic(topic)
    offers = sorted({
        f'{info.node_namespace.rstrip("/")}/{info.node_name} '
        f'({_words(info.qos_profile.reliability)}, {_words(info.qos_profile.durability)})'
        for info in publishers})
    if is_incompatible:
        yield Finding(Verdict.FAIL, 'QoS', f'{topic} is published by {", ".join(offers)}, and '
                      'reliable is asked for', 'set image_reliability to best_effort')
    elif len(publishers) > 1:
        yield Finding(Verdict.WARN, 'QoS', f'{topic} has {len(publishers)} publishers: '
                      f'{", ".join(offers)}', 'let one camera alone publish on it')
    elif publishers:
        yield Finding(Verdict.OK, 'QoS', f'{topic} is published by {offers[0]}')


def _words(policy):
    return policy.name.lower().replace('_', ' ')
