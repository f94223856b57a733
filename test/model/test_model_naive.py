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
The model agrees with a naive float64 computation, at sizes that no golden folder has.

The naive one is written from the description of the architecture, token by token and head by
head, and reads a saved checkpoint by its published names: so it also checks what is saved.
"""

import copy
import math

from moss_ros.model import load_model
import numpy as np
import pytest
from safetensors.numpy import load_file
import torch


def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5)
    return normed * weights[f'{name}.weight'] + weights[f'{name}.bias']


def rms_norm(x, weight):
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-5) * weight


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


def rotate(head, position, theta):
    half = len(head) // 2
    angles = position / theta ** (np.arange(half) / half)
    first, second = head[:half], head[half:]
    return np.concatenate((first * np.cos(angles) - second * np.sin(angles),
                           second * np.cos(angles) + first * np.sin(angles)))


def attend(queries, keys, values):
    """One head: queries [n, K], keys and values [m, K]."""
    return np.stack([softmax(keys @ query / math.sqrt(len(query))) @ values for query in queries])


def vision_layer(x, weights, name, num_heads, gated):
    def linear(y, part):
        return y @ weights[f'{name}.{part}.weight'].T + weights.get(f'{name}.{part}.bias', 0)

    normed = layer_norm(x, weights, f'{name}.input_layernorm')
    parts = [np.split(linear(normed, f'self_attn.{letter}_proj'), num_heads, axis=1)
             for letter in 'qkv']
    attended = linear(np.concatenate([attend(*heads) for heads in zip(*parts)], axis=1),
                      'self_attn.o_proj')
    x = x + attended * (np.tanh(weights[f'{name}.gate_attn']) if gated else 1)
    normed = layer_norm(x, weights, f'{name}.post_attention_layernorm')
    changed = linear(gelu(linear(normed, 'mlp.fc1')), 'mlp.fc2')
    return x + changed * (np.tanh(weights[f'{name}.gate_ffn']) if gated else 1)


def frame_states(pixels, weights, values):
    """[3, S, S] -> [N, D], encoder, pooling and projector."""
    vision = values['vision_config']
    size, patch = vision['hidden_size'], vision['patch_size']
    grid = vision['image_size'] // patch

    def first_tile(name, shape):
        return weights[f'vision_model.{name}'][1, :math.prod(shape)].reshape(shape)

    kernel = weights['vision_model.patch_embedding.weight'].reshape(size, -1)
    patches = np.stack([kernel @ pixels[:, patch * row:patch * (row + 1),
                                        patch * column:patch * (column + 1)].reshape(-1)
                        for row in range(grid) for column in range(grid)])
    gate = np.tanh(weights['vision_model.pre_tile_positional_embedding.gate'])
    patches = patches + gate * first_tile('pre_tile_positional_embedding.embedding.weight',
                                          (size,))
    x = np.concatenate((weights['vision_model.class_embedding'][None], patches))
    gate = np.tanh(weights['vision_model.gated_positional_embedding.gate'])
    x = x + (1 - gate) * weights['vision_model.gated_positional_embedding.embedding'] \
        + gate * first_tile('gated_positional_embedding.tile_embedding.weight', x.shape)
    x = layer_norm(x, weights, 'vision_model.layernorm_pre')
    num_patches = len(x)
    while len(x) % 8:
        x = np.concatenate((x, np.zeros((1, size))))
    states = [x]
    for index in range(vision['num_hidden_layers']):
        x = vision_layer(x, weights, f'vision_model.transformer.layers.{index}',
                         vision['attention_heads'], gated=False)
        states.append(x)
    x = layer_norm(x, weights, 'vision_model.layernorm_post')
    gate = np.tanh(weights['vision_model.post_tile_positional_embedding.gate'])
    x = x + gate * first_tile('post_tile_positional_embedding.embedding.weight', (size,))
    for index in range(vision['num_global_layers']):
        x = vision_layer(x, weights, f'vision_model.global_transformer.layers.{index}',
                         vision['attention_heads'], gated=True)
    columns = [states[index][:, channel:channel + 1] for channel in range(size)
               for index in sorted(vision['intermediate_layers_indices'])]
    features = np.concatenate([x, *columns], axis=1)[:num_patches]
    stride = values['pool_stride']
    square = features[1:].reshape(grid, grid, -1)
    pooled = [square[row:row + stride, column:column + stride].mean((0, 1))
              for row in range(0, grid - stride + 1, stride)
              for column in range(0, grid - stride + 1, stride)]
    return np.stack([features[0], *pooled]) @ weights['multi_modal_projector.weight'].T \
        + weights['multi_modal_projector.bias']


def text_mlp(x, weights, name):
    gate, up, down = (weights[f'{name}.mlp.{part}_proj.weight'] for part in ('gate', 'up', 'down'))
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def naive_logits(ids, frames, weights, values):
    """Logits [T, V] of a list of ids; frames is a list of [N, D], one for each image token."""
    text = values['text_config']
    num_heads, theta = text['num_attention_heads'], text['rope_theta']
    group = num_heads // text['num_key_value_heads']
    prefix = 'language_model.model'
    x = weights[f'{prefix}.embed_tokens.weight'][ids]
    places = [place for place, token in enumerate(ids) if token == values['image_token_index']]
    for index in range(text['num_hidden_layers']):
        name = f'{prefix}.layers.{index}'
        crossing = index in text['cross_attention_layers']
        part = f'{name}.cross_attn' if crossing else f'{name}.self_attn'
        q, k, v, o = (weights[f'{part}.{letter}_proj.weight'] for letter in 'qkvo')
        normed = rms_norm(x, weights[f'{name}.input_layernorm.weight'])
        changed = x.copy()
        for place in range(len(ids)):
            if crossing:
                sources = [(frame, position) for frame, position in zip(frames, places)
                           if position <= place]
            else:
                sources = [(normed[i:i + 1], i) for i in range(place + 1)]
            if not sources:
                continue  # before the first frame: no attention and no MLP
            heads = []
            for head, query in enumerate(np.split(q @ normed[place], num_heads)):
                if crossing:
                    query = rms_norm(query, weights[f'{part}.q_norm.weight'])
                rows = slice(head // group * len(query), (head // group + 1) * len(query))
                keys = np.stack([rotate(k[rows] @ state, position, theta)
                                 for states, position in sources for state in states])
                if crossing:
                    keys = rms_norm(keys, weights[f'{part}.k_norm.weight'])
                heads.append(attend(rotate(query, place, theta)[None], keys, np.stack(
                    [v[rows] @ state for states, _ in sources for state in states]))[0])
            gates = [np.tanh(weights[f'{name}.cross_attn_{kind}_gate']) if crossing else 1.0
                     for kind in ('attn', 'mlp')]
            y = x[place] + gates[0] * (o @ np.concatenate(heads))
            normed_y = rms_norm(y, weights[f'{name}.post_attention_layernorm.weight'])
            changed[place] = y + gates[1] * text_mlp(normed_y, weights, name)
        x = changed
    x = rms_norm(x, weights[f'{prefix}.norm.weight'])
    return x @ weights['language_model.lm_head.weight'].T


def variant(values, **changes):
    values = copy.deepcopy(values)
    for path, value in changes.items():
        *parents, key = path.split('__')
        target = values
        for parent in parents:
            target = target[parent]
        target[key] = value
    return values


IMAGE = 40
CASES = {
    'as is': ({}, [1, 2, 3, IMAGE, 4, IMAGE, IMAGE, 5, 6]),
    'starts with frames': ({}, [IMAGE, IMAGE, 1, 2]),
    'no frames': ({}, [1, 2, 3]),
    'ends with a frame': ({}, [7, IMAGE]),
    'a head for each key head': ({'text_config__num_key_value_heads': 4}, [1, IMAGE, 2, IMAGE]),
    'one key head': ({'text_config__num_key_value_heads': 1}, [1, IMAGE, 2, IMAGE, 3]),
    'no global layers': ({'vision_config__num_global_layers': 0}, [1, IMAGE, 2]),
    'patches without padding': ({'vision_config__patch_size': 12,
                                 'vision_config__image_size': 90,
                                 'pool_stride': 3}, [1, IMAGE, 2]),
    'squares that do not fit': ({'pool_stride': 3}, [1, IMAGE, 2]),
    'no intermediates': ({'vision_config__intermediate_layers_indices': []}, [1, IMAGE, 2]),
    'first and last states': ({'vision_config__intermediate_layers_indices': [3, 0]},
                              [1, IMAGE, 2]),
    'four tiles': ({'vision_config__max_num_tiles': 4,
                    'vision_config__supported_aspect_ratios': [[1, 1], [1, 2], [2, 2]]},
                   [1, IMAGE, 2]),
    'first layer crosses': ({'text_config__cross_attention_layers': [0, 2]}, [1, 2, IMAGE, 3]),
    'no layer crosses': ({'text_config__cross_attention_layers': []}, [1, 2, IMAGE, 3]),
    'only one layer, which crosses': ({'text_config__num_hidden_layers': 1,
                                       'text_config__cross_attention_layers': [0]},
                                      [1, IMAGE, 3, IMAGE]),
}


@pytest.mark.parametrize('case', CASES)
def test_agrees_with_the_naive_computation(case, toy_values, make_model, write_checkpoint):
    changes, ids = CASES[case]
    values = variant(toy_values, **changes)
    folder = write_checkpoint(make_model(values, seed=3), values)
    weights = {name: array.astype(np.float64)
               for name, array in load_file(folder / 'model.safetensors').items()}
    side = values['vision_config']['image_size']
    pixels = torch.randn((ids.count(IMAGE), 3, side, side),
                         generator=torch.Generator().manual_seed(4))
    states = [frame_states(frame.double().numpy(), weights, values) for frame in pixels]
    logits = naive_logits(ids, states, weights, values)

    model = load_model(folder)
    ours = model.encode_frames(pixels)
    for frame, state in zip(ours, states):
        assert np.abs(frame.numpy() - state).max() < 1e-4
    once = model(torch.tensor([ids]), ours[None])[0]
    assert np.abs(once.numpy() - logits).max() < 1e-4
    cache = model.new_cache(len(ids), len(states))
    for token, row in zip(ids, logits):
        frame = ours[cache.num_frames:cache.num_frames + 1] if token == IMAGE else None
        assert np.abs(model.extend(cache, [token], frame).numpy() - row).max() < 1e-4
