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

"""Bags of every kind and age, and videos, give the same messages; bad ones a one-line error."""

import hashlib
from pathlib import Path
import sqlite3

import av
from bag_making import (
    COMPRESSED, compressed_message, IMAGE, image_message, IMAGE_TOPIC, PROMPT_TOPIC, START_NS,
    STRING, string_message, with_prompts, write_bag,
)
from mcap.writer import IndexType, Writer as McapWriter
from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.bag.bag_source import prompt_text
from moss_ros.bag.reading import open_source
from moss_ros.bag.source import BadPromptError, ReadPosition
from moss_ros.images import BadImageError
import numpy as np
import pytest
import yaml


def pictures(number, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (24, 32, 3), np.uint8) for _ in range(number)]


def image_messages(number=12, topic=IMAGE_TOPIC, is_compressed=False):
    make = compressed_message if is_compressed else image_message
    return [(topic, COMPRESSED if is_compressed else IMAGE, START_NS + index * 10**8 + 7,
             make(picture, START_NS + index * 10**8))
            for index, picture in enumerate(pictures(number))]


def times_of(source):
    return [message.bag_time_ns for message in source.messages()]


def fingerprint(folder):
    return {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in folder.iterdir()}


@pytest.mark.parametrize('is_compressed', [False, True])
@pytest.mark.parametrize(('storage', 'compression'), [
    ('mcap', ''), ('mcap', 'file'), ('mcap', 'message'), ('mcap', 'storage'),
    ('sqlite3', ''), ('sqlite3', 'file'), ('sqlite3', 'message')])
def test_every_storage_gives_the_same(tmp_path, storage, compression, is_compressed):
    messages = with_prompts(image_messages(is_compressed=is_compressed), (0.25, 'Anything?'))
    path = write_bag(tmp_path / 'bag', messages, storage, compression)
    before = fingerprint(path)
    with open_source(path, '', 'prompt') as source:
        assert source.info.image_topic == IMAGE_TOPIC and source.info.num_images == 12
        assert source.info.start_ns == START_NS + 7
        assert source.info.end_ns == START_NS + 11 * 10**8 + 7
        found = list(source.messages())
        assert [message.is_prompt for message in found].index(True) == 3
        assert prompt_text(found.pop(3)) == 'Anything?'
        for index, (message, picture) in enumerate(zip(found, pictures(12), strict=True)):
            assert message.bag_time_ns == START_NS + index * 10**8 + 7
            assert source.stamp_ns(message) == START_NS + index * 10**8
            read = source.picture(message)
            if is_compressed:
                assert read.shape == picture.shape
            else:
                assert np.array_equal(read, picture)
    assert fingerprint(path) == before


def as_foxy_wrote_it(path):
    """Turn a sqlite3 bag into one of ROS 2 Foxy: without definitions, hashes and schema."""
    with sqlite3.connect(next(path.glob('*.db3'))) as database:
        database.executescript("""
            DROP TABLE schema; DROP TABLE message_definitions; DROP TABLE metadata;
            ALTER TABLE topics DROP COLUMN type_description_hash;""")
    metadata = path / 'metadata.yaml'
    information = yaml.safe_load(metadata.read_text())['rosbag2_bagfile_information']
    information['version'] = 4
    for name in ('ros_distro', 'custom_data', 'files'):
        del information[name]
    for topic in information['topics_with_message_count']:
        del topic['topic_metadata']['type_description_hash']
    metadata.write_text(yaml.safe_dump({'rosbag2_bagfile_information': information}))
    return path


def test_a_bag_of_foxy_is_read(tmp_path):
    path = as_foxy_wrote_it(write_bag(tmp_path / 'foxy', image_messages(), 'sqlite3'))
    with open_source(path) as source:
        found = list(source.messages())
        assert len(found) == 12
        assert np.array_equal(source.picture(found[3]), pictures(12)[3])


@pytest.mark.parametrize('suffix', ['mcap', 'db3'])
def test_a_storage_file_is_read_without_its_folder(tmp_path, suffix):
    path = write_bag(tmp_path / 'bag', image_messages(),
                     'mcap' if suffix == 'mcap' else 'sqlite3')
    file = next(path.glob(f'*.{suffix}')).rename(tmp_path / f'alone.{suffix}')
    with open_source(file) as source:
        assert len(times_of(source)) == 12


