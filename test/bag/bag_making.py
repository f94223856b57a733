"""Makes bags for tests: of rendered scenes with known truth, and of any messages."""

from dataclasses import dataclass
from pathlib import Path

import cv2
from moss_ros.training.scenes import Scene, SceneEvent, SceneRenderer
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

TYPESTORE = get_typestore(Stores.ROS2_HUMBLE)
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
