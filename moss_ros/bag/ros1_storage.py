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
Reads ROS 1 bags (format 2.0): their index and records by rosbags, each chunk once.

A chunk that is damaged is passed over, as far as that can be told: it has no checksum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from io import BytesIO
from itertools import groupby
import os
from pathlib import Path
import struct

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.storage import absolute, Channel, merged_by_time, Recorded, ros_type
import numpy as np
from rosbags.rosbag1 import Reader, ReaderError
from rosbags.rosbag1.reader import Header, read_bytes, read_uint32, RecordType

MAGIC = b'#ROSBAG V'


class Ros1Storage:
    """An open ROS 1 bag, as Storage has it."""

    def __init__(self, path: Path):
        """Open the file; BagError with the way out where it cannot be read."""
        self.broken = self.damage = ''
        self._reader = Reader(path)
        try:
            self._reader.open()
        except Exception as error:  # of its own, or of bytes that are none of a bag
            raise BagError(path, _reason(path, error)) from error
        self._connections = {item.id: item for item in self._reader.connections}
        self.channels = [
            Channel(absolute(item.topic), ros_type(item.msgtype), 'ros1', item.msgcount, item.id)
            for item in self._connections.values()]

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._reader.bio is not None:
            self._reader.close()

    def times_ns(self, ids: Collection[int]) -> np.ndarray:
        """Return the bag times i64 of these channels' messages, in the order of the file."""
        return np.array([entry.time for _, entries in self._chunks(ids) for entry in entries],
                        np.int64)

    def messages(self, ids: Collection[int], start_ns: int = 0,
                 in_file_order: bool = False) -> Iterator[Recorded]:
        """Yield the messages of these channels from start_ns on, as Storage has it."""
        blocks = []
        for position, found in self._chunks(ids):
            entries = [entry for entry in found if entry.time >= start_ns]
            if entries:
                blocks.append((min(entry.time for entry in entries),
                               partial(self._messages_in, position, entries, frozenset(ids))))
        if in_file_order:
            for _, load in blocks:
                yield from load()
        else:
            yield from merged_by_time(blocks)

    def _chunks(self, ids):
        """Yield (where a chunk begins, entries of messages in it), in the order of the file."""
        entries = [entry for item in ids for entry in self._reader.indexes[item]]
        entries.sort(key=lambda entry: (entry.chunk_pos, entry.offset))
        return ((position, list(found)) for position, found in groupby(
            entries, key=lambda entry: entry.chunk_pos))

    def _messages_in(self, position, entries, ids):
        chunk = self._reader.chunks[position]
        self._reader.bio.seek(chunk.datapos)
        try:
            content = BytesIO(chunk.decompressor(self._reader.bio.read(chunk.datasize)))
        except Exception as error:  # each way of compression has errors of its own
            self._pass_over(position, f'cannot be decompressed ({error})')
            return
        for entry in entries:
            try:
                message = _message_at(content, entry)
                if message[0] not in ids:
                    raise ReaderError(f'a message of connection {message[0]} is there')
            except (ReaderError, ValueError) as error:
                self._pass_over(position, f'is damaged at byte {entry.offset} of it ({error})')
            else:
                yield message

    def _pass_over(self, position, problem):
        self.damage = self.damage or f'its chunk at byte {position} {problem}'


def _message_at(content, entry) -> Recorded:
    content.seek(entry.offset)
    header = Header.read(content)
    while header.get_uint8('op') == RecordType.CONNECTION:
        content.seek(read_uint32(content), os.SEEK_CUR)
        header = Header.read(content)
    if header.get_uint8('op') != RecordType.MSGDATA:
        raise ReaderError('no message is there')
    size = read_uint32(content)
    return header.get_uint32('conn'), entry.time, read_bytes(content, size)


def _reason(path, error):
    text = ' '.join(str(error).split()) or type(error).__name__
    with path.open('rb') as file:
        version = file.readline(16).strip().removeprefix(MAGIC).decode('ascii', 'replace')
    if 'version' in text and version != '2.0':
        return (f"is a ROS 1 bag of the old format {version}: 'rosbag fix' of ROS 1 makes one of "
                'format 2.0 of it')
    if isinstance(error, struct.error) or 'index' in text or 'Header' in text \
            or isinstance(error, (AssertionError, IndexError)):
        return ('is a ROS 1 bag without a whole index: it was never closed, or was cut off; '
                "'rosbag reindex' of ROS 1 (also in the container ros:noetic) makes it readable")
    return f'is a ROS 1 bag that cannot be read: {text}'
