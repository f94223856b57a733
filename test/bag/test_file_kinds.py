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

"""An input is what it holds, whatever it is called; what cannot be is refused in one sentence."""

import os
import shutil
import sqlite3
from types import SimpleNamespace

import av
from bag_making import (
    image_message, IMAGE_TOPIC, small_images, START_NS, write_bag, write_ros1_bag,
)
from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.bag.command import main
from moss_ros.bag.reading import open_source
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
import zstandard

NUMBER = 12


def storage_file(folder, storage='mcap'):
    """Return a storage file of NUMBER images, without its folder."""
    bag = write_bag(folder / 'bag', small_images(NUMBER), storage)
    return next(file for file in bag.iterdir() if file.name != 'metadata.yaml')


def num_messages(path):
    with open_source(path) as source:
        assert source.info.num_images == NUMBER
        return sum(1 for _ in source.messages())


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('name', ['MISSION.MCAP', 'mission', 'mission.bag', 'mission.mp4', 'a.txt',
                                  'mission.db3', '100%41 of it?#.db3', 'mission.mcap.active'])
def test_a_storage_file_has_any_name(tmp_path, storage, name):
    assert num_messages(storage_file(tmp_path, storage).rename(tmp_path / name)) == NUMBER


@pytest.mark.parametrize('name', ['mission.bag', 'mission.mp4', 'mission'])
def test_a_ros1_bag_has_any_name(tmp_path, name):
    assert num_messages(write_ros1_bag(tmp_path / name, small_images(NUMBER))) == NUMBER


def test_links_are_followed(tmp_path):
    file = storage_file(tmp_path)
    (tmp_path / 'file').symlink_to(file)
    (tmp_path / 'folder').symlink_to(file.parent)
    assert num_messages(tmp_path / 'file') == num_messages(tmp_path / 'folder') == NUMBER
    (tmp_path / 'nowhere').symlink_to(tmp_path / 'gone.mcap')
    with pytest.raises(BagError, match='is a link to .*gone.mcap, which does not exist'):
        open_source(tmp_path / 'nowhere')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_compressed_storage_file_alone_is_unpacked_and_leaves_nothing(
        tmp_path, storage, monkeypatch):
    packed = tmp_path / 'mission.zstd'
    packed.write_bytes(zstandard.compress(storage_file(tmp_path, storage).read_bytes()))
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'temporary'))
    with open_source(packed) as source:
        assert len(list(source.messages())) == NUMBER
        folder, = (tmp_path / 'temporary').iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / 'temporary').iterdir())
    packed.write_bytes(packed.read_bytes()[:200])
    with pytest.raises(BagError, match='cut off'), open_source(packed) as source:
        list(source.messages())
    assert not list((tmp_path / 'temporary').iterdir())


def test_what_does_not_fit_on_the_disk_is_told_before_it_is_unpacked(tmp_path, monkeypatch):
    packed = tmp_path / 'mission.db3.zstd'
    packed.write_bytes(zstandard.compress(storage_file(tmp_path, 'sqlite3').read_bytes()))
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(BagError, match='0.0 GB are free; TMPDIR names another folder'):
        open_source(packed)


def test_a_log_of_changes_beside_a_database_is_taken_in(tmp_path):
    file = storage_file(tmp_path, 'sqlite3')
    database = sqlite3.connect(file)
    database.execute('PRAGMA journal_mode=WAL')
    database.execute('PRAGMA wal_autocheckpoint=0')
    database.execute('INSERT INTO messages (topic_id, timestamp, data) '
                     'SELECT topic_id, timestamp + 10000000000, data FROM messages')
    database.commit()
    # As a recorder leaves it that was killed: the log is there still.
    killed = tmp_path / 'killed'
    killed.mkdir()
    for item in (file, file.with_name(f'{file.name}-wal')):
        shutil.copyfile(item, killed / item.name)
    database.close()
    before = {item.name: item.read_bytes() for item in killed.iterdir()}
    with open_source(killed / file.name) as source:
        assert len(list(source.messages())) == 2 * NUMBER
    assert {item.name: item.read_bytes() for item in killed.iterdir()} == before


