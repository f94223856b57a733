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

"""Many bags: the same files however they are spread, and a bag that fails keeps no other back."""

import hashlib
import json
from pathlib import Path
import subprocess
import sys

from bag_making import make_scene_bag
from moss_ros.bag import ExitCode, NarrateOptions
from moss_ros.bag.batch import BagTask, narrate_many, write_index
from moss_ros.bag.command import output_folders
from pages import Elements
import pytest
from rosbags.highlevel import AnyReader
from tools.scene_recording import IMAGE_TOPIC, PROMPT_TOPIC, record_scene

REPOSITORY = Path(__file__).resolve().parents[2]
OPTIONS = NarrateOptions(sampling='random', seed=3, prompt='What do you see?')


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return the paths of a good bag, a broken one, and a good one named as the first."""
    folder = tmp_path_factory.mktemp('bags')
    paths = [folder / 'front', folder / 'broken.mcap', folder / 'rear' / 'front']
    paths[2].parent.mkdir()
    make_scene_bag(paths[0], 71, 6.0, is_compressed=True)
    paths[1].write_bytes(b'\x89MCAP0\r\n')
    make_scene_bag(paths[2], 72, 6.0, is_compressed=True)
    return paths


@pytest.fixture(scope='module')
def one_by_one(bags, tmp_path_factory):
    """Return the output folder of the bags narrated one after the other, and the outcomes."""
    output = tmp_path_factory.mktemp('one') / 'mission'
    return output, narrate(bags, output)


def narrate(bags, output, **values):
    """Narrate bags into output and write the index; return the outcomes."""
    tasks = [BagTask(source, folder, OPTIONS) for source, folder in output_folders(bags, output)]
    outcomes = narrate_many(tasks, **values)
    write_index(output, outcomes)
    return outcomes


def hashes(folder):
    """Return the hash of every file below a folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def test_a_bag_that_fails_keeps_no_other_back(bags, one_by_one):
    output, outcomes = one_by_one
    assert [outcome.exit_code for outcome in outcomes] == [
        ExitCode.OK, ExitCode.SOURCE, ExitCode.OK]
    assert outcomes[1].error.startswith(f'{bags[1]}: ')
    files = ['narration.jsonl', 'narration.mcap', 'narration.vtt', 'report.html', 'run.json']
    assert sorted(hashes(output)) == sorted(
        ['index.html', *(f'{name}/{file}' for name in ('front', 'front-2') for file in files)])
    page = Elements((output / 'index.html').read_text(encoding='utf-8'))
    links = [link['href'] for link in page.of('a')]
    assert links == ['./front/report.html', './front-2/report.html']
    assert all((output / link).is_file() for link in links)
    texts = [text.strip() for _, text in page.texts]
    assert 'broken.mcap' in texts and outcomes[1].error in texts
    for outcome in (outcomes[0], outcomes[2]):
        assert str(outcome.record.counts['narrations']) in texts


def test_each_report_tells_what_was_said_and_when(one_by_one):
    output, _ = one_by_one
    for folder in (output / 'front', output / 'front-2'):
        lines = (folder / 'narration.jsonl').read_text(encoding='utf-8').splitlines()
        said = [record for record in map(json.loads, lines) if record['type'] == 'narration']
        start_ns = json.loads((folder / 'run.json').read_text())['source']['start_ns']
        page = Elements((folder / 'report.html').read_text(encoding='utf-8'))
        rows = [row for row in page.of('li') if 'data-begin-s' in row]
        assert said and [round(1e3 * float(row['data-begin-s'])) for row in rows] == [
            (record['first_bag_time_ns'] - start_ns) // 10**6 for record in said]
        assert len(page.of('img')) == len(said)
        texts = [text for tag, text in page.texts if tag == 'p']
        assert all(record['text'] in texts for record in said if record['text'])


def test_the_command_gives_the_same_files_with_two_jobs(bags, one_by_one, tmp_path):
    output = tmp_path / 'mission'
    ended = subprocess.run(
        [sys.executable, '-m', 'moss_ros.bag', *map(str, bags), '--output', str(output),
         '--jobs', '2', '--sampling', 'random', '--seed', '3', '--prompt', OPTIONS.prompt,
         '--quiet'], cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert ended.returncode == ExitCode.SOURCE
    assert ended.stderr.splitlines() == [f'narrate_bag: error: {one_by_one[1][1].error}']
    assert f'{output / "index.html"}: 3 bags' in ended.stdout
    assert hashes(output) == hashes(one_by_one[0])


def test_ray_gives_the_same_files(bags, one_by_one, tmp_path):
    pytest.importorskip('ray', reason='no Ray here')
    output = tmp_path / 'mission'
    narrate(bags, output, engine='ray', num_jobs=2)
    assert hashes(output) == hashes(one_by_one[0])


def test_a_stop_is_an_outcome_of_what_was_not_done(bags, tmp_path):
    outcomes = narrate(bags[:1], tmp_path / 'mission', should_stop=lambda: True)
    assert [outcome.exit_code for outcome in outcomes] == [ExitCode.INTERRUPTED]
    assert '--resume' in outcomes[0].error


def test_a_recorded_scene_is_a_bag(tmp_path):
    record_scene(tmp_path / 'scene', 4, 1.0, [(0.55, 'What do you see?')])
    with AnyReader([tmp_path / 'scene']) as reader:
        topics = [connection.topic for connection, _, _ in reader.messages()]
    assert topics == [IMAGE_TOPIC] * 6 + [PROMPT_TOPIC] + [IMAGE_TOPIC] * 4
