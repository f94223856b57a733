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

"""Unknown scenes: the same each time, what is said is true of what is shown, fast enough."""

from collections import Counter
from dataclasses import replace
import random

from moss_ros.training.evaluation_run import num_painted_words
from moss_ros.training.fresh_streams import read_photographs
from moss_ros.training.questions import other_question
from moss_ros.training.samples import SampleMaker
from moss_ros.training.scenes import Question, question_by_text
from moss_ros.training.scenes.language import DO_NOT_KNOW
from moss_ros.training.unknown import (
    Happening, make_unknown_stream, render_unknown_stream, SENTENCES,
)
from moss_ros.training.unknown import statements
from moss_ros.training.unknown.filming import Film
from moss_ros.training.unknown.happenings import UnknownScene, ZONES
from moss_ros.training.unknown.statements import (
    answer_in_unknown_world, CAMERA_KINDS, DISTURBANCES, END_OF, SOMETHING_BY_ZONE, told_as,
)
import numpy as np
import pytest

SEEDS = range(12)
LENGTH_S = 60.0


def scenes():
    return [UnknownScene(seed, LENGTH_S) for seed in SEEDS]


def grey(picture):
    return picture.astype(np.float32).mean(-1)


def shift_of(before, after):
    """Return by how many pixels, x and y, the content moved: the peak of the phase correlation."""
    window = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
    spectra = [np.fft.rfft2((grey(picture) - grey(picture).mean()) * window)
               for picture in (before, after)]
    cross = spectra[1] * spectra[0].conj()
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), before.shape[:2])
    row, column = np.unravel_index(peak.argmax(), peak.shape)
    height_px, width_px = peak.shape
    return ((column + width_px // 2) % width_px - width_px // 2,
            (row + height_px // 2) % height_px - height_px // 2)


def test_the_same_seed_shows_the_same():
    """Course and pictures; another seed has others."""
    for seed in (3, 2 ** 40 + 7):
        first, same = (Film(UnknownScene(seed, 10.0)) for _ in range(2))
        assert first.scene.phases == same.scene.phases
        assert np.array_equal(first.picture(4.5), same.picture(4.5))
        other = Film(UnknownScene(seed + 1, 10.0))
        assert not np.array_equal(first.picture(4.5), other.picture(4.5))


def test_everything_happens_and_ends():
    """No kind is missing, and what begins ends before something else begins."""
    kinds = Counter(event.kind for seed in range(60)
                    for event in UnknownScene(seed, LENGTH_S).events())
    assert set(kinds) >= {told_as(kind) for kind in END_OF} | set(END_OF.values())
    for scene in scenes():
        going_on = None
        for event in scene.events():
            if event.kind in END_OF.values():
                assert END_OF[going_on] is event.kind
                going_on = None
            else:
                assert going_on is None or {going_on, event.kind} <= set(CAMERA_KINDS)
                going_on = event.kind


def test_a_still_scene_shows_nothing_but_noise():
    """Nothing happens in it, and two of its pictures differ by what a sensor does."""
    scene = UnknownScene(5, LENGTH_S, is_still=True)
    assert scene.events() == []
    film = Film(scene)
    assert np.abs(grey(film.picture(2.0)) - grey(film.picture(2.5))).mean() < 12


TURNS = {Happening.RIGHT: (-1, 0), Happening.LEFT: (1, 0), Happening.UP: (0, 1),
         Happening.DOWN: (0, -1)}


def ways_of_turns(num_scenes, is_wanted):
    """Return of turns and tilts, from poses that are wanted, the way that is told and aside."""
    ways = []
    for seed in range(num_scenes):
        scene = UnknownScene(seed, LENGTH_S)
        for phase in scene.phases:
            if phase.kind in TURNS and is_wanted(scene.pose_at(phase.start_s)):
                film = Film(scene)
                time_s = (phase.start_s + phase.end_s) / 2
                x, y = shift_of(film.picture(time_s), film.picture(time_s + 0.2))
                sign_x, sign_y = TURNS[phase.kind]
                ways.append((x * sign_x + y * sign_y, abs(x * sign_y + y * sign_x)))
    return ways


def test_the_camera_looks_where_it_turns():
    """Where it turns right, the picture moves left; where it tilts up, the picture moves down."""
    ways = ways_of_turns(40, lambda pose: True)
    right, wrong = sum(way > 0 for way, _ in ways), sum(way < 0 for way, _ in ways)
    # The peak is lost now and then, where there is little to see.
    assert right > 40 and right > 4 * wrong, (right, wrong)


def test_a_camera_that_has_rolled_turns_as_its_picture_says():
    """Left and right, up and down are those of the picture, not of the world."""
    ways = ways_of_turns(150, lambda pose: abs(pose.roll) > 0.5)
    right = sum(way > aside for way, aside in ways)
    assert right > 25 and right > 0.6 * len(ways), (right, len(ways))


def test_what_moves_is_in_the_zone_that_is_said():
    """From the first moment on it can be seen, until it stops or begins to leave."""
    num = 0
    for scene in scenes():
        for phase in scene.phases:
            if phase.kind in SOMETHING_BY_ZONE:
                low, high = ZONES[SOMETHING_BY_ZONE.index(phase.kind)]
                x, _ = scene.movers[phase.mover].place_at((phase.start_s + phase.end_s) / 2)
                num += 1
                assert low - 0.25 < x < high + 0.25
                for part in (0, 0.25, 0.5, 0.75, 1):
                    time_s = phase.start_s + part * (phase.end_s - phase.start_s)
                    x, _ = scene.movers[phase.mover].place_at(time_s)
                    # Some of it may lie outside the picture.
                    assert low - 0.1 < min(max(x, 0), 1) < high + 0.1
    assert num > 10


def test_what_comes_in_or_leaves_over_an_edge_moves_while_it_can_be_seen():
    """When it is said to begin and to end, little of it is in the picture; between, much is."""
    num_in = num_out = 0
    for seed in range(30):
        scene = UnknownScene(seed, LENGTH_S)
        film = Film(scene)
        for phase in scene.phases:
            if phase.kind in SOMETHING_BY_ZONE:
                mover = scene.movers[phase.mover]
                most = _part_seen(film, phase.mover, (phase.start_s + phase.end_s) / 2)
                if not mover.is_seen_before:
                    num_in += 1
                    assert _part_seen(film, phase.mover, phase.start_s) < 0.35 * most
                if not mover.is_seen_after:
                    num_out += 1
                    assert _part_seen(film, phase.mover, phase.end_s) < 0.35 * most
    assert num_in > 5 and num_out > 5


def _part_seen(film: Film, index: int, time_s: float) -> float:
    """Return which part of the picture a mover of the film changes."""
    picture, movers = film.picture(time_s).astype(int), film.scene.movers
    mover = movers[index]
    movers[index] = replace(mover, corners=[(1e6, 0, 0)], is_seen_before=False)
    changed = np.abs(picture - film.picture(time_s)).max(-1) > 20
    movers[index] = mover
    return changed.mean()


def test_spoilt_pictures_are_spoilt():
    """Dark ones are dark, bright ones bright, blurred and covered ones without detail."""
    seen = Counter()
    for seed in range(60):
        scene = UnknownScene(seed, LENGTH_S)
        for phase in scene.phases:
            if phase.kind not in DISTURBANCES or phase.start_s < 1:
                continue
            film = Film(scene)
            time_s = (phase.start_s + phase.end_s) / 2
            before, now = grey(film.picture(phase.start_s - 0.05)), grey(film.picture(time_s))
            seen[phase.kind] += 1
            if phase.kind is Happening.DARK:
                assert now.mean() < 25
            elif phase.kind is Happening.BRIGHT:
                assert now.mean() > 200
            else:
                assert now.mean() > 10
            assert np.abs(before - now).mean() > 1
    assert set(seen) == set(DISTURBANCES)


def test_streams_say_what_goes_on():
    """Each event is observable once, at most two frames late, and what goes on follows them."""
    num = 0
    for seed in SEEDS:
        stream = make_unknown_stream(seed, 60, 2.0)
        told = [(index, event) for index, events in enumerate(stream.observable)
                for event in events]
        assert len({event for _, event in told}) == len(told) <= len(stream.truth)
        at = dict((event, index) for index, event in stream.truth)
        for index, event in told:
            num += 1
            assert 0 <= index - at[event] <= 2
            expected = None if event.kind in END_OF.values() else event.kind
            if len(stream.observable[index]) == 1:
                assert stream.going_on[index] is expected
    assert num > 30


def test_answers_are_what_can_be_known():
    """Camera, motion and picture; nothing of things, and nothing of motion from one picture."""
    def answer(kind, going_on, of_one_frame=False):
        return answer_in_unknown_world(kind, going_on, of_one_frame)
    assert answer('see', None) == 'I do not know this scene. Nothing is moving.'
    assert answer('see', Happening.LEFT) == 'I do not know this scene. The camera turns left.'
    assert answer('see', Happening.LEFT, True) == 'I do not know this scene.'
    assert answer('moving', Happening.SOMETHING_LEFT) == 'Something moves on the left.'
    assert answer('moving', Happening.DARK, True) == 'It is too dark to see.'
    assert answer('moving', None, True) == DO_NOT_KNOW
    for kind in ('where', 'count', 'colour', 'is_there', 'other'):
        assert answer(kind, Happening.LEFT) == DO_NOT_KNOW


def test_no_painted_word_is_ever_said(chat):
    """Neither in the sentences nor in what the samples of the unknown world let the model say."""
    assert not any(num_painted_words(sentence) for sentence in SENTENCES.values())
    assert num_painted_words('A red ball appears.') == 2
    maker = SampleMaker(chat, random.Random(2))
    num_said = 0
    for seed in SEEDS:
        sample = maker.make(make_unknown_stream(seed, 40, 2.0), 2, 28)
        text = chat.decode([target for target in sample.targets if target >= 0])
        num_said += bool(text)
        assert num_painted_words(text.replace('.', '. ')) == 0
        assert not any(frame.is_painted for frame in sample.frames)
    assert num_said > 6


def test_other_questions_are_many_and_none_of_the_known():
    """Hundreds of texts, and not one that has an answer."""
    generator = random.Random(4)
    texts = {other_question(generator).text for _ in range(600)}
    assert len(texts) > 500
    assert not any(question_by_text(text) for text in texts)


@pytest.mark.parametrize('text, kind', [
    ('Count the objects.', 'count'), ('does anything move', 'moving'),
    ('Tell me where the red ball is.', 'where'), ('What is the colour of the box?', 'colour')])
def test_paraphrases_are_known(text, kind):
    """Questions of the known kinds are known in other wordings."""
    assert question_by_text(text).kind == kind


def test_directions_are_told_where_they_are_learned(monkeypatch):
    """One constant says so; without it all motions of the camera are of one kind."""
    monkeypatch.setattr(statements, 'DIRECTIONS_ARE_TOLD', True)
    assert told_as(Happening.LEFT) is Happening.LEFT
    monkeypatch.setattr(statements, 'DIRECTIONS_ARE_TOLD', False)
    assert told_as(Happening.LEFT) is Happening.MOVES
    assert told_as(Happening.DARK) is Happening.DARK


def test_pictures_of_a_stream():
    """One a frame, of the model's size."""
    pictures = render_unknown_stream(make_unknown_stream(11, 12, 2.0), 64)
    assert pictures.shape == (12, 3, 64, 64) and pictures.dtype == np.uint8
    assert pictures.std() > 1 and (pictures[0] != pictures[-1]).any()


def test_photographs_are_the_world_where_they_are_given(tmp_path):
    """A folder of pictures is read, and shown by the film; an empty one is refused."""
    import cv2
    with pytest.raises(ValueError, match='holds no pictures'):
        read_photographs(tmp_path)
    for name, value in (('a.png', 40), ('b.png', 200)):
        cv2.imwrite(str(tmp_path / name), np.full((90, 120, 3), value, np.uint8))
    photographs = read_photographs(tmp_path)
    assert [int(picture.mean()) for picture in photographs] == [40, 200]
    stream = make_unknown_stream(1, 8, 2.0)
    picture = stream.camera(photographs[:1])(0.3)
    assert picture.std() < 30


def test_questions_of_the_unknown_world_have_answers():
    """Any question may be asked of any frame."""
    stream = make_unknown_stream(1, 30, 2.0)
    for index in range(30):
        assert stream.answer(Question('see', 'What do you see?'), index).startswith('I do not')
