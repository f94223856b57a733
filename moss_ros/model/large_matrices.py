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
Products of a few rows with large float32 matrices on a CPU, as fast as they can be read.

PyTorch leaves them to MKL, which reads a matrix slower for one row than oneDNN does, and reads it
several times for four. PyTorch has oneDNN's product as an operation of its compiler; where a
release has it no longer, PyTorch's usual one is taken. Used by the decode step.

Letters: S rows, D columns, E outputs.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

_product = getattr(torch.ops.mkldnn, '_linear_pointwise', None)
_pack = getattr(torch.ops.mkldnn, '_reorder_linear_weight', None)
# Below this, a call costs more than it saves.
MIN_NUM_NUMBERS = 1 << 20
_NUM_PACKED_ROWS = 4


def is_large(weight: torch.Tensor) -> bool:
    """Return whether weight is a matrix for which this is faster."""
    return (type(weight) in (torch.Tensor, torch.nn.Parameter)
            and weight.dtype == torch.float32 and weight.device.type == 'cpu'
            and weight.numel() >= MIN_NUM_NUMBERS and torch.backends.mkldnn.is_available()
            and _product is not None and _pack is not None)


class LargeMatrices:
    """
    Multiplies by large matrices, and keeps those that were multiplied by several rows packed.

    The packed form is as large as the matrix, and made at its first use; the matrix must stay as
    it is. One thread at a time may call.
    """

    def __init__(self):
        self._packed: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def linear(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return x [S, D] times weight [E, D], as [S, E]."""
        if not is_large(weight):
            return F.linear(x, weight)
        return _product(
            x, weight if x.shape[0] == 1 else self._packed_form(weight), None, 'none', [], '')

    def _packed_form(self, weight):
        # With the packed form its origin is kept, so that no other can get the same id.
        found = self._packed.get(id(weight))
        if found is None:
            packed = _pack(weight.detach(), _NUM_PACKED_ROWS)
            found = self._packed[id(weight)] = packed, weight
        return found[0]
