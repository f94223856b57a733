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

"""Bags of ROS 1, and channels of other encodings beside the images: what can be read is read."""

from bag_making import (
    COMPRESSED, IMAGE, image_message, IMAGE_TOPIC, McapChannel, PROMPT_TOPIC, ros1_message,
    small_images, START_NS, STRING, string_message, TYPESTORE, with_prompts, write_bag,
    write_mcap_file, write_ros1_bag,
)
from mcap.writer import CompressionType, IndexType
from moss_ros.bag import narrate_bag, NarrateOptions
from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.bag.bag_source import prompt_text
from moss_ros.bag.reading import open_source
from moss_ros.images import BadImageError
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Reader as Ros1Reader, Writer as Ros1Writer
from runs import OPTIONS, records_of

NUMBER = 12


def contents(messages):
    return tuple((time_ns, content) for _, _, time_ns, content in messages)


def pictures_of(path, *topics):
    with open_source(path, *topics) as source:
        return [(message.bag_time_ns, source.stamp_ns(message), source.picture(message).tobytes())
                for message in source.messages() if not message.is_prompt]


# ROS 1

@pytest.mark.parametrize('compression', [None, 'bz2', 'lz4'])
@pytest.mark.parametrize('is_compressed', [True, False])
def test_a_ros1_bag_gives_what_a_bag_of_ros2_does(tmp_path, is_compressed, compression):
    messages = list(with_prompts(
        small_images(NUMBER, is_compressed=is_compressed), (0.25, 'Anything?')))
    first = write_ros1_bag(tmp_path / 'first.bag', messages, compression)
    second = write_bag(tmp_path / 'second', messages)
    assert pictures_of(first) == pictures_of(second)
    with open_source(first, '', 'prompt') as source:
        assert source.info.kind == 'rosbag1' and source.info.num_images == NUMBER
        assert source.info.image_type == (COMPRESSED if is_compressed else IMAGE)
        prompt, = (message for message in source.messages() if message.is_prompt)
        assert prompt_text(prompt) == 'Anything?'


def test_a_ros1_bag_is_narrated_as_one_of_ros2(tmp_path, scene_bag):
    with AnyReader([scene_bag.path]) as reader:
        messages = [(item.topic, item.msgtype, time_ns, content)
                    for item, time_ns, content in reader.messages()]
    old = write_ros1_bag(tmp_path / 'old.bag', messages)
    outputs = []
    for name, path in (('old', old), ('new', scene_bag.path)):
        narrate_bag(path, tmp_path / name, OPTIONS)
        outputs.append([(tmp_path / name / file).read_bytes() for file in (
            'narration.jsonl', 'narration.vtt', 'narration.mcap')])
    assert outputs[0] == outputs[1]  # with the images, as ROS 2 has them


def test_several_publishers_of_a_ros1_topic_are_one_topic(tmp_path):
    path = tmp_path / 'two.bag'
    messages = small_images(NUMBER)
    with Ros1Writer(path) as writer:
        connections = [writer.add_connection('camera/image_raw', COMPRESSED, typestore=TYPESTORE,
                                             callerid=f'/driver{index}') for index in range(2)]
        for index, (_, _, time_ns, content) in enumerate(messages):
            writer.write(connections[index % 2], time_ns, ros1_message(content, COMPRESSED))
    with open_source(path, 'camera/image_raw') as source:
        assert source.info.num_images == NUMBER and source.info.image_topic == IMAGE_TOPIC
        assert len(list(source.messages())) == NUMBER


