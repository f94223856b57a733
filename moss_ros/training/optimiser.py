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
How gradients change weights, in both stages of training.

The matrices of transformer layers take Muon's steps, all else AdamW's. What that gains is measured
in docs/training_notes.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

LARGEST_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class LearningRates:
    """The highest learning rates of a stage: of the layers' matrices (Muon), and of all else."""

    matrices: float
    others: float


class Optimiser:
    """
    Muon for the matrices of layers, AdamW for the other weights; one schedule for both.

    named: the weights with their names, such as a module's named_parameters(); a matrix whose name
    has a part that ends in 'layers' is Muon's. heads: weights that belong to no layer. Weights of
    one dimension, as norms and gates are, do not decay.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], heads: Sequence[nn.Parameter],
                 rates: LearningRates, weight_decay: float):
        matrices, others = [], list(heads)
        for name, parameter in named:
            is_of_layer = any(part.endswith('layers') for part in name.split('.'))
            (matrices if is_of_layer and parameter.dim() == 2 else others).append(parameter)
        self._parameters = [*matrices, *others]
        adamw = torch.optim.AdamW(
            [{'params': [parameter for parameter in others if parameter.dim() >= 2]},
             {'params': [parameter for parameter in others if parameter.dim() < 2],
              'weight_decay': 0.0}],
            lr=rates.others, betas=(0.9, 0.98), weight_decay=weight_decay)
        # Its steps are made as large as AdamW's would be, whatever the shape of a matrix.
        muon = torch.optim.Muon(matrices, lr=rates.matrices, weight_decay=weight_decay,
                                momentum=0.95, adjust_lr_fn='match_rms_adamw')
        self._parts = (muon, rates.matrices), (adamw, rates.others)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimiser, _ in self._parts:
            optimiser.zero_grad(set_to_none=True)

    def step(self, factor: float) -> None:
        """Change the weights by their gradients, cut to a norm of 1; factor: of the rates."""
        nn.utils.clip_grad_norm_(self._parameters, LARGEST_GRADIENT_NORM)
        for optimiser, rate in self._parts:
            for group in optimiser.param_groups:
                group['lr'] = rate * factor
            optimiser.step()
