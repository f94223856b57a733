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

"""Checkpoint folders: what is saved loads again exactly, and every fault is named."""

import json
import pickle

from moss_ros.model import CheckpointError, load_model, save_model
import pytest
from safetensors.torch import load_file, save_file
import torch

HEAD = 'language_model.lm_head.weight'
KEYS = 'language_model.model.layers.0.self_attn.k_proj.weight'


@pytest.fixture
def folder(toy_model, toy_values, write_checkpoint):
    return write_checkpoint(toy_model, toy_values)


def change_weights(folder, change):
    """Rewrite model.safetensors after change(tensors) has changed the dict in place."""
    file = folder / 'model.safetensors'
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def newer_name(name):
    """Return the name that newer transformers give a published tensor."""
    if name.startswith('language_model.lm_head.'):
        return name[len('language_model.'):]
    if name.startswith('language_model.model.'):
        return 'model.language_model.' + name[len('language_model.model.'):]
    return 'model.' + name


def split_into_shards(folder, rename=str):
    """Replace model.safetensors by two shards with an index; return the index's map."""
    file = folder / 'model.safetensors'
    tensors = load_file(file)
    file.unlink()
    weight_map = {}
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        shard = f'model-0000{number}-of-00002.safetensors'
        save_file({rename(name): tensors[name] for name in part}, folder / shard)
        weight_map.update({rename(name): shard for name in part})
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps({'metadata': {'total_size': 0}, 'weight_map': weight_map}))
    return weight_map


def assert_same(model, other):
    ours, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, parameter in ours.items():
        assert torch.equal(parameter, theirs[name]), name


def test_what_was_saved_loads_exactly(toy_model, folder):
    model = load_model(folder)
    assert_same(model, toy_model)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_published_names_and_shapes_are_written(golden_folder, tmp_path):
    published = load_file(golden_folder / 'model.safetensors')
    save_model(load_model(golden_folder), tmp_path / 'new')
    written = load_file(tmp_path / 'new' / 'model.safetensors')
    assert written.keys() == published.keys()
    for name, tensor in published.items():
        assert torch.equal(written[name], tensor), name
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['model.safetensors']


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_other_precisions(toy_model, toy_values, folder, write_checkpoint, dtype):
    model = load_model(folder, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert_same(model, toy_model.to(dtype))
    half = write_checkpoint(model, toy_values, 'half')
    assert load_file(half / 'model.safetensors')[HEAD].dtype == dtype
    assert_same(load_model(half, dtype=dtype), model)


@pytest.mark.parametrize('rename', [str, newer_name])
@pytest.mark.parametrize('shards', [False, True])
def test_both_name_layouts_whole_and_in_shards(toy_model, folder, rename, shards):
    if shards:
        split_into_shards(folder, rename)
        assert not (folder / 'model.safetensors').exists()
    else:
        tensors = load_file(folder / 'model.safetensors')
        save_file({rename(name): tensor for name, tensor in tensors.items()},
                  folder / 'model.safetensors')
    assert_same(load_model(folder), toy_model)


def test_a_missing_tensor(folder):
    change_weights(folder, lambda tensors: tensors.pop(KEYS))
    with pytest.raises(CheckpointError, match=f'{folder} lacks tensor {KEYS}; '):
        load_model(folder)


def test_several_missing_tensors(folder):
    change_weights(folder, lambda tensors: [tensors.pop(name) for name in list(tensors)
                                            if name.startswith('multi_modal_projector')])
    with pytest.raises(CheckpointError, match='lacks tensor multi_modal_projector.weight and 1'):
        load_model(folder)


def test_an_unexpected_tensor(folder):
    change_weights(folder, lambda tensors: tensors.update(patch_merger=torch.zeros(1)))
    with pytest.raises(CheckpointError, match=r'model.safetensors holds tensor patch_merger that'):
        load_model(folder)


@pytest.mark.parametrize('name, needed', [
    (KEYS, [16, 32]),
    ('vision_model.gated_positional_embedding.tile_embedding.weight', [2, 408])])
def test_a_misshapen_tensor(folder, name, needed):
    def cut_a_column(tensors):
        tensors[name] = tensors[name][:, 1:].contiguous()
    change_weights(folder, cut_a_column)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    for part in (str(folder / 'model.safetensors'), name, str([needed[0], needed[1] - 1]),
                 str(needed)):
        assert part in str(caught.value)


def test_rows_too_many_for_their_part_of_a_stacked_matrix(folder):
    def add_a_row(tensors):
        tensors[KEYS] = torch.cat((tensors[KEYS], tensors[KEYS][:1]))
    change_weights(folder, add_a_row)
    with pytest.raises(CheckpointError, match=r'k_proj.weight has shape \[17, 32\]'):
        load_model(folder)


def test_a_tensor_under_both_names(folder):
    change_weights(folder, lambda tensors: tensors.update(
        {'lm_head.weight': tensors[HEAD].clone()}))
    with pytest.raises(CheckpointError, match='holds already as'):
        load_model(folder)


def test_a_quantised_tensor(folder):
    change_weights(folder, lambda tensors: tensors.update({HEAD: tensors[HEAD].to(torch.int8)}))
    with pytest.raises(CheckpointError, match=f'{HEAD} is I8; only F64'):
        load_model(folder)


def test_tied_embeddings_without_a_head(folder, toy_values):
    toy_values['text_config']['tie_word_embeddings'] = True
    (folder / 'config.json').write_text(json.dumps(toy_values))
    load_model(folder)  # the head is there: nothing is tied
    change_weights(folder, lambda tensors: tensors.pop(HEAD))
    with pytest.raises(CheckpointError, match='tie_word_embeddings is true and .* is missing'):
        load_model(folder)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), 'w')