@pytest.mark.parametrize('compression', ['bz2', 'lz4', None])
def test_a_damaged_chunk_of_a_ros1_bag_is_passed_over_and_told(tmp_path, compression):
    generator = np.random.default_rng(1)
    messages = [(IMAGE_TOPIC, IMAGE, START_NS + index * 10**8, image_message(
        generator.integers(0, 256, (240, 320, 3), np.uint8), START_NS + index * 10**8))
        for index in range(16)]
    path = write_ros1_bag(tmp_path / 'bag.bag', messages, compression)
    with Ros1Reader(path) as reader:
        chunks = list(reader.chunks.values())
    assert len(chunks) > 2
    data = bytearray(path.read_bytes())
    begin = chunks[1].datapos
    data[begin:begin + chunks[1].datasize] = bytes(chunks[1].datasize)
    path.write_bytes(data)
    found = []
    with pytest.raises(BagError, match='chunk at byte .* passed over') as caught:
        with open_source(path) as source:
            for message in source.messages():
                found.append((message.bag_time_ns - START_NS) // 10**8)
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    lost = sorted(set(range(16)) - set(found))
    assert 1 < len(lost) < 10 and lost == list(range(lost[0], lost[0] + len(lost)))
    assert found[0] == 0 and found[-1] == 15


def test_messages_of_ros1_that_are_none_are_bad_images(tmp_path):
    good = bytes(ros1_message(small_images(1)[0][3], COMPRESSED))
    path = write_mcap_file(tmp_path / 'bad.mcap', [McapChannel(
        IMAGE_TOPIC, tuple((START_NS + index, content) for index, content in enumerate(
            (b'', good[:11], good[:40], good[:-5], good + b'x'))), 'sensor_msgs/CompressedImage',
        'ros1', 'ros1msg')], 'ros1')
    with open_source(path) as source:
        for message in source.messages():
            with pytest.raises(BadImageError):
                source.stamp_ns(message)
                source.picture(message)


@pytest.mark.parametrize('profile', ['ros1', 'ros2', ''])
def test_images_of_ros1_in_an_mcap_are_read(tmp_path, profile):
    messages = small_images(NUMBER)
    path = write_mcap_file(tmp_path / 'converted.mcap', [McapChannel(
        IMAGE_TOPIC, tuple((time_ns, ros1_message(content, COMPRESSED))
                           for time_ns, content in contents(messages)),
        'sensor_msgs/CompressedImage', 'ros1', 'ros1msg', b'std_msgs/Header header')], profile)
    assert pictures_of(path) == pictures_of(write_bag(tmp_path / 'bag', messages))


# Channels of other kinds

def beside(number=NUMBER):
    """Return channels that have nothing to do with images, or only look like it."""
    times = [START_NS + index * 10**8 + 3 for index in range(number)]
    return [
        McapChannel('/status', tuple((time_ns, b'{"a": 1}') for time_ns in times), 'Status',
                    'json', 'jsonschema', b'{}'),
        McapChannel('/front', tuple((time_ns, b'\x0a\x02ab') for time_ns in times),
                    'foxglove.CompressedImage', 'protobuf', 'protobuf', b'\xff\xfe\0'),
        McapChannel('/rear', tuple((time_ns, b'x') for time_ns in times), COMPRESSED, 'cbor',
                    'unheard of'),
        McapChannel('/odd', tuple((time_ns, b'x') for time_ns in times), '', 'json'),
        McapChannel('/broken', ((times[0], b''),), 'no/type/at/all', 'cdr', 'ros2msg', b'\xff\0'),
        McapChannel('/never', (), 'flatbuffers.Thing', 'flatbuffer', 'flatbuffer')]


OPTIONS_OF_WRITERS = [
    {}, {'compression': CompressionType.LZ4}, {'compression': CompressionType.NONE},
    {'use_chunking': False}, {'chunk_size': 2000}, {'index_types': IndexType.NONE},
    {'index_types': IndexType.CHUNK}, {'repeat_channels': False}, {'repeat_schemas': False},
    {'use_statistics': False}, {'use_summary_offsets': False}]


@pytest.mark.parametrize('options', OPTIONS_OF_WRITERS, ids=str)
def test_channels_of_other_encodings_are_left_alone(tmp_path, options):
    messages = small_images(NUMBER)
    path = write_mcap_file(tmp_path / 'mixed.mcap', [
        *beside(), McapChannel(IMAGE_TOPIC, contents(messages))], **options)
    assert pictures_of(path) == pictures_of(write_bag(tmp_path / 'bag', messages))


def test_a_mixed_bag_in_a_folder_is_read(tmp_path):
    messages = small_images(NUMBER)
    bag = write_bag(tmp_path / 'bag', messages)
    expected = pictures_of(bag)
    write_mcap_file(bag / 'bag.mcap', [*beside(), McapChannel(IMAGE_TOPIC, contents(messages))])
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace(
        'serialization_format: cdr', 'serialization_format: json'))
    assert pictures_of(bag) == expected


