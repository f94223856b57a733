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
The peer: transformers' own Mllama with the same sizes, decoding greedily with its caches.

Sizes and lengths of a context go in; a Decoder comes out, to be timed beside this package's. Only
imported where somebody asks for it: transformers is no requirement of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
import logging

from moss_ros.model import ModelConfig
import torch

# The version that requirements/test.txt pins.
_INSTALL = 'pip install transformers==5.23.0'


class PeerError(Exception):
    """The peer can't be measured; the message says why, and the way out."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Log no warnings: what transformers imports warns of things that nobody here can change."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def require_peer(config: ModelConfig) -> None:
    """Raise PeerError if transformers can not be imported, or has no model of these sizes."""
    try:
        with _quiet():
            version = import_module('transformers').__version__
            import_module('transformers.models.mllama.modeling_mllama')
    except ImportError as error:
        raise PeerError(f'--peer transformers needs transformers, which can not be imported '
                        f'({error}): {_INSTALL}') from error
    text = config.text
    if text.head_dim * text.num_attention_heads != text.hidden_size:
        raise PeerError(f'--peer transformers: its Mllama ({version}) has heads of hidden_size / '
                        f'num_attention_heads channels, and head_dim is {text.head_dim}: leave '
                        f'--peer out')


class PeerDecoder:
    """transformers' MllamaForConditionalGeneration after text and frames: a Decoder."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype,
                 num_tokens: int, num_frames: int):
        """
        Make a model of random weights, and have it read num_tokens and the states of num_frames.

        It has as many cross-attention states as this package's, N for each frame, all of which
        all tokens see. Its caches are those that it makes by itself.
        """
        transformers = import_module('transformers')
        with _quiet(), torch.device(device):
            torch.manual_seed(0)
            self._model = transformers.AutoModelForImageTextToText.from_config(
                _peer_config(transformers, config), dtype=dtype).eval().requires_grad_(False)
        for name, parameter in self._model.named_parameters():
            if name.endswith(('gate', 'gate_attn', 'gate_ffn')):
                parameter.fill_(0.8)
        self.version = transformers.__version__
        self.num_parameters = sum(each.numel() for each in self._model.parameters())
        self._num_tokens = num_tokens
        self._token = torch.zeros(1, 1, dtype=torch.int64, device=device)
        states = None
        if num_frames:
            states = torch.randn(1, num_frames * config.num_frame_tokens, config.text.hidden_size)
            states = states.to(device, dtype)
        self._caches = None
        self._choose(torch.zeros(1, num_tokens, dtype=torch.int64, device=device), 0, states)

    def step(self) -> None:
        """Decode one token greedily; see Decoder."""
        self._choose(self._token, self._num_tokens)
        self._num_tokens += 1

    @torch.inference_mode()
    def _choose(self, ids, position, states=None):
        # Its own count of positions would go by the cache of the first layer.
        positions = torch.arange(position, position + ids.shape[1], device=ids.device)
        output = self._model(
            input_ids=ids, cross_attention_states=states, position_ids=positions.unsqueeze(0),
            past_key_values=self._caches, use_cache=True, logits_to_keep=1)
        self._caches = output.past_key_values
        self._token[0, 0] = int(output.logits[0, -1].argmax())


def _peer_config(transformers, config):
    """Return transformers' config of the same sizes."""
    text, vision, rope = config.text, config.vision, config.text.rope
    rotation = {'rope_type': rope.rope_type, 'rope_theta': rope.theta}
    if rope.rope_type != 'default':
        rotation.update({name: getattr(rope, name) for name in (
            'factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')})
    mllama = transformers.models.mllama
    return transformers.MllamaConfig(
        text_config=mllama.MllamaTextConfig(
            rope_parameters=rotation, cross_attention_layers=_cross_layers(text),
            bos_token_id=0, eos_token_id=1, pad_token_id=0,
            **{name: getattr(text, name) for name in (
                'vocab_size', 'hidden_size', 'hidden_act', 'num_hidden_layers',
                'num_attention_heads', 'num_key_value_heads', 'intermediate_size',
                'rms_norm_eps', 'max_position_embeddings')}),
        vision_config=mllama.MllamaVisionConfig(
            vision_output_dim=vision.output_dim,
            intermediate_layers_indices=list(vision.intermediate_layers_indices),
            supported_aspect_ratios=[list(ratio) for ratio in vision.supported_aspect_ratios],
            **{name: getattr(vision, name) for name in (
                'hidden_size', 'hidden_act', 'num_hidden_layers', 'num_global_layers',
                'attention_heads', 'intermediate_size', 'image_size', 'patch_size', 'norm_eps',
                'max_num_tiles', 'num_channels')}),
        image_token_index=config.image_token_id)


def _cross_layers(text):
    """Return as many layers as look at frames, but never the first: its cache counts the text."""
    layers = list(text.cross_attention_layers)
    if 0 not in layers or len(layers) == text.num_hidden_layers:
        return layers
    others = [index for index in range(text.num_hidden_layers) if index not in layers]
    return sorted([*layers[1:], others[0]])
