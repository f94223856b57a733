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
What a single layer of each kind costs, at true width: for a model that does not fit into memory.

Sizes and lengths go in, a row of figures a layer comes out. It says nothing of a whole model: what
stands between the layers, and what they do to each other's caches, is not in it. Called by the
command.

Letters: Q states of a frame inside the vision encoder, padded.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from moss_ros.benchmark.decode_measures import measure_steps, OwnDecoder, repeated_s, steps_in
from moss_ros.benchmark.memory_floor import step_bytes
from moss_ros.benchmark.presets import random_model
from moss_ros.model import ModelConfig
from moss_ros.model.vision import VisionLayer
import torch

# Few, so that embedding and head, which stand around the layer, take next to nothing.
_VOCAB_SIZE = 256
_PADDING_MULTIPLE = 8
_MOST_STEPS = 64


def measure_layers(config: ModelConfig, device: torch.device, dtype: torch.dtype, attention: str,
                   quantization: str | None, num_tokens: int, num_frames: int,
                   copy_bytes_per_s: float, seconds: float) -> list[dict]:
    """
    Return the figures of a layer of each kind: self, cross, vision_local, vision_global.

    - kind, and num_in_model: how many of it the whole model has.
    - ms: of a decode step after num_tokens and num_frames through this layer alone, with a small
      embedding and head around it; or to take a frame through a layer of the vision encoder.
    - bytes, floor_ms, share_of_floor: as of a whole step; None of vision, whose layers compute.
    """
    text, vision = config.text, config.vision
    num_cross = len(text.cross_attention_layers)
    counts = {'self': text.num_hidden_layers - num_cross, 'cross': num_cross,
              'vision_local': vision.num_hidden_layers, 'vision_global': vision.num_global_layers}
    rows = []
    for kind in ('self', 'cross'):
        if counts[kind] and (kind == 'self' or num_frames):
            one = _one_layer(config, kind)
            model = random_model(one, device, dtype, attention, quantization)
            frames = num_frames if kind == 'cross' else 0
            decoder = OwnDecoder(model, num_tokens, frames, _MOST_STEPS + 1)
            step_ms = median(measure_steps(
                decoder, steps_in(decoder, seconds / 4, _MOST_STEPS), seconds))
            num_bytes = step_bytes(one, num_tokens, frames, dtype, quantization)
            floor_ms = 1e3 * num_bytes / copy_bytes_per_s
            rows.append({'kind': kind, 'num_in_model': counts[kind], 'ms': step_ms,
                         'bytes': num_bytes, 'floor_ms': floor_ms,
                         'share_of_floor': floor_ms / step_ms})
            del model, decoder  # before the next one is made
    for kind in ('vision_local', 'vision_global'):
        if counts[kind]:
            layer_ms = _vision_layer_ms(vision, kind == 'vision_global', device, dtype, seconds)
            rows.append({'kind': kind, 'num_in_model': counts[kind], 'ms': layer_ms,
                         'bytes': None, 'floor_ms': None, 'share_of_floor': None})
    return rows


def _one_layer(config, kind):
    """Return sizes of a model with this layer alone, whose frames have as many states."""
    text = replace(
        config.text, num_hidden_layers=1, vocab_size=_VOCAB_SIZE,
        cross_attention_layers=(0,) if kind == 'cross' else ())
    vision = replace(
        config.vision, hidden_size=8, attention_heads=1, intermediate_size=8, num_hidden_layers=1,
        num_global_layers=0, intermediate_layers_indices=())
    return replace(config, text=text, vision=vision, image_token_id=_VOCAB_SIZE)


@torch.inference_mode()
def _vision_layer_ms(vision, is_global, device, dtype, seconds):
    with torch.device('meta'):
        layer = VisionLayer(vision, gated=is_global)
    layer = layer.to(dtype).to_empty(device=device).eval()
    generator = torch.Generator(device).manual_seed(0)
    for parameter in layer.parameters():
        parameter.normal_(0.0, 0.02, generator=generator)
    num_states = vision.num_patches + -vision.num_patches % _PADDING_MULTIPLE
    x = torch.empty(1, num_states, vision.hidden_size, device=device, dtype=dtype)
    x.normal_(generator=generator)
    return 1e3 * median(repeated_s(lambda: layer(x), device, seconds))
