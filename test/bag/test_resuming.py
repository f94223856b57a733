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

"""Runs that are killed, interrupted or out of disk go on, and give the same files."""

import fcntl
import json
import multiprocessing
import os
from pathlib import Path
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

from bag_making import make_scene_bag
from moss_ros.bag import BagError, ExitCode, frame_chooser, narrate_bag, NarrateOptions
import pytest
from runs import hashes, OPTIONS, OUTPUTS
from safetensors import safe_open

REPOSITORY = Path(__file__).resolve().parents[2]


def run_until_killed(source, output, kill_after, delay_s, save_every_s=3.0):
    """Narrate in this process, which dies delay_s after so many reports of progress."""
    num_reports = 0

    def on_progress(done_s, total_s):
        nonlocal num_reports
        num_reports += 1
        if num_reports == kill_after:
            threading.Timer(
                delay_s, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()

    narrate_bag(source, output, OPTIONS, on_progress, resume=True, save_every_s=save_every_s)


def test_a_run_that_is_killed_and_resumed_five_times_gives_the_same_files(
        narrated, scene_bag, tmp_path):
    generator = random.Random(20)
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['moss_ros.bag.bag_run'])
    output = tmp_path / 'out'
    num_killed = 0
    # Before the first save, early, in the middle, and while the outputs are written.
    for kill_after in (1, 2, 3, 2, 6, None):
        process = context.Process(target=run_until_killed, args=(
            scene_bag.path, output, kill_after, generator.uniform(0.0, 0.15)))
        process.start()
        process.join()
        if kill_after is None:
            assert process.exitcode == 0
        elif process.exitcode == -signal.SIGKILL:
            num_killed += 1
            final = {path.name for path in output.iterdir() if path.is_file()}
            assert 'run.json' not in final or final == set(OUTPUTS)
    assert num_killed >= 3
    assert hashes(output) == hashes(narrated)


def test_a_run_that_is_killed_while_it_saves_gives_the_same_files(narrated, scene_bag, tmp_path):
    """Between any two of the writes of a save, for it saves all the time."""
    generator = random.Random(31)
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['moss_ros.bag.bag_run'])
    output = tmp_path / 'out'
    num_killed = 0
    for _ in range(8):
        process = context.Process(target=run_until_killed, args=(
            scene_bag.path, output, 1, generator.uniform(0.0, 0.1), 0.0))
        process.start()
        process.join()
        num_killed += process.exitcode == -signal.SIGKILL
    assert num_killed >= 4
    narrate_bag(scene_bag.path, output, OPTIONS, resume=True)
    assert hashes(output) == hashes(narrated)


def saved_twice(source, output):
    """Leave a run that was interrupted after two saves; return the folder of its journal."""
    polls = iter([False, False, True])
    with pytest.raises(BagError, match='interrupted'):
        narrate_bag(source, output, OPTIONS, save_every_s=0.0, should_stop=lambda: next(polls))
    return next(output.rglob('records.jsonl')).parent


@pytest.mark.parametrize('damage', [
    'a line without an end', 'a snapshot without an end', 'no snapshot but the one before',
    'a cut snapshot', 'records that the snapshot misses'])
def test_what_a_power_cut_leaves_is_recovered(narrated, scene_bag, tmp_path, damage):
    output = tmp_path / 'out'
    journal = saved_twice(scene_bag.path, output)
    records, snapshot = journal / 'records.jsonl', journal / 'snapshot.safetensors'
    before = journal / 'snapshot_before.safetensors'
    if damage == 'a line without an end':
        records.write_bytes(records.read_bytes() + b'{"schema": 1, "seq": 99')
    elif damage == 'a snapshot without an end':
        (journal / 'snapshot.safetensors.partial').write_bytes(snapshot.read_bytes()[:500])
    elif damage == 'no snapshot but the one before':
        snapshot.unlink()
    elif damage == 'a cut snapshot':
        snapshot.write_bytes(snapshot.read_bytes()[:1000])
    else:
        with safe_open(before, 'pt') as file:
            num_bytes = json.loads(file.metadata()['state'])['num_bytes']
        records.write_bytes(records.read_bytes()[:num_bytes])
    reports = []
    narrate_bag(scene_bag.path, output, OPTIONS, lambda done_s, _: reports.append(done_s),
                resume=True)
    assert reports[0] > 6.0  # it did not begin anew
    assert hashes(output) == hashes(narrated)


def test_an_interrupted_run_is_resumed(narrated, scene_bag, tmp_path):
    output = tmp_path / 'out'
    polls = iter([False, False, False, True])
    with pytest.raises(BagError, match='--resume goes on') as caught:
        narrate_bag(scene_bag.path, output, OPTIONS, should_stop=lambda: next(polls))
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert not [path for path in output.iterdir() if path.is_file()]
    reports = []
    narrate_bag(scene_bag.path, output, OPTIONS, lambda done_s, _: reports.append(done_s),
                resume=True)
    assert reports[0] > 15.0
    assert hashes(output) == hashes(narrated)
    # Once more: it has ended, so nothing is to be done.
    narrate_bag(scene_bag.path, output, OPTIONS, pytest.fail, resume=True)
    assert hashes(output) == hashes(narrated)


