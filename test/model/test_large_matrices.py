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

"""Products with large matrices are what PyTorch's usual ones are, packed or not."""

from moss_ros.model import large_matrices
from moss_ros.model.large_matrices import is_large, LargeMatrices
from moss_ros.model.quantization import quantise
import pytest
import torch
from torch.nn import functional as F


@pytest.mark.parametrize('num_rows', [1, 2, 4, 5])
@pytest.mark.parametrize('num_outputs, is_one', [(1100, True), (90, False)])
def test_products_are_the_usual_ones(num_rows, num_outputs, is_one):
    generator = torch.Generator().manual_seed(num_rows)
    weight = torch.nn.Parameter(torch.randn(num_outputs, 1024, generator=generator))
    x = torch.randn(num_rows, 1024, generator=generator)
    matrices = LargeMatrices()
    assert is_large(weight) == is_one
    with torch.inference_mode():
        for _ in range(2):  # the second time, several rows find the packed form
            product = matrices.linear(x, weight)
            assert product.shape == (num_rows, num_outputs)
            assert (product - F.linear(x, weight)).abs().max() < 1e-3


def test_packed_forms_are_not_mixed_up():
    matrices, x = LargeMatrices(), torch.ones(2, 1024)
    with torch.inference_mode():
        for value in range(3):
            weight = torch.full((1024, 1024), float(value))
            assert (matrices.linear(x, weight) == 1024 * value).all()


def test_without_memory_for_packed_forms_products_are_the_usual_ones(monkeypatch):
    free = []
    monkeypatch.setattr(large_matrices, 'free_bytes', lambda device: free[-1])
    weight, x = torch.randn(1100, 1024), torch.randn(4, 1024)
    with torch.inference_mode():
        usual = F.linear(x, weight)
        for num_free in (0, 1 << 40, None):
            free.append(num_free)
            matrices = LargeMatrices()
            for _ in range(2):
                product = matrices.linear(x, weight)
                assert (product - usual).abs().max() < 1e-3
                # Those of packed forms are rounded otherwise.
                assert torch.equal(product, usual) == (num_free == 0)


def test_other_dtypes_are_left_to_torch():
    weight = torch.ones(2048, 1024, dtype=torch.bfloat16)
    assert not is_large(weight)
    assert (LargeMatrices().linear(weight[:2], weight) == 1024).all()


@pytest.mark.parametrize('num_rows', [1, 3])
def test_eight_bit_products_are_those_of_bfloat16(num_rows):
    pytest.importorskip('torchao')
    generator = torch.Generator().manual_seed(num_rows)
    weight = quantise(torch.randn(1100, 1024, generator=generator), 'int8')
    x = torch.randn(num_rows, 1024, generator=generator)
    assert is_large(weight) and not is_large(quantise(torch.randn(90, 1024), 'int8'))
    with torch.inference_mode():
        product, usual = LargeMatrices().linear(x, weight), F.linear(x, weight)
    assert product.dtype == torch.float32
    assert (product - usual).norm() < 0.005 * usual.norm()
