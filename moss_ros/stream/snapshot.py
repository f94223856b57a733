"""
A stream at one moment, as data: what a session needs to go on to the last bit.

Made and taken by StreamSession and StreamContext; whoever keeps it, such as the journal of a
narrated bag, need not know what is in it. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class StreamSnapshot:
    """
    What a stream holds besides weights and options.

    - state: plain values for JSON.
    - tensors: by name, on the model's device when made, on any when taken.
    """

    state: dict
    tensors: dict[str, torch.Tensor]
