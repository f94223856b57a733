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

"""Opening a checkpoint: its settings and what is given instead, and what is wrong with it."""

import json
import logging

from moss_ros.model import CheckpointError, save_model
from moss_ros.stream import StreamCheckpoint, StreamOptions
import pytest
from scripted_model import CONTROL_TOKENS, tiny_config, write_tokenizer
import torch

STREAM_CONFIG = {
    'frame_rate_fps': 2.0, 'system_prompt': 'Its own.', 'seed': 5, 'max_context_frames': 20,
    'keep_context_frames': 10, 'max_context_tokens': 200, 'keep_context_tokens': 100}


def write_config(folder, image_id, **changes):
    (folder / 'config.json').write_text(json.dumps(
        {**tiny_config(image_id), 'stream_config': {**STREAM_CONFIG, **changes}}))


@pytest.fixture
def folder(chat, tmp_path):
    """Return the folder of a checkpoint without weights."""
    write_tokenizer(tmp_path / 'tokenizer.json')
    write_config(tmp_path, chat.image_id)
    return tmp_path


def test_by_default_all_is_the_checkpoints(folder, chat):
    checkpoint = StreamCheckpoint.open(str(folder))
    assert checkpoint.folder == folder
    assert checkpoint.options == StreamOptions.from_checkpoint(folder)
    assert checkpoint.options.seed == 5
    assert checkpoint.chat.control_ids == chat.control_ids


@pytest.mark.parametrize('given, text, source', [
    (None, 'Its own.', 'stream_config.system_prompt of config.json'),
    ('Ours.', 'Ours.', 'the parameter system_prompt'),
    ('', '', 'the parameter system_prompt'),
])
def test_the_log_says_where_the_system_prompt_is_from(folder, caplog, given, text, source):
    with caplog.at_level(logging.INFO, logger='moss_ros.stream'):
        checkpoint = StreamCheckpoint.open(folder, seed=0, system_prompt=given)
    assert checkpoint.options.system_prompt == text
    assert checkpoint.options.seed == 0
    assert [record.getMessage() for record in caplog.records] == [
        f'live system prompt of {folder}: {source}']


def test_a_session_has_its_model_and_its_options(folder, tiny_model):
    save_model(tiny_model, folder)
    checkpoint = StreamCheckpoint.open(folder, seed=3)
    model = checkpoint.load_model('cpu', 'float32', 'auto', None)
    assert torch.equal(next(model.parameters()), next(tiny_model.parameters()))
    session = checkpoint.session(model)
    assert session.model is model
    assert session.options == checkpoint.options


def test_what_is_wrong_is_told_before_there_are_weights(folder, chat):
    write_config(folder, chat.image_id, seed=-1)
    with pytest.raises(CheckpointError, match=f'stream options for {folder}: seed is -1'):
        StreamCheckpoint.open(folder)
    write_config(folder, chat.image_id + 1)
    with pytest.raises(CheckpointError, match='use the tokenizer of the checkpoint'):
        StreamCheckpoint.open(folder)
    write_config(folder, chat.image_id)
    write_tokenizer(folder / 'tokenizer.json', CONTROL_TOKENS[:3])
    with pytest.raises(CheckpointError, match='lacks the control token'):
        StreamCheckpoint.open(folder)
    (folder / 'config.json').unlink()
    with pytest.raises(CheckpointError, match='has no config.json'):
        StreamCheckpoint.open(folder)
    with pytest.raises(CheckpointError, match='is neither a folder nor an id'):
        StreamCheckpoint.open(folder / 'nowhere')
