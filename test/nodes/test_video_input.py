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

"""Coded video and compressedDepth over DDS: what is shown, what is lost, and which topic it is."""

from array import array
import struct
import sys
from types import ModuleType

import cv2
from moss_ros.images import PacketDecoder
from moss_ros.nodes.camera_images import VideoReader
from moss_ros.nodes.conversions import ImageConverter
from moss_ros.nodes.image_topic import InputState
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from video_packets import CODECS, encode_video, FPS, GOP, moving_pictures, nearest, stamp_of

PICTURES = moving_pictures(40)
RELIABLE = QoSProfile(depth=100)


def message_of(packet, codec='h264'):
    message = CompressedImage(format=codec, data=array('B', packet.data))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_of(packet), 10 ** 9)
    message.header.frame_id = f'picture {packet.picture}'
    return message


def number_of(frame):
    """Return the number of the picture that a frame's stamp says it is."""
    return round((frame.stamp_ns % 10**11) * FPS / 10**9)


@pytest.mark.parametrize('codec', CODECS)
def test_video_is_shown_by_its_stamps(rig, codec):
    rig = rig(image_transport='video', frame_rate_fps=10.0)
    publisher = rig.publisher(message_type=CompressedImage)
    for packet in encode_video(codec, PICTURES):
        rig.show(publisher, message_of(packet, codec.upper()))
    assert [number_of(frame) for frame in rig.frames] == list(range(0, 40, 3))
    assert [nearest(frame.image, PICTURES) for frame in rig.frames] == list(range(0, 40, 3))
    assert (rig.input.num_received, rig.input.num_used) == (40, 14)
    assert rig.input.num_bad_by_kind == {}
    assert rig.input.topic == '/image'
    assert rig.input.picture_kind == f'96x72 {codec.upper()}'


def test_reordered_video_keeps_its_stamps(rig):
    rig = rig(image_transport='video', frame_rate_fps=float(FPS))
    publisher = rig.publisher(message_type=CompressedImage)
    packets = encode_video('h264', PICTURES, is_reordered=True)
    assert [packet.picture for packet in packets] != list(range(40))
    for packet in packets:
        rig.show(publisher, message_of(packet))
    shown = [number_of(frame) for frame in rig.frames]
    assert shown == [nearest(frame.image, PICTURES) for frame in rig.frames]
    assert shown == list(range(shown[-1] + 1)) and shown[-1] >= 35
    assert rig.input.num_bad_by_kind == {}


def test_it_begins_at_a_key_frame_and_goes_on_at_the_next_where_packets_are_lost(rig):
    rig = rig(image_transport='video', frame_rate_fps=float(FPS))
    publisher = rig.publisher(message_type=CompressedImage)
    for packet in encode_video('h264', PICTURES):
        if packet.picture < 4 or packet.picture in (15, 33, 34):
            continue
        rig.show(publisher, message_of(packet))
    shown = [number_of(frame) for frame in rig.frames]
    assert shown == [*range(10, 15), *range(20, 33)]
    assert rig.input.num_bad_by_kind == {'before_key_frame': 6, 'lost_packet': 4 + 5}
    rig.wait_log('no key frame of h264 came yet')
    rig.wait_log('a packet before it is missing: pictures are used from the next key frame on')


def test_the_newest_picture_is_shown_at_once(rig):
    rig = rig(image_transport='video', frame_rate_fps=1.0)
    publisher = rig.publisher(message_type=CompressedImage)
    for packet in encode_video('h264', PICTURES[:13]):
        rig.show(publisher, message_of(packet))
    rig.input.show_newest()
    assert [number_of(frame) for frame in rig.frames] == [0, 12]
    assert nearest(rig.frames[1].image, PICTURES) == 12


def test_a_whole_second_that_comes_at_once_is_not_lost(rig):
    rig = rig(image_transport='video', frame_rate_fps=float(FPS))
    publisher = rig.publisher(message_type=CompressedImage, qos=RELIABLE)
    for packet in encode_video('h264', PICTURES):
        publisher.publish(message_of(packet))
    rig.host.until(lambda: rig.input.num_received == 40, what='all packets')
    assert len(rig.frames) == 40


