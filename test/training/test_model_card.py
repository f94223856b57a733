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

"""The model card: it is made of its figures, of the shipped checkpoint, and judges by rule."""

import copy
import json
from pathlib import Path

import av
import cv2
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.training.card.judgements import bars, cannot, summary
from moss_ros.training.card.measures import (
    Extent, Measures, PARTS, read_training_log, Sources,
)
from moss_ros.training.card.page import card_page
from moss_ros.training.checkpoint_digest import checkpoint_digest
from moss_ros.training.model_card import main, measure_card
import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[2] / 'docs'
CARD, FIGURES = DOCS / 'model_card.md', DOCS / 'model_card.json'


@pytest.fixture
def figures():
    return json.loads(FIGURES.read_text(encoding='utf-8'))


def test_the_page_is_that_of_its_figures(figures):
    """Nothing in it is written by hand: `python -m moss_ros.training.model_card --redraw`."""
    assert CARD.read_text(encoding='utf-8') == card_page(figures)


def test_the_figures_are_of_the_shipped_checkpoint(figures):
    assert figures['checkpoint']['digest'] == checkpoint_digest(DEMO_CHECKPOINT)
    assert set(PARTS) <= set(figures)


@pytest.mark.parametrize('part', ['unknown', 'unknown_photographs'])
def test_painted_words_elsewhere_are_owned_up_to(figures, part):
    """What the page says of the unknown world follows the figures, whichever they are."""
    place = 'made up' if part == 'unknown' else 'of photographs'
    for num, text in ((0, 'no painted word there'), (7, 'says 7 painted words in')):
        changed = copy.deepcopy(figures)
        changed[part]['num_painted_words'] = num
        page = card_page(changed)
        assert any(place in line and text in line for line in page.splitlines())
        is_met = next(bar.is_met for bar in bars(changed)
                      if bar.what == f'unknown, {place}: painted words')
        assert is_met == (num == 0)


def test_a_model_that_knows_no_other_world_is_said_to_know_none(figures):
    for recall, text in ((0.1, 'does not tell what happens'), (0.9, 'it tells 90.0% of')):
        changed = copy.deepcopy(figures)
        changed['unknown']['event_recall'] = recall
        assert any(text in line for line in summary(changed) if 'made up' in line)


def test_bars_that_are_missed_are_named_among_what_it_cannot_do(figures):
    changed = copy.deepcopy(figures)
    changed['painted']['event_recall'] = 0.9
    assert any(line.startswith('painted: events told: 0.900') for line in cannot(changed))
    changed['painted']['event_recall'] = 0.99
    assert not any(line.startswith('painted: events told: 0.9') for line in cannot(changed))


def test_a_camera_under_which_it_falls_is_named(figures):
    changed = copy.deepcopy(figures)
    rows = changed['robustness']
    rows['clean']['painted']['event_recall'] = 0.97
    for recall, is_named in ((0.95, False), (0.55, True)):
        rows['jpeg_20']['painted'].update(event_recall=recall, num_events=100)
        rows['jpeg_20']['painted']['intervals']['event_recall'] = [recall - 0.02, recall + 0.02]
        found = [line for line in cannot(changed)
                 if 'JPEG' in line and 'events told 0.97 to 0.55' in line]
        assert bool(found) == is_named


def test_what_was_not_measured_is_said_to_be_missing(figures):
    changed = {**figures, 'unknown_photographs': None, 'stills': None, 'clips': None,
               'other_renderer': None}
    page = card_page(changed)
    assert 'No photographs were at hand.' in page and 'No video clips were at hand.' in page