@pytest.mark.parametrize('name', ['pytorch_model.bin', 'model.pt', 'consolidated.00.pth'])
def test_pickled_weights_are_refused_unread(folder, tmp_path, name):
    (folder / 'model.safetensors').unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / 'exploded')))
    with pytest.raises(CheckpointError, match=f'weights in {name}, which is a pickle .* refused'):
        load_model(folder)
    assert not (tmp_path / 'exploded').exists()


def test_no_weights_at_all(folder):
    (folder / 'model.safetensors').unlink()
    with pytest.raises(CheckpointError, match=f'{folder} has no weights'):
        load_model(folder)


def test_shards_without_their_index(folder):
    split_into_shards(folder)
    (folder / 'model.safetensors.index.json').unlink()
    with pytest.raises(CheckpointError, match='has model-00001-of-00002.safetensors, but neither'):
        load_model(folder)


@pytest.mark.parametrize('num_bytes', [0, 5, 300, 40000])
def test_a_truncated_file(folder, num_bytes):
    file = folder / 'model.safetensors'
    file.write_bytes(file.read_bytes()[:num_bytes])
    with pytest.raises(CheckpointError, match=f'{file} can not be read as .* truncated'):
        load_model(folder)


def test_a_truncated_shard(folder):
    split_into_shards(folder)
    shard = folder / 'model-00002-of-00002.safetensors'
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=f'{shard} can not be read as .* truncated'):
        load_model(folder)


def test_a_missing_shard(folder):
    split_into_shards(folder)
    (folder / 'model-00002-of-00002.safetensors').unlink()
    with pytest.raises(CheckpointError, match='index.json names the shard model-00002-of-00002'):
        load_model(folder)


def test_a_shard_elsewhere(folder):
    weight_map = split_into_shards(folder)
    weight_map[HEAD] = '../model-00001-of-00002.safetensors'
    (folder / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': weight_map}))
    with pytest.raises(CheckpointError, match='only safetensors files beside it are read'):
        load_model(folder)


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"weight_map": 3}'])
def test_an_index_that_is_none(folder, text):
    split_into_shards(folder)
    (folder / 'model.safetensors.index.json').write_text(text)
    with pytest.raises(CheckpointError, match='is not an index of shards'):
        load_model(folder)


def test_not_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match='is not a folder'):
        load_model(tmp_path / 'nowhere')