HOPELESS = {
    'empty': (b'', 'has no bytes'),
    'begun': (b'\x89MCAP', 'was never closed: its 5 bytes'),
    'magic': (b'\x89MCAP0\r\n', 'was never closed'),
    'header': (b'\x89MCAP0\r\n\1\x20\0\0\0\0\0\0\0\4\0\0\0ros2', 'was never closed'),
    'version': (b'\x89MCAP9\r\n' + bytes(range(256)), 'version that is not known'),
    'zeros': (bytes(100_000), 'nothing but zeros'),
    'pointer': (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n',
                "'git lfs pull'"),
    'text': ('Grüße von der Mission\n'.encode() * 500, 'text file'),
    'index': (b'rosbag2_bagfile_information:\n  version: 8\n', 'name its folder'),
    'gzip': (b'\x1f\x8b\x08\0' + bytes(range(256)), "'gunzip'"),
    'zip': (b'PK\3\4' + bytes(range(256)), "'unzip'"),
    'tar': (b'bag/'.ljust(257, b'\0') + b'ustar' + bytes(200) + b'x', "'tar -xf'"),
    'database': (None, 'not of rosbag2'),
    'old': (b'#ROSBAG V1.2\n' + bytes(range(256)), "'rosbag fix'"),
    'open': (None, "'rosbag reindex'"),
}


@pytest.mark.parametrize('name', HOPELESS)
@pytest.mark.parametrize('suffix', ['', '.mcap', '.bag.active', '.mp4'])
def test_what_it_is_not_is_told_in_one_line(tmp_path, name, suffix, capsys):
    content, hint = HOPELESS[name]
    path = tmp_path / f'{name}{suffix}'
    if name == 'database':
        with sqlite3.connect(path) as database:
            database.execute('CREATE TABLE photos (id INTEGER)')
    elif name == 'open':
        writer = Ros1Writer(path)
        writer.open()
        writer.bio.flush()
        content = path.read_bytes() + bytes(5000)
        path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), '--output', str(tmp_path / 'out'), '--quiet']) == ExitCode.SOURCE
    told = capsys.readouterr().err
    assert hint in told and told.count('\n') == 1 and str(path) in told
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('seed', range(20))
def test_arbitrary_bytes_are_no_video(tmp_path, seed):
    generator = np.random.default_rng(seed)
    content = generator.integers(0, 256, 60_000, np.uint8).tobytes()
    # Pictures lie in it, as in the bags and logs of other systems.
    picture = bytes(image_message(np.zeros((24, 32, 3), np.uint8), 0)) if seed % 2 else \
        bytes(small_images(1)[0][3])
    path = tmp_path / ('log', 'log.mjpeg', 'log.bin', 'log.h264', 'log.yuv')[seed % 5]
    path.write_bytes(content[:300] + (picture + content[:50]) * 30 + content)
    with pytest.raises(BagError, match='neither a bag nor a video'):
        open_source(path)


@pytest.mark.parametrize(('name', 'codec'), [
    ('clip.mp4', 'mpeg4'), ('clip.mkv', 'mpeg4'), ('clip.avi', 'mjpeg'), ('clip.ts', 'mpeg2video'),
    ('clip.webm', 'libvpx'), ('clip.mjpeg', 'mjpeg'), ('clip.y4m', 'rawvideo'),
    ('clip.m2v', 'mpeg2video'), ('clip.gif', 'gif'), ('clip.flv', 'flv1'),
    ('clip.mpg', 'mpeg1video')])
