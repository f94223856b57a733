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

"""The mean of checkpoints: its weights, what is refused, and that it can be opened."""

import shutil
import sys

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import initialise, load_model, ModelConfig, save_model, VideoModel
from moss_ros.stream import StreamCheckpoint
from moss_ros.training.mean_checkpoint import main, write_mean
import pytest
import torch


@pytest.fixture
def checkpoints(tmp_path):
    """Return three folders with random weights of the embedded model's sizes."""
    folders = [tmp_path / name for name in ('first', 'second', 'third')]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        for name in ('config.json', 'tokenizer.json'):
            shutil.copyfile(DEMO_CHECKPOINT / name, folder / name)
        model = VideoModel(ModelConfig.from_folder(folder))
        initialise(model, torch.Generator().manual_seed(seed))
        save_model(model, folder, torch.float16)
    return folders


def test_every_weight_is_the_mean(checkpoints, tmp_path):
    """All count the same, and the folder is a checkpoint."""
    write_mean(checkpoints, tmp_path / 'mean')
    models = [dict(load_model(folder).named_parameters()) for folder in checkpoints]
    for name, weight in load_model(tmp_path / 'mean').named_parameters():
        mean = sum(parameters[name] for parameters in models) / 3
        # Half a step of 16 bits.
        torch.testing.assert_close(weight, mean, rtol=6e-4, atol=1e-6)
    StreamCheckpoint.open(tmp_path / 'mean')


def test_the_mean_may_be_written_over_one_of_them(checkpoints):
    before = dict(load_model(checkpoints[0]).named_parameters())
    write_mean(checkpoints[:2], checkpoints[0])
    after = dict(load_model(checkpoints[0]).named_parameters())
    assert not torch.equal(before['lm_head.weight'], after['lm_head.weight'])


def test_what_has_no_mean_is_refused(checkpoints, tmp_path, monkeypatch, capsys):
    first, second, _ = checkpoints
    with pytest.raises(ValueError, match='two checkpoints or more, and there is 1'):
        write_mean([first], tmp_path / 'mean')
    (second / 'tokenizer.json').write_text('{}')
    with pytest.raises(ValueError, match='second/tokenizer.json differs from .*first/tokenizer'):
        write_mean([first, second], tmp_path / 'mean')
    monkeypatch.setattr(sys, 'argv', ['mean_checkpoint', str(first), str(tmp_path / 'nothing'),
                                      '--output', str(tmp_path / 'mean')])
    with pytest.raises(SystemExit):
        main()
    assert 'nothing' in capsys.readouterr().err
    assert not (tmp_path / 'mean').exists()


def test_the_command_says_what_it_wrote(checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['mean_checkpoint', *map(str, checkpoints),
                                      '--output', str(tmp_path / 'mean')])
    main()
    assert capsys.readouterr().out == f'{tmp_path}/mean: the mean of 3 checkpoints\n'
    assert (tmp_path / 'mean' / 'model.safetensors').is_file()
