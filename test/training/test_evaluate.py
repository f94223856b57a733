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

"""The evaluation, and what the shipped checkpoint reaches on a few scenes it never saw."""

import json
import subprocess
import sys

from moss_ros.checkpoints import DEMO_CHECKPOINT
import pytest


def run_evaluate(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'moss_ros.training.evaluate', *arguments],
        capture_output=True, text=True, timeout=300)


@pytest.fixture(scope='module')
def figures():
    """Return the figures of a small sample of `make evaluate`."""
    return sample_figures()


def sample_figures(*arguments):
    result = run_evaluate('--num-scenes', '12', '--num-frames', '40', '--seed', '77', *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_shipped_checkpoint_narrates_truly(figures):
    """The bounds leave room for the smallness of the sample."""
    assert figures['num_frames'] == 480 and figures['num_scenes'] == 12
    assert figures['event_recall'] > 0.85
    assert figures['sentence_precision'] > 0.85
    assert figures['silence_kept'] > 0.98
    assert figures['question_accuracy'] > 0.8
    assert figures['frames_per_s'] > 0


@pytest.mark.parametrize('quantization', ['int8', 'int4'])
def test_with_quantised_weights_it_narrates_as_truly(figures, quantization):
    """Within 2 points on the same scenes; two events more or less are the sample's smallness."""
    pytest.importorskip('torchao')
    quantised = sample_figures('--quantization', quantization)
    slack = 0.02 + 2 / figures['num_events']
    for name in ('event_recall', 'sentence_precision', 'silence_kept'):
        assert quantised[name] > figures[name] - slack, name


def test_the_shipped_checkpoint_is_small():
    """The three files stay below 10 MB together, and there are no others."""
    files = {path.name: path.stat().st_size for path in DEMO_CHECKPOINT.iterdir()}
    assert set(files) == {'config.json', 'tokenizer.json', 'model.safetensors'}
    assert sum(files.values()) < 10e6


def test_trace_shows_what_happened_and_what_was_said():
    """--trace names the scene and its events on stderr; stdout stays one JSON line."""
    result = run_evaluate('--num-scenes', '1', '--num-frames', '24', '--seed', '5', '--trace')
    assert 'scene 50000' in result.stderr and 'The ' in result.stderr
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize('arguments, message', [
    (('--seed', '100000'), 'seed is 100000; take one from 0 to 99999'),
    (('--num-scenes', '0'), 'num_scenes is 0'),
    (('--num-frames', '3'), 'num_frames is 3; a scene needs at least 8'),
    (('--checkpoint', '/nowhere'), "'/nowhere' is neither a folder nor an id"),
])
def test_bad_arguments_are_refused(arguments, message):
    """Exit status 2 and a message with the value and the way out."""
    result = run_evaluate(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
