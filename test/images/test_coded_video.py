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

"""H.264, H.265 and AV1, packet after packet: every picture at its own, and never a wrong one."""

from collections import Counter
import random

from moss_ros.images import BadImageError, codec_of, PacketDecoder
import numpy as np
import pytest
from video_packets import (
    CODECS, decode_video, encode_video, GOP, moving_pictures, nearest, stamp_of, VideoPacket,
)

NUM_PICTURES = 60
PICTURES = moving_pictures(NUM_PICTURES)
KINDS = [(codec, is_reordered) for codec in CODECS for is_reordered in (False, True)]


@pytest.fixture(scope='module')
def streams():
    """Return, by codec and whether it is reordered, the packets and pictures of whole streams."""
    made = {}
    for codec, is_reordered in KINDS:
        packets = encode_video(codec, PICTURES, is_reordered=is_reordered)
        made[codec, is_reordered] = packets, dict(decode_video(codec, packets, has_clock=True))
    return made


def kinds_of(known):
    return Counter(item if isinstance(item, str) else 'picture' for _, item in known)


@pytest.mark.parametrize('kind', KINDS)
def test_every_picture_comes_out_with_its_packet(streams, kind):
    packets, pictures = streams[kind]
    assert list(pictures) == list(range(NUM_PICTURES))  # as they are shown
    assert [nearest(picture, PICTURES) for picture in pictures.values()] == list(
        range(NUM_PICTURES))
    order = [packet.picture for packet in packets]
    # Packets of AV1 hold what is shown next, whatever the order of the pictures in them.
    assert (order != sorted(order)) == (kind[1] and kind[0] != 'av1')


@pytest.mark.parametrize('codec', CODECS)
def test_without_reordering_a_picture_comes_out_at_once(streams, codec):
    decoder = PacketDecoder(codec)
    for packet in streams[codec, False][0]:
        known, = decoder.decode(packet.data, packet)
        assert known.tag is packet and known.error is None
        assert known.picture.size_px == PICTURES[0].shape[:2]


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_before_the_first_key_frame_is_counted_as_that(streams, kind):
    packets, pictures = streams[kind]
    known = decode_video(kind[0], packets[3:])
    kinds = kinds_of(known)
    assert 4 <= kinds['before_key_frame'] <= GOP and len(kinds) == 2
    assert all(np.array_equal(item, pictures[number])
               for number, item in known if not isinstance(item, str))


@pytest.mark.parametrize('kind', KINDS)
def test_no_wrong_picture_is_shown_where_packets_are_missing(streams, kind):
    """Also where so many are missing that the rest looks as if none were."""
    packets, pictures = streams[kind]
    draw = random.Random(8)
    for _ in range(30):
        # It takes a few to know how far they are apart.
        first = draw.randrange(7 if kind[1] else 4, NUM_PICTURES - 25)
        number = draw.choice((1, 1, 2, 3, 5, 8, GOP - 1, GOP, GOP + 1, 16, 2 * GOP))
        known = decode_video(
            kind[0], packets[:first] + packets[first + number:], has_clock=True)
        for picture, item in known:
            if not isinstance(item, str):
                assert np.array_equal(item, pictures[picture]), (first, number, picture)
        shown = {picture for picture, item in known if not isinstance(item, str)}
        kinds = set(kinds_of(known)) - {'picture', 'lost_packet'}
        assert not kinds, (first, number, kinds)
        # It goes on at the next key frame but one at the latest: pictures may lead up to one.
        behind = (first + number) // GOP * GOP + 2 * GOP
        assert shown >= set(range(behind, NUM_PICTURES)), (first, number)
        assert shown >= set(range(first - 4))


@pytest.mark.parametrize('codec', CODECS)
def test_one_lost_packet_needs_no_clock_to_be_missed(streams, codec):
    packets, pictures = streams[codec, False]
    known = decode_video(codec, packets[:15] + packets[16:])
    assert kinds_of(known) == {'picture': NUM_PICTURES - 5, 'lost_packet': 4}
    assert all(np.array_equal(item, pictures[number])
               for number, item in known if not isinstance(item, str))


@pytest.mark.parametrize('codec', CODECS)
def test_a_pause_of_the_camera_is_no_loss(streams, codec):
    """The encoder goes on where it stopped; a key frame may be missing after so long only."""
    packets, _ = streams[codec, False]
    decoder = PacketDecoder(codec)
    for packet in packets[:18]:
        pause_ns = 150_000_000 if packet.picture > 16 else 0
        known, = decoder.decode(packet.data, packet, stamp_of(packet) + pause_ns)
        assert known.error is None


