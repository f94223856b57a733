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

"""Fixtures of the model tests: a golden folder, and toy models that take milliseconds."""

import copy
import json
from pathlib import Path

from moss_ros.model import initialise, ModelConfig, save_model, VideoModel
import pytest
import torch

GOLDEN_FOLDER = Path(__file__).parents[1] / 'data' / 'golden_a'
TOY_VALUES = {
    'model_type': 'mllama',
    'image_token_index': 40,
    'pool_mode': 'average',
    'pool_stride': 2,
    'text_config': {
        'vocab_size': 40, 'hidden_size': 32, 'num_hidden_layers': 4, 'num_attention_heads': 4,
        'num_key_value_heads': 2, 'intermediate_size': 48, 'cross_attention_layers': [1, 3],
        'rope_theta': 10000.0},
    'vision_config': {
        'hidden_size': 24, 'attention_heads': 3, 'num_hidden_layers': 3, 'num_global_layers': 1,
        'intermediate_size': 40, 'image_size': 32, 'patch_size': 8, 'max_num_tiles': 1,
        'supported_aspect_ratios': [[1, 1]], 'intermediate_layers_indices': [1, 2]},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def golden_folder():
    return GOLDEN_FOLDER


@pytest.fixture
def toy_values():
    """Return the parsed config.json of a toy model with one tile; a copy to change freely."""
    return copy.deepcopy(TOY_VALUES)


def seeded_model(values, seed):
    """Return a model whose every parameter is random, gates and tile tables included."""
    model = VideoModel(ModelConfig.from_dict(values))
    generator = torch.Generator().manual_seed(seed)
    initialise(model, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.requires_grad_(False).eval()


@pytest.fixture
def make_model():
    return seeded_model


@pytest.fixture
def toy_model(toy_values):
    return seeded_model(toy_values, seed=1)


@pytest.fixture
def write_checkpoint(tmp_path):
    """Return a function that writes a model and its config values to a folder of its own."""
    def write(model, values, name='checkpoint'):
        folder = tmp_path / name
        save_model(model, folder)
        (folder / 'config.json').write_text(json.dumps(values))
        return folder
    return write
