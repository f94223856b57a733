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
from pathlib import Path
import subprocess
import sys

import cv2
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.stream import Frame, NarrationEvent, Prompt
from moss_ros.training import evaluation_run
from moss_ros.training.evaluate import main
from moss_ros.training.evaluation import Evaluator, open_session
from moss_ros.training.evaluation_run import Evaluation, kind_of, wilson_interval
from moss_ros.training.fresh_streams import Conditions, make_fresh
from moss_ros.training.scenes import question_by_text
from moss_ros.training.scenes.language import OTHER
from moss_ros.training.scenes.wordings import KINDS
from moss_ros.training.watching import watch
import numpy as np
import pytest

PHOTOGRAPHS = Path(__file__).resolve().parents[2] / 'docs'
# Of quantised weights, which are slow to multiply: the first half of the sample.
NUM_QUANTISED = 6


def sample_figures(num_scenes, trace=None, quantization=None, **options):
    """Return the figures of a small sample of `make evaluate`."""
    with Evaluator(DEMO_CHECKPOINT, quantization) as evaluator:
        return evaluator.figures(Conditions(num_scenes, 40, 77, **options), trace)


@pytest.fixture(scope='module')
def sample():
    """Return the figures of 12 scenes, and those of the first NUM_QUANTISED among them."""
    runs, first = [], Evaluation()
    figures = sample_figures(12, trace=runs.append)
    for run in runs[:NUM_QUANTISED]:
        run.count_into(first)
    return figures, first.figures()


def test_the_shipped_checkpoint_narrates_truly(sample):
    """The bounds leave room for the smallness of the sample."""
    figures, _ = sample
    assert figures['num_frames'] == 480 and figures['num_scenes'] == 12
    assert figures['event_recall'] > 0.85
    assert figures['sentence_precision'] > 0.85
    assert figures['silence_kept'] > 0.98
    assert figures['question_accuracy'] > 0.8
    assert figures['frames_per_s'] > 0


