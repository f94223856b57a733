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

"""Videos are seen by the times of their own frames, whatever wrote, cut or joined them."""

from fractions import Fraction
import struct

import av
from moss_ros.media import MediaError, VideoFile
import numpy as np
import pytest
from video_making import (
    evenly, grey, HEIGHT_PX, join, levels_at, set_display_matrix, WIDTH_PX, write_video,
)

# Grey levels by when they begin; what is seen at some times.
UNEVEN = {0: 10, 4: 30, 10: 50, 10.5: 70, 11: 90, 20: 110}
SEEN = {0: 10, 3: 10, 3.99: 10, 4: 30, 9: 30, 9.9: 30, 10: 50, 10.49: 50, 10.5: 70, 11: 90,
        19.9: 90, 20: 110, 60: 110}


def close_to(levels):
    return pytest.approx(list(levels), abs=2)


# Frame rates that vary

@pytest.mark.parametrize('name, options', [
    ('a.mp4', {}), ('a.mp4', {'bf': 0}), ('a.mp4', {'g': 1}), ('a.mkv', {}), ('a.mov', {}),
    ('a.ts', {}), ('a.flv', {}), ('a.nut', {}),
    ('a.mp4', {'container': {'movflags': 'frag_keyframe+empty_moov'}}),
    ('a.mkv', {'container': {'live': '1'}})])
def test_a_frame_is_seen_from_its_own_time_to_that_of_the_next(tmp_path, name, options):
    path = write_video(tmp_path / name, UNEVEN, **options)
    with VideoFile(path) as video:
        assert video.times.last_s == pytest.approx(20, abs=0.002)
        assert 20 < video.duration_s < 30
        assert levels_at(video, list(SEEN)) == close_to(SEEN.values())


@pytest.mark.parametrize('seed', range(6))
def test_any_times_are_kept(tmp_path, seed):
    rng = np.random.default_rng(seed)
    begins_s = np.cumsum(rng.choice([0.02, 0.1, 0.5, 3.0], 60))
    begins_s = np.round(begins_s - begins_s[0], 2)
    levels = rng.integers(0, 12, 60) * 20 + 10
    path = write_video(tmp_path / f'a.{("mp4", "mkv", "ts")[seed % 3]}', dict(zip(
        begins_s.tolist(), levels.tolist())), bf=seed % 4)
    times_s = np.sort(np.concatenate([begins_s, rng.uniform(0, begins_s[-1], 60)]))
    with VideoFile(path) as video:
        seen = levels_at(video, times_s.tolist())
    wanted = levels[np.searchsorted(begins_s, times_s + 2e-5, side='right') - 1]
    near = np.abs(times_s[:, None] - begins_s).min(1)
    settled = (near < 1e-6) | (near > 2e-3)  # milliseconds of mkv
    assert np.array(seen)[settled] == close_to(wanted[settled])


# Joined recordings

@pytest.mark.parametrize('options', [{}, {'bf': 0}, {'g': 5}])
@pytest.mark.parametrize('nums', [(60, 60), (15, 25, 20), (3, 3, 3, 3)])
def test_of_joined_recordings_all_is_seen_and_the_time_goes_on(tmp_path, nums, options):
    levels = iter(np.linspace(10, 240, sum(nums)).round().tolist())
    wanted, parts = [], []
    for index, num in enumerate(nums):
        part = [next(levels) for _ in range(num)]
        wanted += part
        parts.append(write_video(
            tmp_path / f'{index}.ts', {at / 10: level for at, level in enumerate(part)},
            **options))
    with VideoFile(join(tmp_path / 'joined.ts', *parts)) as video:
        assert video.duration_s == pytest.approx(sum(nums) / 10, abs=0.02)
        note, = video.notes
        assert note.startswith(f'its clock starts again at {nums[0] / 10:.1f} s')
        assert ('more times' in note) == (len(nums) > 2)
        assert levels_at(video, [at / 10 + 0.01 for at in range(sum(nums))]) == close_to(wanted)


