"""
Rotary position embedding: tables from a RopeConfig, and the rotation of heads by them.

Positions go in, cosines and sines come out. It does not know what is rotated: the decoder rotates
text queries and keys by their own position and a frame's keys by its image token's position.

Letters: L positions, H heads, K channels of one head (head_dim).
"""

from __future__ import annotations

import math

import torch

from .config import RopeConfig


def inverse_frequencies(rope: RopeConfig, head_dim: int) -> torch.Tensor:
    """
    Return the angle per position of each channel pair, float32 [K/2], on the CPU.

    'llama3' is the piecewise scaling published with Llama 3.1: wavelengths that the original
    context held often enough stay, very long ones are stretched by the factor, and those between
    are interpolated.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64, device='cpu').float() / head_dim
    frequencies = 1.0 / (rope.theta ** exponents)
    if rope.rope_type == 'default':
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    turns = rope.original_max_position_embeddings / wavelengths
    smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    smooth = smooth.clamp(0.0, 1.0)
    return (1 - smooth) * frequencies / rope.factor + smooth * frequencies


class RotaryTables:
    """
    Cosines and sines of the first positions; computed once per device and dtype, grown at need.

    The signs of the rotation are folded into the sines, see rotate(). It holds no parameters, so
    it is no module and no part of a checkpoint. Not thread-safe: used by the model's own thread.
    """

    def __init__(self, rope: RopeConfig, head_dim: int):
        self._frequencies = inverse_frequencies(rope, head_dim)
        self._tables = {}

    def first(self, num_positions: int, device: torch.device,
              dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines, each [L, K] of dtype, for positions 0 to L - 1."""
        key = (device, dtype)
        tables = self._tables.get(key)
        if tables is None or tables[0].shape[0] < num_positions:
            tables = self._compute(max(256, 1 << (num_positions - 1).bit_length()), device, dtype)
            self._tables[key] = tables
        cosines, sines = tables
        return cosines[:num_positions], sines[:num_positions]

    def _compute(self, num_positions, device, dtype):
        # A table first needed inside inference mode must still serve training afterwards.
        with torch.inference_mode(False), torch.no_grad():
            positions = torch.arange(num_positions, dtype=torch.float32, device='cpu')
            angles = torch.outer(positions, self._frequencies)  # [L, K/2]
            cosines = angles.cos().repeat(1, 2)
            sines = torch.cat((-angles.sin(), angles.sin()), dim=1)
            return cosines.to(device, dtype), sines.to(device, dtype)


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """
    Rotate channel i with channel i + K/2 of each head (Llama's pairing, in its Hugging Face form).

    heads is [..., K]; cosines and signed sines broadcast against it.
    """
    swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads * cosines, swapped, sines)