def write_clip(file):
    with av.open(str(file), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height = 64, 48
        for index in range(30):
            picture = np.full((48, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        container.mux(stream.encode())


def test_all_parts_are_measured(tmp_path):
    """On very little of each; the figures make a page, and are kept after each part."""
    for name in ('photos', 'clips'):
        (tmp_path / name).mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (2, 12, 16, 3), np.uint8)
    for index, picture in enumerate(noise):
        picture = cv2.resize(picture, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / 'photos' / f'{index}.png'), picture)
    write_clip(tmp_path / 'clips' / 'fade.mp4')
    log = tmp_path / 'log'
    log.write_text('{"t_s": 120, "stage": "text", "stage_s": 90, "step": 700, "loss": 0.5}\n')
    sources = Sources(DEMO_CHECKPOINT, tmp_path / 'photos', tmp_path / 'clips',
                      Path(__file__).with_name('other_renderer.py'), log)
    lines, file = [], tmp_path / 'card.json'
    tiny = Extent(*[(1, 8)] * 6, still_frames=4)
    known = {'robustness': json.loads(FIGURES.read_text(encoding='utf-8'))['robustness']}
    figures = measure_card(sources, tiny, 5, 1, file, known, lines.append)
    assert json.loads(file.read_text()) == json.loads(json.dumps(figures))
    assert set(figures) == {'seed', 'extent', *PARTS}
    assert figures['painted']['num_frames'] == figures['unknown_photographs']['num_frames'] == 8
    [clip] = figures['clips']
    assert clip['name'] == 'fade.mp4' and clip['num_frames'] == 6
    first, second = figures['stills']['watched']
    assert first['num_frames'] == 4 and len(first['answers']) == 5
    page = card_page(figures)
    assert 'fade.mp4' in page and '| text | 1.5 | step 700, loss 0.5 |' in page
    assert sum('measured after' in line for line in lines) == len(PARTS) - 1


def test_the_recipes_of_the_page_are_those_of_the_program(figures):
    written = Measures(None, Sources(DEMO_CHECKPOINT), Extent(), 1, print).training()
    assert {**figures['training'], 'run': None} == json.loads(json.dumps(written))


@pytest.mark.parametrize(('model', 'end', 'sentence'), [
    ({}, 'saved', "This checkpoint's training took 2 minutes."),
    ({'starts_from_checkpoint': True}, 'saved',
     "The last part of this checkpoint's training began from another checkpoint and took 2 min"),
    ({}, 'text', "The log of this checkpoint's training breaks off after 2 minutes."),
])
def test_how_long_training_took_is_said_of_the_part_that_the_log_is_of(
        tmp_path, figures, model, end, sentence):
    log = tmp_path / 'log'
    log.write_text('\n'.join(json.dumps(report) for report in (
        {'t_s': 1, 'stage': 'model', 'stage_s': 1, **model},
        {'t_s': 120, 'stage': end, 'stage_s': 119})))
    figures['training']['run'] = read_training_log(log)
    assert sentence in card_page(figures)


@pytest.mark.parametrize(('text', 'message'), [
    ('', 'holds no report of a training'), ('{"stage": "text"}\n', 'line 1 is no report')])
def test_a_log_that_is_none_is_refused(tmp_path, text, message):
    file = tmp_path / 'log'
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_training_log(file)


def test_the_page_is_drawn_anew_without_measuring(tmp_path, figures):
    (tmp_path / 'card.json').write_text(json.dumps(figures))
    assert main(['--redraw', '--output', str(tmp_path / 'card.md')]) == 0
    assert (tmp_path / 'card.md').read_text() == card_page(figures)


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--redraw', '--output', '/nowhere/card.md'), '/nowhere/card.json cannot be read'),
    (('--scale', '0'), '--scale is 0.0; take more than 0'),
    (('--num-processes', '0'), '--num-processes is 0; take 1 or more'),
    (('--resume', '--seed', '7'), 'and seed 1, not of'),
    (('--resume', '--scale', '2'), 'is of other numbers of scenes'),
])
def test_bad_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--num-scenes', '0'), 'num_scenes is 0'),
    (('--seed', '-1'), 'seed is -1'),
    (('--training-log', '/nowhere'), '/nowhere'),
    (('--clips', '/nowhere'), '/nowhere'),
    (('--renderer', '/nowhere.py'), 'renderer /nowhere.py is no file'),
])
def test_what_cannot_be_measured_leaves_the_figures_as_they_are(
        tmp_path, arguments, message, capsys):
    """It is refused before anything is measured, which takes minutes."""
    (tmp_path / 'card.json').write_text('{"seed": 1}')
    with pytest.raises(SystemExit, match='2'):
        main(['--quick', '--output', str(tmp_path / 'card.md'), *arguments])
    assert message in capsys.readouterr().err
    assert (tmp_path / 'card.json').read_text() == '{"seed": 1}'
    assert not (tmp_path / 'card.md').exists()
