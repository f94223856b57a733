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

"""The film that the demo camera shows of unknown scenes: what must happen, scene after scene."""

from itertools import pairwise

from moss_ros.training.unknown import SENTENCES
from moss_ros.training.unknown.endless_film import EndlessFilm, NEXT_SCENE, SCENE_S
import numpy as np
import pytest

MUST_BE_SAID = {'The camera moves.', 'The camera stops.', 'Something covers the camera.',
                'The picture is clear again.', 'Nothing moves any more.'}


@pytest.fixture(scope='module')
def film():
    film = EndlessFilm(5, 80, 60)
    film.picture_at(0.0)
    return film


def test_within_a_minute_the_camera_turns_something_moves_and_it_is_covered(film):
    said = [event.sentence for event in film.events_between(0.0, 60.0)]
    assert MUST_BE_SAID <= set(said) <= set(SENTENCES.values())
    assert any(sentence.startswith('Something moves') for sentence in said)
    times_s = [event.time_s for event in film.events_between(0.0, SCENE_S)]
    assert times_s == sorted(times_s)


def test_a_cover_and_the_motion_of_the_camera_are_seen(film):
    def picture(time_s):
        return film.picture_at(time_s).astype(int)

    kinds = {event.kind: event.time_s for event in reversed(film.events_between(0.0, 60.0))}
    covered_s, clear_s = kinds['covered'], kinds['clear again']
    assert picture(1.0).shape == (60, 80, 3)
    change = np.abs(picture((covered_s + clear_s) / 2) - picture(covered_s - 0.2)).mean()
    rest = np.abs(picture(covered_s - 0.5) - picture(covered_s - 0.2)).mean()
    assert change > 3 * rest
    moves_s, stops_s = kinds['moves'], kinds['camera stops']
    assert np.abs(picture(moves_s - 0.1) - picture(stops_s + 0.1)).mean() > 2 * rest


def test_a_seed_shows_the_same_and_another_seed_another_world():
    one, same, other = (EndlessFilm(seed, 80, 60) for seed in (5, 5, 6))
    assert (one.picture_at(3.0) == same.picture_at(3.0)).all()
    assert one.events_between(0, SCENE_S) == same.events_between(0, SCENE_S)
    assert (one.picture_at(3.0) != other.picture_at(3.0)).mean() > 0.5


def test_the_next_scene_is_told_and_nothing_of_the_last_is_lost():
    film = EndlessFilm(1, 80, 60)
    last = film.events_between(0.0, SCENE_S)
    film.picture_at(SCENE_S + 1)
    events = film.events_between(0.0, 2 * SCENE_S)
    assert events[:len(last)] == last
    assert (events[len(last)].time_s, events[len(last)].sentence) == (SCENE_S, NEXT_SCENE)
    assert all(first.time_s <= second.time_s for first, second in pairwise(events))
    assert film.events_between(SCENE_S, SCENE_S + 0.1) == [events[len(last)]]
    # The clock was set back: the first scene is shown again.
    film.picture_at(1.0)
    assert film.events_between(0.0, SCENE_S) == last
