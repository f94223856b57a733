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

"""config.json: Mllama's defaults, the fields of golden folders, and what is refused."""

import json

from moss_ros.model import CheckpointError, ModelConfig
from moss_ros.model.attention import inverse_frequencies
import pytest
import torch


def test_defaults_are_those_of_the_published_model():
    config = ModelConfig.from_dict({'model_type': 'mllama',
                                    'vision_config': {'image_size': 560}})
    vision, text = config.vision, config.text
    assert (vision.hidden_size, vision.intermediate_size, vision.attention_heads) == \
        (1280, 5120, 16)
    assert (vision.num_patches, vision.output_dim, vision.norm_eps) == (1601, 7680, 1e-5)
    assert (vision.max_num_tiles, vision.max_aspect_ratio_id) == (4, 8)
    assert (text.head_dim, text.num_key_value_heads, text.num_embeddings) == (128, 8, 128264)
    assert text.cross_attention_layers == (3, 8, 13, 18, 23, 28, 33, 38)
    assert (text.rope.theta, text.rope.rope_type) == (500000.0, 'default')
    assert (config.image_token_id, config.num_frame_tokens) == (128256, 101)


def test_a_golden_folder(golden_folder):
    config = ModelConfig.from_folder(golden_folder)
    assert config.num_frame_tokens == 5
    assert config.image_token_id == 96
    assert config.text.rope.rope_type == 'llama3'
    assert config.text.rope.original_max_position_embeddings == 64


def test_other_keys_are_left_alone(toy_values):
    plain = ModelConfig.from_dict(toy_values)
    toy_values['stream_config'] = {'frame_rate_fps': 2.0}
    toy_values['vision_config']['initializer_range'] = 0.02
    assert ModelConfig.from_dict(toy_values) == plain


@pytest.mark.parametrize('scaling', [None, {}, {'rope_type': 'default'}, {'type': 'default'}])
def test_default_rope(toy_values, scaling):
    toy_values['text_config']['rope_scaling'] = scaling
    rope = ModelConfig.from_dict(toy_values).text.rope
    assert (rope.rope_type, rope.theta) == ('default', 10000.0)