@pytest.mark.parametrize('quantization', ['int8', 'int4'])
def test_with_quantised_weights_it_narrates_as_truly(sample, quantization):
    """Within 2 points on the same scenes; two events more or less are the sample's smallness."""
    pytest.importorskip('torchao')
    _, figures = sample
    quantised = sample_figures(NUM_QUANTISED, quantization=quantization)
    assert quantised['num_frames'] == figures['num_frames']
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
    result = subprocess.run(
        [sys.executable, '-m', 'moss_ros.training.evaluate', '--num-scenes', '1', '--num-frames',
         '24', '--seed', '5', '--trace'], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert 'scene 50000' in result.stderr and 'The ' in result.stderr
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize('arguments, message', [
    (('--seed', '2147483649'), 'seed is 2147483649; take one from 0 to 2147483648'),
    (('--photos', '/nowhere'), '/nowhere holds no pictures'),
    (('--photos', str(PHOTOGRAPHS)), 'photographs are for the unknown world'),
    (('--num-scenes', '0'), 'num_scenes is 0'),
    (('--robustness', '--trace'), 'leave out --disturbance and --trace'),
    (('--num-processes', '0'), '--num-processes is 0; take 1 or more'),
    (('--num-threads', '0'), '--num-threads is 0; take 1 or more'),
    (('--renderer', '/nowhere.py'), 'renderer /nowhere.py is no file'),
    (('--num-frames', '3'), 'num_frames is 3; a scene needs at least 8'),
    (('--checkpoint', '/nowhere'), "'/nowhere' is neither a folder nor an id"),
])
def test_bad_arguments_are_refused(arguments, message, capsys):
    """Exit status 2 and a message with the value and the way out."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_any_seed_and_the_unknown_world_of_photographs(tmp_path, capsys):
    """Streams made of photographs are counted as those that are made up, with intervals."""
    noise = np.random.default_rng(1).integers(0, 255, (2, 12, 16, 3), np.uint8)
    for index, picture in enumerate(noise):
        picture = cv2.resize(picture, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f'{index}.png'), picture)
    for arguments in ((), ('--photos', str(tmp_path))):
        assert main(['--world', 'unknown', '--num-scenes', '2', '--num-frames', '24',
                     '--seed', '2147483648', *arguments]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures['world'] == 'unknown' and figures['num_frames'] == 48
        for name, (low, high) in figures['intervals'].items():
            assert 0 <= low <= figures[name] + 1e-4 and figures[name] <= high + 1e-4 and high <= 1


def asked_by(questions):
    """Return what is asked in the first scenes of seed 1, with the figures."""
    runs = []
    with Evaluator(DEMO_CHECKPOINT) as evaluator:
        figures = evaluator.figures(Conditions(3, 40, 1, questions=questions), runs.append)
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
    low, high = figures['intervals']['other_question_accuracy']
    assert low < figures['other_question_accuracy'] <= high


def test_questions_are_asked_in_words_that_training_never_has(monkeypatch):
    """Of every kind, and also what nobody can answer."""
    monkeypatch.setattr(evaluation_run, 'P_QUESTION', 0.7)
    monkeypatch.setattr(evaluation_run, 'P_OTHER_QUESTION', 0.5)
    figures, asked = asked_by('unseen')
    assert not any(question_by_text(question.text) for question in asked)
    assert {question.kind for question in asked} == {*KINDS, OTHER}
    assert figures['num_other_questions'] > 3


def test_questions_about_painted_things_are_counted_apart_in_the_unknown_world():
    """To them there is one answer, whatever is shown; the others need a look at the picture."""
    runs = []
    with Evaluator(DEMO_CHECKPOINT) as evaluator:
        figures = evaluator.figures(Conditions(8, 40, 6, 'unknown', 'wide'), runs.append)
    kinds = [question.kind for run in runs for _, question in run.asked.values()]
    num_looked_at = sum(kind in ('see', 'moving') for kind in kinds)
    assert 0 < figures['num_questions'] == num_looked_at < len(kinds)
    assert figures['num_other_questions'] == len(kinds) - num_looked_at
    assert sum(figures['num_asked_by_kind'].values()) == len(kinds)


def test_several_processes_give_the_figures_of_one():
    """All but those of time and memory; and the counts of kinds add up."""
    conditions = Conditions(3, 24, 5, questions='wide')
    found = []
    for num_processes in (1, 2):
        with Evaluator(DEMO_CHECKPOINT, num_processes=num_processes) as evaluator:
            figures = evaluator.figures(conditions)
        assert figures.pop('cpu_s') > 0 and figures.pop('peak_memory_mb') > 50
        assert figures.pop('frames_per_s') > 0
        found.append(figures)
    assert found[0] == found[1]
    for kind, num in figures['num_by_kind'].items():
        low, high = figures['recall_intervals_by_kind'][kind]
        assert low <= figures['recall_by_kind'][kind] <= high
        assert sum(figures['confusion_by_kind'][kind].values()) == pytest.approx(
            num * (1 - figures['recall_by_kind'][kind]), abs=0.01)
    assert sum(figures['num_by_kind'].values()) == figures['num_events']
    assert sum(figures['num_said_by_kind'].values()) == figures['num_said']
    assert sum(figures['num_by_delay'].values()) == sum(figures['num_by_kind'].values()) - sum(
        sum(others.values()) for others in figures['confusion_by_kind'].values())


def test_frames_in_groups_are_narrated_as_one_by_one():
    """With a question in the middle, which must not be seen by the frames before it."""
    session = open_session(DEMO_CHECKPOINT)
    stream, picture_at = make_fresh(Conditions(1, 30, 5), 50_001, session.frame_rate_fps)
    frames = [(time_s, picture_at(time_s)) for time_s in stream.times_s]
    prompt = Prompt('What do you see?', 'asked', 0)
    grouped = [(index, event) for index, events in watch(session, frames, {13: prompt})
               for event in events]
    session.reset()
    single = []
    for index, (time_s, picture) in enumerate(frames):
        if index == 13:
            session.add_prompt(prompt)
        session.add_frame(Frame(picture, round(time_s * 1e9), 0))
        while session.has_work:
            single += [(index, event) for event in session.step()]
    assert grouped == single
    narrations = [event for _, event in single if isinstance(event, NarrationEvent)]
    assert len(narrations) > 4 and 'asked' in {event.prompt_id for event in narrations}


@pytest.mark.parametrize(('sentence', 'is_painted', 'kind'), [
    ('The red ball moves left.', True, 'moves'),
    ('The red ball moves left.', False, 'painted world: moves'),
    ('The camera moves.', False, 'moves'),
    ('The camera moves.', True, 'unknown world: moves'),
    ('Something moves on the left.', False, 'something on the left'),
    ('nothing', True, 'nothing'),
    ('The the ball.', True, 'other'),
])
def test_kinds_of_sentences(sentence, is_painted, kind):
    assert kind_of(sentence, is_painted) == kind


def test_wilson_interval():
    """The values of the published formula; nothing is known of nothing."""
    assert wilson_interval(0, 0) == (0.0, 1.0)
    low, high = wilson_interval(95, 100)
    assert low == pytest.approx(0.8882, abs=1e-4) and high == pytest.approx(0.9785, abs=1e-4)
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
