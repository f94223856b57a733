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

"""The command `describe`: text, JSON, progress, and errors of one line."""

import io
import json
import os
from pathlib import Path
import pty
import subprocess
import sys
import termios

from moss_ros.generator import describe
from moss_ros.generator.query import OfflineQuery
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run_describe(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'moss_ros.generator.describe', *map(str, arguments)],
        capture_output=True, text=True, timeout=120, cwd=REPOSITORY)


@pytest.fixture
def call(checkpoint, capsys):
    """Return a function that runs the command in this process: exit status, stdout, stderr."""
    def run(*arguments):
        try:
            status = describe.main(['--checkpoint', str(checkpoint), *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err
    return run


def test_the_answer_is_text_and_the_progress_is_on_stderr(checkpoint, scene_clip):
    result = run_describe('--checkpoint', checkpoint, '--video', scene_clip,
                          '--prompt', 'What happens?', '--max-new-tokens', 8)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith('\n') and result.stdout.strip()
    assert '12/12' in result.stderr and 'encoding' in result.stderr


def test_json_tells_what_was_asked_and_answered(call, scene_clip):
    status, out, _ = call('--video', scene_clip, '--prompt', 'What happens?', '--json',
                          '--fps', '1', '--min-frames', '2', '--max-new-tokens', '8')
    assert status == 0
    values = json.loads(out)
    assert len(out.splitlines()) == 1
    assert values['prompt'] == 'What happens?' and values['num_frames'] == 6
    assert values['videos'] == [str(scene_clip)] and values['images'] == []
    assert isinstance(values['answer'], str) and values['total_s'] >= values['encode_s'] > 0


def test_json_and_text_are_the_same_answer(call, scene_clip):
    arguments = ('--video', scene_clip, '--prompt', 'What do you see?', '--max-new-tokens', '8')
    _, out, _ = call(*arguments)
    _, json_out, _ = call(*arguments, '--json')
    assert json.loads(json_out)['answer'] == out[:-1]


def test_several_images(call, clips, tmp_path):
    paths = [tmp_path / f'{level}.png' for level in (10, 200)]
    for path in paths:
        clips.grey_image(int(path.stem)).save(path)
    status, out, _ = call('--image', paths[0], '--image', paths[1], '--prompt', 'Is it dark?',
                          '--json', '--max-new-tokens', '4')
    assert status == 0 and json.loads(out)['num_frames'] == 2


def test_all_options_reach_the_query(call, clips, tmp_path, monkeypatch):
    clips.grey_image().save(tmp_path / 'a.png')
    asked = []

    def from_dict(query, base, original=OfflineQuery.from_dict):
        asked.append(original(query, base))
        return asked[-1]
    monkeypatch.setattr(OfflineQuery, 'from_dict', from_dict)
    status, _, err = call(
        '--image', tmp_path / 'a.png', '--prompt', 'Is it dark?', '--fps', '3', '--min-frames',
        '4', '--max-frames', '5', '--system-prompt-type', 'video', '--max-new-tokens', '2',
        '--do-sample', '--temperature', '0.5', '--top-k', '7', '--top-p', '0.8',
        '--repetition-penalty', '1.2', '--chunk-length', '3')
    assert status == 0, err
    query = asked[0]
    assert (query.video_fps, query.video_min_frames, query.video_max_frames) == (3.0, 4, 5)
    assert query.system_prompt_type == 'video' and query.settings.max_new_tokens == 2
    sampling = query.settings.sampling
    assert (sampling.do_sample, sampling.temperature, sampling.top_k, sampling.top_p,
            sampling.repetition_penalty) == (True, 0.5, 7, 0.8, 1.2)


@pytest.mark.parametrize('arguments, message', [
    (('--video', '{clip}'), '--prompt is missing'),
    (('--video', '{clip}', '--prompt', '  '), '--prompt is missing'),
    (('--prompt', 'What happens?'), 'nothing to look at: name a file by --video or --image'),
    (('--video', 'nowhere.mp4', '--prompt', 'What?'), 'nowhere.mp4 does not exist or is no file'),
    (('--image', 'nowhere.png', '--prompt', 'What?'), 'nowhere.png does not exist or is no file'),
    (('--video', '{text}', '--prompt', 'What?'), '{text} is not a video that can be read'),
    (('--image', '{text}', '--prompt', 'What?'), '{text} cannot be read as an image'),
    (('--video', '{sound}', '--prompt', 'What?'), '{sound} has no video stream, only audio'),
    (('--video', '{clip}', '--prompt', 'What?', '--fps', '-1'), 'video_fps is -1.0; a number'),
    (('--video', '{clip}', '--prompt', 'What?', '--fps', 'many'), "invalid float value: 'many'"),
    (('--video', '{clip}', '--prompt', 'What?', '--thinking-mode', 'hard'),
     "thinking_mode is 'hard'; known are no_thinking, deep_thinking"),
    (('--video', '{clip}', '--prompt', 'What?', '--checkpoint', '/nowhere'),
     "'/nowhere' is neither a folder nor an id"),
    (('--video', '{clip}', '--prompt', 'What?', '--chunk-length', '0'),
     'vision_chunked_length is 0'),
    (('--video', '{clip}', '--prompt', 'What?', '--nonsense'), 'unrecognized arguments'),
])
def test_errors_are_one_line_and_exit_status_2(
        call, scene_clip, write_sound, tmp_path, arguments, message):
    names = {'clip': scene_clip, 'text': tmp_path / 'text.txt',
             'sound': write_sound(tmp_path / 'sound.wav')}
    names['text'].write_text('No video.')
    status, out, err = call(*(argument.format(**names) for argument in arguments))
    assert status == 2 and out == ''
    assert len(err.splitlines()) == 1
    assert err.startswith('describe: error: ') and message.format(**names) in err


def test_errors_of_the_process_have_exit_status_2(tmp_path):
    result = run_describe('--video', tmp_path / 'nowhere.mp4', '--prompt', 'What happens?')
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


def test_the_thinning_out_of_frames_is_told(call, scene_clip, caplog):
    status, _, _ = call('--video', scene_clip, '--prompt', 'What happens?', '--fps', '30',
                        '--max-new-tokens', '2')
    assert status == 0
    assert '28 frames instead of 180, uniformly spaced' in caplog.text


def test_a_reader_that_goes_away_is_no_error(checkpoint, scene_clip):
    process = subprocess.Popen(
        [sys.executable, '-m', 'moss_ros.generator.describe', '--checkpoint', checkpoint,
         '--video', scene_clip, '--prompt', 'What happens?'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    process.stdout.close()
    assert process.wait(60) == 0
    assert 'Traceback' not in process.stderr.read()
    process.stderr.close()


def test_a_terminal_shows_the_bar_move(checkpoint, scene_clip):
    """With a chunk of one frame every frame is a step of the bar."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    process = subprocess.Popen(
        [sys.executable, '-m', 'moss_ros.generator.describe', '--checkpoint', checkpoint,
         '--video', scene_clip, '--prompt', 'What happens?', '--max-new-tokens', '2',
         '--chunk-length', '1'],
        stdout=subprocess.PIPE, stderr=follower, text=True, cwd=REPOSITORY)
    os.close(follower)
    shown = io.BytesIO()
    try:
        while data := os.read(leader, 4096):
            shown.write(data)
    except OSError:  # how Linux tells that the other side is closed
        pass
    os.close(leader)
    process.stdout.close()
    assert process.wait(60) == 0
    assert b'0/12' in shown.getvalue() and b'12/12' in shown.getvalue()
