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

"""Bytes of a step and of the parts of a model, against numbers worked out by hand."""

from moss_ros.benchmark.memory_floor import (
    cache_bytes, cross_layer_bytes, self_layer_bytes, state_bytes, step_bytes, weight_bytes,
)
from moss_ros.benchmark.presets import empty_model, preset_config
from moss_ros.model import ModelConfig
from moss_ros.model.quantization import decoder_weights
import pytest
import torch

# D 4, I 6, H 2, Hkv 1, K 2, V 10; two layers of text and one for frames of N 5 states.
SIZES = {
    'model_type': 'mllama', 'image_token_index': 10, 'pool_stride': 2,
    'text_config': {
        'vocab_size': 10, 'hidden_size': 4, 'intermediate_size': 6, 'num_hidden_layers': 3,
        'num_attention_heads': 2, 'num_key_value_heads': 1, 'cross_attention_layers': [1]},
    'vision_config': {
        'hidden_size': 8, 'attention_heads': 2, 'intermediate_size': 8, 'num_hidden_layers': 1,
        'num_global_layers': 1, 'image_size': 16, 'patch_size': 4, 'max_num_tiles': 1,
        'intermediate_layers_indices': [0], 'supported_aspect_ratios': [[1, 1]]},
}
# Two norms of 4; query, key and value 4 heads of 2, and the output, from and to 4; the MLP.
SELF_LAYER = 2 * 4 + 4 * 2 * 4 + 4 * 4 + 3 * 4 * 6
# Two norms of 4 and one of 2, two gates; only the query, and the output; the MLP.
CROSS_LAYER = 2 * 4 + 2 + 2 + 4 * 4 + 4 * 4 + 3 * 4 * 6
# The head, the final norm, one row of the embedding.
OUTSIDE = 10 * 4 + 4 + 4
# Keys and values of one head of 2, in each layer.
ENTRY = 2 * 2


@pytest.fixture(scope='module')
def config():
    return ModelConfig.from_dict(SIZES)


@pytest.mark.parametrize(('dtype', 'size'), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_a_step_reads_weights_and_caches_once(config, dtype, size):
    assert config.num_frame_tokens == 5
    numbers = 2 * SELF_LAYER + CROSS_LAYER + OUTSIDE + 2 * 7 * ENTRY + 3 * 5 * ENTRY
    assert numbers == 256 + 116 + 48 + 56 + 60
    assert step_bytes(config, 7, 3, dtype) == numbers * size


def test_without_frames_their_layers_are_not_read(config):
    assert step_bytes(config, 7, 0, torch.float32) == 4 * (
        2 * SELF_LAYER + OUTSIDE + 2 * 7 * ENTRY)


def test_int8_weights_are_one_byte_and_five_a_row(config):
    # Rows: 8 of query, key and value, 4 of the output, 12 and 4 of the MLP.
    matrices = 8 * 4 + 4 * 4 + 12 * 4 + 4 * 6
    assert self_layer_bytes(config.text, torch.float32, 'int8') == (
        matrices + 5 * (8 + 4 + 12 + 4) + 4 * 2 * 4)
    matrices = 4 * 4 + 4 * 4 + 12 * 4 + 4 * 6
    assert cross_layer_bytes(config.text, torch.bfloat16, 'int8') == (
        matrices + 5 * (4 + 4 + 12 + 4) + 2 * (2 * 4 + 2 + 2))


def test_caches_and_states(config):
    assert cache_bytes(config, 7, 3, torch.bfloat16) == (2 * 2 * 7 * ENTRY, 2 * 3 * 5 * ENTRY)
    assert state_bytes(config, 3, torch.bfloat16) == 2 * 3 * 5 * 4


def test_the_published_model_has_its_known_floor():
    # 9.18e9 weights of two bytes, and 256 frames of 101 states, 8 layers, 8 heads of 128.
    config = preset_config('11b')
    assert step_bytes(config, 0, 256, torch.bfloat16) == pytest.approx(18.37e9 + 0.847e9, rel=1e-3)
    assert cache_bytes(config, 0, 1, torch.bfloat16)[1] == 2 * 8 * 2 * 8 * 101 * 128


@pytest.mark.parametrize('quantization', [None, 'int8'])
def test_parts_are_all_of_the_model(config, quantization):
    empty = empty_model(config)
    shapes = {name: parameter.shape for name, parameter in empty.named_parameters()}
    quantised = set(decoder_weights(empty))
    parts = weight_bytes(shapes, quantised, torch.float32, quantization)
    assert parts['head'] == 4 * 10 * 4
    assert parts['embedding'] == 4 * 18 * 4
    assert parts['projector'] == 4 * (16 * 4 + 4)
    whole = 4 * sum(parameter.numel() for parameter in empty.parameters())
    if quantization is None:
        assert sum(parts.values()) == whole
    else:
        saved = sum(4 * shapes[name].numel() - shapes[name].numel() - 5 * shapes[name][0]
                    for name in quantised)
        assert sum(parts.values()) == whole - saved
