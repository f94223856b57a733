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
Reads sqlite3 files of rosbag2, of every distribution, also those that were cut off.

Only the two tables are read that all versions have: topics and messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
import sqlite3
import struct

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.storage import absolute, Channel, Recorded, ros_type
import numpy as np

MAGIC = b'SQLite format 3\0'

# The command is in the package sqlite3 of Debian and Ubuntu.
RECOVERY = "'sqlite3 OLD.db3 .recover | sqlite3 NEW.db3' saves what is in it (apt install sqlite3)"


class SqliteStorage:
    """An open sqlite3 file, as Storage has it."""

    def __init__(self, path: Path, is_copy: bool = False):
        """
        Open the file; BagError where it is no database of rosbag2.

        is_copy: with its log of changes beside it, which is taken in.
        """
        self.broken = self.damage = ''
        # Immutable: no lock and no other file is made beside a recording.
        mode = 'mode=rw' if is_copy else 'mode=ro&immutable=1'
        self._database = sqlite3.connect(
            f'{path.resolve().as_uri()}?{mode}', uri=True, check_same_thread=False)
        self._database.text_factory = lambda text: text.decode('utf-8', 'replace')
        try:
            self._open(path)
        except sqlite3.Error as error:
            self.close()
            raise BagError(path, f'is no bag that can be read ({error}): if it is damaged, '
                           f'{RECOVERY}') from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._database.close()

    def times_ns(self, ids: Collection[int]) -> np.ndarray:
        """Return the bag times i64 of these channels' messages, in the order of the file."""
        times = []
        try:
            for (time_ns,) in self._select('timestamp', ids, 0, 'id'):
                times.append(time_ns)
        except sqlite3.Error:
            pass  # told where the messages themselves are read
        return np.array(times, np.int64)

    def messages(self, ids: Collection[int], start_ns: int = 0,
                 in_file_order: bool = False) -> Iterator[Recorded]:
        """Yield the messages of these channels from start_ns on, as Storage has it."""
        # The index of times stands in other pages, which a file that was cut off may lack.
        order = 'id' if in_file_order or self.broken else 'timestamp, id'
        try:
            for channel_id, time_ns, content in self._select(
                    'topic_id, timestamp, data', ids, start_ns, order):
                yield channel_id, time_ns, content if isinstance(content, bytes) else b''
        except sqlite3.Error:
            if not self.broken:
                raise

    def _select(self, columns, ids, start_ns, order):
        places = ','.join('?' * len(ids))
        start = 'AND timestamp >= ?' if start_ns else ''
        values = [*ids, start_ns] if start_ns else [*ids]
        return self._database.execute(
            f'SELECT {columns} FROM messages WHERE topic_id IN ({places}) {start} '
            f'ORDER BY {order}', values)

    def _open(self, path):
        with path.open('rb') as file:
            header = file.read(100)
            size = file.seek(0, 2)
        if len(header) < 100:
            raise BagError(path, f'is cut off: {size} bytes are not even the head of a database')
        page_size, = struct.unpack_from('>H', header, 16)
        num_pages, = struct.unpack_from('>I', header, 28)
        expected = (65536 if page_size == 1 else page_size) * num_pages
        # As https://sqlite.org/fileformat.html has it: else the number is an old one.
        if size < expected and header[24:28] == header[92:96]:
            self.broken = f'is cut off: it ends at byte {size} of {expected}'
        tables = {name for name, in self._database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= {'messages', 'topics'}:
            raise BagError(path, 'is a database, but not of rosbag2: it has no tables topics and '
                           'messages')
        counts = self._count()
        self.channels = [
            Channel(absolute(str(topic)), ros_type(str(message_type)), str(encoding or 'cdr'),
                    counts[number], number)
            for number, topic, message_type, encoding in self._database.execute(
                'SELECT id, name, type, serialization_format FROM topics ORDER BY id')]

    def _count(self):
        counts: Counter[int] = Counter()
        if not self.broken:
            try:
                counts.update(dict(self._database.execute(
                    'SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id')))
                return counts
            except sqlite3.Error as error:
                self.broken = f'is damaged ({error})'
        counts.clear()
        try:
            for number, in self._database.execute('SELECT topic_id FROM messages ORDER BY id'):
                counts[number] += 1
        except sqlite3.Error:
            pass  # as many as can be read
        return counts
