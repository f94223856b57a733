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

"""Bags of coded video and of compressedDepth: every picture in its time, resumed or not."""

import json
import struct

from bag_making import (
    COMPRESSED, compressed_message, header, IMAGE_TOPIC, PROMPT_TOPIC, ROS1_TYPESTORE,
    scene_messages, SIZE_PX, START_NS, STRING, string_message, write_bag, write_ros1_bag,
)
from coded_bags import (
    coded_messages, DELAY_NS, MESSAGE_TYPES, packet_message, stamp_ns_of, write_coded_bag,
)
import cv2
from mcap.reader import make_reader
from moss_ros.bag import BagError, ExitCode, narrate_bag, NarrateOptions
from moss_ros.bag.coded_messages import decoded_messages
from moss_ros.bag.reading import open_source
from moss_ros.bag.ros_types import FFMPEG_TYPE, FOXGLOVE_TYPE, TYPESTORE
from moss_ros.bag.source import ReadPosition
from moss_ros.images import BadImageError
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg
from runs import hashes, records_of
from video_packets import CODECS, encode_video, GOP, moving_pictures, nearest, VideoPacket

NUM_PICTURES = 40
# From one frame that the embedded model looks at to the next.
FRAME_NS = 10**9 // 2
PICTURES = moving_pictures(NUM_PICTURES)


@pytest.fixture(scope='module')
def streams():
    """Return packets by codec and whether they are reordered."""
    return {(codec, is_reordered): encode_video(codec, PICTURES, is_reordered=is_reordered)
            for codec in CODECS for is_reordered in (False, True)}


def read(source, position=ReadPosition()):
    """Return (bag time, stamp, picture or kind of error) of each message."""
    found = []
    for message in source.messages(position):
        if message.is_prompt:
            found.append((message.bag_time_ns, 'prompt', None))
            continue
        try:
            found.append((message.bag_time_ns, source.stamp_ns(message), source.picture(message)))
        except BadImageError as error:
            found.append((message.bag_time_ns, None, error.kind))
    return found


@pytest.mark.parametrize('message_type', MESSAGE_TYPES)
@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize(('storage', 'has_definitions'), [
    ('mcap', True), ('mcap', False), ('sqlite3', True), ('sqlite3', False)])
def test_every_kind_of_message_gives_the_pictures(
        tmp_path, streams, message_type, codec, storage, has_definitions):
    packets = streams[codec, False]
    path = write_coded_bag(tmp_path / 'bag', coded_messages(packets, codec, message_type),
                           storage, has_definitions)
    with open_source(path) as source:
        assert (source.info.image_type, source.info.num_images) == (message_type, NUM_PICTURES)
        found = read(source)
    assert [stamp_ns for _, stamp_ns, _ in found] == [stamp_ns_of(packet) for packet in packets]
    assert [time_ns - stamp_ns for time_ns, stamp_ns, _ in found] == NUM_PICTURES * [DELAY_NS]
    assert [nearest(picture, PICTURES) for _, _, picture in found] == list(range(NUM_PICTURES))


@pytest.fixture(scope='module')
def ros1_types():
    """Have the definitions, as ROS 1 writes them, of what comes with packages of its own."""
    ROS1_TYPESTORE.register({
        **get_types_from_msg('time timestamp\nstring frame_id\nuint8[] data\nstring format\n',
                             FOXGLOVE_TYPE),
        **get_types_from_msg('std_msgs/Header header\nint32 width\nint32 height\n'
                             'string encoding\nuint64 pts\nuint8 flags\nbool is_bigendian\n'
                             'uint8[] data\n', FFMPEG_TYPE)})


@pytest.mark.parametrize('message_type', MESSAGE_TYPES)
def test_in_a_bag_of_ros1_they_have_the_same_times(tmp_path, streams, ros1_types, message_type):
    """Of these types one has no header there, only a stamp."""
    packets = streams['h264', False]
    path = write_ros1_bag(
        tmp_path / 'day.bag', coded_messages(packets, 'h264', message_type),
        convert=TYPESTORE.cdr_to_ros1)
    with open_source(path) as source:
        assert (source.info.image_type, source.info.num_images) == (message_type, NUM_PICTURES)
        found = read(source)
    assert [stamp_ns for _, stamp_ns, _ in found] == [stamp_ns_of(packet) for packet in packets]
    assert [nearest(picture, PICTURES) for _, _, picture in found] == list(range(NUM_PICTURES))