@pytest.mark.parametrize('frames_per_group', [1, 8])
def test_a_run_that_is_resumed_at_every_save_gives_the_same_files(
        tmp_path, monkeypatch, frames_per_group):
    """Also where an image that was left out is shown to a question after the save."""
    monkeypatch.setattr(frame_chooser, 'FRAMES_PER_GROUP', frames_per_group)
    bag = make_scene_bag(tmp_path / 'bag', 71, 9.0, *(
        (time_s, 'What do you see?') for time_s in (1.23, 3.3, 3.41, 3.58, 7.46)))
    options = NarrateOptions(
        prompt_topic='prompt', seed=7, sampling='random', prompt='Is anything moving?',
        prompts_at=((3.48, 'What do you see?'), (8.0, 'How many objects are there?')),
        answer_within_s=1.0)
    narrate_bag(bag.path, tmp_path / 'whole', options)
    num_saves = num_held = 0
    for num_saves in range(100):
        try:
            narrate_bag(bag.path, tmp_path / 'out', options, resume=True,
                        should_stop=lambda: True)
        except BagError as error:
            assert error.exit_code is ExitCode.INTERRUPTED
            with safe_open(next(tmp_path.rglob('snapshot.safetensors')), 'pt') as file:
                saved = json.loads(file.metadata()['state'])
            num_held += saved['state']['chooser']['held'] is not None
            is_done = saved['state']['chooser']['num_read'] == 90
        if is_done:
            break
    narrate_bag(bag.path, tmp_path / 'out', options, resume=True)
    assert num_saves >= (20 if frames_per_group == 1 else 2)
    assert num_held >= (4 if frames_per_group == 1 else 1)
    assert hashes(tmp_path / 'out') == hashes(tmp_path / 'whole')


def stopped_run(source, output, options=OPTIONS):
    polls = iter([False, True])
    with pytest.raises(BagError, match='interrupted'):
        narrate_bag(source, output, options, should_stop=lambda: next(polls))


def test_another_run_is_not_resumed(scene_bag, tmp_path):
    output = tmp_path / 'out'
    stopped_run(scene_bag.path, output)
    with pytest.raises(BagError, match='seed was 7 and is now 8') as caught:
        narrate_bag(scene_bag.path, output, NarrateOptions(
            **{**OPTIONS.to_json(), 'seed': 8}), resume=True)
    assert caught.value.exit_code is ExitCode.RESUME
    other = make_scene_bag(tmp_path / 'other', 5, 3.0, is_compressed=True)
    with pytest.raises(BagError, match='source: end_ns was'):
        narrate_bag(other.path, output, NarrateOptions(
            **{**OPTIONS.to_json(), 'prompt_topic': ''}), resume=True)
    with pytest.raises(BagError, match='holds a run already.*--overwrite'):
        narrate_bag(scene_bag.path, output, OPTIONS)
    narrate_bag(other.path, output, NarrateOptions(), overwrite=True)
    assert json.loads((output / 'run.json').read_text())['source']['name'] == 'other'
    with pytest.raises(BagError, match='holds a run already'):
        narrate_bag(other.path, output, NarrateOptions())


def test_a_run_that_goes_on_is_not_overwritten(scene_bag, tmp_path):
    journal = tmp_path / 'out/.narration_run'
    journal.mkdir(parents=True)
    with (journal / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BagError, match='another process is narrating into it') as caught:
            narrate_bag(scene_bag.path, tmp_path / 'out', NarrateOptions(), overwrite=True)
        assert caught.value.exit_code is ExitCode.RESUME
        assert [path.name for path in journal.iterdir()] == ['lock']
    assert narrate_bag(
        scene_bag.path, tmp_path / 'out', NarrateOptions(), overwrite=True).is_complete


def test_a_recording_is_never_replaced_by_what_is_said_of_it(narrated, tmp_path):
    recording = tmp_path / 'narration.mcap'
    shutil.copyfile(narrated / 'narration.mcap', recording)
    before = recording.read_bytes()
    with pytest.raises(BagError, match='has the recording .* never changed') as caught:
        narrate_bag(recording, tmp_path, NarrateOptions(), overwrite=True)
    assert caught.value.exit_code is ExitCode.USAGE
    assert recording.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['narration.mcap']


def test_a_damaged_snapshot_is_told(scene_bag, tmp_path):
    output = tmp_path / 'out'
    stopped_run(scene_bag.path, output)
    for snapshot in output.rglob('snapshot*.safetensors'):
        snapshot.write_bytes(snapshot.read_bytes()[:1000])
    with pytest.raises(BagError, match='start over with --overwrite') as caught:
        narrate_bag(scene_bag.path, output, OPTIONS, resume=True)
    assert caught.value.exit_code is ExitCode.RESUME


def limit_file_size(num_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def run_command(*arguments, **options):
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, '-m', 'moss_ros.bag', *map(str, arguments)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_later(narrated, scene_bag, tmp_path):
    output = tmp_path / 'out'
    arguments = (scene_bag.path, '--output', output, '--prompt-topic', 'prompt', '--seed', '7',
                 '--sampling', 'random', '--with-images', '--quiet')
    process = run_command(*arguments, preexec_fn=lambda: limit_file_size(30_000))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == ExitCode.OUTPUT
    assert len(errors.splitlines()) == 1 and str(output) in errors and '--resume' in errors
    assert not [path for path in output.iterdir() if path.is_file()]
    narrate_bag(scene_bag.path, output, OPTIONS, resume=True)
    assert hashes(output) == hashes(narrated)


def test_control_c_stops_the_command_cleanly(scene_bag, tmp_path):
    output = tmp_path / 'out'
    process = run_command(scene_bag.path, '--output', output)
    end_s = time.monotonic() + 120
    while not list(output.rglob('records.jsonl')):
        assert time.monotonic() < end_s and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, errors
    assert '--resume goes on' in errors and 'Traceback' not in errors
    assert list(output.rglob('snapshot.safetensors'))
