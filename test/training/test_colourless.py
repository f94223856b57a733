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

"""Cameras without colours: what they show, and what is true of the painted world there."""

from moss_ros.training import false_colours
from moss_ros.training.colourless import (
    colourless_stream, ColourlessStream, make_colourless_by_chance,
)
from moss_ros.training.disturbances import DISTURBANCES
from moss_ros.training.evaluation_run import num_painted_words
from moss_ros.training.false_colours import colourless_by_chance
from moss_ros.training.fresh_streams import Conditions, make_fresh
from moss_ros.training.scenes import EventKind, Question
from moss_ros.training.scenes.language import DO_NOT_KNOW
from moss_ros.training.scenes.world import zone_of
from moss_ros.training.streams import make_stream, Stream
from moss_ros.training.unknown import (
    Happening, render_unknown_streams, SENTENCES, SOMETHING_BY_ZONE, UnknownStream,
)
import numpy as np
import pytest

SEEDS, NUM_FRAMES = range(4000, 4040), 40
CONTENT_PX = 12, 16


def pictures():
    """Return coloured pictures u8 [3, 3, 16, 16] whose last rows are the black padding."""
    found = np.random.default_rng(1).integers(0, 256, (3, 3, 16, 16), np.uint8)
    found[:, :, CONTENT_PX[0]:] = 0
    return found


def test_what_moves_is_told_without_a_name():
    """Each move begins when the painted one does, and no name falls."""
    num_moves = 0
    for seed in SEEDS:
        painted = make_stream(seed, NUM_FRAMES)
        stream = colourless_stream(painted)
        assert stream.times_s == painted.times_s
        begun = [(index, event) for index, event in painted.truth
                 if event.kind in (EventKind.MOVES, EventKind.ENTERS)]
        told = [(index, event) for index, event in stream.truth
                if event.kind in SOMETHING_BY_ZONE]
        assert len(begun) <= len(told) <= len(begun) + 1
        for _, event in begun:
            # What enters shows before its centre is inside.
            assert any(0 <= event.time_s - other.time_s < 0.6 for _, other in told)
        num_moves += len(begun)
        words = [event.sentence for _, event in stream.truth]
        for index, kind in enumerate(stream.going_on):
            words += [stream.answer(Question(asked, ''), index)
                      for asked in ('see', 'moving', 'colour', 'count', 'where', 'is_there')]
        assert not any(map(num_painted_words, words))
    assert num_moves > 60


def test_what_moves_is_where_it_is_seen():
    """A thing that crosses the picture moves on the left and then in the middle."""
    num_crossed = 0
    for seed in SEEDS:
        stream = colourless_stream(make_stream(seed, NUM_FRAMES))
        for kind, objects in zip(stream.going_on, stream.painted.objects):
            moving = [state for state in objects if state.motion != 'still']
            if kind and moving:
                assert SENTENCES[kind] == f'Something moves {zone_of(moving[0].x)}.'
        zones = {kind for kind in stream.going_on if kind}
        num_crossed += len(zones) > 1
    assert num_crossed > 10


def test_what_only_turns_or_appears_is_not_told():
    """Every event begins or ends a move, and they take turns."""
    for seed in SEEDS:
        kinds = [event.kind for _, event in colourless_stream(make_stream(seed, 60)).truth]
        is_end = [kind is Happening.NOTHING for kind in kinds]
        assert all(kind in SOMETHING_BY_ZONE or end for kind, end in zip(kinds, is_end))
        assert is_end == [bool(number % 2) for number in range(len(kinds))]


def test_a_part_of_the_training_streams_is_colourless():
    found = [make_colourless_by_chance(seed, 8) for seed in range(300)]
    assert 15 < sum(stream is not None for stream in found) < 50
    stream = next(filter(None, found))
    assert isinstance(stream, ColourlessStream) and not isinstance(stream, Stream)


def test_training_pictures_of_it_have_no_true_colours():
    """They are grey, or one colour for each grey; the padding stays black."""
    streams = [colourless_stream(make_stream(seed, 3)) for seed in range(50, 62)]
    found = render_unknown_streams(streams, 64, 1)
    assert found.shape == (12, 3, 3, 64, 64)
    is_grey = [(shown == shown[:, :1]).all() for shown in found]
    assert 3 < sum(is_grey) < 12
    assert not found[:, :, :, 48:].any()
    assert all(np.ptp(shown[:, :, :48].astype(int)) > 20 for shown in found)


@pytest.mark.parametrize('seed', range(12))
def test_one_grey_is_one_colour(seed, monkeypatch):
    """What has been of one colour is of one after it, but for the noise of depth."""
    monkeypatch.setattr(false_colours, 'MOST_NOISE', 0.0)
    even = pictures()
    even[:, :, :4, :8] = np.array([200, 40, 40], np.uint8)[:, None, None]
    shown = colourless_by_chance(even, CONTENT_PX, seed, 1.0)
    assert not shown[:, :, CONTENT_PX[0]:].any()
    assert np.ptp(shown[:, :, :4, :8], axis=(0, 2, 3)).max() == 0
    assert not np.array_equal(shown, even)
    assert np.array_equal(shown, colourless_by_chance(even, CONTENT_PX, seed, 1.0))


def test_other_cameras_keep_their_colours():
    assert colourless_by_chance(pictures(), CONTENT_PX, 3, 0.0).tolist() == pictures().tolist()
    num = sum(not np.array_equal(colourless_by_chance(pictures(), CONTENT_PX, seed, 0.3),
                                 pictures()) for seed in range(200))
    assert 40 < num < 80


@pytest.mark.parametrize('name', DISTURBANCES)
def test_the_evaluation_takes_no_name_for_true_before_a_camera_without_colours(name):
    """The frames are those of the painted world; only the cameras with colours show its truth."""
    stream, picture_at = make_fresh(Conditions(1, 20, 3, disturbance=name), 30_000, 2.0)
    assert isinstance(stream, Stream if DISTURBANCES[name].has_colours else UnknownStream)
    assert picture_at(stream.times_s[1]).dtype == np.uint8
    if not DISTURBANCES[name].has_colours:
        assert stream.answer(Question('colour', ''), 3) == DO_NOT_KNOW
        assert stream.times_s == make_fresh(Conditions(1, 20, 3), 30_000, 2.0)[0].times_s


def test_the_cameras_without_colours_are_known():
    assert [name for name, row in DISTURBANCES.items() if not row.has_colours] == [
        'mono8', 'depth', 'depth_in_colours']
