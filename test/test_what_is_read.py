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

"""The table of what is read, in docs/bags.md, against the code: an example of each row is read."""

from array import array
import re

from bag_making import header, IMAGE_TOPIC, small_images, START_NS, write_bag, write_ros1_bag
from coded_bags import packet_message, write_coded_bag
import cv2
from depth_coding import coded_depth
from encoded_pictures import HEIGHT_PX, message_fields, WIDTH_PX
from moss_ros.bag.bag_source import IMAGE_TYPES
from moss_ros.bag.file_kinds import FileKind, kind_of
from moss_ros.bag.reading import open_source
from moss_ros.bag.ros_types import (
    COMPRESSED_TYPE, FFMPEG_TYPE, FOXGLOVE_TYPE, IMAGE_TYPE, TYPESTORE,
)
from moss_ros.images import CODECS, ENCODINGS
from moss_ros.nodes.camera_images import PictureReader, VideoReader
from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.image_topic import INPUT_TOPICS
from moss_ros.settings import NarratorSettings, rows
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from test_readme import page, table
from video_making import evenly, write_video
from video_packets import encode_video, moving_pictures
import zstandard

PICTURE = moving_pictures(1)[0]
GREY = np.ascontiguousarray(PICTURE[..., 0])
MILLIMETRES = GREY.astype(np.uint16) * 30 + 500


def file_of(folder, suffix):
    file, = folder.glob(f'*{suffix}')
    return file


def compressed_by_zstd(path):
    packed = path.with_name('packed')
    packed.write_bytes(zstandard.compress(path.read_bytes()))
    return packed


# Of each row of recordings, files or folders, made in a folder, and what kind of file it is.
RECORDINGS = {
    'folder of rosbag2': (None, [
        lambda folder: write_bag(folder / 'mcap', small_images(3)),
        lambda folder: write_bag(folder / 'sqlite3', small_images(3), 'sqlite3'),
        lambda folder: write_bag(folder / 'file', small_images(3), 'sqlite3', 'file'),
        lambda folder: write_bag(folder / 'message', small_images(3), 'mcap', 'message')]),
    'MCAP file': (FileKind.MCAP, [
        lambda folder: file_of(write_bag(folder / 'bag', small_images(3)), 'mcap')]),
    'sqlite3 file': (FileKind.SQLITE, [
        lambda folder: file_of(write_bag(folder / 'bag', small_images(3), 'sqlite3'), 'db3')]),
    'file compressed by zstd': (FileKind.ZSTD, [
        lambda folder: compressed_by_zstd(
            file_of(write_bag(folder / 'bag', small_images(3)), 'mcap')),
        lambda folder: compressed_by_zstd(
            file_of(write_bag(folder / 'other', small_images(3), 'sqlite3'), 'db3'))]),
    'ROS 1 bag (format 2.0)': (FileKind.ROS1, [
        lambda folder: write_ros1_bag(folder / 'plain.bag', small_images(3)),
        lambda folder: write_ros1_bag(folder / 'packed.bag', small_images(3), 'bz2')]),
    'video': (FileKind.OTHER, [
        lambda folder: write_video(folder / 'clip.mp4', evenly(30))]),
}


def raw_images():
    for encoding in ENCODINGS:
        step, data = message_fields(encoding)
        yield {'height': HEIGHT_PX, 'width': WIDTH_PX, 'encoding': encoding, 'is_bigendian': 0,
               'step': step, 'data': data}


def encoded(extension, picture, *options):
    return cv2.imencode(extension, picture, options)[1].tobytes()


def jpegs():
    for picture, options in ((PICTURE, ()), (GREY, ()),
                             (PICTURE, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))):
        yield {'format': 'jpeg', 'data': encoded('.jpg', picture, *options)}


def pngs():
    for format_text, picture in (('rgb8; png compressed bgr8', PICTURE), ('png', GREY),
                                 ('16UC1; png compressed ', MILLIMETRES)):
        yield {'format': format_text, 'data': encoded('.png', picture)}


def depth(kind):
    for encoding, quantum in (('16UC1', (0.0, 0.0)), ('32FC1', (10100.0, -1009.0))):
        yield {'format': f'{encoding}; compressedDepth {kind}',
               'data': coded_depth(MILLIMETRES, kind, quantum)}


# Of each row of images: the type of message, and examples of its fields but for the header.
IMAGES = {
    'sensor_msgs/Image': (IMAGE_TYPE, raw_images),
    'JPEG in sensor_msgs/CompressedImage': (COMPRESSED_TYPE, jpegs),
    'PNG in sensor_msgs/CompressedImage': (COMPRESSED_TYPE, pngs),
    'compressedDepth of PNG': (COMPRESSED_TYPE, lambda: depth('png')),
    'compressedDepth of RVL': (COMPRESSED_TYPE, lambda: depth('rvl')),
}
VIDEOS = {
    f'H.264, H.265 or AV1 in {message_type.replace("/msg/", "/")}': message_type
    for message_type in (COMPRESSED_TYPE, FOXGLOVE_TYPE, FFMPEG_TYPE)}


