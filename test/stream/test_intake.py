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

"""What a live camera and a bag have in common: which images are late, chosen, shown at once."""

from dataclasses import dataclass
import json

from moss_ros.stream import Frame
from moss_ros.stream.intake import FrameIntake, LateFrameError, RESTART_NS
import numpy as np
import pytest

START_NS = 1_763_000_000_123_456_789
TENTH_NS = 100_000_000


class BadPictureError(Exception):
    """Raised by the camera below."""


@dataclass(frozen=True)
class Image:
    """An image, taken so many tenths of a second after START_NS."""

    tenth: float
    is_bad: bool = False

    @property
    def stamp_ns(self):
        return START_NS + round(self.tenth * TENTH_NS)


class Camera:
    """Hands images to an intake of two frames a second; converted: those that it wanted to see."""

    def __init__(self):
        self.converted = []
        self.intake = FrameIntake(2.0, self._convert)

    def _convert(self, image):
        self.converted.append(image.tenth)
        if image.is_bad:
            raise BadPictureError(f'that of {image.tenth}')
        return Frame(np.zeros((2, 2, 3), np.uint8), image.stamp_ns)

    def show(self, *images, **options):
        """Offer images, good ones given by their time; return what became of each."""
        return [self._show(image if isinstance(image, Image) else Image(image), options)
                for image in images]

    def _show(self, image, options):
        try:
            back_ns = self.intake.admit(image.stamp_ns)
            frame = self.intake.offer(image, **options)
        except LateFrameError:
            return 'late'
        except BadPictureError:
            return 'bad'
        if frame is None:
            return 'left out'
        assert frame.stamp_ns == image.stamp_ns
        return 'new beginning' if back_ns else 'shown'

    def times_shown(self, *images):
        return [image for image, told in zip(images, self.show(*images), strict=True)
                if told == 'shown']


@pytest.fixture
def camera():
    return Camera()


def bad(tenth):
    return Image(tenth, is_bad=True)


def test_the_frames_of_the_sampler_are_chosen_and_no_others_converted(camera):
    assert camera.times_shown(*range(21)) == camera.converted == [0, 5, 10, 15, 20]
    assert camera.intake.newest_stamp_ns == Image(20).stamp_ns
    assert camera.intake.left_out is None


@pytest.mark.parametrize('back', [0, 0.01, 1, 19.99])
def test_a_stamp_that_is_not_newer_is_late_and_what_is_chosen_stays(camera, back):
    camera.show(*range(38))
    before = camera.intake.snapshot()
    assert camera.show(37 - back) == ['late']
    assert camera.intake.snapshot()['sampler'] == before['sampler']
    assert camera.intake.newest_stamp_ns == Image(37).stamp_ns
    assert camera.intake.left_out == Image(37)
    assert camera.times_shown(*range(38, 50)) == [40, 45]


def test_how_late_it_is_is_said(camera):
    camera.show(0, 3)
    with pytest.raises(LateFrameError, match=r'^the stamp is 200\.0 ms before that of an earlier'):
        camera.intake.admit(Image(1).stamp_ns)
    assert LateFrameError('').kind == 'late'


def test_stamps_that_go_back_by_two_seconds_are_a_new_beginning(camera):
    camera.show(*range(38))
    assert camera.intake.admit(Image(17).stamp_ns) == RESTART_NS == 2_000_000_000
    assert camera.intake.left_out is None
    assert camera.show(*range(18, 25)) == ['shown', *['left out'] * 4, 'shown', 'left out']


@pytest.mark.parametrize('num_tenths', [5, 10, 19])
def test_a_short_loop_begins_anew_in_each_round(camera, num_tenths):
    camera.show(*range(num_tenths))
    for _ in range(5):
        told = camera.show(*range(num_tenths))
        assert told[:2] == ['late', 'new beginning'] and told.count('new beginning') == 1
        assert told.count('shown') == (num_tenths - 2) // 5
    assert not camera.intake.has_two_clocks


def test_two_cameras_in_turn_begin_anew_once(camera):
    told = camera.show(*(tenth + offset for tenth in range(60) for offset in (1000, 0)))
    assert told.count('new beginning') == 1 and camera.intake.has_two_clocks
    assert told.count('shown') == 13  # as of one of them, and the one that began anew
    camera.intake.forget()
    assert not camera.intake.has_two_clocks


def test_frozen_stamps_give_way_to_arrival_and_the_intake_remembers(camera):
    other = Camera()
    told = []
    for tenth in range(40):
        other.intake.restore(
            json.loads(json.dumps(camera.intake.snapshot())), camera.intake.left_out)
        camera, other = other, camera
        stamp_ns = Image(3).stamp_ns if tenth < 30 else Image(tenth).stamp_ns
        time_ns = camera.intake.time_ns(stamp_ns, Image(1000 + tenth).stamp_ns)
        told += camera.show((time_ns - START_NS) / TENTH_NS)
        assert camera.intake.has_frozen_stamps == (2 <= tenth < 32)
    assert told[:3] == ['shown', 'late', 'shown'] and 'late' not in told[3:]
    # Two a second, by whatever clock; the stamps that move again lie before the times of arrival.
    assert [index for index, what in enumerate(told) if what != 'left out'][2:] == [
        2, 7, 12, 17, 22, 27, 32, 37]
    assert told[32] == 'new beginning'


