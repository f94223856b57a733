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

"""Products of matrices are in bfloat16 where the CPU has instructions for it, all else is not."""

from moss_ros.training.mixed_precision import mixed_precision
import pytest
import torch
from torch import nn

# Exact in 32 bits, but not in bfloat16, where it is 256.
ODD = 257.0


@pytest.fixture
def layer():
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(0.0)
    return layer


@pytest.mark.parametrize(('capabilities', 'product'), [
    ({'avx512_bf16': True}, 256.0), ({'amx_bf16': True}, 256.0),
    ({'avx512_bf16': False}, ODD), ({}, ODD)])
def test_products_are_of_16_bits_where_the_cpu_has_instructions(
        layer, monkeypatch, capabilities, product):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    x = torch.tensor([[ODD]], requires_grad=True)
    with mixed_precision():
        y = layer(x)
        total = x + x
    assert y.item() == product and y.dtype == torch.float32
    assert total.item() == 2 * ODD
    y.backward()
    assert layer.weight.grad.item() == product
    assert layer.weight.grad.dtype == x.grad.dtype == torch.float32
    assert layer(x).item() == ODD


def test_a_torch_that_does_not_tell_computes_in_32_bits(layer, monkeypatch):
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    with mixed_precision():
        assert layer(torch.tensor([[ODD]])).item() == ODD
