"""
The narration as a bag of its own, narration.mcap: records in, the topics of the live node out.

At the original times, optionally with the images, for Foxglove, `ros2 bag play` and any other
program that reads bags. Knows no models. Called when a run ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import heapq
import json
from pathlib import Path
import shutil

from moss_ros.bag.reading import Source, STRING_TYPE, TYPESTORE
from rosbags.interfaces import (
    Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

BOOL_TYPE = 'std_msgs/msg/Bool'
# The topics of a live node of the name narrator.
TYPE_BY_TOPIC = {
    '/narrator/tokens': STRING_TYPE,
    '/narrator/silence': BOOL_TYPE,
    '/narrator/narration': STRING_TYPE,
    '/narrator/events': STRING_TYPE,
}
_EVENT_KEYS = ('seq', 'type', 'stamp_ns', 'first_stamp_ns', 'text', 'narration_id', 'prompt_id',
               'standing_prompt_id', 'state', 'reason', 'num_tokens')
_EVENTS_SCHEMA = 1
_FORMAT_VERSION = 8  # which every distribution since Iron reads

_String, _Bool = TYPESTORE.types[STRING_TYPE], TYPESTORE.types[BOOL_TYPE]


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
            topic: writer.add_connection(topic, message_type, typestore=TYPESTORE,
                                         offered_qos_profiles=[_qos(topic)])
            for topic, message_type in TYPE_BY_TOPIC.items()}
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


def event_json(record: dict) -> str:
    """Return a record as the live node has it on ~/events."""
    event = {'schema': _EVENTS_SCHEMA, **{key: record[key] for key in _EVENT_KEYS}}
    if record['type'] != 'state':
        event['state'] = None
    return json.dumps({**event, 'latency_ms': None}, ensure_ascii=False)


def _messages(records) -> Iterator[tuple[int, str, memoryview]]:
    """Yield (time in ns, topic, serialised message) of all topics, in order."""
    for record in records:
        time_ns = record['bag_time_ns']
        if record['type'] == 'token':
            yield time_ns, '/narrator/tokens', _string(record['text'])
        elif record['type'] == 'state':
            is_silent = record['state'] == 'silent'
            yield time_ns, '/narrator/silence', TYPESTORE.serialize_cdr(
                _Bool(data=is_silent), BOOL_TYPE, little_endian=True)
        elif record['type'] == 'narration' and record['text']:
            yield time_ns, '/narrator/narration', _string(record['text'].strip())
        yield time_ns, '/narrator/events', _string(event_json(record))


def _string(text):
    return TYPESTORE.serialize_cdr(_String(data=text), STRING_TYPE, little_endian=True)


def _qos(topic):
    """Return what the live node offers on a topic."""
    is_latched = topic == '/narrator/silence'
    unlimited = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST, 1 if is_latched else 100, QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if is_latched else QosDurability.VOLATILE,
        unlimited, unlimited, QosLiveliness.AUTOMATIC, unlimited,
        avoid_ros_namespace_conventions=False)