@pytest.mark.parametrize('codec', CODECS)
def test_a_damaged_packet_is_not_shown_nor_what_is_made_from_it(streams, codec):
    packets, pictures = streams[codec, False]
    damaged = list(packets)
    # Of H.265 not every cut is noticed, for a decoder makes something of the zeros behind it.
    size = 12 if codec == 'hevc' else len(packets[13].data) // 2
    damaged[13] = VideoPacket(packets[13].data[:size], 13)
    known = dict(decode_video(codec, damaged, has_clock=True))
    assert known[13] in ('not_convertible', 'lost_packet', 'unknown_format')
    for number, item in known.items():
        assert isinstance(item, str) if 13 <= number < 2 * GOP else np.array_equal(
            item, pictures[number])


def test_a_damaged_key_frame_is_not_shown_nor_what_is_made_from_it(streams):
    packets, pictures = streams['h264', False]
    damaged = list(packets)
    damaged[GOP] = VideoPacket(packets[GOP].data[:len(packets[GOP].data) // 2], GOP)
    known = dict(decode_video('h264', damaged, has_clock=True))
    assert known[GOP] == 'not_convertible'
    assert {known[number] for number in range(GOP + 1, 2 * GOP)} == {'lost_packet'}
    assert np.array_equal(known[2 * GOP], pictures[2 * GOP])


@pytest.mark.parametrize('codec', ['h264', 'hevc'])
def test_the_size_may_change_on_the_way(codec):
    small, large = moving_pictures(15), moving_pictures(15, 144, 200)
    packets = [*encode_video(codec, small), *encode_video(codec, large)]
    packets = [VideoPacket(packet.data, number) for number, packet in enumerate(packets)]
    known = decode_video(codec, packets)
    assert [item.shape for _, item in known] == 15 * [small[0].shape] + 15 * [large[0].shape]
    assert [nearest(item, large) for _, item in known[15:]] == list(range(15))


def test_settings_that_are_sent_once_are_kept(streams):
    """Some encoders send them with the first key frame only, or in a packet of their own."""
    packets, pictures = streams['h264', False]
    key = packets[0].data
    at = key.index(b'\0\0\1\x65')
    settings, rest = key[:at], key[at:]
    bare = [VideoPacket(b'\0\0\1' + packet.data.rpartition(b'\0\0\1\x65')[2].join((b'\x65', b''))
                        if packet.picture % GOP == 0 and packet.picture else packet.data,
                        packet.picture) for packet in packets]
    bare[0] = VideoPacket(rest, 0)
    decoder = PacketDecoder('h264')
    known = decoder.decode(settings, 'settings')
    assert known[0].error.kind == 'no_picture'
    lost = [packet for packet in bare if packet.picture != 4]
    known = [item for packet in lost for item in decoder.decode(
        packet.data, packet.picture, stamp_of(packet))]
    shown = {item.tag: item.picture.to_rgb() for item in known if item.picture}
    assert sorted(shown) == [number for number in range(NUM_PICTURES) if not 4 <= number < GOP]
    assert all(np.array_equal(picture, pictures[number]) for number, picture in shown.items())


@pytest.mark.parametrize('parameters', [
    'intra-refresh=1:keyint=10', 'open-gop=1:bframes=2', 'keyint=infinite', 'slices=4',
    'ref=4', 'keyint=1'])
def test_streams_of_other_habits(parameters):
    is_reordered = 'bframes' in parameters
    packets = encode_video('h264', PICTURES, is_reordered=is_reordered, parameters=parameters)
    pictures = dict(decode_video('h264', packets, has_clock=True))
    assert not any(isinstance(picture, str) for picture in pictures.values())
    for missing in (7, 14, 23):
        known = decode_video(
            'h264', packets[:missing] + packets[missing + 1:], has_clock=True)
        wrong = [number for number, item in known if not isinstance(item, str)
                 and not np.array_equal(item, pictures[number])]
        assert not wrong, (missing, wrong)
        shown = {number for number, item in known if not isinstance(item, str)}
        if 'infinite' not in parameters:
            assert shown >= set(range(missing + 25, NUM_PICTURES))


@pytest.mark.parametrize('kind', KINDS)
def test_decoding_may_begin_where_pass_over_says(streams, kind):
    packets, _ = streams[kind]
    whole = [(number, item.tobytes()) for number, item in decode_video(kind[0], packets, True)]
    scout = PacketDecoder(kind[0])
    begins = [index for index, packet in enumerate(packets)
              if scout.pass_over(packet.data, stamp_of(packet))]
    assert begins[0] == 0
    assert len(begins) > 3 or kind == ('hevc', True)
    for begin in begins:
        decoder = PacketDecoder(kind[0])
        for packet in packets[:begin]:
            decoder.pass_over(packet.data, stamp_of(packet))
        known = [item for packet in packets[begin:] for item in decoder.decode(
            packet.data, packet.picture, stamp_of(packet))] + decoder.finish()
        assert [(item.tag, item.picture.to_rgb().tobytes()) for item in known] == whole[begin:]


@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize('packet', [
    b'', b'\xff\xd8\xff\xe0' + bytes(50), b'\0\0\0\x20\x65' + bytes(40), b'no video at all'])
def test_what_is_no_packet_is_said_and_the_stream_goes_on(streams, codec, packet):
    packets, pictures = streams[codec, False]
    decoder = PacketDecoder(codec)
    first, = decoder.decode(packet, 'bad')
    assert isinstance(first.error, BadImageError)
    assert first.error.kind in ('unknown_format', 'before_key_frame', 'no_picture')
    known, = decoder.decode(packets[0].data, 'good')
    assert np.array_equal(known.picture.to_rgb(), pictures[0])


@pytest.mark.parametrize('codec', CODECS)
def test_random_changes_end_in_pictures_or_errors(streams, codec):
    draw = random.Random(3)
    for _ in range(15):
        changed = []
        for packet in streams[codec, False][0][:30]:
            data = bytearray(packet.data)
            if draw.random() < 0.3:
                for _ in range(draw.randint(1, 5)):
                    data[draw.randrange(draw.choice((5, len(data))))] = draw.randrange(256)
            changed.append(VideoPacket(bytes(data), packet.picture))
        assert len(decode_video(codec, changed, has_clock=True)) == 30


def test_a_size_that_is_too_large_is_not_unpacked(streams, monkeypatch):
    monkeypatch.setattr('moss_ros.images.coded_video.MAX_NUM_PIXELS', 72 * 96 - 1)
    for codec in CODECS:
        kinds = kinds_of(decode_video(codec, streams[codec, False][0]))
        assert 'picture' not in kinds, codec


@pytest.mark.parametrize(('codec', 'names'), [
    ('h264', ('h264', 'H264', 'H.264', 'video/h264', 'avc', 'avc1', 'libx264', 'h264_nvenc',
              'h264;yuv420p;bgr8;bgr8', 'rgb8; h264 compressed', 'MPEG-4 AVC')),
    ('hevc', ('hevc', 'h265', 'H.265', 'video/hevc', 'libx265', 'hevc_vaapi', 'hvc1')),
    ('av1', ('av1', 'AV1', 'av01', 'libsvtav1', 'libaom-av1', 'av1_nvenc')),
    ('', ('', 'jpeg', 'rgb8; jpeg compressed bgr8', 'png', 'vp9', 'mpeg4',
          '16UC1; compressedDepth png', 'theora', 'yuv422; jpeg compressed '))])
def test_names_of_codecs(codec, names):
    assert {codec_of(name) for name in names} == {codec}
    assert {codec_of(name, b'\0\0\0\1\x67') for name in names} == {codec}
    assert {codec_of(name, b'\xff\xd8\xff\xe0') for name in names} == {''}


@pytest.mark.parametrize('codec', CODECS)
def test_stamps_that_come_in_bursts_or_as_they_like_are_no_loss(streams, codec):
    draw = random.Random(12)
    burst = [index // 2 * 66_000_000 + index % 2 * 200_000 for index in range(NUM_PICTURES)]
    free = np.cumsum([int(draw.expovariate(1) * 30_000_000) + 1 for _ in range(NUM_PICTURES)])
    same = NUM_PICTURES * [1_700_000_000_000_000_000]
    for stamps in (burst, free.tolist(), same):
        decoder = PacketDecoder(codec)
        known = [item for packet, stamp_ns in zip(streams[codec, False][0], stamps, strict=True)
                 for item in decoder.decode(packet.data, packet, stamp_ns)]
        num_lost = sum(item.error is not None for item in known)
        assert num_lost <= (GOP if stamps is not burst and stamps is not same else 0)


def test_settings_between_reordered_pictures_push_none_out(streams):
    packets, pictures = streams['h264', True]
    settings = packets[0].data[:packets[0].data.index(b'\0\0\1\x65')]
    decoder = PacketDecoder('h264')
    known = []
    for packet in packets:
        known += decoder.decode(packet.data, packet.picture, stamp_of(packet))
        known += decoder.decode(settings, 'settings', stamp_of(packet))
    known += decoder.finish()
    shown = [(item.tag, item.picture.to_rgb()) for item in known if item.picture]
    assert [number for number, _ in shown] == list(range(NUM_PICTURES))
    assert all(np.array_equal(picture, pictures[number]) for number, picture in shown)
    assert sum(item.tag == 'settings' for item in known) == NUM_PICTURES
