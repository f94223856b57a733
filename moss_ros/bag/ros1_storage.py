"""Reads ROS 1 bags (format 2.0) by rosbags."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
import struct

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.storage import absolute, Channel, Recorded, ros_type
import numpy as np
from rosbags.rosbag1 import Reader, ReaderError

MAGIC = b'#ROSBAG V'


class Ros1Storage:
    """An open ROS 1 bag, as Storage has it; its messages come ordered by time always."""

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
        entries = [entry for item in ids for entry in self._reader.indexes[item]]
        entries.sort(key=lambda entry: (entry.chunk_pos, entry.offset))
        return np.array([entry.time for entry in entries], np.int64)

    def messages(self, ids: Collection[int], start_ns: int = 0,
                 in_file_order: bool = False) -> Iterator[Recorded]:
        """Yield the messages of these channels from start_ns on, as Storage has it."""
        connections = [self._connections[item] for item in ids]
        found = self._reader.messages(connections, start=start_ns)
        while True:
            try:
                connection, time_ns, content = next(found)
            except StopIteration:
                return
            except Exception as error:  # whatever comes of bytes that are no records
                raise ReaderError(f'a chunk of it is damaged ({error or type(error).__name__}), '
                                  'and what follows cannot be read') from error
            yield connection.id, time_ns, content


def _reason(path, error):
    text = ' '.join(str(error).split()) or type(error).__name__
    with path.open('rb') as file:
        version = file.readline(16).strip().removeprefix(MAGIC).decode('ascii', 'replace')
    if 'version' in text and version != '2.0':
        return (f"is a ROS 1 bag of the old format {version}: 'rosbag fix' of ROS 1 makes one of "
                'format 2.0 of it')
    if isinstance(error, struct.error) or 'index' in text or 'Header' in text \
            or isinstance(error, (AssertionError, IndexError)):
        return ("is a ROS 1 bag without a whole index: it was never closed, or was cut off; "
                "'rosbag reindex' of ROS 1 (also in the container ros:noetic) makes it readable")
    return f'is a ROS 1 bag that cannot be read: {text}'
