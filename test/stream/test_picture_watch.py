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

"""What is told of a camera's pictures: frozen, almost black, white, of one colour, and the end."""

import cv2
from moss_ros.stream import CameraReason, PictureWatch
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
import pytest

START_NS = 1_700_000_000_000_000_000
HEIGHT_PX, WIDTH_PX = 90, 120


class Camera:
    """Shows pictures twice a second to a watch; told: reasons with the seconds of the stamps."""

    def __init__(self, encoding='rgb8', period_s=0.5, **limits):
        self.watch = PictureWatch(**limits)
        self.told, self.texts = [], []
        self.time_s = 0.0
        self._encoding = encoding
        self._period_s = period_s

    def show(self, *pictures, content=True):
        for picture in pictures:
            stamp_ns = START_NS + round(self.time_s * 1e9)
            event = self.watch.look(picture, stamp_ns, 7, self._encoding,
                                    picture.tobytes() if content is True else content)
            if event is not None:
                assert (event.stamp_ns, event.received_ns) == (stamp_ns, 7)
                self.told.append((self.time_s, event.reason.value))
                self.texts.append(event.text)
            self.time_s += self._period_s
        return self.told


def noisy(value, seed, spread=2.0, shape=(HEIGHT_PX, WIDTH_PX, 3)):
    """Return a picture of one value, with the noise of a sensor."""
    noise = np.random.default_rng(seed).normal(value, spread, shape)
    return np.clip(noise, 0, 255).astype(np.uint8)


def scene_picture(seed=1, time_s=0.0):
    return SceneRenderer(Scene(seed, static=True), WIDTH_PX, HEIGHT_PX).render(time_s)


def with_rows(picture, rows, value):
    """Return the picture with so many first rows of one value."""
    changed = picture.copy()
    changed[:rows] = value
    return changed


def test_the_same_picture_over_five_seconds_is_frozen_until_another_comes():
    camera = Camera()
    picture, other = scene_picture(), scene_picture()
    other[-1, -1, -1] ^= 1
    assert camera.show(*[picture] * 10) == []
    assert camera.watch.num_identical == 10 and camera.watch.identical_s == 4.5
    assert camera.show(*[picture] * 6) == [(5.0, 'frozen')]
    assert camera.texts == ['The picture is frozen: 11 pictures of 5.0 s are identical.']
    assert camera.watch.trouble.reason is CameraReason.FROZEN
    assert camera.watch.trouble_s == 7.5
    assert camera.show(other) == [(5.0, 'frozen'), (8.0, 'clear')]
    assert camera.texts[1] == 'The picture changes again.'
    assert (camera.watch.trouble, camera.watch.trouble_s) == (None, 0.0)
    # And again from the first picture that was the other one.
    assert camera.show(*[other] * 10)[2:] == [(13.0, 'frozen')]


def test_a_still_scene_with_noise_or_one_repeated_picture_is_not_frozen():
    camera = Camera()
    camera.show(*(scene_picture(time_s=index / 2) for index in range(40)))
    camera.show(*[scene_picture()] * 9, *(scene_picture(time_s=index) for index in (1, 1, 2, 2)))
    assert camera.told == []


def test_few_pictures_with_wide_stamps_are_not_frozen():
    """Two pictures a minute apart prove nothing of the time between them."""
    camera = Camera(period_s=60.0)
    assert camera.show(*[scene_picture()] * 20) == []
    camera = Camera(period_s=4.0)
    assert camera.show(*[scene_picture()] * 5) == [(16.0, 'frozen')]


def test_a_pause_or_stamps_that_go_back_end_nothing_and_count_for_nothing():
    camera = Camera()
    camera.show(*[scene_picture()] * 9)
    camera.time_s += 100
    camera.show(*[scene_picture()] * 9)
    assert camera.told == []
    camera.show(*[scene_picture()] * 2)
    assert [reason for _, reason in camera.told] == ['frozen']
    for jump_s in (100, -150):
        camera.time_s += jump_s
        camera.show(*[scene_picture()] * 3)
    assert [reason for _, reason in camera.told] == ['frozen']
    assert camera.watch.trouble_s == 7.0


def test_pictures_without_content_are_not_compared():
    """Of coded video: its encoder may repeat a still picture whose noise it left out."""
    assert Camera().show(*[scene_picture()] * 40, content=None) == []


@pytest.mark.parametrize(('name', 'expected'), [('frozen_after_s', []), ('blank_after_s', [])])
def test_nothing_is_told_after_zero_seconds(name, expected):
    picture = scene_picture() if name == 'frozen_after_s' else noisy(0, 1)
    assert Camera(**{name: 0.0}).show(*[picture] * 40) == expected


@pytest.mark.parametrize('name', ['frozen_after_s', 'blank_after_s'])
@pytest.mark.parametrize('value', [-1.0, float('nan'), '5'])
def test_limits_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        PictureWatch(**{name: value})


