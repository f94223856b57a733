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
The topic of a narrator's camera: which one it is, and why nothing comes on it.

Messages go to a callback. Of video there are several kinds of message, so it is looked at who
publishes what; the packages of two of them need not be installed. Used by the narrator's input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

from moss_ros.nodes.camera_topics import camera_topics
from moss_ros.nodes.rclpy_names import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy

MAX_TOPICS_NAMED = 5
# Only the newest picture counts; what the executor was too busy for is not missed. But of video
# every packet is needed: so many wait, about three seconds of a camera of 30 Hz.
_DEPTH, _VIDEO_DEPTH = 1, 100
_IMAGE = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_FOXGLOVE = 'foxglove_msgs/msg/CompressedVideo'
_FFMPEG = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'


class InputState(Enum):
    """How images arrive; the states after ARRIVING mean that none came for stale_after_s."""

    STOPPED = 'stopped'
    WAITING = 'waiting for the first image'
    ARRIVING = 'arriving'
    NO_PUBLISHER = 'no publisher'
    OTHER_TYPE = 'messages of another type'
    INCOMPATIBLE = 'incompatible QoS'
    NOT_INSTALLED = 'message package not installed'
    NOTHING_ARRIVES = 'nothing arrives'


@dataclass(frozen=True)
class InputTopic:
    """A topic that images may come on: with which image_transport, its name and its type."""

    transport: str
    topic: str
    type: str


# Those of image_transport are below the camera's topic, wherever that is remapped to; of several
# of one transport, the first one that somebody publishes counts.
INPUT_TOPICS = (
    InputTopic('raw', 'image', _IMAGE),
    InputTopic('compressed', '<image>/compressed', _COMPRESSED),
    InputTopic('compressedDepth', '<image>/compressedDepth', _COMPRESSED),
    InputTopic('video', '<image>/ffmpeg', _FFMPEG),
    InputTopic('video', 'image', _FFMPEG),
    InputTopic('video', 'image', _FOXGLOVE),
    InputTopic('video', 'image', _COMPRESSED),
)


class ImageTopic:
    """
    Subscribes for one image_transport, from when it is made until it is closed.

    - on_message(message) gets each message; on_new() is called before those of another topic.
    - not_installed: which message package is missing, and how to install it; '' for none.

    Everything on the executor's thread.
    """

    def __init__(self, node: Node, transport: str, reliability: ReliabilityPolicy,
                 on_message: Callable[[object], None], on_new: Callable[[], None]):
        self._node = node
        self._reliability = reliability
        self._on_message = on_message
        self._on_new = on_new
        self._choices = [choice for choice in INPUT_TOPICS if choice.transport == transport]
        self._chosen: InputTopic | None = None
        self._subscription = None
        self.not_installed = ''
        self.look()

    @property
    def name(self) -> str:
        """Return the whole name of the topic; of video that nobody publishes, the camera's."""
        if self._subscription is None:
            return self._node.resolve_topic_name('image')
        return self._subscription.topic_name

    def close(self) -> None:
        """Unsubscribe; may be called twice."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._chosen = None

    def look(self) -> None:
        """Subscribe to what is published, unless it is; call it now and then."""
        if len(self._choices) == 1:
            if self._chosen is None:
                self._subscribe(self._choices[0])
            return
        if self._chosen is not None and self._is_published(self._chosen):
            return
        self.not_installed = ''
        for choice in filter(self._is_published, self._choices):
            try:
                self._subscribe(choice)
                self.not_installed = ''
                return
            except ImportError:
                package = choice.type.partition('/')[0]
                self.not_installed = self.not_installed or (
                    f'{self._name_of(choice)} has {choice.type}, whose package is not installed '
                    f'here: sudo apt install ros-$ROS_DISTRO-{package.replace("_", "-")}, and '
                    'start the narrator again')

    def problem(self, quiet_s: float) -> tuple[InputState, str]:
        """Return why nothing has come for quiet_s, and what to do about it."""
        if self.not_installed:
            return InputState.NOT_INSTALLED, self.not_installed
        publishers = [] if self._chosen is None else self._publishers(self._chosen)
        if not publishers:
            return InputState.NO_PUBLISHER, self._no_publisher_text()
        types = {publisher.topic_type for publisher in publishers}
        if self._chosen.type not in types:
            return InputState.OTHER_TYPE, self._wrong_type_text(types)
        if all(map(self._is_incompatible, publishers)):
            return InputState.INCOMPATIBLE, self._incompatible_text()
        return InputState.NOTHING_ARRIVES, (
            f'{self.name} has a publisher, but no image has arrived for {quiet_s:.0f} s: the '
            'camera stands still, or its images are too large for the transport; see '
            f"'ros2 topic hz {self.name}' and docs/large_images.md")

    def _wrong_type_text(self, types):
        camera, _, last = self.name.rpartition('/')
        remedy = "remap 'image' to the topic of the camera"
        for choice in INPUT_TOPICS:
            if choice.type in types and choice.topic == f'<image>/{last}':
                remedy = f"remap 'image' to {camera}, and start with image_transport:=" \
                    f'{choice.transport}'
                break
            if choice.type in types and choice.type != _COMPRESSED:
                remedy = f'start with image_transport:={choice.transport}'
        return (f'{self.name} has {" and ".join(sorted(types))}, but image_transport '
                f'{self._chosen.transport} takes {self._chosen.type}: {remedy}')

    def _subscribe(self, choice):
        package, _, name = choice.type.split('/')
        message_class = getattr(import_module(f'{package}.msg'), name)
        if self._chosen is not None:
            self.close()
            self._on_new()
        depth = _VIDEO_DEPTH if choice.transport == 'video' else _DEPTH
        self._subscription = self._node.create_subscription(
            *(message_class, self._name_of(choice)), self._on_message,
            QoSProfile(depth=depth, reliability=self._reliability),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._warn_incompatible))
        self._chosen = choice

    def _name_of(self, choice):
        if choice.topic == 'image':
            return choice.topic
        return choice.topic.replace('<image>', self._node.resolve_topic_name('image'))

    def _publishers(self, choice):
        return self._node.get_publishers_info_by_topic(self._name_of(choice))

    def _is_published(self, choice):
        return any(info.topic_type == choice.type for info in self._publishers(choice))

    def _is_incompatible(self, publisher):
        return (self._reliability is ReliabilityPolicy.RELIABLE
                and publisher.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT)

    def _warn_incompatible(self, event):
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY:
            self._node.get_logger().warning(self._incompatible_text())
        else:
            self._node.get_logger().warning(
                f'a publisher on {self.name} is not heard: it offers less than is asked for in '
                f'{QoSPolicyKind(event.last_policy_kind).name}')

    def _incompatible_text(self):
        return (f'a publisher on {self.name} is not heard: it publishes best effort, and '
                'image_reliability asks for reliable; start with image_reliability:=best_effort')

    def _no_publisher_text(self):
        types = {choice.type for choice in self._choices}
        if len(self._choices) == 1:
            what = f'{self._choices[0].type.rpartition("/")[2]} on {self.name}'
        else:
            image = self._node.resolve_topic_name('image')
            what = f'coded video on {image} or {image}/ffmpeg'
        text = f"nobody publishes {what}: start the camera, or remap 'image' to its topic"
        others = camera_topics(self._node, types)
        if others:
            text += f'; there is {", ".join(others[:MAX_TOPICS_NAMED])}'
        return text