def test_an_mcap_without_index_is_scanned(tmp_path):
    path = tmp_path / 'bare.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file, index_types=IndexType.NONE, use_chunking=False,
                            repeat_channels=False, repeat_schemas=False, use_statistics=False,
                            use_summary_offsets=False)
        writer.start(profile='ros2', library='')
        schema = writer.register_schema(IMAGE, 'ros2msg', b'')
        channel = writer.register_channel(IMAGE_TOPIC, 'cdr', schema)
        for _, _, time_ns, content in image_messages():
            writer.add_message(channel, time_ns, bytes(content), time_ns)
        writer.finish()
    with open_source(path) as source:
        assert len(times_of(source)) == 12


def same_time_messages():
    """Images of which three each were recorded at one time."""
    return [(topic, kind, START_NS + index // 3 * 10**8, content)
            for index, (topic, kind, _, content) in enumerate(image_messages())]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_reading_goes_on_from_every_position(tmp_path, storage):
    path = write_bag(tmp_path / 'bag', same_time_messages(), storage)
    with open_source(path) as source:
        whole = [source.stamp_ns(message) for message in source.messages()]
        position = ReadPosition()
        for index, message in enumerate(source.messages()):
            rest = [source.stamp_ns(later) for later in source.messages(position)]
            assert rest == whole[index:]
            position = position.after(message)
        assert not list(source.messages(position))


def test_reading_goes_on_in_a_split_bag_whose_parts_overlap(tmp_path):
    messages = image_messages()
    first = write_bag(tmp_path / 'first', messages[:7])
    second = write_bag(tmp_path / 'second', messages[5:])
    split = first.rename(tmp_path / 'split')
    (second / 'second.mcap').rename(split / 'second.mcap')
    metadata = split / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace(
        '  - first.mcap\n', '  - first.mcap\n  - second.mcap\n', 1))
    with open_source(split) as source:
        whole = times_of(source)
        assert len(whole) == 14 and whole != sorted(whole)
        position = ReadPosition()
        for index, message in enumerate(source.messages()):
            rest = [later.bag_time_ns for later in source.messages(position)]
            assert rest == whole[index:]
            position = position.after(message)


def broken(tmp_path, kind):
    """Return a path that cannot be narrated."""
    path = tmp_path / 'bag'
    if kind == 'missing':
        return path
    if kind == 'no messages':
        return write_bag(path, [])
    if kind == 'not a video':
        path.write_text('no bag, no video')
        return path
    storage = 'sqlite3' if 'sqlite3' in kind else 'mcap'
    write_bag(path, image_messages(), storage)
    file = next(item for item in path.iterdir() if item.suffix != '.yaml')
    if kind == 'empty folder':
        for item in path.iterdir():
            item.unlink()
    elif kind.startswith('empty file'):
        file.write_bytes(b'')
    elif kind == 'no storage':
        file.unlink()
    return path


@pytest.mark.parametrize(('kind', 'hint'), [
    ('missing', 'does not exist'),
    ('no messages', 'holds no messages'),
    ('not a video', 'neither a bag nor a video'),
    ('empty folder', 'no bag in it'),
    ('empty file mcap', 'no bytes'),
    ('empty file sqlite3', 'no bytes'),
    ('no storage', 'missing'),
])
def test_a_bad_bag_is_refused_in_one_line(tmp_path, kind, hint):
    path = broken(tmp_path, kind)
    with pytest.raises(BagError, match=hint) as caught:
        with open_source(path):
            pass
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    assert caught.value.exit_code is ExitCode.SOURCE


