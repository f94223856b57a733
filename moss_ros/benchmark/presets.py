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

"""
What is measured: sizes of the presets, random weights and a tokenizer for them, or a checkpoint.

A name or a folder goes in; a Subject comes out, with the model, its chat format and the settings
of its streams. Called by the command. A random model says random words, as fast as a trained one
of its sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import ModelConfig, SamplingOptions, VideoModel
from moss_ros.model.attention import flash_kernel
from moss_ros.model.quantization import check_quantization, decoder_weights, quantise
from moss_ros.stream import ChatFormat, StreamOptions
from moss_ros.stream.chat import (
    BEGIN_OF_TEXT, ELLIPSIS, END_HEADER, END_OF_TURN, IMAGE, SILENCE, START_HEADER, VIDEO,
)
from tokenizers import models, pre_tokenizers, Tokenizer
import torch
from torch import nn

PRESET_NAMES = ('demo', '250m', '11b')
DEFAULT_FRAMES = {'demo': 26, '250m': 256, '11b': 256}

# The same architecture as the published checkpoint: heads of 64 channels, four query heads for
# each key head, every fourth layer to the frames, 37 states a frame.
_SIZES_250M = {
    'text_config': {
        'vocab_size': 32000, 'hidden_size': 1024, 'intermediate_size': 2816,
        'num_hidden_layers': 12, 'num_attention_heads': 16, 'num_key_value_heads': 4,
        'cross_attention_layers': [2, 6, 10], 'hidden_act': 'silu', 'rms_norm_eps': 1e-5},
    'vision_config': {
        'hidden_size': 512, 'attention_heads': 8, 'intermediate_size': 2048,
        'num_hidden_layers': 12, 'num_global_layers': 2, 'image_size': 336, 'patch_size': 14,
        'intermediate_layers_indices': [3, 6, 9]},
}
# Those of the published checkpoint.
_SIZES_11B = {
    'text_config': {
        'vocab_size': 128256, 'hidden_size': 4096, 'intermediate_size': 14336,
        'num_hidden_layers': 40, 'num_attention_heads': 32, 'num_key_value_heads': 8,
        'cross_attention_layers': [3, 8, 13, 18, 23, 28, 33, 38], 'hidden_act': 'silu',
        'rms_norm_eps': 1e-5,
        'rope_scaling': {
            'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0,
            'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192}},
    'vision_config': {
        'hidden_size': 1280, 'attention_heads': 16, 'intermediate_size': 5120,
        'num_hidden_layers': 32, 'num_global_layers': 8, 'image_size': 560, 'patch_size': 14,
        'intermediate_layers_indices': [3, 7, 15, 23, 30]},
}
_GATE = 0.8
# <|image|> is the last: it has an embedding, but no logit.
_CONTROL_TOKENS = (
    BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN, SILENCE, ELLIPSIS, VIDEO, IMAGE)
_UNKNOWN = '?'


@dataclass(frozen=True)
class Subject:
    """
    What is measured.

    - name: of the preset, or the checkpoint's folder. is_random: whether its weights are.
    - model, chat, options: the weights are in memory; options are those of its streams.
    """

    name: str
    is_random: bool
    model: VideoModel
    chat: EndlessChat
    options: StreamOptions


def preset_config(name: str) -> ModelConfig:
    """Return the sizes of a preset, one of PRESET_NAMES."""
    if name == 'demo':
        return ModelConfig.from_folder(DEMO_CHECKPOINT)
    sizes = {'250m': _SIZES_250M, '11b': _SIZES_11B}[name]
    one_tile = {'max_num_tiles': 1, 'supported_aspect_ratios': [[1, 1]]}
    return ModelConfig.from_dict({
        'model_type': 'mllama', 'pool_stride': 4,
        'image_token_index': sizes['text_config']['vocab_size'],
        'text_config': sizes['text_config'],
        'vision_config': {**sizes['vision_config'], **one_tile}})


def empty_model(config: ModelConfig) -> VideoModel:
    """Return a model of these sizes on the meta device, which takes no memory."""
    with torch.device('meta'):
        return VideoModel(config).requires_grad_(False).eval()


def random_model(config: ModelConfig, device: torch.device, dtype: torch.dtype,
                 attention: str = 'auto', quantization: str | None = None,
                 seed: int = 0) -> VideoModel:
    """
    Return a model of random weights; the arguments are as for load_model().

    One weight at a time is in memory at full size. Raises ValueError for options that are not
    possible.
    """
    flash = flash_kernel(attention, device, dtype)
    model = empty_model(config)
    check_quantization(quantization, device, dtype, model)
    quantised = set(decoder_weights(model)) if quantization else set()
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in list(model.named_parameters()):
        values = _random_values(name, parameter.shape, device, dtype, generator)
        owner, _, attribute = name.rpartition('.')
        setattr(model.get_submodule(owner), attribute,
                quantise(values, quantization) if name in quantised
                else nn.Parameter(values, requires_grad=False))
    model.use_flash(flash)
    model.quantization = quantization
    return model


def _random_values(name, shape, device, dtype, generator):
    """Return a weight by the rule of initialise(), which needs the whole model in memory."""
    values = torch.empty(shape, device=device, dtype=dtype)
    if len(shape) > 1:
        num_inputs = values[0].numel()
        return values.normal_(0.0, 0.02 * (768 / num_inputs) ** 0.5, generator=generator)
    if name.endswith('gate'):
        return values.fill_(_GATE)
    owner, _, attribute = name.rpartition('.')
    is_scale = attribute == 'weight' and 'norm' in owner.rpartition('.')[2]
    return values.fill_(1.0 if is_scale else 0.0)


class EndlessChat(ChatFormat):
    """A chat format in which no turn is ended by the model, so that it speaks while measured."""

    def never_said_ids(self, vocab_size: int) -> list[int]:
        """Return the ids below vocab_size that must not be sampled, the end of a turn too."""
        return sorted({*super().never_said_ids(vocab_size), self.eot_id})


def word_chat(vocab_size: int) -> EndlessChat:
    """
    Return a chat format whose every text token is a word of its own.

    Ids below vocab_size are words, and behind them the control tokens but <|image|>, which is
    vocab_size itself.
    """
    num_words = vocab_size + 1 - len(_CONTROL_TOKENS)
    words = {_UNKNOWN: 0, **{f'w{index}': index for index in range(1, num_words)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(_CONTROL_TOKENS))
    with TemporaryDirectory(prefix='bench_stream_') as folder:
        path = Path(folder, 'tokenizer.json')
        tokenizer.save(str(path))
        return EndlessChat(path)


def preset_options(name: str, seed: int) -> StreamOptions:
    """
    Return the settings of a preset's streams: greedy for demo, as the embedded model is.

    The others sample as the published clients do, so that what they say does not repeat itself:
    otherwise drafts of it would make them faster than a trained model.
    """
    sampling = SamplingOptions() if name == 'demo' else SamplingOptions(do_sample=True, top_k=50)
    return StreamOptions(seed=seed, sampling=sampling)


def random_subject(name: str, device: torch.device, dtype: torch.dtype, attention: str,
                   quantization: str | None, seed: int) -> Subject:
    """Return a preset with random weights; ValueError as random_model()."""
    config = preset_config(name)
    model = random_model(config, device, dtype, attention, quantization, seed)
    return Subject(
        name, True, model, word_chat(config.text.vocab_size), preset_options(name, seed))
