"""
A rosbag2 recording as a source: a folder or a storage file in, its images and prompts out.

Finds the topics, reads serialised messages by rosbags and unpacks those that are wanted. Opened by
reading.py; one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
import struct

from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.bag.ros_types import COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE, TYPESTORE
from moss_ros.bag.source import (
    BadPromptError, files_of, Message, ReadPosition, Source, SourceInfo,
)
from moss_ros.images import BadImageError, compressed_to_rgb, image_to_rgb
import numpy as np
from rosbags.rosbag2 import Reader

BAG_SUFFIXES = ('.mcap', '.db3')
_REMEDIES = (
    ('end magic', "it is truncated or was never closed: 'mcap recover' saves what is in it"),
    ('Truncated', "it is truncated: 'mcap recover' saves what is in it"),
    ('malformed', "it is damaged: sqlite3's command .recover saves what is in it"),
    ('seems to be empty', 'the file has no bytes'),
)


class BagSource(Source):
    """A rosbag2 recording: a folder with metadata.yaml, or a single .mcap or .db3 file."""

    def __init__(self, path: Path, image_topic: str, prompt_topic: str):
        """Open it and find the topics; BagError where either cannot be."""
        self._path = path
        _require_index(path)
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # each of its storages has errors of its own
            raise BagError(path, f'is not a bag that can be read: {_reason(error)}') from error
        try:
            self._find_topics(image_topic, prompt_topic)
        except BaseException:
            self._reader.close()
            raise

    def close(self) -> None:
        """Close the files; may be called twice."""
        if self._reader.is_open:
            self._reader.close()

    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield images and prompts as they were recorded; BagError where the bag breaks off.

        A bag in one file is read from the position on, by its index. One in several files, whose
        times may overlap, is read from the start again.
        """
        start_ns, num_read = position.bag_time_ns, position.num_at_time
        if len(getattr(self._reader.storage, 'storages', ())) > 1:
            start_ns, num_read = 0, position.num_messages
        try:
            found = self._reader.messages(self._connections, start=start_ns)
            for connection, time_ns, content in islice(found, num_read, None):
                yield Message(time_ns, connection.topic == self.info.prompt_topic, content,
                              connection.msgtype)
        except Exception as error:
            raise BagError(self._path, f'breaks off: {_reason(error)}',
                           ExitCode.INCOMPLETE) from error

    def stamp_ns(self, message: Message) -> int:
        """Return the header stamp, the bag's time where it is zero; BadImageError if none."""
        content = message.content
        # Both kinds of image begin with their header, and a header with its stamp, so that
        # images which nobody wants need not be unpacked.
        if len(content) < 12 or content[0] != 0 or content[1] > 1:
            raise BadImageError('bad_message', f'{len(content)} bytes are no {message.type}')
        seconds, nanoseconds = struct.unpack_from('<iI' if content[1] else '>iI', content, 4)
        return seconds * 1_000_000_000 + nanoseconds or message.bag_time_ns

    def picture(self, message: Message) -> np.ndarray:
        """Return the image u8 [H, W, 3] RGB; BadImageError where it is none."""
        image = _unpacked(message, BadImageError)
        if message.type == COMPRESSED_TYPE:
            return compressed_to_rgb(image.format, image.data)
        return image_to_rgb(image.encoding, image.height, image.width, image.step,
                            bool(image.is_bigendian), image.data)

    def _find_topics(self, image_topic, prompt_topic):
        connections = self._reader.connections
        if not self._reader.message_count:
            raise BagError(self._path, 'holds no messages')
        image = self._image_topic(image_topic)
        wanted = [_absolute(image)]
        if prompt_topic:
            prompt_topic = self._prompt_topic(_absolute(prompt_topic))
            wanted.append(prompt_topic)
        self._connections = [item for item in connections if item.topic in wanted]
        images = [item for item in self._connections if item.topic == wanted[0]]
        self.info = SourceInfo(
            'rosbag2', self._path.resolve().name, files_of(self._path), self._reader.start_time,
            self._reader.end_time - 1, wanted[0], images[0].msgtype,
            sum(item.msgcount for item in images), prompt_topic)

    def _image_topic(self, wanted):
        images = {item.topic: item for item in self._reader.connections
                  if item.msgtype in (IMAGE_TYPE, COMPRESSED_TYPE)}
        choices = ', '.join(f'{topic} ({_short(item.msgtype)}, {item.msgcount})'
                            for topic, item in sorted(images.items())) or 'none'
        if wanted:
            return self._require_topic(_absolute(wanted), images, 'an image', choices)
        filled = [topic for topic, item in images.items() if item.msgcount]
        if len(filled) == 1:
            return filled[0]
        if not filled:
            raise BagError(self._path, f'has no images; its topics are {self._topics()}')
        raise BagError(self._path, f'has several image topics: {choices}; choose one by '
                       '--image-topic')

    def _prompt_topic(self, wanted):
        strings = {item.topic: item for item in self._reader.connections
                   if item.msgtype == STRING_TYPE}
        choices = ', '.join(sorted(strings)) or 'none'
        return self._require_topic(wanted, strings, 'a std_msgs/String', choices)

    def _require_topic(self, wanted, found, kind, choices):
        if wanted in found:
            if found[wanted].msgcount or kind != 'an image':
                return wanted
            raise BagError(self._path, f'topic {wanted} holds no messages')
        others = [item for item in self._reader.connections if item.topic == wanted]
        if others:
            raise BagError(self._path, f'topic {wanted} is {_short(others[0].msgtype)}, not '
                           f'{kind}; to choose from: {choices}')
        raise BagError(self._path, f'has no topic {wanted}; to choose from: {choices}')

    def _topics(self):
        return ', '.join(sorted(
            f'{item.topic} ({_short(item.msgtype)})' for item in self._reader.connections))


def prompt_text(message: Message) -> str:
    """Return the text of a recorded prompt; BadPromptError where it is no String, or empty."""
    text = _unpacked(message, BadPromptError).data
    if not text.strip():
        raise BadPromptError('empty_prompt', 'a prompt is empty')
    return text


def _unpacked(message, error_type):
    try:
        return TYPESTORE.deserialize_cdr(message.content, message.type)
    except Exception as error:  # not only its own for bytes that are no message at all
        raise error_type('bad_message', f'it is no {message.type}: {error}') from error


def _require_index(path):
    if not path.is_dir() or (path / 'metadata.yaml').exists():
        return
    files = sorted(file.name for file in path.iterdir() if file.suffix in BAG_SUFFIXES)
    if not files:
        raise BagError(path, 'is a folder with no bag in it (no metadata.yaml, .mcap or .db3)')
    raise BagError(path, f"has no index (metadata.yaml): run 'ros2 bag reindex' on it, or name "
                   f'the file in it, {files[0]}')


def _reason(error):
    text = ' '.join(str(error).split()) or type(error).__name__
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in text), None)
    return remedy or f'{text} ({type(error).__name__})'


def _absolute(topic):
    return topic if topic.startswith('/') else f'/{topic}'


def _short(message_type):
    return message_type.replace('/msg/', '/')