def test_after_forget_any_stamp_is_the_first(camera):
    camera.show(10, 11)
    camera.intake.forget()
    assert (camera.intake.newest_stamp_ns, camera.intake.left_out) == (None, None)
    assert camera.show(9, 10) == ['shown', 'left out']


def test_a_gap_is_no_new_beginning(camera):
    assert camera.show(0, 100_000) == ['shown', 'shown']


# A bad picture

def test_the_next_one_takes_the_place_of_a_bad_picture_and_the_grid_stays(camera):
    assert camera.show(*range(5), bad(5), 6) == [
        'shown', *['left out'] * 4, 'bad', 'shown']
    assert camera.times_shown(*range(7, 22)) == [10, 15, 20]


def test_a_bad_picture_counts_as_if_it_had_not_been_there(camera):
    other = Camera()
    for run in (camera, other):
        run.show(*range(5))
    assert camera.show(bad(7)) == ['bad']
    assert camera.intake.snapshot() == other.intake.snapshot()
    # Not even for what is late.
    assert camera.intake.left_out == Image(4)
    assert camera.show(6) == ['shown']


def test_the_first_picture_may_be_bad(camera):
    assert camera.show(bad(0), 1, *range(2, 7)) == [
        'bad', 'shown', *['left out'] * 4, 'shown']


def test_a_new_beginning_stands_where_its_first_picture_is_bad(camera):
    camera.show(*range(38))
    assert camera.show(bad(5)) == ['bad']
    # What was left out is of another time, and the next one begins the stream.
    assert camera.intake.left_out is None
    assert camera.intake.newest_stamp_ns == Image(5).stamp_ns
    assert camera.show(4, 6, 7) == ['late', 'shown', 'left out']


# Shown at once

def test_the_newest_that_was_left_out_is_shown_once_and_the_grid_goes_on_from_it(camera):
    assert camera.intake.show_left_out() is None
    camera.show(*range(4))
    assert camera.intake.left_out == Image(3)
    assert camera.intake.show_left_out().stamp_ns == Image(3).stamp_ns
    assert camera.intake.left_out is None and camera.intake.show_left_out() is None
    assert camera.times_shown(*range(4, 15)) == [8, 13]
    assert camera.converted == [0, 3, 8, 13]


def test_one_that_turns_out_bad_when_it_is_shown_at_once_moves_nothing(camera):
    camera.show(*range(3), bad(3))
    before = camera.intake.snapshot()
    with pytest.raises(BadPictureError):
        camera.intake.show_left_out()
    assert camera.intake.snapshot() == before and camera.intake.show_left_out() is None
    assert camera.times_shown(*range(4, 11)) == [5, 10]


def test_one_that_is_wanted_is_shown_whether_or_not_its_turn_has_come(camera):
    assert camera.show(*range(3)) == ['shown', 'left out', 'left out']
    assert camera.show(3, is_wanted=True) == ['shown']
    assert camera.intake.left_out is None
    assert camera.times_shown(*range(4, 15)) == [8, 13]


def test_a_bad_one_that_is_wanted_counts_as_if_it_had_not_been_there(camera):
    camera.show(*range(3))
    before = camera.intake.snapshot()
    assert camera.show(bad(3), is_wanted=True) == ['bad']
    assert camera.intake.snapshot() == before and camera.intake.left_out == Image(2)


# Rate and snapshot

def test_another_rate_is_taken_from_the_next_image_on(camera):
    camera.show(*range(4))
    camera.intake.set_frame_rate(5.0)
    assert camera.intake.frame_rate_fps == 5.0
    assert camera.show(3) == ['late']
    assert camera.times_shown(*range(4, 11)) == [4, 6, 8, 10]
    for rate_fps in (0, float('nan'), '2'):
        with pytest.raises(ValueError, match='frame_rate_fps'):
            camera.intake.set_frame_rate(rate_fps)
        with pytest.raises(ValueError, match='frame_rate_fps'):
            FrameIntake(rate_fps, lambda image: None)
    assert camera.intake.frame_rate_fps == 5.0


@pytest.mark.parametrize('num_before', range(0, 60, 3))
def test_from_a_snapshot_it_goes_on_in_the_same_way(num_before):
    images = [*range(5), bad(5), *range(6, 30), 28, bad(3), 4, *range(5, 33)]
    camera, other = Camera(), Camera()
    camera.show(*images[:num_before])
    other.intake.restore(
        json.loads(json.dumps(camera.intake.snapshot())), camera.intake.left_out)
    for intake in (camera.intake, other.intake):
        if num_before % 2 and intake.left_out is not None:
            intake.show_left_out()
    assert other.show(*images[num_before:]) == camera.show(*images[num_before:])
    assert other.intake.snapshot() == camera.intake.snapshot()
    assert other.intake.left_out == camera.intake.left_out
