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

"""The model agrees with what the reference implementation computed."""

from moss_ros.model import load_model
import pytest
from safetensors.torch import load_file
import torch

TOLERANCE = 1e-4


@pytest.fixture
def model(golden_folder):
    return load_model(golden_folder)


@pytest.fixture
def expected(golden_folder):
    return load_file(golden_folder / 'expected.safetensors')


def max_abs(ours, reference):
    assert ours.shape == reference.shape
    return float((ours - reference).abs().max())


def test_vision_features(model, expected):
    features = model.vision(expected['pixel_values'])
    assert max_abs(features, expected['vision_features']) < TOLERANCE


def test_frame_states(model, expected):
    states = model.encode_frames(expected['pixel_values'])
    assert max_abs(states, expected['cross_attention_states']) < TOLERANCE


def test_pooling_and_projector_on_the_references_own_features(model, expected):
    states = model.projector(model.pool_frames(expected['vision_features']))
    assert max_abs(states, expected['cross_attention_states']) < TOLERANCE


def test_one_forward(model, expected):
    logits = model(expected['input_ids'][None], expected['cross_attention_states'][None])
    assert max_abs(logits[0], expected['logits']) < TOLERANCE


def test_prefix_then_everything_else_with_a_cache(model, expected):
    ids, states = expected['input_ids'], expected['cross_attention_states']
    prefix = ids.tolist().index(model.config.image_token_id)
    assert prefix > 1
    cache = model.new_cache(len(ids), len(states))
    logits = [model.extend(cache, ids[:prefix], last_only=False),
              model.extend(cache, ids[prefix:], states, last_only=False)]
    assert max_abs(torch.cat(logits), expected['logits']) < TOLERANCE


def test_token_by_token_with_frames_encoded_one_at_a_time(model, expected):
    cache = model.new_cache(len(expected['input_ids']), len(expected['pixel_values']))
    logits = []
    for token_id in expected['input_ids'].tolist():
        states = None
        if token_id == model.config.image_token_id:
            index = cache.num_frames
            states = model.encode_frames(expected['pixel_values'][index:index + 1])
        logits.append(model.extend(cache, [token_id], states))
    assert max_abs(torch.stack(logits), expected['logits']) < TOLERANCE
    assert cache.num_frames == len(expected['pixel_values'])
