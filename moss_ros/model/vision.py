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
The vision encoder: preprocessed frames in; features of the class token and of each patch out.

This is Mllama's encoder for frames of exactly one tile: a local and a gated global transformer
with full attention inside the frame. Called by video_model.py, which pools the features.

Letters: F frames, S image side in pixels, g patches a side, P = g * g + 1 states a frame,
Q = P padded to a multiple of 8, D hidden channels, H heads, Dv output channels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

from moss_ros.model.attention import attend
from moss_ros.model.config import VisionConfig
import torch
from torch import nn
from torch.nn import functional as F

# Row of the tile tables that belongs to the aspect ratio [1, 1].
_ONE_TILE_ID = 1
_PADDING_MULTIPLE = 8


def _quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def activation(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the elementwise function that a config names in hidden_act."""
    tanh_gelu = partial(F.gelu, approximate='tanh')
    return {'silu': F.silu, 'gelu': F.gelu, 'relu': F.relu, 'quick_gelu': _quick_gelu,
            'gelu_new': tanh_gelu, 'gelu_pytorch_tanh': tanh_gelu}[name]


def run_to_end(blocks: Generator[None, None, torch.Tensor]) -> torch.Tensor:
    """Run a generator to its end and return its return value."""
    while True:
        try:
            next(blocks)
        except StopIteration as end:
            return end.value


class VisionLayer(nn.Module):
    """Pre-norm attention and MLP [F, Q, D] -> [F, Q, D]; gated: both scaled by tanh gates."""

    def __init__(self, config: VisionConfig, gated: bool):
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.attention_heads
        self.attention_norm = nn.LayerNorm(size, eps=config.norm_eps)
        self.qkv_proj = nn.Linear(size, 3 * size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)
        self.mlp_norm = nn.LayerNorm(size, eps=config.norm_eps)
        self.fc1 = nn.Linear(size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, size)
        self.activation = activation(config.hidden_act)
        self.flash = None  # flash-attn's function, where VideoModel.use_flash() was called
        self.gated = gated
        if gated:
            self.attention_gate = nn.Parameter(torch.empty(1))
            self.mlp_gate = nn.Parameter(torch.empty(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attended = self._attend(self.attention_norm(x))
        if not self.gated:
            x = x + attended
            return x + self.fc2(self.activation(self.fc1(self.mlp_norm(x))))
        x = torch.addcmul(x, self.attention_gate.tanh(), attended)
        changed = self.fc2(self.activation(self.fc1(self.mlp_norm(x))))
        return torch.addcmul(x, self.mlp_gate.tanh(), changed)

    def _attend(self, x):
        num_frames, length, size = x.shape
        heads = self.qkv_proj(x).view(
            num_frames, length, 3, self.num_heads, size // self.num_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # each [F, H, Q, D/H]
        # No mask: as in the reference, the padding takes part in the attention.
        return self.o_proj(attend(query, key, value, flash=self.flash))


class VisionEncoder(nn.Module):
    """
    Mllama's vision model for one tile a frame.

    Only one row of each tile table is used. The tables are kept whole so that a loaded model can
    be saved with the same names and shapes.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        size = config.hidden_size
        num_rows = config.max_aspect_ratio_id + 1
        num_tiles = config.max_num_tiles
        self.patch_embedding = nn.Parameter(
            torch.empty(size, config.num_channels, config.patch_size, config.patch_size))
        self.class_embedding = nn.Parameter(torch.empty(size))
        self.position_embedding = nn.Parameter(torch.empty(config.num_patches, size))
        self.position_gate = nn.Parameter(torch.empty(1))
        self.tile_position_embedding = nn.Parameter(
            torch.empty(num_rows, num_tiles * config.num_patches * size))
        self.pre_tile_embedding = nn.Parameter(torch.empty(num_rows, num_tiles * size))
        self.pre_tile_gate = nn.Parameter(torch.empty(1))
        self.post_tile_embedding = nn.Parameter(torch.empty(num_rows, num_tiles * size))
        self.post_tile_gate = nn.Parameter(torch.empty(1))
        # The reference leaves these two at LayerNorm's own eps, whatever norm_eps says.
        self.norm_pre = nn.LayerNorm(size, eps=1e-5)
        self.norm_post = nn.LayerNorm(size, eps=1e-5)
        self.local_layers = nn.ModuleList(
            VisionLayer(config, gated=False) for _ in range(config.num_hidden_layers))
        self.global_layers = nn.ModuleList(
            VisionLayer(config, gated=True) for _ in range(config.num_global_layers))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encode pixel_values float [F, C, S, S] to features [F, P, Dv], class token first."""
        return run_to_end(self.in_blocks(pixel_values))

    def in_blocks(self, pixel_values: torch.Tensor) -> Generator[None, None, torch.Tensor]:
        """Do the same as forward(), but yield after each layer; return the features at the end."""
        num_patches = self.config.num_patches
        x = F.pad(self._embed(pixel_values), (0, 0, 0, -num_patches % _PADDING_MULTIPLE))
        entering = []
        for layer in self.local_layers:
            entering.append(x)
            x = layer(x)
            yield
        entering.append(x)
        x = self.norm_post(x)
        x = torch.addcmul(x, self.post_tile_gate.tanh(), self._one_tile(self.post_tile_embedding))
        for layer in self.global_layers:
            x = layer(x)
            yield
        indices = self.config.intermediate_layers_indices
        if not indices:
            return x[:, :num_patches]
        # As in the reference: stacked in a last dimension and flattened, so that the channels of
        # the intermediate states interleave.
        kept = torch.stack([entering[index][:, :num_patches] for index in indices], dim=-1)
        return torch.cat((x[:, :num_patches], kept.flatten(2)), dim=-1)

    def _embed(self, pixel_values):
        """Map [F, C, S, S] to [F, P, D]: patches, class token, positions, first norm."""
        config = self.config
        grid, patch, size = config.grid_size, config.patch_size, config.hidden_size
        num_frames = pixel_values.shape[0]
        pixels = pixel_values.to(self.patch_embedding.dtype)[..., :grid * patch, :grid * patch]
        pixels = pixels.reshape(num_frames, config.num_channels, grid, patch, grid, patch)
        kernels = self.patch_embedding.view(size, -1)
        pixels = pixels.permute(0, 2, 4, 1, 3, 5).reshape(
            num_frames, grid * grid, kernels.shape[1])
        patches = F.linear(pixels, kernels)  # [F, g*g, D]
        patches = torch.addcmul(patches, self.pre_tile_gate.tanh(),
                                self._one_tile(self.pre_tile_embedding))
        x = torch.cat((self.class_embedding.expand(num_frames, 1, size), patches), dim=1)
        positions = torch.lerp(self.position_embedding,
                               self._one_tile(self.tile_position_embedding).view(-1, size),
                               self.position_gate.tanh())
        return self.norm_pre(x + positions)

    def _one_tile(self, table):
        """Return the first tile's part of the table's row for one-tile frames, [channels]."""
        return table[_ONE_TILE_ID, :table.shape[1] // self.config.max_num_tiles]