@pytest.mark.parametrize('name, codec', [
    ('a.mkv', 'libx264'), ('a.webm', 'libvpx'), ('a.avi', 'mjpeg'), ('a.h264', 'libx264')])
def test_other_files_that_can_be_joined_are_seen_to_the_end_too(tmp_path, name, codec):
    first = write_video(tmp_path / f'1{name}', evenly(20), codec, Fraction(1, 10))
    second = write_video(
        tmp_path / f'2{name}', evenly(20, first_level=100), codec, Fraction(1, 10))
    with VideoFile(join(tmp_path / name, first, second)) as video:
        assert video.duration_s == pytest.approx(4)
        assert levels_at(video, [0.01, 1.91, 2.01, 3.91]) == close_to([20, 77, 100, 157])


def test_the_second_clock_may_start_anywhere_below(tmp_path):
    """As of a part cut out of the same recording, here with another rate of frames."""
    first = write_video(tmp_path / '1.ts', evenly(40, start_s=50))
    second = write_video(tmp_path / '2.ts', evenly(40, start_s=20.03, fps=20, first_level=100))
    with VideoFile(join(tmp_path / 'joined.ts', first, second)) as video:
        assert video.duration_s == pytest.approx(6, abs=0.06)
        assert levels_at(video, [0, 3.9, 4.01, 5.01]) == close_to([20, 137, 100, 160])


def test_one_stray_time_is_no_new_clock(tmp_path):
    parts = [
        write_video(tmp_path / '1.ts', evenly(20), bf=0),
        write_video(tmp_path / '2.ts', {9000: 200}, bf=0),
        write_video(tmp_path / '3.ts', evenly(20, start_s=2.1, first_level=80), bf=0)]
    with VideoFile(join(tmp_path / 'joined.ts', *parts)) as video:
        assert video.notes == []
        assert video.duration_s == pytest.approx(4.1, abs=0.02)
        assert levels_at(video, [1.91, 2.01, 2.11, 4.0]) == close_to([77, 200, 80, 137])


# Begin and length

@pytest.mark.parametrize('name', ['a.mkv', 'a.ts', 'a.mp4', 'a.flv'])
@pytest.mark.parametrize('start_s', [0.5, 100, 40_000])
def test_time_begins_with_the_first_frame(tmp_path, name, start_s):
    path = write_video(tmp_path / name, evenly(30, start_s), time_base=Fraction(1, 1000))
    with VideoFile(path) as video:
        assert video.duration_s == pytest.approx(3, abs=0.02)
        assert levels_at(video, [0, 1.01, 2.91]) == close_to([20, 50, 107])


