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
One narrator as the desk follows it: its topics in, prompts and calls of its services out.

Whatever it publishes is handed to the desk's server. How its prompt and its image topics are
called is read from the graph, so that a remapped narrator needs no parameters. Made by the desk,
on the executor's thread, as is everything here called.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import time

from moss_ros.desk import DeskServer
from moss_ros.desk.memory import DeskMemory
from moss_ros.nodes.desk_pictures import PictureMaker
from moss_ros.nodes.prompt_listeners import PROMPT_QOS, reaches_narrator
from moss_ros.records import OUTPUT_TOPICS, read_event
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

STRING, RAW, COMPRESSED = (
    'std_msgs/msg/String', 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
# A little longer than the narrator itself waits until a request has taken effect.
ANSWER_TIMEOUT_S = 12.0
LISTEN_TIMEOUT_S = 3.0
Answer = Callable[[bool, str], None]
_SERVICE_TYPES = {'interrupt': Trigger, 'reset': Trigger, 'pause': SetBool}
_REQUESTS = {
    'interrupt': ('interrupt', Trigger.Request()), 'reset': ('reset', Trigger.Request()),
    'pause': ('pause', SetBool.Request(data=True)),
    'resume': ('pause', SetBool.Request(data=False))}


def find_narrators(node: Node) -> set[str]:
    """Return the names of nodes that publish all the topics of a narrator, such as '/narrator'."""
    types_by_topic = dict(node.get_topic_names_and_types())
    found = set()
    for topic in types_by_topic:
        name, _, last = topic.rpartition('/')
        if last == 'events' and name and all(
                output.message_type in types_by_topic.get(f'{name}/{output.name}', ())
                for output in OUTPUT_TOPICS) and node.count_publishers(topic):
            found.add(name)
    return found


class NarratorFeed:
    """Follows a narrator over its life, also when it ends and comes back."""

    def __init__(self, node: Node, narrator: str, server: DeskServer, pictures: PictureMaker,
                 has_thumbnails: bool):
        """narrator: its full name. has_thumbnails: subscribe to its camera all the time."""
        self._node, self._name, self._server, self._pictures = node, narrator, server, pictures
        self._has_thumbnails = has_thumbnails
        self._namespace, _, self._node_name = narrator.rpartition('/')
        self._prompt_publisher = None
        self._overlay = (f'{narrator}/overlay/compressed', CompressedImage)
        self._picture_topics: dict[str, tuple[str, type] | None] = {
            'camera': None, 'overlay': self._overlay}
        self._picture_subscriptions: dict[str, tuple[tuple[str, type], object]] = {}
        self._truth_subscriptions: dict[str, object] = {}
        self._waiting: list[tuple[float, Callable[[], bool], Callable[[], None]]] = []
        server.take(DeskMemory.take_presence, narrator, True, time.monotonic())
        node.create_subscription(
            String, f'{narrator}/events', self._on_event, QoSProfile(depth=1000))
        node.create_subscription(
            Bool, f'{narrator}/silence', self._on_silence,
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._clients = {
            service: node.create_client(service_type, f'{narrator}/{service}')
            for service, service_type in _SERVICE_TYPES.items()}

    def look(self, is_there: bool) -> None:
        """See to what is due; is_there: whether the narrator publishes."""
        if is_there:
            self._find_topics()
        now_s = time.monotonic()
        waiting, self._waiting = self._waiting, []
        for end_s, is_done, give_up in waiting:
            if is_done():
                continue
            if now_s > end_s:
                give_up()
            else:
                self._waiting.append((end_s, is_done, give_up))

    def watch(self, sources: set[str]) -> None:
        """Subscribe to the pictures of these sources, and to no others."""
        # Not for the overlay: it is painted only while somebody subscribes.
        if self._has_thumbnails and self._picture_topics['camera'] != self._overlay:
            sources = sources | {'camera'}
        for source, topic in self._picture_topics.items():
            has = self._picture_subscriptions.get(source)
            wanted = topic if source in sources else None
            if has is not None and has[0] != wanted:
                self._node.destroy_subscription(self._picture_subscriptions.pop(source)[1])
                has = None
            if has is None and wanted is not None:
                self._picture_subscriptions[source] = (wanted, self._subscribe(source, *wanted))

    def ask(self, text: str, answer: Answer) -> None:
        """Publish a question as soon as the narrator listens."""
        def is_asked():
            publisher = self._prompt_publisher
            if publisher is None or not reaches_narrator(
                    self._node, publisher, f'{self._name}/events'):
                return False
            publisher.publish(String(data=text))
            answer(True, '')
            return True

        if not is_asked():
            self._waiting.append((
                time.monotonic() + LISTEN_TIMEOUT_S, is_asked, lambda: answer(
                    False, 'The narrator does not listen for questions: it is not active.')))

    def call(self, service: str, answer: Answer) -> None:
        """Call a service: interrupt, reset, pause or resume."""
        name, request = _REQUESTS[service]
        client = self._clients[name]
        if not client.service_is_ready():
            answer(False, f'The narrator does not offer {client.srv_name}: it is gone.')
            return
        future = client.call_async(request)

        def give_up():
            client.remove_pending_request(future)
            answer(False, f'{client.srv_name} has not answered within {ANSWER_TIMEOUT_S:g} s.')

        future.add_done_callback(lambda done: self._pass_on(service, done, answer))
        self._waiting.append((time.monotonic() + ANSWER_TIMEOUT_S, future.done, give_up))

    def _pass_on(self, service, future, answer):
        if future.cancelled() or future.exception() is not None:
            return
        response = future.result()
        if response.success and service in ('pause', 'resume'):
            self._server.take(
                DeskMemory.take_pause, self._name, service == 'pause', time.monotonic())
        answer(response.success, response.message)

    def _subscribe(self, source, picture, message_type):
        def take(data):
            self._pictures.add(self._name, source, message_type, data)

        qos = QoSProfile(depth=1, reliability=qos_profile_sensor_data.reliability)
        # Not unpacked here: only a few of them are shown, on another thread.
        if message_type is CompressedImage:
            return self._node.create_subscription(
                CompressedImage, picture, take, qos, raw=True)
        return self._node.create_subscription(Image, picture, take, qos, raw=True)

    def _find_topics(self):
        try:
            subscribed = self._node.get_subscriber_names_and_types_by_node(
                self._node_name, self._namespace or '/')
        except NodeNameNonExistentError:
            return  # its topics were heard of earlier than itself
        prompts = [topic for topic, types in subscribed if STRING in types]
        # Nothing while it is inactive; the names stay.
        prompts.sort(key=lambda topic: not topic.endswith('/prompt'))
        if prompts:
            self._publish_on(prompts[0])
            # Of a camera that sends video or packed depth, the overlay is shown.
            self._picture_topics['camera'] = self._overlay
        types_by_topic = dict(self._node.get_topic_names_and_types())
        for topic, types in subscribed:
            if COMPRESSED in types and topic.endswith('/compressed'):
                self._picture_topics['camera'] = (topic, CompressedImage)
            elif RAW in types:
                # A camera that also sends JPEG costs the network less.
                is_packed = COMPRESSED in types_by_topic.get(f'{topic}/compressed', ()) \
                    and self._node.count_publishers(f'{topic}/compressed')
                self._picture_topics['camera'] = (
                    (f'{topic}/compressed', CompressedImage) if is_packed else (topic, Image))
        for truth, types in types_by_topic.items():
            # That of a camera in the same namespace.
            namespace, _, last = truth.rpartition('/')
            if STRING in types and last == 'truth' and truth not in self._truth_subscriptions \
                    and namespace.rpartition('/')[0] == self._namespace:
                self._truth_subscriptions[truth] = self._node.create_subscription(
                    String, truth, self._on_truth, QoSProfile(depth=100))

    def _publish_on(self, prompt):
        publisher = self._prompt_publisher
        if publisher is not None and publisher.topic_name == prompt:
            return
        if publisher is not None:
            self._node.destroy_publisher(publisher)
        self._prompt_publisher = self._node.create_publisher(String, prompt, PROMPT_QOS)

    def _on_event(self, message):
        try:
            record = read_event(message.data)
        except ValueError as error:
            self._node.get_logger().warning(f'{self._name}/events: {error}', once=True)
            return
        self._server.take(
            DeskMemory.take_record, self._name, record, time.monotonic(), _now_ms())

    def _on_silence(self, message):
        self._server.take(
            DeskMemory.take_silence, self._name, message.data, time.monotonic())

    def _on_truth(self, message):
        try:
            truth = json.loads(message.data)
            sentence, stamp_ns = str(truth['sentence']), int(truth['stamp_ns'])
        except (ValueError, KeyError, TypeError) as error:
            self._node.get_logger().warning(f'a record of the truth: {error!r}', once=True)
            return
        self._server.take(DeskMemory.take_truth, self._name, sentence, stamp_ns, _now_ms())


def _now_ms():
    return time.time_ns() // 1_000_000