@pytest.mark.parametrize('codec', CODECS)
def test_reordered_pictures_keep_their_own_times(tmp_path, streams, codec):
    packets = streams[codec, True]
    messages = coded_messages(packets, codec, FFMPEG_TYPE)
    path = write_coded_bag(tmp_path / 'bag', messages)
    with open_source(path) as source:
        found = read(source)
    times_ns = {packet.picture: message[2] for packet, message in zip(packets, messages)}
    assert [(time_ns, stamp_ns) for time_ns, stamp_ns, _ in found] == [
        (times_ns[number], START_NS + number * 10**9 // 30) for number in range(NUM_PICTURES)]
    assert [nearest(picture, PICTURES) for _, _, picture in found] == list(range(NUM_PICTURES))


def hostile_messages(packets):
    """Return packets of which some are lost or none, from the middle on, with prompts."""
    messages = [message for packet, message in zip(packets, coded_messages(packets))
                if packet.picture > 3 and packet.picture not in (14, 27)]
    messages.insert(12, (IMAGE_TOPIC, COMPRESSED, messages[12][2] - 5, b'?'))
    messages.insert(15, (IMAGE_TOPIC, COMPRESSED, messages[15][2] - 5, packet_message(
        COMPRESSED, VideoPacket(b'no packet', 0), 'h264', messages[15][2])))
    messages += [(PROMPT_TOPIC, STRING, START_NS + round(time_s * 1e9), string_message('What?'))
                 for time_s in (0.3, 0.31, 0.8)]
    return sorted(messages, key=lambda message: message[2])


@pytest.mark.parametrize('is_reordered', [False, True])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_reading_goes_on_from_every_position(tmp_path, streams, storage, is_reordered):
    path = write_coded_bag(
        tmp_path / 'bag', hostile_messages(streams['h264', is_reordered]), storage)
    with open_source(path, prompt_topic=PROMPT_TOPIC) as source:
        whole = read(source)
        assert {kind for *_, kind in whole if isinstance(kind, str)} == {
            'before_key_frame', 'lost_packet', 'bad_message', 'unknown_format'}
        position = ReadPosition()
        for index, message in enumerate(source.messages()):
            rest = read(source, position)
            assert len(rest) == len(whole) - index
            for mine, other in zip(rest, whole[index:]):
                assert mine[:2] == other[:2] and np.array_equal(mine[2], other[2])
            position = position.after(message)
        assert not read(source, position)


def test_a_bag_that_breaks_off_gives_all_that_was_before(tmp_path, streams):
    """Also the pictures that the decoder still holds then."""
    path = write_coded_bag(tmp_path / 'bag', coded_messages(streams['h264', True]))
    with open_source(path) as source:
        recorded = list(source.recorded_messages())[:17]

        def broken():
            yield from recorded
            raise BagError(path, 'breaks off', ExitCode.INCOMPLETE)

        found = []
        with pytest.raises(BagError, match='breaks off'):
            for message in decoded_messages(
                    broken, lambda message: TYPESTORE.deserialize_cdr(
                        message.content, message.type), source.stamp_ns, 0):
                found.append(message)
    assert sorted(message.bag_time_ns for message in found) == [
        message.bag_time_ns for message in recorded]
    assert not any(isinstance(message.decoded, BadImageError) for message in found)


def test_lost_packets_are_counted_and_narration_goes_on(tmp_path, streams):
    path = write_coded_bag(tmp_path / 'bag', hostile_messages(streams['h264', False]))
    record = narrate_bag(path, tmp_path / 'out', NarrateOptions(
        frame_rate_fps=30.0, tokens_per_second=100.0))
    assert record.unusable == {
        'bad_message': 1, 'before_key_frame': GOP - 4, 'lost_packet': 5 + 2,
        'unknown_format': 1}
    # No frame follows on one that is missing.
    assert record.counts['frames_used'] == 34 - (GOP - 4) - 7


def test_settings_alone_are_no_pictures(tmp_path):
    """As in a bag whose recorder was started with the camera's settings only."""
    packet = VideoPacket(b'\0\0\0\1\x67\x42\0\x1e' + bytes(200), 0)
    path = write_coded_bag(tmp_path / 'bag', coded_messages(20 * [packet]))
    with pytest.raises(BagError, match='none of its 20 images could be used') as caught:
        narrate_bag(path, tmp_path / 'out', NarrateOptions())
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert json.loads((tmp_path / 'out/run.json').read_text())['unusable'] == {'no_picture': 20}


def scene_packets(seed, duration_s, fps=10):
    renderer = SceneRenderer(Scene(seed), *SIZE_PX)
    pictures = [renderer.render(index / fps) for index in range(round(duration_s * fps))]
    return pictures, encode_video('h264', pictures, gop=30, parameters='crf=16')


def test_video_is_narrated_in_the_same_sentences_as_jpeg(tmp_path):
    pictures, packets = scene_packets(71, 30.0)
    said = []
    for name, message_type in (('jpeg', None), ('video', COMPRESSED), ('ffmpeg', FFMPEG_TYPE)):
        messages = coded_messages(packets, 'h264', message_type or COMPRESSED, fps=10)
        if message_type is None:
            messages = [(IMAGE_TOPIC, COMPRESSED, message[2], compressed_message(
                picture, START_NS + index * 10**8))
                for index, (message, picture) in enumerate(zip(messages, pictures))]
        path = write_coded_bag(tmp_path / name, messages)
        narrate_bag(path, tmp_path / f'said_{name}', NarrateOptions())
        said.append([(record['first_stamp_ns'], record['text'])
                     for record in records_of(tmp_path / f'said_{name}', 'narration')])
    of_jpeg, of_video, of_ffmpeg = said
    assert len(of_jpeg) > 4
    assert of_video == of_ffmpeg
    assert [text for _, text in of_jpeg] == [text for _, text in of_video]
    # What JPEG and H.264 lose differs: what begins in a frame may be seen in the one after it.
    assert all(abs(stamp_ns - other_ns) <= FRAME_NS for (stamp_ns, _), (other_ns, _) in zip(
        of_jpeg, of_video))


def test_a_run_that_is_resumed_at_every_save_gives_the_same_files(tmp_path):
    _, packets = scene_packets(71, 9.0)
    packets = [packet for packet in packets if packet.picture not in (33, 61)]
    messages = coded_messages(packets, fps=10)
    messages += [(PROMPT_TOPIC, STRING, START_NS + round(time_s * 1e9), string_message('What?'))
                 for time_s in (1.23, 3.3, 7.46)]
    path = write_coded_bag(tmp_path / 'bag', sorted(messages, key=lambda message: message[2]))
    options = NarrateOptions(
        prompt_topic='prompt', seed=7, sampling='random', with_images=True,
        prompts_at=((3.48, 'What do you see?'),))
    narrate_bag(path, tmp_path / 'whole', options)
    for _ in range(100):
        try:
            narrate_bag(path, tmp_path / 'out', options, resume=True, should_stop=lambda: True)
            break
        except BagError as error:
            assert error.exit_code is ExitCode.INTERRUPTED
        if len(list((tmp_path / 'out').glob('*'))) > 1:
            break
    narrate_bag(path, tmp_path / 'out', options, resume=True)
    assert hashes(tmp_path / 'out') == hashes(tmp_path / 'whole')


@pytest.mark.parametrize('message_type', MESSAGE_TYPES)
def test_images_are_copied_as_packets(tmp_path, streams, message_type):
    packets = streams['h264', True]
    path = write_coded_bag(
        tmp_path / 'bag', coded_messages(packets, 'h264', message_type), 'mcap', False)
    narrate_bag(path, tmp_path / 'out', NarrateOptions(with_images=True))
    with (tmp_path / 'out/narration.mcap').open('rb') as file:
        copied = [(schema.name, message.data) for schema, _, message
                  in make_reader(file).iter_messages([IMAGE_TOPIC])]
    assert [name for name, _ in copied] == NUM_PICTURES * [message_type]
    data = [bytes(TYPESTORE.deserialize_cdr(content, message_type).data) for _, content in copied]
    assert data == [packet.data for packet in packets]
    # It can be narrated in turn.
    with open_source(tmp_path / 'out/narration.mcap') as source:
        assert len(read(source)) == NUM_PICTURES


def test_a_video_of_another_codec_is_refused_by_its_name(tmp_path):
    packets = [VideoPacket(b'\x82\x49\x83', index) for index in range(3)]
    path = write_coded_bag(tmp_path / 'bag', coded_messages(packets, 'vp9', FOXGLOVE_TYPE))
    with open_source(path) as source:
        for message in source.messages():
            with pytest.raises(BadImageError, match="video of 'vp9' is not decoded; h264, hevc"):
                source.stamp_ns(message)


def test_pictures_that_are_called_video_are_shown(tmp_path):
    packets = [VideoPacket(cv2.imencode('.jpg', picture[..., ::-1])[1].tobytes(), index)
               for index, picture in enumerate(PICTURES[:4])]
    path = write_coded_bag(tmp_path / 'bag', coded_messages(packets))
    with open_source(path) as source:
        assert [nearest(picture, PICTURES) for *_, picture in read(source)] == [0, 1, 2, 3]


def test_pictures_of_jpeg_are_still_read_by_the_index(tmp_path):
    path = write_bag(tmp_path / 'bag', scene_messages(3, 2.0, is_compressed=True))
    with open_source(path) as source:
        assert len(read(source)) == 20
        assert all(message.decoded is None for message in source.messages())


@pytest.mark.parametrize('format_text', ['16UC1; compressedDepth png', '32FC1; compressedDepth'])
def test_compressed_depth_is_shown(tmp_path, format_text):
    """Near things are dark: the range is that of a raw depth topic."""
    values = np.full((40, 60), 2000, np.uint16)
    values[:, 30:] = 8000
    quantum = (0.0, 0.0)
    if format_text.startswith('32'):
        quantum = (10100.0, -1009.0)
        values = (quantum[0] / (values / 1000) + quantum[1]).astype(np.uint16)
    data = struct.pack('<iff', 0, *quantum) + cv2.imencode('.png', values)[1].tobytes()
    content = TYPESTORE.serialize_cdr(TYPESTORE.types[COMPRESSED](
        header=header(START_NS), format=format_text, data=np.frombuffer(data, np.uint8)),
        COMPRESSED)
    path = write_bag(tmp_path / 'bag', [(IMAGE_TOPIC, COMPRESSED, START_NS, content)])
    with open_source(path) as source:
        (_, _, picture), = read(source)
    assert abs(int(picture[5, 5, 0]) - 51) <= 2 and abs(int(picture[5, 50, 0]) - 204) <= 2
