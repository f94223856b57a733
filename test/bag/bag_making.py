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

"""Makes bags for tests: of rendered scenes with known truth, and of any messages."""

from dataclasses import dataclass
from pathlib import Path

import cv2
from mcap.writer import Writer as McapWriter
from moss_ros.training.scenes import Scene, SceneEvent, SceneRenderer
import numpy as np
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

TYPESTORE = get_typestore(Stores.ROS2_HUMBLE)
ROS1_TYPESTORE = get_typestore(Stores.ROS1_NOETIC)
IMAGE_TOPIC, PROMPT_TOPIC = '/camera/image_raw', '/prompt'
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
STRING = 'std_msgs/msg/String'
START_NS = 1_700_000_000_000_000_000
SIZE_PX = (160, 120)
CAMERA_FPS = 10


@dataclass(frozen=True)
class SceneBag:
    """A bag of a scene; its truth are the events, in seconds since the bag began."""

    path: Path
    events: tuple[SceneEvent, ...]
    duration_s: float


def stamp(time_ns):
    return TYPESTORE.types['builtin_interfaces/msg/Time'](
        sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def header(time_ns):
    return TYPESTORE.types['std_msgs/msg/Header'](stamp=stamp(time_ns), frame_id='camera')


def image_message(picture, time_ns):
    """Return a serialised sensor_msgs/Image of rgb8."""
    height, width, _ = picture.shape
    return TYPESTORE.serialize_cdr(TYPESTORE.types[IMAGE](
        header=header(time_ns), height=height, width=width, encoding='rgb8', is_bigendian=0,
        step=3 * width, data=picture.reshape(-1)), IMAGE)


def compressed_message(picture, time_ns):
    """Return a serialised sensor_msgs/CompressedImage of JPEG."""
    _, data = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return compressed_data(data.tobytes(), time_ns)


def compressed_data(data, time_ns, format_text='jpeg'):
    """Return a serialised sensor_msgs/CompressedImage of any bytes."""
    return TYPESTORE.serialize_cdr(TYPESTORE.types[COMPRESSED](
        header=header(time_ns), format=format_text, data=np.frombuffer(data, np.uint8)),
        COMPRESSED)


def string_message(text):
    return TYPESTORE.serialize_cdr(TYPESTORE.types[STRING](data=text), STRING)


def write_bag(path, messages, storage='mcap', compression=''):
    """
    Write a bag folder of (topic, type, time in ns, serialised message).

    compression: '', or one of file, message and storage, by zstd.
    """
    writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, message_type, time_ns, content in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, message_type, typestore=TYPESTORE)
            writer.write(connections[topic], time_ns, content)
    return path


def scene_messages(seed, duration_s, is_compressed=False, topic=IMAGE_TOPIC):
    """Yield what a 10 Hz camera on Scene(seed) publishes; it is recorded 5 ms later."""
    renderer = SceneRenderer(Scene(seed), *SIZE_PX)
    make = compressed_message if is_compressed else image_message
    for index in range(round(duration_s * CAMERA_FPS)):
        picture = renderer.render(index / CAMERA_FPS)
        stamp_ns = START_NS + index * 10**9 // CAMERA_FPS
        yield (topic, COMPRESSED if is_compressed else IMAGE, stamp_ns + 5_000_000,
               make(picture, stamp_ns))


def with_prompts(messages, *prompts):
    """Yield messages in order of time, with (seconds, text) prompts among them."""
    strings = [(PROMPT_TOPIC, STRING, START_NS + round(time_s * 1e9), string_message(text))
               for time_s, text in prompts]
    yield from sorted([*messages, *strings], key=lambda message: message[2])


def make_scene_bag(path, seed, duration_s, *prompts, **options):
    """Write the bag of a scene and return it with its truth."""
    is_compressed = options.pop('is_compressed', False)
    write_bag(path, with_prompts(
        scene_messages(seed, duration_s, is_compressed), *prompts), **options)
    events = tuple(Scene(seed).events_between(0.0, duration_s))
    return SceneBag(path, events, duration_s)


def write_ros1_bag(path, messages, compression=None, convert=None):
    """
    Write a ROS 1 bag of what write_bag takes; messages of one topic may come from several.

    convert: makes the bytes of a message and its type those of ROS 1; None: ros1_message().
    """
    convert = convert or ros1_message
    writer = Ros1Writer(path)
    if compression:
        writer.set_compression(Ros1Writer.CompressionFormat[compression.upper()])
    with writer:
        connections = {}
        for topic, message_type, time_ns, content in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, message_type, typestore=ROS1_TYPESTORE)
            writer.write(connections[topic], time_ns, convert(content, message_type))
    return path


def ros1_message(content, message_type):
    """Return a message as ROS 1 serialises it."""
    return TYPESTORE.cdr_to_ros1(content, message_type)


@dataclass(frozen=True)
class McapChannel:
    """A channel of an MCAP: its messages are (time in ns, content)."""

    topic: str
    messages: tuple
    type: str = COMPRESSED
    encoding: str = 'cdr'
    schema_encoding: str = 'ros2msg'
    schema: bytes = b''


def write_mcap_file(path, channels, profile='ros2', **options):
    """Write channels of any encoding into an MCAP file, their messages in order of time."""
    with path.open('wb') as file:
        writer = McapWriter(file, **options)
        writer.start(profile=profile, library='')
        messages = []
        for channel in channels:
            schema = writer.register_schema(
                channel.type, channel.schema_encoding, channel.schema) if channel.type else 0
            number = writer.register_channel(channel.topic, channel.encoding, schema)
            messages += [(time_ns, number, content) for time_ns, content in channel.messages]
        for time_ns, number, content in sorted(messages, key=lambda message: message[0]):
            writer.add_message(number, time_ns, bytes(content), time_ns)
        writer.finish()
    return path


def small_images(number, start_ns=START_NS, step_ns=10**8, topic=IMAGE_TOPIC, is_compressed=True,
                 stamp_of=lambda time_ns: time_ns):
    """Return messages for write_bag of small images of random colours, seeded."""
    generator = np.random.default_rng(number)
    make = compressed_message if is_compressed else image_message
    return [(topic, COMPRESSED if is_compressed else IMAGE, time_ns,
             make(generator.integers(0, 256, (24, 32, 3), np.uint8), stamp_of(time_ns)))
            for time_ns in range(start_ns, start_ns + number * step_ns, step_ns)]
