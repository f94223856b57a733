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

"""MCAP files that were never closed, cut off or damaged are narrated as far as they go."""

from contextlib import suppress
import json
import struct

from bag_making import (
    IMAGE_TOPIC, McapChannel, scene_messages, small_images, START_NS, write_mcap_file,
)
from mcap.writer import CompressionType
from moss_ros.bag import ExitCode, narrate_bag, NarrateOptions
from moss_ros.bag.bag_error import BagError
from moss_ros.bag.command import main
from moss_ros.bag.reading import open_source
from moss_ros.bag.source import ReadPosition
from moss_ros.images import BadImageError
import numpy as np
import pytest
from runs import hashes, narrate_in_parts

NUMBER = 60
CHUNKED = {
    'zstd': {'chunk_size': 8000}, 'lz4': {'chunk_size': 8000, 'compression': CompressionType.LZ4},
    'plain': {'chunk_size': 8000, 'compression': CompressionType.NONE},
    'no chunks': {'use_chunking': False}}


def mcap_of(path, **options):
    messages = tuple((time_ns, content) for _, _, time_ns, content in small_images(NUMBER))
    return write_mcap_file(path, [
        McapChannel('/status', ((START_NS, b'{}'),), 'Status', 'json', 'jsonschema'),
        McapChannel(IMAGE_TOPIC, messages)], **options)


def read(path):
    """Return which images are read, and the error with which they end, if any."""
    found, caught = [], None
    try:
        with open_source(path) as source:
            for message in source.messages():
                found.append((source.stamp_ns(message) - START_NS) // 10**8)
                with suppress(BadImageError):
                    source.picture(message)
    except BagError as error:
        caught = error
    return found, caught


def records(data):
    """Return (where it begins, its opcode) of each record."""
    found, position = [], 8
    while position + 9 <= len(data):
        opcode, size = struct.unpack_from('<BQ', data, position)
        found.append((position, opcode))
        position += 9 + size
    return found


def chunk_starts(data):
    """Return (where each chunk begins, its bytes)."""
    return [(begin, 9 + struct.unpack_from('<Q', data, begin + 1)[0])
            for begin, opcode in records(data) if opcode == 6]


@pytest.mark.parametrize('kind', CHUNKED)
def test_an_mcap_cut_off_anywhere_gives_what_came_before(tmp_path, kind):
    whole = mcap_of(tmp_path / 'whole.mcap', **CHUNKED[kind]).read_bytes()
    assert read(tmp_path / 'whole.mcap') == (list(range(NUMBER)), None)
    generator = np.random.default_rng(5)
    cuts = [*range(8, 60), *generator.integers(60, len(whole), 60), *range(
        len(whole) - 20, len(whole))]
    newest = 0
    for cut in sorted(int(cut) for cut in cuts):
        path = tmp_path / 'cut.mcap.active'
        path.write_bytes(whole[:cut])
        found, error = read(path)
        assert found == list(range(len(found))) and len(found) >= newest
        newest = len(found)
        assert 'was never closed' in str(error) and '\n' not in str(error)
        assert error.exit_code is (ExitCode.INCOMPLETE if found else ExitCode.SOURCE)
        # All of whole chunks, and of one without compression each message that is whole.
        least = sum(end + begin <= cut for begin, end in chunk_starts(whole))
        if kind in ('plain', 'no chunks'):
            assert len(found) >= NUMBER * (cut - 3000) // len(whole)
        assert len(found) >= least
    assert newest == NUMBER


def test_a_file_that_is_still_written_to_is_told_as_never_closed(tmp_path, capsys):
    path = tmp_path / 'mission.mcap.active'
    whole = mcap_of(tmp_path / 'whole.mcap', **CHUNKED['zstd']).read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    output = tmp_path / 'out'
    assert main([str(path), '--output', str(output), '--quiet']) == ExitCode.INCOMPLETE
    told = capsys.readouterr()
    assert 'was never closed, or was cut off' in told.err and told.err.count('\n') == 1
    run = json.loads((output / 'run.json').read_text())
    assert not run['is_complete'] and 'never closed' in run['error']
    assert 20 < run['counts']['frames_read'] < NUMBER and (output / 'narration.vtt').exists()


@pytest.mark.parametrize('has_index', [True, False])
@pytest.mark.parametrize('number', [0, 2, -1])
def test_a_damaged_chunk_is_passed_over_and_told(tmp_path, number, has_index):
    path = mcap_of(tmp_path / 'bag.mcap', **CHUNKED['zstd'])
    data = bytearray(path.read_bytes())
    chunks = chunk_starts(data)
    assert len(chunks) > 4
    begin, size = chunks[number]
    data[begin + size // 2] ^= 0xff
    path.write_bytes(data if has_index else data[:-50])
    found, error = read(path)
    lost = sorted(set(range(NUMBER)) - set(found))
    assert lost == list(range(lost[0], lost[0] + len(lost))) and 2 < len(lost) < 20
    assert error.exit_code is ExitCode.INCOMPLETE
    if has_index:
        assert f'its chunk at byte {begin}' in str(error) and 'passed over' in str(error)
    # From every position on it is told the same.
    with open_source(path) as source:
        position = ReadPosition()
        messages = source.messages()
        with pytest.raises(BagError):
            for message in messages:
                position = position.after(message)
                rest = source.messages(position)
                with pytest.raises(BagError) as caught:
                    list(rest)
                assert str(caught.value) == str(error)


@pytest.mark.parametrize('kind', ['zstd', 'plain'])
def test_an_index_of_any_bytes_loses_nothing_unsaid(tmp_path, kind):
    whole = mcap_of(tmp_path / 'bag.mcap', **CHUNKED[kind]).read_bytes()
    begin = chunk_starts(whole)[-1]
    generator = np.random.default_rng(3)
    for place in generator.integers(sum(begin), len(whole), 150):
        data = bytearray(whole)
        data[place] ^= 1 << int(generator.integers(8))
        (tmp_path / 'bag.mcap').write_bytes(data)
        found, error = read(tmp_path / 'bag.mcap')
        assert found == list(range(NUMBER)) or error is not None


def test_zeros_at_the_end_are_told_and_nothing_is_lost_before(tmp_path):
    path = mcap_of(tmp_path / 'bag.mcap', **CHUNKED['no chunks'])
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2] + bytes(len(data)))
    found, error = read(path)
    assert found == list(range(len(found))) and len(found) > NUMBER // 3
    assert error.exit_code is ExitCode.INCOMPLETE


