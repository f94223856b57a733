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
Reads MCAP files, also those that were never closed (format: https://mcap.dev/spec).

By the index at the end where it is whole; else the file is walked through once, as far as it goes.
Channels of any encoding and schemas of any kind are listed, and none is unpacked. A chunk whose
checksum is wrong is passed over. Records are parsed by the mcap library, but for chunks and
messages, which are many or large: those are views of what was read, not copies. The library's
readers would not do, nor would rosbags': they end at the first damage, and need all schemas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
import struct
import zlib

import lz4.frame
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel as ChannelRecord, ChunkIndex, Footer, Schema, Statistics
from moss_ros.bag.bag_error import BagError
from moss_ros.bag.storage import (
    absolute, Channel, MAX_TIME_NS, merged_by_time, Recorded, ros_type,
)
import numpy as np
import zstandard

MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')  # of a record: opcode, bytes that follow
_MESSAGE = struct.Struct('<HIQQ')  # of a message: channel, sequence, log and publish time
# Of a chunk: times of the first and last message, bytes and CRC unpacked, bytes of the name of the
# compression. That name and the number of bytes that follow come next.
_CHUNK = struct.Struct('<QQQII')
_SIZE = struct.Struct('<Q')
_INDEX = np.dtype([('time', '<u8'), ('offset', '<u8')])
_FOOTER_SIZE = _HEAD.size + 20
# Messages outside of chunks are read in blocks of about so many bytes.
_BLOCK_SIZE = 1 << 22
_MAX_CHUNK_SIZE = 1 << 32


class _DamagedError(Exception):
    """A chunk that cannot be used; the text says why. data: what is in it all the same."""

    def __init__(self, text: str, data: memoryview = memoryview(b'')):
        super().__init__(text)
        self.data = data


@dataclass(eq=False)
class _Block:
    """
    A chunk, or a stretch of the file with messages outside of chunks.

    - begin, size: in bytes of the file, of the whole record of a chunk.
    - start_ns, end_ns: of its messages.
    - index_offsets: by channel, where in the file the times of its messages stand; None where no
      index says so, and then ids and times_ns do, in the order of the file.
    """

    begin: int
    size: int
    is_chunk: bool
    start_ns: int = MAX_TIME_NS
    end_ns: int = 0
    index_offsets: dict[int, int] | None = None
    ids: np.ndarray | None = None
    times_ns: np.ndarray | None = None

    def holds(self, ids: Collection[int]) -> bool:
        """Return whether it may hold messages of one of these channels."""
        if self.index_offsets is not None:
            return not self.index_offsets or any(item in self.index_offsets for item in ids)
        return bool(np.isin(self.ids, list(ids)).any())


class McapStorage:
    """An open MCAP file, as Storage has it."""

    def __init__(self, path: Path):
        """Open the file; BagError where nothing was recorded in it."""
        self.channels: list[Channel] = []
        self.broken = self.damage = ''
        self._path = path
        self._blocks: list[_Block] = []
        self._schemas: dict[int, Schema] = {}
        self._records: dict[int, ChannelRecord] = {}
        self._counts: Counter[int] = Counter()
        self._file = path.open('rb')
        try:
            self._size = self._file.seek(0, 2)
            self._first = self._header_end()
            if not self._read_index():
                self._walk()
        except BaseException:
            self.close()
            raise
        self.channels = [self._channel(record) for record in self._records.values()]

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def times_ns(self, ids: Collection[int]) -> np.ndarray:
        """Return the bag times i64 of these channels' messages, in the order of the file."""
        times = [self._times_in(block, ids) for block in
                 sorted(self._blocks, key=lambda block: block.begin) if block.holds(ids)]
        return np.concatenate([np.zeros(0, np.int64), *times])

    def messages(self, ids: Collection[int], start_ns: int = 0,
                 in_file_order: bool = False) -> Iterator[Recorded]:
        """Yield the messages of these channels from start_ns on, as Storage has it."""
        blocks = [(block.start_ns, partial(self._messages_of, block, ids, start_ns))
                  for block in sorted(self._blocks, key=lambda block: block.begin)
                  if block.end_ns >= start_ns and block.holds(ids)]
        if not in_file_order:
            yield from merged_by_time(blocks)
            return
        for _, load in blocks:
            yield from load()

    def _messages_of(self, block, ids, start_ns):
        try:
            data = self._data_of(block)
        except _DamagedError as error:
            self._pass_over(block, error)
            return
        wanted = frozenset(ids)
        for opcode, begin, size in _records_in(data):
            if opcode == Opcode.MESSAGE:
                channel_id, _, time_ns, _ = _MESSAGE.unpack_from(data, begin)
                time_ns = min(time_ns, MAX_TIME_NS)
                if channel_id in wanted and time_ns >= start_ns:
                    yield channel_id, time_ns, data[begin + _MESSAGE.size:begin + size]

    def _pass_over(self, block, error):
        self.damage = self.damage or f'its chunk at byte {block.begin} {error}'

    def _data_of(self, block):
        self._file.seek(block.begin)
        data = memoryview(self._file.read(block.size))
        if not block.is_chunk:
            return data
        if len(data) < _HEAD.size or data[0] != Opcode.CHUNK:
            raise _DamagedError('is not where the index says')
        return _chunk_data(data[_HEAD.size:])

    def _times_in(self, block, ids):
        if block.index_offsets:
            try:
                return self._indexed_times(block, ids)
            except (struct.error, ValueError):
                pass  # then by the messages themselves
        if block.ids is not None:
            return block.times_ns[np.isin(block.ids, list(ids))]
        return np.array([time_ns for _, time_ns, _ in self._messages_of(block, ids, 0)], np.int64)

    def _indexed_times(self, block, ids):
        found = []
        for channel_id in ids:
            if channel_id in block.index_offsets:
                self._file.seek(block.index_offsets[channel_id])
                opcode, size = _HEAD.unpack(self._file.read(_HEAD.size))
                there, num_bytes = struct.unpack('<HI', self._file.read(6))
                if opcode != Opcode.MESSAGE_INDEX or there != channel_id \
                        or num_bytes > min(size, self._size):
                    raise ValueError(f'no index of channel {channel_id}')
                found.append(np.frombuffer(self._file.read(num_bytes), _INDEX))
        entries = np.concatenate([np.zeros(0, _INDEX), *found])
        entries = entries[np.argsort(entries['offset'], kind='stable')]
        return np.minimum(entries['time'], MAX_TIME_NS).astype(np.int64)

    def _header_end(self):
        """Return where the first record behind the header begins."""
        self._file.seek(len(MAGIC))
        data = self._file.read(_HEAD.size)
        if len(data) == _HEAD.size:
            opcode, size = _HEAD.unpack(data)
            end = self._file.tell() + size
            if opcode == Opcode.HEADER and end <= self._size:
                return end
            if opcode != Opcode.HEADER:
                raise BagError(self._path, f'is a damaged MCAP file: record {opcode} stands where '
                               'its header belongs')
        raise BagError(self._path, f'was never closed: it ends within the header of an MCAP file, '
                       f'after {self._size} bytes, and nothing was recorded')

    def _read_index(self) -> bool:
        """Take channels and chunks from the index at the end; False where it is not whole."""
        end = self._size - len(MAGIC) - _FOOTER_SIZE
        if end < self._first:
            return False
        self._file.seek(end)
        tail = self._file.read()
        opcode, size = _HEAD.unpack_from(tail)
        if not tail.endswith(MAGIC) or opcode != Opcode.FOOTER or size != 20:
            return False
        footer = Footer.read(_stream(tail[_HEAD.size:]))
        if not self._first <= footer.summary_start < end:
            return False
        self._file.seek(footer.summary_start)
        summary = self._file.read(end - footer.summary_start)
        crc = zlib.crc32(tail[:_FOOTER_SIZE - 4], zlib.crc32(summary))
        if footer.summary_crc and footer.summary_crc != crc:
            return False
        try:
            return self._take_index(summary, footer.summary_start)
        except Exception:  # records of lengths that cannot be, in any way
            return self._forget()

    def _take_index(self, summary, summary_begin) -> bool:
        statistics, spans = None, []
        for opcode, begin, size in _records_in(summary):
            record = summary[begin:begin + size]
            self._note(opcode, record)
            if opcode == Opcode.STATISTICS:
                statistics = Statistics.read(_stream(record))
            elif opcode == Opcode.CHUNK_INDEX:
                index = ChunkIndex.read(_stream(record))
                spans.append((index.chunk_start_offset, index.chunk_start_offset
                              + index.chunk_length + index.message_index_length))
                self._blocks.append(_Block(
                    index.chunk_start_offset, index.chunk_length, True,
                    min(index.message_start_time, MAX_TIME_NS),
                    min(index.message_end_time, MAX_TIME_NS), index.message_index_offsets))
        if statistics is None or not self._blocks \
                or statistics.chunk_count != len(self._blocks) \
                or statistics.channel_count != len(self._records) \
                or statistics.schema_count != len(self._schemas) \
                or any(not self._first <= block.begin <= self._size - block.size
                       for block in self._blocks) \
                or self._has_loose_messages([*sorted(spans), (summary_begin, summary_begin)]):
            return self._forget()
        self._counts.update(statistics.channel_message_counts)
        return True

    def _has_loose_messages(self, spans) -> bool:
        """Return whether there are messages outside of chunks, which no index tells of."""
        position = self._first
        for begin, end in spans:
            while position < begin:
                self._file.seek(position)
                opcode, size = _HEAD.unpack(self._file.read(_HEAD.size))
                if opcode == Opcode.MESSAGE:
                    return True
                position += _HEAD.size + size
            position = end
        return False

    def _forget(self) -> bool:
        for found in (self._blocks, self._schemas, self._records, self._counts):
            found.clear()
        return False

    def _walk(self):
        """Find channels and messages by reading the file from its start to where it ends."""
        position, is_ended = self._first, False
        while position + _HEAD.size <= self._size:
            self._file.seek(position)
            opcode, size = _HEAD.unpack(self._file.read(_HEAD.size))
            if not opcode:
                self.broken = f'is damaged at byte {position}: nothing behind it can be read'
                break
            end = position + _HEAD.size + size
            if opcode == Opcode.CHUNK:
                self._walk_chunk(position, min(end, self._size) - position)
            elif end <= self._size and opcode in (
                    Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL):
                self._walk_record(opcode, position, size)
            is_ended = is_ended or opcode == Opcode.DATA_END
            if end > self._size or opcode == Opcode.FOOTER:
                break
            position = end
        self._file.seek(-len(MAGIC), 2)
        if not self.broken and (not is_ended or self._file.read() != MAGIC):
            self.broken = ('was never closed, or was cut off: the end of an MCAP file is missing '
                           f'at byte {self._size}')
        self._finish_blocks()

    def _walk_chunk(self, begin, size):
        block = _Block(begin, size, True, index_offsets=None)
        try:
            data = self._data_of(block)
        except _DamagedError as error:
            self._pass_over(block, error)
            # Channels are named once in a file, perhaps here.
            for opcode, start, length in _records_in(error.data):
                self._note(opcode, error.data[start:start + length])
            return
        block.ids, block.times_ns = [], []
        for opcode, start, length in _records_in(data):
            self._take(block, opcode, data[start:start + length])
        self._blocks.append(block)

    def _walk_record(self, opcode, position, size):
        newest = self._blocks[-1] if self._blocks else None
        if newest is None or newest.is_chunk or newest.size >= _BLOCK_SIZE \
                or newest.begin + newest.size != position:
            newest = _Block(position, 0, False, ids=[], times_ns=[])
            self._blocks.append(newest)
        newest.size = position + _HEAD.size + size - newest.begin
        record = self._file.read(min(size, _MESSAGE.size) if opcode == Opcode.MESSAGE else size)
        self._take(newest, opcode, record)

    def _take(self, block, opcode, record):
        if opcode == Opcode.MESSAGE:
            channel_id, _, time_ns, _ = _MESSAGE.unpack_from(record)
            block.ids.append(channel_id)
            block.times_ns.append(min(time_ns, MAX_TIME_NS))
            self._counts[channel_id] += 1
        else:
            self._note(opcode, record)

    def _finish_blocks(self):
        self._blocks = [block for block in self._blocks if block.ids]
        for block in self._blocks:
            block.start_ns, block.end_ns = min(block.times_ns), max(block.times_ns)
            block.ids = np.array(block.ids, np.uint16)
            block.times_ns = np.array(block.times_ns, np.int64)

    def _note(self, opcode, record):
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(_stream(record))
                self._schemas.setdefault(schema.id, schema)
            elif opcode == Opcode.CHANNEL:
                channel = ChannelRecord.read(_stream(record))
                self._records.setdefault(channel.id, channel)
        except Exception:  # a name that is no text: whatever it is, it is none of a camera
            return

    def _channel(self, record):
        schema = self._schemas.get(record.schema_id)
        return Channel(
            absolute(record.topic), ros_type(schema.name) if schema else '',
            record.message_encoding or 'cdr', self._counts[record.id], record.id)


def _stream(data):
    return ReadDataStream(BytesIO(data))


def _records_in(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, where it begins, bytes) of the content of each record that is whole."""
    position = 0
    while position + _HEAD.size <= len(data):
        opcode, size = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        if position + size > len(data) or not opcode:
            return
        if opcode != Opcode.MESSAGE or size >= _MESSAGE.size:
            yield opcode, position, size
        position += size


def _chunk_data(record: memoryview) -> memoryview:
    """
    Return what is in the record of a chunk; of one that is cut off, what can be had.

    Raises _DamagedError.
    """
    try:
        _, _, unpacked_size, crc, name_size = _CHUNK.unpack_from(record)
        content_begin = _CHUNK.size + name_size + _SIZE.size
        compression = str(record[_CHUNK.size:_CHUNK.size + name_size], 'utf-8')
        (size,) = _SIZE.unpack_from(record, content_begin - _SIZE.size)
    except (struct.error, UnicodeDecodeError) as error:
        raise _DamagedError('is cut off or damaged in its head') from error
    content = record[content_begin:content_begin + size]
    if unpacked_size > _MAX_CHUNK_SIZE:
        raise _DamagedError(f'says that it holds {unpacked_size} bytes')
    try:
        data = memoryview(_decompressed(compression, content))
    except (zstandard.ZstdError, RuntimeError, MemoryError) as error:
        raise _DamagedError(f'cannot be decompressed ({error})') from error
    if len(content) == size:
        if len(data) != unpacked_size:
            raise _DamagedError(f'holds {len(data)} bytes, not {unpacked_size}', data)
        if crc and zlib.crc32(data) != crc:
            raise _DamagedError('fails its checksum', data)
    return data


def _decompressed(compression, data):
    """Return as much as there is."""
    if compression == 'zstd':
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if compression == 'lz4':
        return lz4.frame.LZ4FrameDecompressor().decompress(data)
    if compression:
        raise _DamagedError(f'is compressed by {compression!r}, which is not known')
    return data