def read_rows():
    """Return the rows of the table by their names, without back quotes."""
    return {row[0].replace('`', ''): row for row in table('docs/bags.md', '## What is read')}


def live_readers(transport):
    return (VideoReader if transport == 'video' else PictureReader)(ImageConverter())


class Fields:
    """A message of a package that need not be installed, by its fields."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


def test_the_table_has_a_row_for_all_that_there_is():
    assert set(read_rows()) == {*RECORDINGS, *IMAGES, *VIDEOS}
    assert {kind for kind, _ in RECORDINGS.values() if kind} == set(FileKind)
    assert {*(message_type for message_type, _ in IMAGES.values()), *VIDEOS.values()} == set(
        IMAGE_TYPES)


def test_the_table_has_every_transport_and_type_that_is_heard_live():
    written = {(row[2], VIDEOS.get(name) or IMAGES[name][0])
               for name, row in read_rows().items() if row[2] != '-'}
    assert written == {(topic.transport, topic.type) for topic in INPUT_TOPICS}
    assert {transport for transport, _ in written} == set(
        rows(NarratorSettings)['image_transport'].choices)
    assert all(read_rows()[name][2] == '-' for name in RECORDINGS)


def test_the_encodings_are_those_that_are_converted():
    cells = [row[0] for row in table('docs/bags.md', '### Encodings of raw images')]
    found = [name for cell in cells for name in re.findall(r'\w+', cell)]
    assert sorted(found) == sorted(ENCODINGS)


def test_the_kinds_of_packets_without_a_picture_are_told():
    source = page('moss_ros/images/coded_video.py') + page('moss_ros/images/coded_packets.py')
    written = set(re.findall(r"BadImageError\(\s*'(\w+)'", source))
    assert {row[0] for row in table('docs/bags.md', '### Coded video')} == written


@pytest.mark.parametrize('name', RECORDINGS)
def test_recordings_are_read(tmp_path, name):
    kind, makers = RECORDINGS[name]
    for make in makers:
        path = make(tmp_path)
        if kind is not None:
            assert kind_of(path) is kind
        with open_source(path) as source:
            pictures = [source.picture(message) for message in source.messages()]
        assert len(pictures) == 3 and pictures[0].dtype == np.uint8


def recorded(path, message_type, examples):
    """Write a bag of examples of the fields of a message; return the pictures of it."""
    messages = []
    for index, fields in enumerate(examples):
        time_ns = START_NS + index * 10**8
        data = np.frombuffer(fields['data'], np.uint8)
        message = TYPESTORE.types[message_type](
            header=header(time_ns), **{**fields, 'data': data})
        messages.append((IMAGE_TOPIC, message_type, time_ns,
                         TYPESTORE.serialize_cdr(message, message_type)))
    with open_source(write_bag(path, messages)) as source:
        return [source.picture(message) for message in source.messages()]


@pytest.mark.parametrize('name', IMAGES)
def test_images_are_read_in_bags_and_live(tmp_path, name):
    message_type, make = IMAGES[name]
    examples = list(make())
    in_bags = recorded(tmp_path / 'bag', message_type, examples)
    reader = live_readers(read_rows()[name][2])
    for fields, picture in zip(examples, in_bags, strict=True):
        fields = {**fields, 'data': array('B', fields['data'])}
        message = (Image if message_type == IMAGE_TYPE else CompressedImage)(**fields)
        image, = reader.images(message, 0)
        assert image.error is None and picture.any()
        assert np.abs(image.to_rgb().astype(int) - picture).max() <= 2


@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize('name', VIDEOS)
def test_video_is_read_in_bags_and_live(tmp_path, name, codec):
    message_type = VIDEOS[name]
    packets = encode_video(codec, moving_pictures(3))
    contents = [packet_message(message_type, packet, codec, START_NS + packet.picture * 10**8)
                for packet in packets]
    path = write_coded_bag(tmp_path / 'bag', [
        (IMAGE_TOPIC, message_type, START_NS + index * 10**8, content)
        for index, content in enumerate(contents)])
    with open_source(path) as source:
        in_bags = [source.picture(message) for message in source.messages()]
    reader = live_readers(read_rows()[name][2])
    for content, picture in zip(contents, in_bags, strict=True):
        fields = TYPESTORE.deserialize_cdr(content, message_type).__dict__
        image, = reader.images(Fields(**fields), 0)
        assert np.array_equal(image.to_rgb(), picture)