def test_a_message_outside_of_the_chunks_is_read_though_no_index_tells_of_it(tmp_path):
    """The format allows both in one file."""
    path = mcap_of(tmp_path / 'bag.mcap', **CHUNKED['zstd'])
    data = path.read_bytes()
    *_, (_, _, time_ns, content) = small_images(NUMBER + 1)
    [data_end] = [begin for begin, opcode in records(data) if opcode == 15]
    [footer] = [begin for begin, opcode in records(data) if opcode == 2]
    channel = 2  # that of the images, in the order of mcap_of()
    message = struct.pack('<HIQQ', channel, 0, time_ns, time_ns) + bytes(content)
    record = struct.pack('<BQ', 5, len(message)) + message
    summary, offsets, _ = struct.unpack_from('<QQI', data, footer + 9)
    # Behind the last chunk, so that its index stays right; without a checksum of the summary.
    path.write_bytes(
        data[:data_end] + record + data[data_end:footer + 9]
        + struct.pack('<QQI', summary + len(record), offsets + len(record), 0) + data[-8:])
    assert read(path) == (list(range(NUMBER + 1)), None)


@pytest.mark.parametrize('problem', ['cut', 'damaged'])
def test_an_interrupted_run_of_a_damaged_bag_gives_the_same_bytes(tmp_path, problem):
    path = tmp_path / 'scene.mcap'
    write_mcap_file(path, [McapChannel(IMAGE_TOPIC, tuple(
        (time_ns, content) for _, _, time_ns, content in scene_messages(71, 40.0, True)))],
        chunk_size=100_000)
    data = bytearray(path.read_bytes())
    chunks = chunk_starts(data)
    assert len(chunks) > 4
    begin, size = chunks[2 if problem == 'damaged' else -1]
    data[begin + size // 2] ^= 0xff
    path.write_bytes(data if problem == 'damaged' else data[:begin + size // 2])
    options = NarrateOptions(with_images=True, seed=3, sampling='random')
    codes = narrate_in_parts(path, tmp_path / 'parts', options)
    assert codes[-1] is ExitCode.INCOMPLETE and codes.count(ExitCode.INTERRUPTED) > 4
    with pytest.raises(BagError) as caught:
        narrate_bag(path, tmp_path / 'whole', options)
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert hashes(tmp_path / 'whole') == hashes(tmp_path / 'parts')
