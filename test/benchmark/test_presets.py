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

"""The presets have the sizes that they are called by, and their random models run."""

from moss_ros.benchmark.presets import (
    empty_model, preset_config, preset_options, random_model, word_chat,
)
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import ModelConfig
from moss_ros.stream import ChatFormat
import pytest
from scripted_model import tiny_config
import torch

CPU = torch.device('cpu')


def num_parameters(config):
    return sum(parameter.numel() for parameter in empty_model(config).parameters())


def test_demo_is_the_embedded_model():
    assert preset_config('demo') == ModelConfig.from_folder(DEMO_CHECKPOINT)


def test_250m_has_about_250_million_parameters():
    config = preset_config('250m')
    assert num_parameters(config) == pytest.approx(250e6, rel=0.02)
    assert config.text.head_dim == 64
    assert config.text.num_attention_heads > config.text.num_key_value_heads > 1


def test_11b_is_the_published_model():
    config = preset_config('11b')
    assert num_parameters(config) == pytest.approx(10.6e9, rel=0.01)
    assert (config.num_frame_tokens, config.image_token_id) == (101, 128256)
    assert config.vision.output_dim == 7680
    assert config.text.rope.rope_type == 'llama3'


def test_each_word_of_the_chat_is_a_token_below_the_frames():
    # As in the embedded model.
    embedded = ChatFormat(DEMO_CHECKPOINT / 'tokenizer.json')
    vocab_size = embedded.image_id
    chat = word_chat(vocab_size)
    for name in ('<|begin_of_text|>', '<|silence|>', '<|eot_id|>', '<|image|>'):
        assert chat.control_id(name) == embedded.control_id(name)
    last = embedded.control_id('<|begin_of_text|>') - 1
    assert chat.decode([1, last]) == f'w1 w{last}'
    assert len(chat.encode_text('What do you see?')) == 4
    assert chat.never_said_ids(vocab_size) == sorted(
        chat.control_id(name) for name in (
            '<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>',
            '<|...|>', '<|video|>'))


@pytest.mark.parametrize('quantization', [None, 'int8'])
def test_a_random_model_runs_and_is_the_same_each_time(quantization):
    config = ModelConfig.from_dict(tiny_config(20))
    models = [random_model(config, CPU, torch.float32, 'sdpa', quantization, seed)
              for seed in (1, 1, 2)]
    logits = [model.extend(model.new_cache(4, 1), [3, 20], model.encode_frames(
        torch.ones(1, 3, 16, 16))) for model in models]
    assert torch.equal(logits[0], logits[1])
    assert logits[0].isfinite().all() and logits[0].std() > 0.01
    assert not torch.equal(logits[0], logits[2])
    assert models[0].quantization == quantization


def test_what_large_presets_say_does_not_repeat_itself():
    # Otherwise drafts would make them faster than a trained model.
    assert not preset_options('demo', 3).sampling.do_sample
    for name in ('250m', '11b'):
        options = preset_options(name, 3)
        assert options.sampling.do_sample and options.seed == 3
