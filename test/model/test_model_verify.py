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

"""The verify command: its lines, its exit status, and folders that are none."""

import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import moss_ros
from moss_ros.model.verify import main
import pytest
from safetensors.torch import load_file, save_file
import torch


@pytest.fixture
def folder(golden_folder, tmp_path):
    """Return a copy of the golden folder, to damage."""
    return Path(shutil.copytree(golden_folder, tmp_path / 'golden'))


def change(file, name, function):
    tensors = load_file(file)
    tensors[name] = function(tensors[name])
    save_file(tensors, file)


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_as_a_command(golden_folder):
    root = Path(moss_ros.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, '-m', 'moss_ros.model.verify', str(golden_folder), str(golden_folder)],
        env={**os.environ, 'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1'},
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 2
    for result in results:
        assert result['folder'] == str(golden_folder)
        assert result['ok'] is True
        assert 0 < result['full_max_abs'] < 1e-4
        assert 0 < result['streamed_max_abs'] < 1e-4


@pytest.mark.parametrize('name, index', [
    ('language_model.model.norm.weight', 0),
    ('language_model.model.layers.1.cross_attn.k_norm.weight', 3),
    ('vision_model.class_embedding', 5),
    ('vision_model.gated_positional_embedding.gate', 0)])
def test_a_changed_weight_is_found(folder, capsys, name, index):
    def more(tensor):
        tensor.view(-1)[index] += 1.0
        return tensor
    change(folder / 'model.safetensors', name, more)
    assert main([str(folder)]) == 1
    result, = lines(capsys)
    assert result['ok'] is False
    assert result['full_max_abs'] > 1e-4 and result['streamed_max_abs'] > 1e-4


@pytest.mark.parametrize('file, name', [
    ('model.safetensors', 'language_model.lm_head.weight'), ('expected.safetensors', 'logits')])
def test_nan_is_not_ok_and_still_json(folder, capsys, file, name):
    change(folder / file, name, lambda tensor: torch.full_like(tensor, torch.nan))
    assert main([str(folder)]) == 1
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert result['ok'] is False
    assert result['full_max_abs'] > 1e-4


def test_one_bad_folder_among_good_ones(golden_folder, folder, capsys):
    change(folder / 'expected.safetensors', 'logits', lambda logits: logits + 1e-3)
    assert main([str(golden_folder), str(folder), str(golden_folder)]) == 1
    assert [result['ok'] for result in lines(capsys)] == [True, False, True]


def damage_nothing_there(folder):
    shutil.rmtree(folder)


def damage_no_expected(folder):
    (folder / 'expected.safetensors').unlink()


def damage_truncated_expected(folder):
    file = folder / 'expected.safetensors'
    file.write_bytes(file.read_bytes()[:-10])


def damage_no_logits(folder):
    tensors = load_file(folder / 'expected.safetensors')
    del tensors['logits']
    save_file(tensors, folder / 'expected.safetensors')


def damage_no_weights(folder):
    (folder / 'model.safetensors').unlink()


def damage_no_ids(folder):
    change(folder / 'expected.safetensors', 'input_ids', lambda ids: ids[:0].clone())


def damage_too_few_frames(folder):
    for name in ('pixel_values', 'vision_features', 'cross_attention_states'):
        change(folder / 'expected.safetensors', name, lambda frames: frames[1:].clone())


def damage_other_vocabulary(folder):
    change(folder / 'expected.safetensors', 'logits', lambda logits: logits[:, 1:].clone())


@pytest.mark.parametrize('damage, message', [
    (damage_nothing_there, 'is not a golden folder'),
    (damage_no_expected, 'is not a golden folder: it has no expected.safetensors'),
    (damage_truncated_expected, 'expected.safetensors can not be read as safetensors'),
    (damage_no_logits, 'lacks the tensor logits'),
    (damage_no_weights, 'has no weights'),
    (damage_no_ids, 'input_ids is empty'),
    (damage_too_few_frames, 'does not fit the model: .* image tokens'),
    (damage_other_vocabulary, r'logits has shape \[48, 95\]'),
])
def test_a_folder_that_can_not_be_read(golden_folder, folder, capsys, damage, message):
    damage(folder)
    assert main([str(folder), str(golden_folder)]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith('error: ')
    assert str(folder) in captured.err
    assert re.search(message, captured.err)
    assert json.loads(captured.out)['ok'] is True  # the good folder is still verified