def test_video_is_waited_for_and_found_below_a_remapped_camera(rig):
    rig = rig('-r', 'image:=/front/video', image_transport='video', stale_after_s=0.3)
    assert rig.input.topic == '/front/video'
    rig.wait_log('nobody publishes coded video on /front/video or /front/video/ffmpeg')
    rig.wait_state(InputState.NO_PUBLISHER)
    publisher = rig.publisher('/front/video', CompressedImage)
    for packet in encode_video('h264', PICTURES[:2]):
        rig.show(publisher, message_of(packet))
    assert rig.input.state is InputState.ARRIVING and rig.frames


@pytest.mark.parametrize(('topic', 'package', 'name'), [
    ('image', 'foxglove_msgs', 'CompressedVideo'),
    ('image/ffmpeg', 'ffmpeg_image_transport_msgs', 'FFMPEGPacket')])
def test_a_package_that_is_not_installed_is_named(rig, monkeypatch, topic, package, name):
    """The graph says what is published, also of types that this machine has not."""
    monkeypatch.setitem(sys.modules, f'{package}.msg', None)
    rig = rig(image_transport='video', stale_after_s=60.0)
    info = type('Info', (), {'topic_type': f'{package}/msg/{name}'})
    monkeypatch.setattr(
        rig.input_node, 'get_publishers_info_by_topic',
        lambda wanted: [info] if wanted.endswith(topic) else [])
    _, text = rig.wait_log('is not installed here')
    assert f'sudo apt install ros-$ROS_DISTRO-{package.replace("_", "-")}' in text
    rig.wait_state(InputState.NOT_INSTALLED)


def test_a_message_package_is_loaded_when_it_is_published(rig, monkeypatch):
    """With a type that stands for it, for the package itself is not installed here."""
    module = ModuleType('foxglove_msgs.msg')
    module.CompressedVideo = CompressedImage
    monkeypatch.setitem(sys.modules, 'foxglove_msgs', ModuleType('foxglove_msgs'))
    monkeypatch.setitem(sys.modules, 'foxglove_msgs.msg', module)
    rig = rig(image_transport='video')
    info = type('Info', (), {'topic_type': 'foxglove_msgs/msg/CompressedVideo'})
    monkeypatch.setattr(
        rig.input_node, 'get_publishers_info_by_topic',
        lambda wanted: [info] if wanted.endswith('image') else [])
    publisher = rig.publisher(message_type=CompressedImage)
    for packet in encode_video('h264', PICTURES[:2]):
        rig.show(publisher, message_of(packet))
    assert len(rig.frames) == 1