def test_videos_of_every_kind_have_any_name(tmp_path, name, codec):
    path = tmp_path / name
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = stream.codec_context.codec.video_formats[0].name \
            if codec in ('gif', 'mjpeg') else 'yuv420p'
        for _ in range(25):
            picture = np.full((48, 64, 3), 60, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    for named in (name, 'clip', 'clip.mcap'):
        path = path.rename(tmp_path / named)
        with open_source(path) as source:
            assert source.info.kind == 'video'
            message = next(source.messages())
            assert source.picture(message).mean() == pytest.approx(60, abs=12)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / 'pipe.mcap')
    with pytest.raises(BagError, match='no regular file'):
        open_source(tmp_path / 'pipe.mcap')


# Folders

def split_bag(folder):
    """Return a bag in three files of a third each, with its metadata.yaml."""
    messages = small_images(NUMBER)
    split = write_bag(folder / 'split', messages[:4])
    (split / 'split.mcap').rename(split / 'split_0.mcap')
    for number in (1, 2):
        part = write_bag(folder / f'part{number}', messages[4 * number:4 * number + 4])
        (part / f'part{number}.mcap').rename(split / f'split_{number}.mcap')
    metadata = split / 'metadata.yaml'
    names = ''.join(f'  - split_{number}.mcap\n' for number in range(3))
    metadata.write_text(metadata.read_text().replace('  - split.mcap\n', names, 1))
    return split


@pytest.mark.parametrize('content', [None, b'', b'{{{', b'\xff\xfe', b'a: 1', b'- 1', b'rosbag2'])
def test_a_folder_without_a_good_index_is_read_all_the_same(tmp_path, content):
    split = split_bag(tmp_path)
    (split / 'split_2.mcap').rename(split / 'split_10.mcap')
    (split / 'notes.txt').write_text('of another kind')
    if content is None:
        (split / 'metadata.yaml').unlink()
    else:
        (split / 'metadata.yaml').write_bytes(content)
    with open_source(split) as source:
        times_ns = [message.bag_time_ns for message in source.messages()]
        assert times_ns == [START_NS + index * 10**8 for index in range(NUMBER)]
        note, = source.info.notes
        assert 'metadata.yaml' in note and 'order of their names' in note and '\n' not in note


def test_files_that_do_not_belong_together_are_not_joined(tmp_path):
    split = split_bag(tmp_path)
    (split / 'metadata.yaml').unlink()
    (split / 'split_2.mcap').rename(split / 'other.mcap')
    with pytest.raises(BagError, match='no index .* name one of its files, other.mcap, split_0'):
        open_source(split)


@pytest.mark.parametrize('problem', ['missing', 'empty', 'pointer', 'begun'])
@pytest.mark.parametrize('number', range(3))
def test_a_split_bag_without_one_of_its_files_is_narrated_as_far_as_it_goes(
        tmp_path, problem, number):
    split = split_bag(tmp_path)
    file = split / f'split_{number}.mcap'
    file.unlink()
    if problem != 'missing':
        file.write_bytes(HOPELESS[problem][0])
    with open_source(split) as source:
        assert source.info.image_topic == IMAGE_TOPIC
        found = []
        with pytest.raises(BagError, match=f'lacks split_{number}.mcap, which') as caught:
            for message in source.messages():
                found.append((message.bag_time_ns - START_NS) // 10**8)
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert found == [index for index in range(NUMBER) if index // 4 != number]


def test_a_bag_that_was_unpacked_by_hand_is_found(tmp_path):
    bag = write_bag(tmp_path / 'bag', small_images(NUMBER), 'sqlite3', 'file')
    packed = next(bag.glob('*.zstd'))
    packed.with_suffix('').write_bytes(zstandard.ZstdDecompressor().decompressobj().decompress(
        packed.read_bytes()))
    packed.unlink()
    assert num_messages(bag) == NUMBER


def test_a_folder_of_bags_says_which_there_are(tmp_path):
    write_bag(tmp_path / 'night', small_images(3))
    write_ros1_bag(tmp_path / 'day.bag', small_images(3))
    with pytest.raises(BagError, match='no bag in it; name one of those in it: day.bag, night'):
        open_source(tmp_path)
