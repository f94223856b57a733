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
Products of a few rows with large matrices on a CPU, as fast as they can be read.

PyTorch leaves float32 to MKL, which reads a matrix slower for one row than oneDNN does, and reads
it several times for four; torchao multiplies by 8-bit weights slower than by float32 ones. PyTorch
has products that are faster as operations of its compiler; where a release has them no longer, the
usual ones are taken. Used by the decode step.

Letters: S rows, D columns, E outputs.
"""

from __future__ import annotations

from moss_ros.model.free_memory import free_bytes
import torch
from torch.nn import functional as F

_product = getattr(torch.ops.mkldnn, '_linear_pointwise', None)
_pack = getattr(torch.ops.mkldnn, '_reorder_linear_weight', None)
_int8_product = getattr(torch.ops.aten, '_weight_int8pack_mm', None)
# Below this, a call costs more than it saves.
MIN_NUM_NUMBERS = 1 << 20
_NUM_PACKED_ROWS = 4
# So much is left to others, rather than spent on speed.
_LEAST_FREE_BYTES = 1 << 29


def is_large(weight: torch.Tensor) -> bool:
    """Return whether weight is a matrix for which there is a faster product here."""
    if weight.device.type != 'cpu' or weight.numel() < MIN_NUM_NUMBERS:
        return False
    if type(weight) in (torch.Tensor, torch.nn.Parameter):
        return (weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()
                and _product is not None and _pack is not None)
    return _int8_product is not None and _is_int8(weight)


class LargeMatrices:
    """
    Multiplies by large matrices, and keeps those that were multiplied by several rows packed.

    The packed form of a float32 matrix is as large as the matrix, and made at its first use where
    there is memory for it; the matrix must stay as it is. By 8-bit weights it multiplies in
    bfloat16. One thread at a time may call.
    """

    def __init__(self):
        # A packed form is None where there was no memory for it.
        self._packed: dict[int, tuple[torch.Tensor | None, torch.Tensor]] = {}

    def linear(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return x [S, D] times weight [E, D], as [S, E]."""
        if not is_large(weight):
            return F.linear(x, weight)
        if _is_int8(weight):
            ones = torch.ones(1, dtype=torch.bfloat16).expand(weight.shape[0]).contiguous()
            product = _int8_product(x.to(torch.bfloat16), weight.qdata, ones)
            return (product * weight.scale.view(-1)).to(x.dtype)
        form = weight if x.shape[0] == 1 else self._packed_form(weight)
        return F.linear(x, weight) if form is None else _product(x, form, None, 'none', [], '')

    def _packed_form(self, weight):
        # With the packed form its origin is kept, so that no other can get the same id.
        found = self._packed.get(id(weight))
        if found is None:
            free = free_bytes(weight.device)
            has_room = free is None or free >= weight.nbytes + _LEAST_FREE_BYTES
            packed = _pack(weight.detach(), _NUM_PACKED_ROWS) if has_room else None
            found = self._packed[id(weight)] = packed, weight
        return found[0]


def _is_int8(weight):
    """Return whether weight is torchao's, with a scale for each row and no zero points."""
    data, scale = getattr(weight, 'qdata', None), getattr(weight, 'scale', None)
    return (data is not None and scale is not None and data.dtype == torch.int8
            and data.shape == weight.shape and scale.numel() == weight.shape[0])
