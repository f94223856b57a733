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

"""Videos as they come: gaps are skipped over and told, clocks go on, and damage is no secret."""

from fractions import Fraction
import json

import av
from moss_ros.bag import BagError, ExitCode, narrate_bag, NarrateOptions
from moss_ros.bag.command import main
from moss_ros.bag.reading import open_source
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
import pytest
from runs import hashes, records_of
from video_making import evenly, join, write_video

GAP_S = 72_000


def times_s(path, frame_rate_fps=2.0):
    with open_source(path, frame_rate_fps=frame_rate_fps) as source:
        return [message.bag_time_ns / 1e9 for message in source.messages()], source.info


def grid_s(*pieces):
    return [begin_s + index / 2 for begin_s, num in pieces for index in range(num)]


@pytest.mark.parametrize('name', ['a.mkv', 'a.mp4', 'a.ts'])
def test_a_gap_is_skipped_over_and_told(tmp_path, name):
    pictures = evenly(30) | evenly(30, GAP_S + 3.25) | evenly(5, GAP_S + 100)
    path = write_video(tmp_path / name, pictures, time_base=Fraction(1, 1000), bf=2)
    found, info = times_s(path)
    assert found == pytest.approx(grid_s((0, 6), (GAP_S + 3.25, 6), (GAP_S + 100, 1)), abs=0.002)
    assert (info.end_ns - info.start_ns) / 1e9 == pytest.approx(GAP_S + 100.5, abs=0.1)
    assert info.num_images == 13
    note, = info.notes
    assert note.startswith('its pictures pause for 20.0 h after ')
    assert note.endswith(', and 1 more times; nothing is shown meanwhile')


def test_two_pictures_of_two_days_are_two(tmp_path):
    found, info = times_s(write_video(
        tmp_path / 'a.mkv', {0: 20, 90_000: 200}, time_base=Fraction(1, 1000)))
    assert len(found) < 400 and found[0] == 0 and 90_000 in found
    assert 'pause for 25.0 h' in info.notes[0] or 'pause for 24' in info.notes[0]


def test_slides_are_held_until_the_next_one(tmp_path):
    path = write_video(tmp_path / 'a.mp4', {index * 20: 20 + 40 * index for index in range(4)})
    with open_source(path, frame_rate_fps=2.0) as source:
        levels = [round(float(message.content.mean())) for message in source.messages()]
        assert source.info.notes == ()
    assert levels[:120] == pytest.approx([20] * 40 + [60] * 40 + [100] * 40, abs=2)
    assert len(levels) > 120


def test_joined_recordings_are_used_to_the_end_and_told_once(tmp_path, capsys):
    parts = [write_video(tmp_path / f'{index}.ts', evenly(20)) for index in range(3)]
    path = join(tmp_path / 'joined.ts', *parts)
    assert main([str(path), '--quiet', '--output', str(tmp_path / 'out')]) == ExitCode.OK
    printed = capsys.readouterr()
    assert printed.err == ''
    assert printed.out.count('its clock starts again at 2.0 s and 1 more times') == 1
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert run['counts']['frames_used'] == 12
    assert len(run['source']['notes']) == 1


@pytest.fixture(scope='module')
def gap_clip(tmp_path_factory):
    """Return a video of a scene: 6 s of it, nothing for 20 hours, and 6 s more."""
    renderer = SceneRenderer(Scene(5), 160, 120)
    path = tmp_path_factory.mktemp('clips') / 'gap.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(120):
            picture = renderer.render(2 + index / 10)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = index * 100 + (index >= 60) * GAP_S * 1000, Fraction(
                1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_captions_keep_the_own_time_of_a_video_with_a_gap(gap_clip, tmp_path):
    record = narrate_bag(gap_clip, tmp_path / 'out', NarrateOptions())
    assert record.counts['frames_used'] == 24
    said_s = [item['first_bag_time_ns'] / 1e9
              for item in records_of(tmp_path / 'out', 'narration')]
    before, behind = ([time_s for time_s in said_s if (time_s > 8) == is_behind]
                      for is_behind in (False, True))
    assert before and behind
    assert all(GAP_S + 6 <= time_s <= GAP_S + 14 for time_s in behind)
    captions = (tmp_path / 'out' / 'narration.vtt').read_text()
    assert '\n20:00:' in captions


def test_a_video_with_a_gap_is_resumed_to_the_same_bytes(gap_clip, tmp_path):
    narrate_bag(gap_clip, tmp_path / 'whole', NarrateOptions())
    for num_polls in (1, 2):
        output = tmp_path / f'out{num_polls}'
        polls = iter([*[False] * num_polls, True])
        with pytest.raises(BagError) as caught:
            narrate_bag(gap_clip, output, NarrateOptions(), should_stop=lambda: next(polls))
        assert caught.value.exit_code is ExitCode.INTERRUPTED
        narrate_bag(gap_clip, output, NarrateOptions(), resume=True)
        assert hashes(output) == hashes(tmp_path / 'whole')


def test_a_question_within_a_gap_is_heard(gap_clip, tmp_path):
    narrate_bag(gap_clip, tmp_path / 'out', NarrateOptions(
        prompts_at=((1000.0, 'What do you see?'),)))
    asked, = records_of(tmp_path / 'out', 'prompt')
    assert asked['first_bag_time_ns'] == 1000 * 10**9


def noise(num):
    rng = np.random.default_rng(3)
    return {index / 10: rng.integers(0, 255, (48, 64, 3), np.uint8) for index in range(num)}


@pytest.mark.parametrize('damage, text', [
    ('cut', 'breaks off: it is cut off'), ('hole', 'is damaged: ')])
def test_a_video_that_is_damaged_is_narrated_as_far_as_it_goes(tmp_path, damage, text):
    path = write_video(tmp_path / 'a.avi', noise(40), 'mjpeg', Fraction(1, 10))
    data = bytearray(path.read_bytes())
    if damage == 'cut':
        del data[len(data) // 2:]
    else:
        data[len(data) // 2:len(data) // 2 + 6000] = bytes(6000)
    path.write_bytes(data)
    with pytest.raises(BagError) as caught:
        narrate_bag(path, tmp_path / 'out', NarrateOptions())
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert text in str(caught.value)
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert run['counts']['frames_used'] >= 3 and text in run['error']