def test_a_truncated_database_breaks_off_with_what_came_before(tmp_path):
    # A database that was cut off is opened well, for its directory is in front.
    path = write_bag(tmp_path / 'bag', image_messages(200), 'sqlite3')
    file = next(path.glob('*.db3'))
    file.write_bytes(file.read_bytes()[:file.stat().st_size * 2 // 3])
    found = []
    with pytest.raises(BagError, match='recover') as caught:
        with open_source(path) as source:
            for message in source.messages():
                found.append(message)
    assert caught.value.exit_code in (ExitCode.INCOMPLETE, ExitCode.SOURCE)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(('image_topic', 'prompt_topic', 'hint'), [
    ('', '', 'several image topics: /camera/image_raw .sensor_msgs/Image, 12., /rear'),
    ('/front', '', 'no topic /front; to choose from: /camera/image_raw'),
    ('/prompt', '', '/prompt is std_msgs/String, not an image'),
    ('rear', '/rear', '/rear is sensor_msgs/Image, not a std_msgs/String'),
    ('rear', 'question', 'no topic /question; to choose from: /prompt'),
])
def test_topics_that_cannot_be_are_refused_with_the_choices(
        tmp_path, image_topic, prompt_topic, hint):
    path = write_bag(tmp_path / 'bag', with_prompts(
        [*image_messages(), *image_messages(topic='/rear')], (0.2, 'What?')))
    with pytest.raises(BagError, match=hint):
        open_source(path, image_topic, prompt_topic)
    with open_source(path, 'rear', PROMPT_TOPIC) as source:
        assert source.info.image_topic == '/rear'


def test_a_bag_without_images_lists_what_it_has(tmp_path):
    path = write_bag(tmp_path / 'bag', [(PROMPT_TOPIC, STRING, START_NS, string_message('Hi'))])
    with pytest.raises(BagError, match='no images; its topics are /prompt'):
        open_source(path)


def test_messages_that_are_none_are_bad_images(tmp_path):
    good = image_messages(1)[0][3]
    contents = [b'', b'\0\1', bytes(good)[:40], b'\7\7' + bytes(good)[2:], bytes(good)[:-5]]
    path = write_bag(tmp_path / 'bag', [
        (IMAGE_TOPIC, IMAGE, START_NS + index, content)
        for index, content in enumerate(contents)])
    with open_source(path) as source:
        for message in source.messages():
            with pytest.raises(BadImageError):
                source.stamp_ns(message)
                source.picture(message)


def test_prompts_that_cannot_be_asked_are_no_bad_images(tmp_path):
    contents = {b'': 'bad_message', bytes(string_message('What?'))[:-4]: 'bad_message',
                bytes(string_message('')): 'empty_prompt',
                bytes(string_message(' \t')): 'empty_prompt'}
    path = write_bag(tmp_path / 'bag', [*image_messages(1), *(
        (PROMPT_TOPIC, STRING, START_NS + 10**9 + index, content)
        for index, content in enumerate(contents))])
    with open_source(path, prompt_topic=PROMPT_TOPIC) as source:
        prompts = [message for message in source.messages() if message.is_prompt]
    for message, kind in zip(prompts, contents.values(), strict=True):
        with pytest.raises(BadPromptError) as caught:
            prompt_text(message)
        assert caught.value.kind == kind


def test_a_message_without_stamp_has_the_time_of_the_bag(tmp_path):
    content = image_message(pictures(1)[0], 0)
    path = write_bag(tmp_path / 'bag', [(IMAGE_TOPIC, IMAGE, START_NS, content)])
    with open_source(path) as source:
        assert [source.stamp_ns(message) for message in source.messages()] == [START_NS]


@pytest.fixture
def video(tmp_path) -> Path:
    """Return a video of 5 s whose brightness grows from second to second."""
    path = tmp_path / 'clip.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for index in range(50):
            picture = np.full((48, 64, 3), 40 * (index // 10), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    return path


def test_a_video_is_read_at_the_frame_rate(video):
    with open_source(video, frame_rate_fps=2.0) as source:
        assert source.info.kind == 'video' and source.info.num_images == 10
        found = list(source.messages())
        assert [message.bag_time_ns for message in found] == [
            index * 500_000_000 for index in range(10)]
        levels = [source.picture(message).mean() for message in found]
        assert levels == pytest.approx([40 * (index // 2) for index in range(10)], abs=6)
    with open_source(video, frame_rate_fps=2.0) as source:
        rest = list(source.messages(ReadPosition(7, 3_000_000_000, 1)))
        assert [message.bag_time_ns for message in rest] == [
            3_500_000_000, 4_000_000_000, 4_500_000_000]
        assert np.array_equal(source.picture(rest[0]), found[7].content)


def test_a_video_has_no_topics(video):
    with pytest.raises(BagError, match="no topic '/rear'"):
        open_source(video, '/rear')
    with pytest.raises(BagError, match='no header stamps for --clock header'):
        open_source(video, clock='header')
    with open_source(video, clock='bag') as source:
        assert source.info.clock == ''
