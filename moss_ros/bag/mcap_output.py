"""
The narration as a bag of its own, narration.mcap: records in, the topics of the live node out.

At the original times, optionally with the images, for Foxglove, `ros2 bag play` and any other
program that reads bags. Knows no models. Called when a run ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import heapq
from pathlib import Path
import shutil

from moss_ros.bag.reading import Source, TYPESTORE
from moss_ros.records import OUTPUT_TOPICS
from rosbags.interfaces import (
    Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

# The topics of a live node of the name narrator.
_TOPIC_BY_NAME = {f'/narrator/{topic.name}': topic for topic in OUTPUT_TOPICS}
_FORMAT_VERSION = 8  # which every distribution since Iron reads


def write_mcap(path: Path, records: Iterable[dict], images_of: Source | None = None) -> None:
    """
    Write what the live node would have published, and the images of a source with a topic, if any.

    Raises OSError where path can't be written, BagError where the source can't be read.
    """
    # The writer makes a folder with one storage file, which is all that is wanted of it.
    folder = path.parent / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    with Writer(folder, version=_FORMAT_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            name: writer.add_connection(name, topic.message_type, typestore=TYPESTORE,
                                        offered_qos_profiles=[_qos(topic)])
            for name, topic in _TOPIC_BY_NAME.items()}
        streams = [_messages(records)]
        if images_of is not None:
            topic = images_of.info.image_topic
            connections[topic] = writer.add_connection(
                topic, images_of.info.image_type, typestore=TYPESTORE)
            streams.append((item.bag_time_ns, topic, item.content)
                           for item in images_of.messages() if not item.is_prompt)
        for time_ns, topic, content in heapq.merge(*streams, key=lambda item: item[0]):
            writer.write(connections[topic], time_ns, content)
    (folder / path.name).replace(path)
    shutil.rmtree(folder)


def _messages(records) -> Iterator[tuple[int, str, memoryview]]:
    """Yield (time in ns, topic, serialised message) of all topics, in order."""
    for record in records:
        for name, topic in _TOPIC_BY_NAME.items():
            data = topic.data_of(record)
            if data is not None:
                message = TYPESTORE.types[topic.message_type](data=data)
                yield record['bag_time_ns'], name, TYPESTORE.serialize_cdr(
                    message, topic.message_type, little_endian=True)


def _qos(topic):
    """Return what the live node offers on a topic."""
    unlimited = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST, topic.depth, QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if topic.is_latched else QosDurability.VOLATILE,
        unlimited, unlimited, QosLiveliness.AUTOMATIC, unlimited,
        avoid_ros_namespace_conventions=False)
