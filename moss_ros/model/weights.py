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
Lists the tensors of a checkpoint: those that a model needs, and those that a folder holds.

checkpoint_entries() takes a ModelConfig and yields the published name of each tensor, with the
parameter that it fills. stored_tensors() reads the headers of a folder's safetensors files and
translates the names of newer transformers versions to the published ones. Files whose reading
could run code are refused. Called by checkpoint.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import json
from pathlib import Path

from moss_ros.model.config import CheckpointError, ModelConfig
from safetensors import safe_open, SafetensorError
import torch

HEAD_NAME = 'language_model.lm_head.weight'
# Prefixes of names in newer transformers versions, each with the published prefix.
_NEWER_PREFIXES = (('model.language_model.', 'language_model.model.'),
                   ('model.vision_model.', 'vision_model.'),
                   ('model.multi_modal_projector.', 'multi_modal_projector.'),
                   ('lm_head.', 'language_model.lm_head.'))


@dataclass(frozen=True)
class Entry:
    """One tensor of a checkpoint: its published name, and the parameter's rows that it fills."""

    name: str
    parameter: str
    first_row: int = 0
    num_rows: int | None = None  # None: the whole parameter

    def rows_of(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.num_rows is None:
            return tensor
        return tensor[self.first_row:self.first_row + self.num_rows]


def published_name(name: str) -> str:
    """Return the published name of a tensor, whose name may be published or newer."""
    for newer, published in _NEWER_PREFIXES:
        if name.startswith(newer):
            return published + name[len(newer):]
    return name


def checkpoint_entries(config: ModelConfig) -> Iterator[Entry]:
    """Yield all tensors of a checkpoint of these sizes, with the names published for Mllama."""
    yield from _vision_entries(config)
    yield Entry('multi_modal_projector.weight', 'projector.weight')
    yield Entry('multi_modal_projector.bias', 'projector.bias')
    yield Entry('language_model.model.embed_tokens.weight', 'decoder.embed_tokens.weight')
    yield Entry('language_model.model.norm.weight', 'decoder.norm.weight')
    yield Entry(HEAD_NAME, 'lm_head.weight')
    for index in range(config.text.num_hidden_layers):
        theirs, ours = f'language_model.model.layers.{index}', f'decoder.layers.{index}'
        yield from _text_layer_entries(config, index, theirs, ours)


def _stacked(parameter: str, sizes: tuple[tuple[str, int], ...]) -> Iterator[Entry]:
    """Yield entries that are stacked in one parameter. sizes: (name, number of rows) each."""
    first_row = 0
    for name, num_rows in sizes:
        yield Entry(name, parameter, first_row, num_rows)
        first_row += num_rows


def _text_layer_entries(config, index, theirs, ours):
    text = config.text
    num_query_rows = text.num_attention_heads * text.head_dim
    num_key_rows = text.num_key_value_heads * text.head_dim
    if index in text.cross_attention_layers:
        attention = f'{theirs}.cross_attn'
        yield Entry(f'{attention}.q_proj.weight', f'{ours}.q_proj.weight')
        yield from _stacked(f'{ours}.kv_proj.weight', (
            (f'{attention}.k_proj.weight', num_key_rows),
            (f'{attention}.v_proj.weight', num_key_rows)))
        yield Entry(f'{attention}.q_norm.weight', f'{ours}.q_norm.weight')
        yield Entry(f'{attention}.k_norm.weight', f'{ours}.k_norm.weight')
        yield Entry(f'{theirs}.cross_attn_attn_gate', f'{ours}.attention_gate')
        yield Entry(f'{theirs}.cross_attn_mlp_gate', f'{ours}.mlp_gate')
    else:
        attention = f'{theirs}.self_attn'
        yield from _stacked(f'{ours}.qkv_proj.weight', (
            (f'{attention}.q_proj.weight', num_query_rows),
            (f'{attention}.k_proj.weight', num_key_rows),
            (f'{attention}.v_proj.weight', num_key_rows)))
    yield Entry(f'{attention}.o_proj.weight', f'{ours}.o_proj.weight')
    yield Entry(f'{theirs}.input_layernorm.weight', f'{ours}.attention_norm.weight')
    yield Entry(f'{theirs}.post_attention_layernorm.weight', f'{ours}.mlp_norm.weight')
    yield from _stacked(f'{ours}.mlp.gate_up_proj.weight', (
        (f'{theirs}.mlp.gate_proj.weight', text.intermediate_size),
        (f'{theirs}.mlp.up_proj.weight', text.intermediate_size)))
    yield Entry(f'{theirs}.mlp.down_proj.weight', f'{ours}.mlp.down_proj.weight')


_VISION_NAMES = (
    ('patch_embedding.weight', 'patch_embedding'),
    ('class_embedding', 'class_embedding'),
    ('gated_positional_embedding.embedding', 'position_embedding'),
    ('gated_positional_embedding.gate', 'position_gate'),
    ('gated_positional_embedding.tile_embedding.weight', 'tile_position_embedding'),
    ('pre_tile_positional_embedding.embedding.weight', 'pre_tile_embedding'),
    ('pre_tile_positional_embedding.gate', 'pre_tile_gate'),
    ('post_tile_positional_embedding.embedding.weight', 'post_tile_embedding'),
    ('post_tile_positional_embedding.gate', 'post_tile_gate'),
    ('layernorm_pre.weight', 'norm_pre.weight'), ('layernorm_pre.bias', 'norm_pre.bias'),
    ('layernorm_post.weight', 'norm_post.weight'), ('layernorm_post.bias', 'norm_post.bias'))
_VISION_LAYER_NAMES = (
    ('self_attn.o_proj.weight', 'o_proj.weight'),
    ('input_layernorm.weight', 'attention_norm.weight'),
    ('input_layernorm.bias', 'attention_norm.bias'),
    ('post_attention_layernorm.weight', 'mlp_norm.weight'),
    ('post_attention_layernorm.bias', 'mlp_norm.bias'),
    ('mlp.fc1.weight', 'fc1.weight'), ('mlp.fc1.bias', 'fc1.bias'),
    ('mlp.fc2.weight', 'fc2.weight'), ('mlp.fc2.bias', 'fc2.bias'))
_VISION_GATE_NAMES = (('gate_attn', 'attention_gate'), ('gate_ffn', 'mlp_gate'))


def _vision_entries(config):
    size = config.vision.hidden_size
    for theirs, ours in _VISION_NAMES:
        yield Entry(f'vision_model.{theirs}', f'vision.{ours}')
    for their_tower, our_tower, num_layers in (
            ('transformer', 'local_layers', config.vision.num_hidden_layers),
            ('global_transformer', 'global_layers', config.vision.num_global_layers)):
        gates = _VISION_GATE_NAMES if our_tower == 'global_layers' else ()
        for index in range(num_layers):
            theirs = f'vision_model.{their_tower}.layers.{index}'
            ours = f'vision.{our_tower}.{index}'
            yield from _stacked(f'{ours}.qkv_proj.weight', tuple(
                (f'{theirs}.self_attn.{letter}_proj.weight', size) for letter in 'qkv'))
            for their_name, our_name in _VISION_LAYER_NAMES + gates:
                yield Entry(f'{theirs}.{their_name}', f'{ours}.{our_name}')


WEIGHTS_FILE = 'model.safetensors'
INDEX_FILE = 'model.safetensors.index.json'
_PICKLED_SUFFIXES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl')


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a safetensors file, as its header describes it."""

    file: Path
    name: str  # as in the file, published or newer
    shape: tuple[int, ...]
    dtype: str


def opened(file: Path) -> safe_open:
    """
    Open a safetensors file as a context manager; CheckpointError if it is truncated or damaged.

    Tensors are read by mapping the file, and the memory is released when it is closed. So keep
    only one open at a time.
    """
    try:
        return safe_open(file, framework='pt', device='cpu')
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file} can not be read as safetensors ({error}); it is truncated '
                              f'or damaged: copy it again') from error


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder; CheckpointError if they are missing or unsafe."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    index = folder / INDEX_FILE
    if index.is_file():
        return _shards(index)
    pickled = sorted(path.name for path in folder.iterdir()
                     if path.suffix in _PICKLED_SUFFIXES)
    if pickled:
        raise CheckpointError(f'{folder} has its weights in {pickled[0]}, which is a pickle and '
                              f'could run any code: refused; convert them to {WEIGHTS_FILE}')
    shards = sorted(path.name for path in folder.glob('*-of-*.safetensors'))
    if shards:
        raise CheckpointError(f'{folder} has {shards[0]}, but neither {WEIGHTS_FILE} nor '
                              f'{INDEX_FILE}; copy the index that belongs to the shards')
    raise CheckpointError(f'{folder} has no weights: neither {WEIGHTS_FILE} nor {INDEX_FILE}')


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f'{index} is not an index of shards ({error!r}); '
                              f'copy it again') from error
    for name in names:
        if not name.endswith('.safetensors') or Path(name).name != name:
            raise CheckpointError(f'{index} names {name!r} as a shard; only safetensors files '
                                  f'beside it are read')
        if not (index.parent / name).is_file():
            raise CheckpointError(f'{index} names the shard {name}, which is missing; copy it '
                                  f'into {index.parent}')
    return [index.parent / name for name in names]


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Read the headers of all safetensors files; return the tensors by published name."""
    stored = {}
    for file in weight_files(folder):
        with opened(file) as tensors:
            for name in tensors.keys():
                view = tensors.get_slice(name)
                key = published_name(name)
                if key in stored:
                    raise CheckpointError(f'{file} holds {name}, which {stored[key].file} holds '
                                          f'already as {stored[key].name}')
                stored[key] = StoredTensor(file, name, tuple(view.get_shape()), view.get_dtype())
    return stored