@pytest.mark.parametrize(('reason', 'value', 'spread'), [
    ('black', 0, 0.0), ('black', 3, 3.0), ('white', 255, 0.0), ('white', 254, 1.5),
    ('uniform', 128, 0.0), ('uniform', (90, 20, 30), 2.0), ('uniform', 40, 1.0)])
def test_a_blank_picture_is_told_after_three_seconds_and_its_end(reason, value, spread):
    """Also of identical ones: at the end of what a sensor gives its noise is cut off."""
    camera = Camera()
    camera.show(*(noisy(value, index if spread else 0, spread) for index in range(20)))
    assert camera.told == [(3.0, reason)]
    assert camera.watch.trouble_s == 9.5
    camera.show(scene_picture())
    assert camera.told[1:] == [(10.0, 'clear')]
    assert len(set(camera.texts)) == 2 and camera.texts[1].endswith('any more.')


def test_what_a_short_blink_shows_is_not_told():
    camera = Camera()
    for seed in range(8):
        camera.show(*(noisy(0, index) for index in range(6)), scene_picture(seed))
    assert camera.told == []


def test_one_trouble_follows_another():
    camera = Camera()
    camera.show(*[scene_picture()] * 12, *[noisy(0, 1)] * 9, *[noisy(255, 1)] * 9,
                *[scene_picture()] * 12)
    assert camera.told == [
        (5.0, 'frozen'), (6.0, 'clear'), (9.0, 'black'), (10.5, 'clear'), (13.5, 'white'),
        (15.0, 'clear'), (20.0, 'frozen')]


def test_a_picture_at_the_border_does_not_flicker():
    """Once told, it takes clearly more to end it."""
    def lit(rows):
        return with_rows(noisy(4, rows), rows, 200)

    camera = Camera()
    # 90 rows: a row more or less is 1.1 % of the pixels.
    camera.show(*[lit(0)] * 9, *[lit(rows) for rows in (1, 2, 1, 0, 2, 1)])
    assert camera.told == [(3.0, 'black')]
    camera.show(lit(4))
    assert [reason for _, reason in camera.told] == ['black', 'clear']


@pytest.mark.parametrize('share', [0.5, 0.9])
def test_black_borders_and_a_dark_scene_are_not_covered(share):
    camera = Camera()
    rows = round(share * HEIGHT_PX)
    camera.show(*(with_rows(scene_picture(time_s=index), rows, 0) for index in range(20)))
    circle = np.zeros((HEIGHT_PX, WIDTH_PX, 1), np.uint8)
    cv2.circle(circle, (WIDTH_PX // 2, HEIGHT_PX // 2), 30, 1, -1)
    camera.show(*(scene_picture(time_s=index) * circle for index in range(20)))
    night = (scene_picture(time_s=1) * 0.25).astype(np.uint8)
    camera.show(*(np.maximum(night, noisy(10, index, 4)) for index in range(20)))
    assert camera.told == []


def test_what_only_a_sample_misses_is_seen():
    """Fine lines that a coarse grid of pixels happens to fall between."""
    picture = noisy(2, 1, 1.0, (640, 640, 3))
    picture[5::10] = 220
    assert (picture[::10, ::10] < 20).all()
    assert Camera(frozen_after_s=0.0).show(*[picture] * 20) == []


@pytest.mark.parametrize('encoding', [
    '16UC1', '32FC1', 'mono16', '8UC1', '16UC1; compressedDepth rvl', '32FC1; compressedDepth',
    'mono16; png compressed mono16', 'bayer_rggb16', 'hevc;gray12le;mono16;16UC1'])
def test_depth_and_heat_may_be_black_or_of_one_colour(encoding):
    """8-bit pictures of what is far, or of raw temperatures, whose own bytes have noise."""
    camera = Camera(encoding)
    for index in range(20):
        camera.show(noisy(31, 0, 0.0), content=noisy(99, index).tobytes())
        camera.show(noisy(0, 0, 0.0), content=noisy(99, 100 + index).tobytes())
    assert camera.told == []
    # Nothing was measured: every bit is the same, and nothing is wrong.
    assert camera.show(*[noisy(0, 0, 0.0)] * 20) == []
    # Something was, and all of it stays: no sensor does that.
    camera.show(*[scene_picture()] * 20)
    assert [reason for _, reason in camera.told] == ['frozen']


def test_a_jpeg_is_compared_by_its_bytes():
    camera = Camera('rgb8; jpeg compressed bgr8')
    codes = [cv2.imencode('.jpg', scene_picture(time_s=index))[1].tobytes() for index in (0, 1)]
    for _ in range(10):
        camera.show(scene_picture(), content=codes[0])
        camera.show(scene_picture(), content=codes[1])
    assert camera.told == []
    for _ in range(12):
        camera.show(scene_picture(), content=codes[0])
    assert [reason for _, reason in camera.told] == ['frozen']
