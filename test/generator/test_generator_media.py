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

"""Which frames of a video are looked at, and what becomes of files that are none."""

from fractions import Fraction
import logging
import struct

import av
from moss_ros.media import MediaError, num_samples, read_image, sample_times_s, VideoFile
import numpy as np
from PIL import Image
import pytest


@pytest.mark.parametrize('duration_s, fps, minimum, maximum, times_s', [
    (10.0, 1.0, 8, 256, list(range(10))),
    (9.2, 1.0, 8, 256, list(range(10))),                            # ceil
    (10.0001, 1.0, 8, 256, list(range(10))),                        # a rounded duration
    (3.0, 2.0, 1, 256, [0, 0.5, 1, 1.5, 2, 2.5]),
    (4.0, 1.0, 5, 256, [0, 1, 2, 3, 4]),                            # at least 5
    (100.0, 1.0, 1, 5, [0, 25, 50, 75, 100]),                       # at most 5
    (7.0, 1.0, 1, 1, [0]),
    (0.0, 1.0, 1, 8, [0]),
    (0.04, 1.0, 3, 8, [0, 0.02, 0.04]),
])
def test_sample_times(duration_s, fps, minimum, maximum, times_s):
    assert sample_times_s(duration_s, fps, minimum, maximum) == pytest.approx(times_s)


def test_absurd_rates_cost_nothing():
    assert num_samples(1e4, 1e9, 8, 10 ** 12) == 10 ** 12
    assert len(sample_times_s(1e4, 1e9, 8, 20)) == 20


def test_sample_times_end_with_the_last_frame():
    assert sample_times_s(10.0, 1.0, 1, 4, last_s=9.9) == pytest.approx([0, 3.3, 6.6, 9.9])


@pytest.fixture
def frames_of(clips):
    """Return a function that gives the indices of the grey pictures at some times of a file."""
    def read(path, times_s=None, fps=2.0):
        with VideoFile(path) as video:
            times_s = times_s or sample_times_s(video.duration_s, fps, 1, 256)
            return [clips.index_of(picture) for picture in video.frames_at(times_s)]
    return read


@pytest.mark.parametrize('name, codec', [
    ('a.mp4', 'mpeg4'), ('a.mp4', 'libx264'), ('a.mkv', 'libx264'), ('a.avi', 'mpeg4'),
    ('a.mov', 'mpeg4'), ('a.ts', 'mpeg2video'), ('a.webm', 'libvpx'), ('a.avi', 'mjpeg'),
    ('a.m4v', 'mpeg4'), ('a.h264', 'libx264'), ('a file, 100% ü.mp4', 'mpeg4')])
def test_frames_at_two_a_second(clips, frames_of, tmp_path, name, codec):
    """Of a 10 Hz video every fifth, whatever the container tells of times."""
    rate = 25 if name.endswith(('.h264', '.ts')) else 10  # what cannot tell its rate has 25
    path = clips.write(tmp_path / name, clips.grey_pictures(50), rate, codec)
    step = rate / 2
    # A frame that lies in the middle between two times may count as either.
    wanted = [index * step for index in range(round(50 / step))]
    found = frames_of(path)
    assert len(found) == len(wanted)
    assert all(abs(index - middle) <= 0.5 for index, middle in zip(found, wanted))


def test_a_clip_of_one_frame_and_times_beyond_the_end(clips, frames_of, tmp_path):
    path = clips.write(tmp_path / 'one.mp4', clips.grey_pictures(1), 10)
    assert frames_of(path, [0.0, 0.05, 3.0]) == [0, 0, 0]


def test_an_animated_picture_is_a_video(clips, tmp_path):
    path = tmp_path / 'a.gif'
    pictures = [Image.fromarray(picture) for picture in clips.grey_pictures(6)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=200)
    with VideoFile(path) as video:
        assert video.duration_s == pytest.approx(1.2, abs=0.11)
        levels = [int(picture.mean()) for picture in video.frames_at([0.0, 0.5, 1.0])]
    assert levels == sorted(levels) and len(set(levels)) == 3


def test_a_frame_is_shown_until_the_next_one_comes(clips, frames_of, tmp_path):
    """Frames that are not evenly spaced: never one from the future."""
    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        for time_ms, picture in zip((0, 100, 200, 5000, 5100), clips.grey_pictures(5)):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert frames_of(path, [0.0, 1.0, 4.0, 4.9, 5.03, 9.0]) == [0, 2, 2, 2, 3, 4]