def test_what_an_edit_list_leaves_out_is_not_seen(tmp_path):
    """As a cut without encoding writes it: the key frame is there, and players begin later."""
    whole = write_video(tmp_path / 'whole.mp4', evenly(40), bf=0)
    cut = tmp_path / 'cut.mp4'
    with av.open(str(whole)) as source, av.open(
            str(cut), 'w', options={'avoid_negative_ts': 'disabled'}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                shift = round(1 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                target.mux(packet)
    with VideoFile(cut) as video:
        assert video.duration_s == pytest.approx(3, abs=0.02)
        assert levels_at(video, [0, 1.01, 2.91]) == close_to([50, 80, 137])


def test_a_length_that_is_wrong_is_not_believed_and_told(tmp_path):
    path = write_video(tmp_path / 'a.mkv', evenly(30))
    data = bytearray(path.read_bytes())
    at = data.index(b'\x44\x89\x88') + 3
    assert struct.unpack_from('>d', data, at)[0] == pytest.approx(3000)
    for said_ms in (1000.0, 60_000.0):
        struct.pack_into('>d', data, at, said_ms)
        path.write_bytes(data)
        with VideoFile(path) as video:
            assert video.duration_s == pytest.approx(3)
            assert levels_at(video, [0.01, 2.91]) == close_to([20, 107])
            assert video.notes == (
                [] if said_ms < 3000 else ['it says that it lasts 60.0 s, but it ends at 3.0 s'])


@pytest.mark.parametrize('codec, name', [
    ('libx264', 'a.h264'), ('libx265', 'a.hevc'), ('mjpeg', 'a.avi'), ('libx264', 'a.avi'),
    ('mpeg4', 'a.avi'), ('libvpx', 'a.webm'), ('libvpx-vp9', 'a.webm'), ('libsvtav1', 'a.mkv'),
    ('libvpx', 'a.ivf')])
def test_odd_containers_show_their_frames_in_order(tmp_path, codec, name):
    """Some know of no times, and AVI none of frames that are out of order."""
    options = {'cpu-used': 8} if codec.startswith('libvpx') else {}
    path = write_video(tmp_path / name, evenly(30), codec, Fraction(1, 10), **options)
    with VideoFile(path) as video:
        assert video.duration_s == pytest.approx(3)
        assert levels_at(video, [index / 10 for index in range(30)]) == pytest.approx(
            list(evenly(30).values()), abs=4)


def test_frames_that_all_have_the_same_time_come_one_after_the_other(tmp_path):
    path = tmp_path / 'frozen.mkv'
    whole = write_video(tmp_path / 'whole.mkv', evenly(30), 'mjpeg')
    with av.open(str(whole)) as source, av.open(str(path), 'w') as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts = packet.dts = 0
                packet.stream = stream
                target.mux(packet)
    with VideoFile(path) as video:
        assert len(video.times.frame_ticks) == 30
        assert video.duration_s == pytest.approx(30 / 25)  # which the copy says
        note, = video.notes
        assert note == 'its frames all have the same time, so they are taken to be 25 a second'
        assert levels_at(video, [0.01, 0.41, 1.17]) == close_to([20, 50, 107])


# Gaps

def pieces_s(video):
    return [(begin_ns / 1e9, end_ns / 1e9) for begin_ns, end_ns in video.times.pieces_ns()]


def test_a_gap_parts_a_video_and_slides_do_not(tmp_path):
    with VideoFile(write_video(tmp_path / 'slides.mp4', {
            index * 30: 20 + 40 * index for index in range(5)})) as video:
        assert pieces_s(video) == [(0, pytest.approx(150, abs=31))]
    pictures = evenly(30) | evenly(30, start_s=72_003) | evenly(10, start_s=80_000)
    for name in ('a.mkv', 'a.mp4', 'a.ts'):
        with VideoFile(write_video(
                tmp_path / name, pictures, time_base=Fraction(1, 1000), bf=2)) as video:
            assert [tuple(map(round, piece)) for piece in pieces_s(video)] == [
                (0, 3), (72_003, 72_006), (80_000, 80_001)]
            assert levels_at(video, [2.95, 72_003.01, 72_005.95, 80_000.95]) == close_to(
                [107, 20, 107, 47])


# Turned and mirrored

@pytest.mark.parametrize('matrix', [
    (a, b, c, d) for a, b, c, d in (
        (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
        (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0))])
def test_a_picture_is_shown_as_a_player_shows_it(tmp_path, matrix):
    """Each of the four corners has a grey of its own."""
    picture = grey(60)
    corners = {(0, 0): 10, (1, 0): 110, (0, 1): 170, (1, 1): 240}  # (x, y): level
    half_height, half_width = HEIGHT_PX // 2, WIDTH_PX // 2
    for (x, y), level in corners.items():
        picture[y * half_height:(y + 1) * half_height, x * half_width:(x + 1) * half_width] = level
    path = set_display_matrix(
        write_video(tmp_path / 'a.mp4', {0: picture, 0.1: picture}, 'mjpeg'), *matrix)
    with VideoFile(path) as video:
        shown, = video.frames_at([0.0])
    a, b, c, d = matrix
    is_turned = a == 0
    assert shown.shape == ((WIDTH_PX, HEIGHT_PX, 3) if is_turned else (HEIGHT_PX, WIDTH_PX, 3))
    for (x, y), level in corners.items():
        # About the middle, and back to 0 and 1.
        right, below = 2 * x - 1, 2 * y - 1
        across, down = a * right + c * below, b * right + d * below
        row = shown.shape[0] * (1 if down < 0 else 3) // 4
        column = shown.shape[1] * (1 if across < 0 else 3) // 4
        assert float(shown[row, column].mean()) == pytest.approx(level, abs=8)


# Cut off and damaged

def test_what_was_cut_off_is_seen_as_far_as_it_goes(tmp_path):
    rng = np.random.default_rng(3)
    pictures = {index / 10: rng.integers(0, 255, (48, 64, 3), np.uint8) for index in range(30)}
    for name, container in (
            ('a.avi', {}), ('a.mp4', {'movflags': 'faststart'}), ('a.mkv', {}), ('a.webm', {})):
        codec = 'libvpx' if name == 'a.webm' else 'mjpeg'
        path = write_video(tmp_path / name, pictures, codec, Fraction(1, 10), container)
        data = path.read_bytes()
        path.write_bytes(data[:len(data) // 2])
        with VideoFile(path) as video:
            assert 1 <= video.duration_s < 2
            assert video.times.breaks_off == 'it is cut off', name
            assert len(list(video.frames_at([0.0, 0.5, 1.0]))) == 3


def test_a_part_of_a_recording_begins_with_its_first_key_frame(tmp_path):
    path = write_video(tmp_path / 'a.ts', evenly(60), g=20, bf=0)
    data = path.read_bytes()
    with av.open(str(path)) as source:
        positions = [packet.pos for packet in source.demux(source.streams.video[0])
                     if packet.size]
    header = data[:2 * 188 + 188]  # the tables at its begin
    path.write_bytes(header + data[positions[10] // 188 * 188:])
    with VideoFile(path) as video:
        assert any('without a key frame' in note for note in video.notes)
        # The frame 20 is the first key frame, a second after the first packet.
        assert levels_at(video, [0, 1.01, 2.01]) == close_to([80, 80, 110])
        assert video.num_damaged == 0


def test_a_file_without_any_packet_is_refused(tmp_path):
    path = write_video(tmp_path / 'a.mkv', evenly(3))
    data = path.read_bytes()
    path.write_bytes(data[:data.index(b'\x1f\x43\xb6\x75')])
    with pytest.raises(MediaError, match='(End of file)'):
        VideoFile(path)


def test_what_goes_on_in_another_stream_or_codec_is_no_secret(tmp_path):
    """As of recordings joined that were written by different programs."""
    first = write_video(tmp_path / '1.ts', evenly(20))
    other_stream = write_video(tmp_path / '2.ts', evenly(20, first_level=100),
                               container={'mpegts_start_pid': '0x150'})
    with VideoFile(join(tmp_path / 'streams.ts', first, other_stream)) as video:
        assert video.times.breaks_off.startswith('another video stream follows')
        assert levels_at(video, [0.01, 1.91]) == close_to([20, 77])
    other_codec = write_video(tmp_path / '3.ts', evenly(20, first_level=100), 'libx265')
    with VideoFile(join(tmp_path / 'codecs.ts', first, other_codec)) as video:
        assert len(levels_at(video, [0.01, 3.91])) == 2
        assert video.num_damaged


def test_the_tables_of_another_stream_may_come_late(tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (200, 48, 64, 3), np.uint8)
    parts = [write_video(tmp_path / f'{index}.ts', {
        at / 10: picture for at, picture in enumerate(np.tile(noise, (4, 1, 1, 1)))},
        container={'mpegts_start_pid': pid}, qp=1, preset='ultrafast')
        for index, pid in enumerate(('0x100', '0x150'))]
    path = join(tmp_path / 'joined.ts', *parts)
    assert path.stat().st_size > 5_000_000
    with VideoFile(path) as video:
        assert video.times.breaks_off.startswith('another video stream follows')