def test_images_that_cannot_be_unpacked_are_named_with_their_encoding(tmp_path):
    path = write_mcap_file(tmp_path / 'mixed.mcap', beside())
    with pytest.raises(BagError, match='has no images; its topics are .*/front '
                       r'\(foxglove.CompressedImage in protobuf\).*of an unknown type in json'):
        open_source(path)
    with pytest.raises(BagError, match='topic /rear is sensor_msgs/CompressedImage in cbor, not '
                       'an image; to choose from: none'):
        open_source(path, '/rear')


# Several channels of one topic

def test_channels_of_one_topic_are_one_topic(tmp_path):
    messages = small_images(NUMBER)
    halves = [McapChannel(IMAGE_TOPIC, contents(messages[start::2]), schema=bytes([65 + start]))
              for start in (0, 1)]
    empty = McapChannel(IMAGE_TOPIC, (), schema=b'C')
    strings = [McapChannel(PROMPT_TOPIC, ((START_NS + index, string_message(f'What? {index}')),),
                           STRING, schema=bytes([67 + index])) for index in (0, 1)]
    path = write_mcap_file(tmp_path / 'two.mcap', [*strings, empty, *halves, empty])
    assert pictures_of(path) == pictures_of(write_bag(tmp_path / 'bag', messages))
    with open_source(path, '', PROMPT_TOPIC) as source:
        assert source.info.num_images == NUMBER and not source.info.notes
        assert [prompt_text(message) for message in source.messages() if message.is_prompt] == [
            'What? 0', 'What? 1']


def test_a_topic_of_several_types_shows_all_of_them_and_says_so(tmp_path):
    jpeg, raw = small_images(NUMBER), small_images(NUMBER, is_compressed=False)
    path = write_mcap_file(tmp_path / 'two.mcap', [
        McapChannel(IMAGE_TOPIC, contents(jpeg[::2])),
        McapChannel(IMAGE_TOPIC, contents(raw[1::2]), IMAGE),
        McapChannel(IMAGE_TOPIC, ((START_NS, b'{}'),), 'Camera', 'json', 'jsonschema')])
    with open_source(path) as source:
        assert source.info.num_images == NUMBER
        note, = source.info.notes
        assert 'several types' in note and 'Image' in note and '\n' not in note
        found = [(message.type, source.picture(message)) for message in source.messages()]
    assert [kind for kind, _ in found] == [COMPRESSED, IMAGE] * (NUMBER // 2)
    assert all(picture.shape == (24, 32, 3) for _, picture in found)
    narrate_bag(path, tmp_path / 'out', NarrateOptions(with_images=True))
    (tmp_path / 'copy').mkdir()
    with AnyReader([(tmp_path / 'out' / 'narration.mcap')]) as reader:
        assert len([item for item, _, _ in reader.messages() if item.topic == IMAGE_TOPIC]) \
            == NUMBER
    assert records_of(tmp_path / 'out')


# Compressed message by message

@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_storage_file_of_a_message_compressed_bag_alone_is_read(tmp_path, storage):
    messages = list(with_prompts(small_images(NUMBER), (0.2, 'What?')))
    bag = write_bag(tmp_path / 'bag', messages, storage, 'message')
    expected = pictures_of(bag)
    assert expected == pictures_of(write_bag(tmp_path / 'plain', messages))
    file = next(item for item in bag.iterdir() if item.name != 'metadata.yaml')
    assert pictures_of(file.rename(tmp_path / 'alone')) == expected


def test_a_message_that_was_compressed_badly_is_a_bad_image(tmp_path):
    messages = small_images(3)
    bad = b'\x28\xb5\x2f\xfd' + bytes(np.arange(200, dtype=np.uint8))
    messages[1] = (*messages[1][:3], bad)
    with open_source(write_bag(tmp_path / 'bag', messages)) as source:
        found = list(source.messages())
        with pytest.raises(BadImageError):
            source.stamp_ns(found[1])
        assert [source.stamp_ns(found[index]) for index in (0, 2)] == [START_NS, START_NS + 2e8]
