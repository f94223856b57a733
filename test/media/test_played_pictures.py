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

"""A video played as a camera; a camera of this machine, for which FFmpeg's test source stands."""

import time

from moss_ros.media import CameraDevice, device_path, LoopedVideo, MediaError
import pytest
from video_making import evenly, write_video


def level(picture):
    return None if picture is None else round(float(picture.mean()))


@pytest.fixture
def clip(tmp_path):
    """Return the path of a clip of one second: ten pictures, ever lighter by 20."""
    return write_video(tmp_path / 'clip.mp4', evenly(10, step=20), crf=1)


def levels_at(video, *times_s):
    return [level(video.picture_at(time_s)) for time_s in times_s]


def test_a_video_plays_at_its_own_speed_and_again(clip):
    video = LoopedVideo(clip, 10.0)
    assert levels_at(video, 7.0, 7.05, 7.1, 7.2) == pytest.approx([20, None, 40, 60], abs=2)
    # What was missed is left out.
    assert levels_at(video, 7.6, 7.9) == pytest.approx([140, 200], abs=2)
    assert video.num_rounds == 1
    assert levels_at(video, 7.95, 8.0, 8.1) == pytest.approx([None, 20, 40], abs=2)
    assert (video.num_rounds, video.is_slow) == (2, False)
    video.close()


def test_fewer_pictures_a_second_than_it_has_keep_its_speed(clip):
    video = LoopedVideo(clip, 2.0)
    assert levels_at(video, 0.0, 0.5, 1.0, 1.5) == pytest.approx([20, 120, 20, 120], abs=2)
    video.close()


def test_a_clock_that_is_set_back_and_one_that_jumps_stop_nothing(clip):
    video = LoopedVideo(clip, 10.0)
    assert levels_at(video, 100.0, 100.1, 3.0, 3.1) == pytest.approx([20, 40, None, 60], abs=2)
    assert level(video.picture_at(3.2)) == pytest.approx(80, abs=2)
    video.close()
    slow = LoopedVideo(write_video(clip.parent / 'long.mp4', evenly(50, step=4), crf=1), 10.0)
    assert levels_at(slow, 0.0, 4.0, 4.1) == pytest.approx([20, 60, 64], abs=2)
    assert slow.is_slow
    slow.close()


@pytest.mark.parametrize(('content', 'reason'), [
    (None, 'does not exist'), (b'no video', 'not a video that can be read')])
def test_what_is_no_video_is_refused(tmp_path, content, reason):
    path = tmp_path / 'clip.mp4'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=reason):
        LoopedVideo(path, 10.0)


def newest(device, timeout_s=20.0):
    """Wait for the next picture, as whoever shows it would look again."""
    end_s = time.monotonic() + timeout_s
    while (picture := device.newest()) is None:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return picture


def test_a_device_gives_its_newest_picture_until_it_ends():
    device = CameraDevice('testsrc=size=64x48:rate=20:duration=1,realtime', 'lavfi')
    first, second = newest(device), newest(device)
    assert first.shape == second.shape == (48, 64, 3)
    assert (first != second).any()
    with pytest.raises(MediaError, match='testsrc.* sends no more pictures'):
        while newest(device).any():
            pass
    device.close()
    device.close()


def test_a_device_that_is_closed_reads_no_more():
    device = CameraDevice('testsrc=size=64x48:rate=50,realtime', 'lavfi')
    newest(device)
    device.close()
    device.newest()
    assert device.newest() is None


@pytest.mark.parametrize(('make', 'reason'), [
    (lambda: device_path(255), 'no camera /dev/video255; (there is|this machine has none)'),
    (lambda: device_path(-1), 'from 0 up, not -1'),
    (lambda: CameraDevice('/dev/null'), '/dev/null is no camera'),
    (lambda: CameraDevice('/dev/nothing'), '/dev/nothing cannot be read .No such file'),
    (lambda: CameraDevice('/dev/null', 'v4l9'), 'without v4l9; publish .* driver')])
def test_a_device_that_cannot_be_read_is_told_with_the_way_out(make, reason):
    with pytest.raises(MediaError, match=reason):
        make()