class Fields:
    """A message of a package that is not installed, by its fields."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


@pytest.mark.parametrize('encoding', ['libx264', 'h264', 'h264;yuv420p;bgr8;bgr8'])
def test_messages_of_both_packages_are_read(encoding):
    ffmpeg, foxglove = VideoReader(ImageConverter()), VideoReader(ImageConverter())
    for packet in encode_video('h264', PICTURES[:3]):
        whole = message_of(packet)
        image, = ffmpeg.images(Fields(
            header=whole.header, width=96, height=72, encoding=encoding, pts=packet.picture,
            flags=0, is_bigendian=False, data=whole.data), 5)
        same, = foxglove.images(Fields(
            timestamp=whole.header.stamp, frame_id='front', data=whole.data, format='h264'), 5)
        assert image.stamp == same.stamp == whole.header.stamp
        assert (image.frame_id, same.frame_id) == (whole.header.frame_id, 'front')
        assert np.array_equal(image.to_rgb(), same.to_rgb())
        assert nearest(image.to_rgb(), PICTURES) == packet.picture


def test_a_codec_that_is_not_decoded_is_named():
    reader = VideoReader(ImageConverter())
    image, = reader.images(Fields(
        header=message_of(encode_video('h264', PICTURES[:1])[0]).header, encoding='vp9', pts=0,
        data=b'?'), 5)
    assert image.error.kind == 'unknown_format' and "'vp9'" in str(image.error)


@pytest.mark.parametrize('format_text', ['jpeg', 'h264'])
def test_pictures_on_a_topic_of_video_are_shown(rig, format_text):
    """By what they are, not by what they say."""
    rig = rig(image_transport='video')
    publisher = rig.publisher(message_type=CompressedImage)
    message = message_of(encode_video('h264', PICTURES[:1])[0], format_text)
    message.data = array('B', cv2.imencode('.jpg', PICTURES[5][..., ::-1])[1].tobytes())
    rig.show(publisher, message)
    assert nearest(rig.frames[0].image, PICTURES) == 5


def test_video_on_a_topic_of_pictures_names_the_way_out(rig):
    rig = rig(image_transport='compressed')
    publisher = rig.publisher('image/compressed', CompressedImage)
    rig.show(publisher, message_of(encode_video('h264', PICTURES[:1])[0]))
    assert rig.input.num_bad_by_kind == {'coded_video': 1}
    rig.wait_log('set image_transport to video')


def test_a_start_begins_anew(rig):
    rig = rig(image_transport='video', frame_rate_fps=float(FPS))
    publisher = rig.publisher(message_type=CompressedImage)
    packets = encode_video('h264', PICTURES)
    for packet in packets[:5]:
        rig.show(publisher, message_of(packet))
    rig.restart(image_transport='video')
    rig.host.until(publisher.get_subscription_count, what='the subscription')
    for packet in packets[5:2 * GOP]:
        rig.show(publisher, message_of(packet))
    assert [number_of(frame) for frame in rig.frames] == [*range(5), *range(10, 20)]
    assert rig.input.num_bad_by_kind == {'before_key_frame': 5}


def test_compressed_depth_is_shown_over_the_range(rig):
    rig = rig(image_transport='compressedDepth', depth_min_m=1.0, depth_max_m=3.0)
    publisher = rig.publisher('image/compressedDepth', CompressedImage)
    millimetres = np.array([[0, 1000, 2000, 3000, 9000]], np.uint16)
    content = cv2.imencode('.png', millimetres)[1].tobytes()
    message = CompressedImage(format='16UC1; compressedDepth png')
    message.data = array('B', struct.pack('<iff', 0, 0.0, 0.0) + content)
    rig.show(publisher, message)
    assert rig.frames[0].image[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert rig.input.topic == '/image/compressedDepth'


def narrations_of_a_process(host, listener, start_process, checkpoint, transport, messages):
    """Show messages to a narrator in a process of its own; return what it says."""
    process = start_process(
        'narrator', '-p', f'checkpoint:={checkpoint}', '-p', f'image_transport:={transport}',
        '-p', 'image_reliability:=reliable', '-p', 'mailbox_size:=100')
    publisher = listener.create_publisher(type(messages[0]), 'image', RELIABLE)
    host.until(publisher.get_subscription_count, what='the subscription')
    host.until(lambda: listener.count_publishers('narrator/events'), what='active')
    listener.events.clear()
    for message in messages:
        publisher.publish(message)
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        if stamp_ns % 500_000_000 == 0:  # one that is shown, at two a second
            # Until all is said of it: where in a sentence the next one came would be chance.
            host.until(lambda: any(
                record['stamp_ns'] == stamp_ns and record['type'] in ('silence', 'narration')
                for record in listener.events), what=f'the picture of {stamp_ns} ns')
    said = [(record['first_stamp_ns'], record['text'])
            for record in listener.of_type('narration')]
    listener.destroy_publisher(publisher)
    process.end()
    host.until(lambda: not listener.count_publishers('narrator/events'), what='its leave')
    return said


def test_a_narrator_says_of_video_what_it_says_of_raw_pictures(
        host, listener, start_process, trained_checkpoint):
    renderer = SceneRenderer(Scene(31), 160, 120)
    pictures = [renderer.render(index / 10) for index in range(150)]
    packets = encode_video('h264', pictures, gop=30, parameters='crf=16')
    videos = [message_of(packet) for packet in packets]
    raws = []
    for index, (video, picture) in enumerate(zip(videos, pictures)):
        video.header.stamp.sec, tenths = divmod(index, 10)
        video.header.stamp.sec += 1_700_000_000
        video.header.stamp.nanosec = tenths * 10**8
        raw = Image(height=120, width=160, step=480, encoding='rgb8', header=video.header)
        raw.data = array('B', picture.tobytes())
        raws.append(raw)
    said = [narrations_of_a_process(
        host, listener, start_process, trained_checkpoint, transport, messages)
        # Of raw pictures only the newest waits: those between would push it out.
        for transport, messages in (('raw', raws[::5]), ('video', videos))]
    assert len(said[0]) >= 3
    assert said[0] == said[1]


def test_a_whole_video_leaves_nothing_behind():
    """A decoder that is done can be thrown away with packets whose pictures never came."""
    decoder = PacketDecoder('h264')
    for packet in encode_video('h264', PICTURES[:8])[1:]:
        known, = decoder.decode(packet.data, packet)
        assert known.error.kind == 'before_key_frame'
    assert decoder.finish() == []
