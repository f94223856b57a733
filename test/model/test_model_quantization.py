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

"""Quantised weights: close to full precision, smaller, and refused where they can't be had."""

import sys

from moss_ros.model import load_model, placement, quantization, save_model
import pytest
import torch

pytest.importorskip('torchao', reason='torchao is optional: requirements/quantization.txt')

IMAGE = 40
IDS = [1, 7, IMAGE, 9, 10, 11, IMAGE, 12, 13]
# Relative distance of the logits from those of full precision.
BOUNDS = [('int8', 0.03), ('int4', 0.3)]
CPU, CUDA = torch.device('cpu'), torch.device('cuda')


@pytest.fixture
def values(toy_values):
    """Return the parsed config.json of a toy model whose sizes hold groups of 128 and of 64."""
    toy_values['text_config'].update(
        hidden_size=128, intermediate_size=320, num_attention_heads=8, num_key_value_heads=2)
    return toy_values


@pytest.fixture
def folder(make_model, values, write_checkpoint):
    model = make_model(values, seed=3)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.dim() > 1:  # the noise of other tests drowns text in such a wide model
                parameter.mul_(0.3)
    return write_checkpoint(model, values)


def streamed_and_batched(model):
    """Return logits [T, V] by extend, in two pieces and single steps, and by forward."""
    generator = torch.Generator().manual_seed(8)
    frames = model.encode_frames(torch.randn((2, 3, 32, 32), generator=generator))
    cache = model.new_cache(16, 2)
    pieces = [model.extend(cache, IDS[:4], frames[:1], last_only=False),
              model.extend(cache, IDS[4:7], frames[1:], last_only=False),
              *(model.extend(cache, [index], last_only=False) for index in IDS[7:])]
    return torch.cat(pieces).float(), model(torch.tensor([IDS]), frames[None])[0].float()


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name, bound', BOUNDS)
def test_logits_stay_close_to_full_precision(folder, name, bound, dtype):
    full = streamed_and_batched(load_model(folder))
    model = load_model(folder, dtype=dtype, quantization=name)
    assert model.quantization == name
    for ours, expected in zip(streamed_and_batched(model), full):
        error = float((ours - expected).norm() / expected.norm())
        assert 1e-4 < error < bound


@pytest.mark.parametrize('name', ['int8', 'int4'])
def test_streamed_equals_batched(folder, name):
    streamed, batched = streamed_and_batched(load_model(folder, quantization=name))
    assert (streamed - batched).abs().max() < 1e-4


@pytest.mark.parametrize('name', ['int8', 'int4'])
def test_only_the_decoders_linear_layers_change(folder, name):
    full = dict(load_model(folder).named_parameters())
    model = load_model(folder, quantization=name)
    changed = set(quantization.decoder_weights(model))
    # Four layers of attention in and out and an MLP of two; two of them look at frames by two.
    assert len(changed) == 4 * 4 + 2
    for parameter_name, parameter in model.named_parameters():
        if parameter_name not in changed:
            assert torch.equal(parameter, full[parameter_name]), parameter_name
    assert model.device == CPU and model.dtype == torch.float32


def stored_bytes(tensor):
    """Return the bytes of the tensors that a quantised one is made of."""
    parts = [getattr(tensor, name)
             for name in tensor.tensor_data_names + tensor.optional_tensor_data_names]
    return sum(part.nbytes for part in parts if part is not None)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('name', ['int8', 'int4'])
def test_the_size_is_as_computed(folder, name, dtype):
    model = load_model(folder, dtype=dtype, quantization=name)
    weights = quantization.decoder_weights(model)
    for weight in weights.values():
        assert stored_bytes(weight) == quantization.quantised_bytes(weight.shape, name, dtype)
    plain = sum(parameter.nbytes for parameter_name, parameter in model.named_parameters()
                if parameter_name not in weights)
    total = plain + sum(map(stored_bytes, weights.values()))
    full = placement.required_bytes(model, dtype, None)
    assert full == sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    assert total < full
    assert total <= placement.required_bytes(model, dtype, name)


@pytest.mark.parametrize('name', ['int8', 'int4'])
def test_a_quantised_model_is_not_saved(folder, tmp_path, name):
    with pytest.raises(ValueError, match=f'was quantised to {name} and can not be saved; load it'):
        save_model(load_model(folder, quantization=name), tmp_path / 'new')
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('name', ['int2', '', 8, True])
def test_an_unknown_quantisation_is_named(folder, name):
    with pytest.raises(ValueError) as caught:
        load_model(folder, quantization=name)
    assert str(caught.value) == f'quantization is {name!r}; allowed: None, int8, int4'


def test_columns_without_groups_are_refused(values, make_model, write_checkpoint):
    values['text_config']['intermediate_size'] = 336
    folder = write_checkpoint(make_model(values, seed=3), values)
    with pytest.raises(ValueError, match="is 'int4', which needs columns in groups of 32, but "
                                         r'decoder.layers.0.mlp.down_proj.weight is 128 x 336: '
                                         'use quantization=int8'):
        load_model(folder, quantization='int4')
    load_model(folder, quantization='int8')


def test_rows_without_tiles_are_refused(values, make_model, write_checkpoint):
    values['text_config'].update(num_attention_heads=8, head_dim=2, num_key_value_heads=2)
    folder = write_checkpoint(make_model(values, seed=3), values)
    with pytest.raises(ValueError, match='needs a multiple of 16 rows, but '
                                         r'decoder.layers.0.qkv_proj.weight is 24 x 128'):
        load_model(folder, quantization='int4')


@pytest.mark.parametrize('name', ['int8', 'int4'])
def test_a_missing_torchao_is_an_error_that_says_how_to_get_it(folder, monkeypatch, name):
    for module in [name for name in sys.modules if name.split('.')[0] == 'torchao']:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, 'torchao', None)  # importing it fails now
    with pytest.raises(ValueError, match='quantization needs torchao, which can not be imported '
                                         r'\(.*\): pip install "torchao==0.18'):
        load_model(folder, quantization=name)


def test_what_four_bits_need_of_a_gpu(toy_model, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (7, 5))
    quantization.check_quantization('int8', CUDA, torch.float16, toy_model)
    with pytest.raises(ValueError, match='computes in bfloat16, but dtype is float16: use dtype='):
        quantization.check_quantization('int4', CUDA, torch.float16, toy_model)
    with pytest.raises(ValueError, match='needs compute capability 8.0, but this GPU has 7.5: use '
                                         'quantization=int8'):
        quantization.check_quantization('int4', CUDA, torch.bfloat16, toy_model)