@pytest.fixture
def uneven_clip(tmp_path):
    """Return a file whose frames, by their grey level, begin at uneven times in seconds."""
    def write(begins_s, name='uneven.mp4', time_base=Fraction(1, 16000), **options):
        path = tmp_path / name
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=10, **options)
            stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
            stream.codec_context.time_base = time_base
            for level, begin_s in begins_s.items():
                picture = np.full((48, 64, 3), level, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
                frame.pts, frame.time_base = round(begin_s / time_base), time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path
    return write


UNEVEN = {10: 0, 30: 4, 50: 10, 70: 10.5, 90: 11, 110: 20}


@pytest.mark.parametrize('options', [{}, {'options': {'bf': '0', 'g': '1'}}])
@pytest.mark.parametrize('name, time_base', [
    ('a.mp4', Fraction(1, 16000)), ('a.mkv', Fraction(1, 1000)), ('a.mp4', Fraction(1, 10))])
def test_a_frame_counts_from_when_it_begins(uneven_clip, name, time_base, options):
    """Whatever the average rate is, which here is a frame in three seconds."""
    path = uneven_clip(UNEVEN, name, time_base, **options)
    times_s = [0, 3, 3.9, 4, 9, 9.9, 10, 10.4, 10.5, 10.9, 11, 19.9, 20, 20.1, 50]
    levels = [10, 10, 10, 30, 30, 30, 50, 50, 70, 70, 90, 90, 110, 110, 110]
    with VideoFile(path) as video:
        found = [float(picture.mean()) for picture in video.frames_at(times_s)]
    assert found == pytest.approx(levels, abs=2)


def test_all_frames_of_an_uneven_clip_and_the_last_one_of_a_long_one(uneven_clip):
    path = uneven_clip(UNEVEN)
    with VideoFile(path) as video:
        assert [video.count_frames(most) for most in (1, 5, 6, 8)] == [1, 5, 6, 6]
        # Uniformly from the first frame to when the last one begins.
        assert video.sample_times_s(1.0, 1, 5) == pytest.approx([0, 5, 10, 15, 20])
        assert [float(picture.mean()) for picture in video.every_frame()] == \
            pytest.approx(list(UNEVEN), abs=2)


@pytest.mark.parametrize('name, codec', [
    ('a.mp4', 'libx264'), ('a.mkv', 'libx264'), ('a.avi', 'mpeg4'), ('a.h264', 'libx264'),
    ('a.webm', 'libvpx')])
@pytest.mark.parametrize('num_frames', [1, 2, 7])
def test_frames_of_a_short_clip_are_counted(clips, tmp_path, name, codec, num_frames):
    path = clips.write(tmp_path / name, clips.grey_pictures(num_frames), 25, codec)
    with VideoFile(path) as video:
        assert video.count_frames(8) == num_frames
        assert [clips.index_of(picture) for picture in video.every_frame()] == \
            list(range(num_frames))


@pytest.mark.parametrize('name, fps', [
    ('a.mkv', 30), ('a.mkv', 60), ('a.mp4', 30), ('a.webm', Fraction(30000, 1001))])
def test_rounded_times_of_frames_are_not_held_against_them(clips, tmp_path, name, fps):
    """Containers with milliseconds can't tell 1/30 s: at each frame's true time, that frame."""
    codec = 'libvpx' if name.endswith('webm') else 'libx264'
    path = clips.write(tmp_path / name, clips.grey_pictures(45), fps, codec)
    with VideoFile(path) as video:
        found = [clips.index_of(picture)
                 for picture in video.frames_at([float(index / fps) for index in range(45)])]
    assert found == list(range(45))


@pytest.mark.parametrize('key_frame_interval', [10, 150, 10_000])
def test_jumping_over_what_is_not_wanted_finds_the_same(
        clips, frames_of, tmp_path, key_frame_interval):
    """A minute looked at every 15 s: the frames of these times, wherever decoding can start."""
    path = clips.write(
        tmp_path / 'long.mp4', clips.grey_pictures(600), 10, 'libx264',
        options={'g': str(key_frame_interval), 'keyint_min': '1', 'sc_threshold': '0'})
    assert frames_of(path, [0.0, 15.0, 31.0, 31.5, 50.0, 59.9]) == [0, 30, 10, 15, 20, 59]


class CountingContainer:
    """A container of PyAV that counts the packets read from it."""

    def __init__(self, container):
        self.num_packets = 0
        self._container = container

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._container.close()

    def demux(self, *streams):
        for packet in self._container.demux(*streams):
            self.num_packets += 1
            yield packet

    def __getattr__(self, name):
        return getattr(self._container, name)


def test_jumping_saves_decoding(clips, tmp_path, monkeypatch):
    path = clips.write(
        tmp_path / 'long.mp4', clips.grey_pictures(600), 10, 'libx264',
        options={'g': '10', 'sc_threshold': '0'})
    opened = []
    av_open = av.open
    monkeypatch.setattr(
        av, 'open', lambda name: opened.append(CountingContainer(av_open(name))) or opened[-1])
    with VideoFile(path) as video:
        assert len(list(video.frames_at([0.0, 20.0, 40.0, 59.0]))) == 4
    assert 0 < opened[0].num_packets < 200


def test_a_video_is_shown_upright(clips, tmp_path):
    """As phones store it: lying, with a matrix that turns it clockwise when it is shown."""
    lying = np.zeros((48, 64, 3), np.uint8)
    lying[:24] = 250  # the upper half, which becomes the right one
    path = clips.write(tmp_path / 'a.mp4', [lying] * 3, 10)
    data = path.read_bytes()
    no_turn = struct.pack('>9i', 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turn = struct.pack('>9i', 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    head, track = data[:data.index(b'tkhd')], data[data.index(b'tkhd'):]
    path.write_bytes(head + track.replace(no_turn, turn, 1))
    with VideoFile(path) as video:
        picture, = video.frames_at([0.0])
    assert picture.shape == (64, 48, 3)
    assert picture[:, :20].max() < 30 and picture[:, 28:].min() > 220


def test_a_damaged_part_is_passed_over(clips, tmp_path, caplog):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(30)]
    path = clips.write(tmp_path / 'a.avi', pictures, 10, 'mjpeg')
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 6000] = bytes(6000)
    path.write_bytes(data)
    with VideoFile(path) as video, caplog.at_level(logging.WARNING):
        frames = list(video.frames_at([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]))
    assert len(frames) == 6
    assert frames[0].shape == (48, 64, 3)


@pytest.mark.parametrize('name, content, message', [
    ('nothing.mp4', None, 'the video {} does not exist; name a file'),
    ('folder', 'folder', 'the video {} is a folder; name a file'),
    ('empty.mp4', b'', '{} is not a video that can be read'),
    ('text.mp4', b'What do you see?\n' * 50, '{} is not a video that can be read'),
    ('bytes.mp4', bytes(range(256)) * 40, '{} is not a video that can be read'),
])
def test_what_is_no_video_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content == 'folder':
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        VideoFile(path)
    assert str(caught.value).startswith(message.format(path))


@pytest.mark.parametrize('path', [None, 7, b'a.mp4', Image.new('RGB', (2, 2))])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(MediaError, match='a path of a video is needed, not a'):
        VideoFile(path)


def test_a_video_that_was_cut_off_is_refused(clips, tmp_path):
    path = clips.write(tmp_path / 'a.mp4', clips.grey_pictures(20), 10)
    path.write_bytes(path.read_bytes()[:-700])  # the index at its end
    with pytest.raises(MediaError, match='is not a video that can be read'):
        VideoFile(path)


def test_sound_alone_is_refused(write_sound, tmp_path):
    with pytest.raises(MediaError, match='has no video stream, only audio'):
        VideoFile(write_sound(tmp_path / 'a.wav'))


@pytest.mark.parametrize('name, options', [
    ('a.png', {}), ('a.jpg', {}), ('a.webp', {}), ('a.bmp', {}), ('a.tif', {}), ('a.gif', {})])
def test_pictures_of_any_format_are_read(tmp_path, name, options):
    path = tmp_path / name
    Image.new('RGB', (30, 20), (200, 100, 50)).save(path)
    for source in (path, str(path), Image.open(path)):
        picture = read_image(source)
        assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8
        assert np.abs(picture.mean((0, 1)) - (200, 100, 50)).max() < 6


@pytest.mark.parametrize('name, content, message', [
    ('nothing.jpg', None, 'the image {} does not exist; name a file'),
    ('text.png', b'no picture', '{} cannot be read as an image: it is no picture'),
    ('cut.png', 'cut', '{} cannot be read as an image: '),
])
def test_what_is_no_picture_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content == 'cut':
        Image.effect_noise((80, 60), 90).save(path)
        path.write_bytes(path.read_bytes()[:800])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        read_image(path)
    assert str(caught.value).startswith(message.format(path))


@pytest.mark.parametrize('source', [None, 3.5, ['a.jpg']])
def test_what_is_neither_picture_nor_path_is_refused(source):
    with pytest.raises(MediaError, match='a path of an image is needed, not a'):
        read_image(source)
