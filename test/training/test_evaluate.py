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

import cv2
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.training import evaluation_run
from moss_ros.training.evaluate import evaluate
from moss_ros.training.evaluation_run import wilson_interval
from moss_ros.training.scenes.language import OTHER
import numpy as np
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
    (('--seed', '2147483649'), 'seed is 2147483649; take one from 0 to 2147483648'),
    (('--photos', '/nowhere'), '/nowhere holds no pictures'),
    (('--photos', 'docs'), 'photographs are for the unknown world'),
    (('--num-scenes', '0'), 'num_scenes is 0'),
    (('--num-frames', '3'), 'num_frames is 3; a scene needs at least 8'),
    (('--checkpoint', '/nowhere'), "'/nowhere' is neither a folder nor an id"),
])
def test_bad_arguments_are_refused(arguments, message):
    """Exit status 2 and a message with the value and the way out."""
    result = run_evaluate(*arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_any_seed_and_the_unknown_world_of_photographs(tmp_path):
    """Streams made of photographs are counted as those that are made up, with intervals."""
    noise = np.random.default_rng(1).integers(0, 255, (2, 12, 16, 3), np.uint8)
    for index, picture in enumerate(noise):
        picture = cv2.resize(picture, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f'{index}.png'), picture)
    for arguments in ((), ('--photos', str(tmp_path))):
        result = run_evaluate('--world', 'unknown', '--num-scenes', '2', '--num-frames', '24',
                              '--seed', '2147483648', *arguments)
        assert result.returncode == 0, result.stderr
        figures = json.loads(result.stdout)
        assert figures['world'] == 'unknown' and figures['num_frames'] == 48
        for name, (low, high) in figures['intervals'].items():
            assert 0 <= low <= figures[name] + 1e-4 and figures[name] <= high + 1e-4 and high <= 1
        assert figures['num_painted_words'] >= 0


def asked_by(questions):
    """Return what is asked in the first scenes of seed 1, with the figures."""
    runs = []
    figures = evaluate(DEMO_CHECKPOINT, 3, 40, 1, trace=runs.append, questions=questions)
    return figures, [question for run in runs for _, question in run.asked.values()]


def test_what_is_asked_without_an_option_stays():
    """The published figures are of these questions; a change of them makes others."""
    figures, asked = asked_by('known')
    assert [question.text for question in asked] == [
        'What is there?', 'what do you see', 'Is something moving?', 'What color is the box?']
    assert figures['num_questions'] == 4 and figures['num_other_questions'] == 0
    assert 'other_question_accuracy' not in figures


def test_wide_questions_are_asked_too_and_counted_apart(monkeypatch):
    """Paraphrases count as the questions that they mean, others by themselves."""
    monkeypatch.setattr(evaluation_run, 'P_OTHER_QUESTION', 0.2)
    figures, asked = asked_by('wide')
    num_others = sum(question.kind == OTHER for question in asked)
    assert num_others == figures['num_other_questions'] > 3
    assert figures['num_questions'] == len(asked) - num_others
    assert 0 <= figures['other_question_accuracy'] <= 1


def test_wilson_interval():
    """The values of the published formula; nothing is known of nothing."""
    assert wilson_interval(0, 0) == (0.0, 1.0)
    low, high = wilson_interval(95, 100)
    assert low == pytest.approx(0.8882, abs=1e-4) and high == pytest.approx(0.9785, abs=1e-4)
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