LLAMA3 = {'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 64}


def test_rope_parameters_of_newer_writers_mean_the_same(toy_values):
    text = toy_values['text_config']
    text['rope_scaling'] = LLAMA3
    older = ModelConfig.from_dict(toy_values).text.rope
    del text['rope_scaling']
    text['rope_parameters'] = {**LLAMA3, 'rope_theta': text.pop('rope_theta')}
    assert ModelConfig.from_dict(toy_values).text.rope == older
    assert older.theta == 10000.0


def test_llama3_rope_stretches_only_long_waves(toy_values):
    toy_values['text_config'].update(rope_scaling=LLAMA3, head_dim=16)
    rope = ModelConfig.from_dict(toy_values).text.rope
    scaled = inverse_frequencies(rope, 16)
    plain = 10000.0 ** -(2 * torch.arange(8, dtype=torch.float64) / 16)
    turns = 64 * plain / (2 * 3.14159265)
    assert (scaled[turns > 4] / plain[turns > 4] - 1).abs().max() < 1e-6
    assert (scaled[turns < 1] * 8 / plain[turns < 1] - 1).abs().max() < 1e-6
    between = (turns >= 1) & (turns <= 4)
    assert between.any()
    assert (scaled[between] < plain[between]).all()
    assert (scaled[between] > plain[between] / 8).all()


def test_names_of_forks_mean_the_same(toy_values):
    plain = ModelConfig.from_dict(toy_values)
    stride = toy_values.pop('pool_stride')
    toy_values.pop('pool_mode', None)
    toy_values['model_type'] = 'video_mllama'
    toy_values['vision_config'].update(merge_mode='average', merge_size=stride)
    assert ModelConfig.from_dict(toy_values) == plain
    toy_values['pool_stride'] = stride  # both, and they agree
    assert ModelConfig.from_dict(toy_values) == plain


@pytest.mark.parametrize('changes, vision_changes, message', [
    ({'pool_stride': 2}, {'merge_size': 4}, 'pool_stride is 2, but vision_config.merge_size is 4'),
    ({'pool_mode': 'average'}, {'merge_mode': 'max'},
     "pool_mode is 'average', but vision_config.merge_mode is 'max'"),
    ({'pool_stride': None}, {'merge_size': 0},
     'vision_config.merge_size is 0; a whole number of at least 1'),
    ({'pool_stride': None}, {'merge_size': 5},
     'vision_config.merge_size is 5; a frame has only 4'),
    ({}, {'merge_mode': 'max'}, "vision_config.merge_mode is 'max'; supported: 'average'"),
])
def test_names_that_disagree_are_refused(toy_values, changes, vision_changes, message):
    toy_values.pop('pool_mode', None)
    toy_values.update(changes)
    toy_values['vision_config'].update(vision_changes)
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict(toy_values)


@pytest.mark.parametrize('section, field, value, message', [
    (None, 'model_type', 'llava', "model_type is 'llava'; supported: 'mllama', 'video_mllama'"),
    (None, 'model_type', None, 'model_type is missing'),
    (None, 'pool_mode', 'max', "pool_mode is 'max'; supported: 'average'"),
    (None, 'pool_stride', 0, 'pool_stride is 0; a whole number of at least 1'),
    (None, 'pool_stride', 5, 'pool_stride is 5; a frame has only 4 patches a side'),
    (None, 'image_token_index', 48, 'image_token_index is 48; the embedding table has only 48'),
    (None, 'text_config', [], r'text_config is \[\], not a JSON object'),
    ('text', 'hidden_act', 'mish', "text_config.hidden_act is 'mish'; supported: 'silu'"),
    ('text', 'num_key_value_heads', 3, 'num_key_value_heads is 3; it must divide'),
    ('text', 'num_attention_heads', 5, r'num_attention_heads is 5; it must divide hidden_size'),
    ('text', 'head_dim', 7, 'heads of 7 channels'),
    ('text', 'hidden_size', '32', "text_config.hidden_size is '32'; a whole number"),
    ('text', 'vocab_size', True, 'text_config.vocab_size is True; a whole number'),
    ('text', 'rms_norm_eps', 0, 'rms_norm_eps is 0; a number above 0'),
    ('text', 'cross_attention_layers', [4], r'cross_attention_layers is \[4\]; .* 0 to 3'),
    ('text', 'cross_attention_layers', [1, 1], 'no layer may be listed twice'),
    ('text', 'rope_scaling', {'rope_type': 'yarn'}, "rope_scaling.rope_type is 'yarn'; supported"),
    ('text', 'rope_scaling', {'type': 'linear', 'factor': 2.0}, "type is 'linear'; supported"),
    ('text', 'rope_scaling', {'rope_type': 'llama3'}, 'rope_scaling.factor is missing'),
    ('text', 'rope_scaling', {**LLAMA3, 'high_freq_factor': 1.0}, 'it must exceed'),
    ('text', 'rope_scaling', {'partial_rotary_factor': 0.5}, 'partial_rotary_factor is 0.5'),
    ('vision', 'hidden_act', 'mish', "vision_config.hidden_act is 'mish'"),
    ('vision', 'attention_heads', 5, 'attention_heads is 5; it must divide hidden_size .24.'),
    ('vision', 'num_channels', 1, 'num_channels is 1; supported: 3, 6'),
    ('vision', 'patch_size', 64, 'patch_size is 64; it exceeds image_size'),
    ('vision', 'vision_output_dim', 96, 'vision_output_dim is 96; .* make it 72'),
    ('vision', 'intermediate_layers_indices', [4], 'integers from 0 to 3'),
    ('vision', 'supported_aspect_ratios', [[1, 2]], r'begins with \[1, 1\]'),
    ('vision', 'supported_aspect_ratios', None, 'supported_aspect_ratios is missing'),
])
def test_what_is_not_supported_is_refused_with_its_value(toy_values, section, field, value,
                                                         message):
    target = toy_values[f'{section}_config'] if section else toy_values
    target[field] = value
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict(toy_values)


def test_errors_from_a_folder_name_the_file(tmp_path, toy_values):
    toy_values['model_type'] = 'llava'
    (tmp_path / 'config.json').write_text(json.dumps(toy_values))
    with pytest.raises(CheckpointError, match="config.json: model_type is 'llava'"):
        ModelConfig.from_folder(tmp_path)


def test_what_is_no_checkpoint_folder(tmp_path):
    with pytest.raises(CheckpointError, match='nowhere is not a folder'):
        ModelConfig.from_folder(tmp_path / 'nowhere')
    with pytest.raises(CheckpointError, match='has no config.json'):
        ModelConfig.from_folder(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": ')
    with pytest.raises(CheckpointError, match='config.json: Expecting value'):
        ModelConfig.from_folder(tmp_path)
    (tmp_path / 'config.json').write_text('[]')
    with pytest.raises(CheckpointError, match='not a JSON object'):
        ModelConfig.from_folder(tmp_path)
