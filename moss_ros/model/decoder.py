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
The text decoder: token ids and frame states in, final hidden states out, with or without a cache.

Between the self-attention layers stand gated cross-attention layers. There each token attends
only to the states of the frames whose image token is at or before it; tokens before the first
frame skip these layers. Called by video_model.py: forward() is batched and differentiable, for
training; extend() appends tokens to a cache.

Letters: B rows, T new tokens, L visible tokens, F frames, N states a frame, D hidden channels,
H query heads, Hkv key/value heads, G = H / Hkv, K channels of a head.
"""

from __future__ import annotations

from moss_ros.model.attention import attend, RotaryTables, rotate
from moss_ros.model.cache import DecoderCache, KeyValueBuffer
from moss_ros.model.config import ModelConfig, TextConfig
from moss_ros.model.vision import activation
import torch
from torch import nn

Rotation = tuple[torch.Tensor, torch.Tensor]


class GatedMlp(nn.Module):
    """Llama's MLP [..., D] -> [..., D]; gate and up projections are one matrix."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.activation = activation(config.hidden_act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(self.activation(gate) * up)


class SelfAttentionLayer(nn.Module):
    """Causal self-attention and MLP, pre-norm; query, key and value projections are one matrix."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.num_kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        num_all_heads = self.num_heads + 2 * self.num_kv_heads
        self.attention_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.qkv_proj = nn.Linear(config.hidden_size, num_all_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.num_heads * self.head_dim, config.hidden_size, bias=False)
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = GatedMlp(config)
        self.flash = None  # flash-attn's function, where VideoModel.use_flash() was called

    def forward(self, x: torch.Tensor, rotation: Rotation, mask: torch.Tensor | None = None,
                buffer: KeyValueBuffer | None = None, start: int = 0) -> torch.Tensor:
        """
        Map x [B, T, D] to [B, T, D]; rotation holds cosines and sines, each [T, 1, K].

        With a buffer, the new keys and values are written at position start, and attention covers
        all entries up to and including them. Several tokens at a start above 0 need the causal
        mask [G * T, L].
        """
        num_rows, length, _ = x.shape
        heads = self.qkv_proj(self.attention_norm(x)).view(num_rows, length, -1, self.head_dim)
        rotated, value = heads.split((self.num_heads + self.num_kv_heads, self.num_kv_heads), 2)
        rotated = rotate(rotated, *rotation).transpose(1, 2)  # [B, H + Hkv, T, K]
        query, key = rotated.split((self.num_heads, self.num_kv_heads), 1)
        value = value.transpose(1, 2)
        if buffer is not None:
            buffer.write(start, key, value)
            key, value = buffer.first(start + length)
        attended = attend(query, key, value, mask, is_causal=True, flash=self.flash)
        x = x + self.o_proj(attended)
        return x + self.mlp(self.mlp_norm(x))


class CrossAttentionLayer(nn.Module):
    """Attention from text to frames, and an MLP, each added through a tanh gate; pre-norm."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.num_kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        self.attention_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.q_proj = nn.Linear(config.hidden_size, self.num_heads * self.head_dim, bias=False)
        self.kv_proj = nn.Linear(
            config.hidden_size, 2 * self.num_kv_heads * self.head_dim, bias=False)
        self.q_norm = nn.RMSNorm(self.head_dim, eps=config.rms_norm_eps)
        self.k_norm = nn.RMSNorm(self.head_dim, eps=config.rms_norm_eps)
        self.o_proj = nn.Linear(self.num_heads * self.head_dim, config.hidden_size, bias=False)
        self.attention_gate = nn.Parameter(torch.empty(1))
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = GatedMlp(config)
        self.mlp_gate = nn.Parameter(torch.empty(1))
        self.flash = None

    def gates(self) -> tuple[float, float]:
        """Return by how much attention and MLP count: the tanh of their gates, as numbers."""
        return float(self.attention_gate.tanh()), float(self.mlp_gate.tanh())

    def project_frames(self, frame_states: torch.Tensor,
                       rotation: Rotation) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Return keys and values, each [B, Hkv, F * N, K], of frame_states [B, F, N, D].

        rotation holds cosines and sines, each [B or 1, F, 1, 1, K], for the positions of the image
        tokens. The norm comes after the rotation, so a cached key can not be moved to another
        position.
        """
        num_rows, num_frames, num_states, _ = frame_states.shape
        heads = self.kv_proj(frame_states).view(
            num_rows, num_frames, num_states, 2 * self.num_kv_heads, self.head_dim)
        keys, values = heads.chunk(2, dim=3)
        keys = self.k_norm(rotate(keys, *rotation))
        return keys.flatten(1, 2).transpose(1, 2), values.flatten(1, 2).transpose(1, 2)

    def forward(self, x: torch.Tensor, rotation: Rotation, keys: torch.Tensor,
                values: torch.Tensor, mask: torch.Tensor | None = None,
                visible: torch.Tensor | None = None) -> torch.Tensor:
        """
        Map x [B, T, D] to [B, T, D], attending to keys and values [B, Hkv, F * N, K].

        visible [B, T, 1] is 1.0 for tokens that see a frame and 0.0 for tokens that the layer
        must leave unchanged; None if all tokens see one.
        """
        num_rows, length, _ = x.shape
        query = self.q_proj(self.attention_norm(x))
        query = self.q_norm(query.view(num_rows, length, self.num_heads, self.head_dim))
        query = rotate(query, *rotation).transpose(1, 2)  # [B, H, T, K]
        attention_gate, mlp_gate = self.attention_gate.tanh(), self.mlp_gate.tanh()
        if visible is not None:
            attention_gate, mlp_gate = attention_gate * visible, mlp_gate * visible
        attended = self.o_proj(attend(query, keys, values, mask, flash=self.flash))
        x = torch.addcmul(x, attention_gate, attended)
        return torch.addcmul(x, mlp_gate, self.mlp(self.mlp_norm(x)))


class TextDecoder(nn.Module):
    """Embedding, layers and final norm. A token's position counts image tokens as well."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        text = config.text
        self.config = config
        # Made without initial values: on the meta device, drawing normal numbers makes torch
        # import its compiler, which takes two seconds.
        self.embed_tokens = nn.Embedding.from_pretrained(
            torch.empty(text.num_embeddings, text.hidden_size), freeze=False)
        self.layers = nn.ModuleList(
            CrossAttentionLayer(text) if index in text.cross_attention_layers
            else SelfAttentionLayer(text) for index in range(text.num_hidden_layers))
        self.norm = nn.RMSNorm(text.hidden_size, eps=text.rms_norm_eps)
        self.num_groups = text.num_attention_heads // text.num_key_value_heads
        self.rotary_tables = RotaryTables(text.rope, text.head_dim)

    def forward(self, input_ids: torch.Tensor, frame_states: torch.Tensor) -> torch.Tensor:
        """
        Return hidden states [B, T, D] after the final norm; no cache, differentiable.

        input_ids int64 [B, T]; frame_states [B, F, N, D]: the j-th image token of a row stands
        for frame j of that row. Frames without an image token are invisible. Raises ValueError
        where a row has more image tokens than F.
        """
        x = self.embed_tokens(input_ids)
        num_frames = frame_states.shape[1]
        cosines, sines = self.rotary_tables.first(input_ids.shape[1], x.device, x.dtype)
        rotation = cosines.unsqueeze(1), sines.unsqueeze(1)  # [T, 1, K]
        num_seen = (input_ids == self.config.image_token_id).cumsum(1)  # [B, T]
        if input_ids.numel() and int(num_seen.max()) > num_frames:
            raise ValueError(f'a row has {int(num_seen.max())} image tokens, but frame_states '
                             f'has only {num_frames} frames a row')
        if num_frames:
            frame_states = frame_states.to(x.dtype)
            positions = self._frame_positions(input_ids, num_seen, num_frames)  # [B, F]
            frame_rotation = (cosines[positions][:, :, None, None],
                              sines[positions][:, :, None, None])
            visible = (num_seen > 0).unsqueeze(-1).to(x.dtype)  # [B, T, 1]
            mask = self._frame_mask(num_seen, *frame_states.shape[1:3])
        for layer in self.layers:
            if isinstance(layer, SelfAttentionLayer):
                x = layer(x, rotation)
            elif num_frames:
                keys, values = layer.project_frames(frame_states, frame_rotation)
                x = layer(x, rotation, keys, values, mask, visible)
        return self.norm(x)

    def _frame_positions(self, input_ids, num_seen, num_frames):
        """Return the position of each row's j-th image token, int64 [B, F]; 0 if there is none."""
        num_rows, length = input_ids.shape
        is_image = input_ids == self.config.image_token_id
        # All other tokens write to an extra slot after the last frame, which is then cut off.
        slots = torch.where(is_image, num_seen - 1, num_frames)
        positions = torch.arange(length, device=input_ids.device).expand(num_rows, length)
        found = torch.zeros((num_rows, num_frames + 1), dtype=torch.int64, device=input_ids.device)
        return found.scatter(1, slots, positions)[:, :num_frames]

    @staticmethod
    def _frame_mask(num_seen, num_frames, num_states):
        """Return bool [B, 1, T, F * N], True where the token sees the state's frame."""
        frame_of_state = torch.arange(
            num_frames * num_states, device=num_seen.device) // num_states
        # A softmax over nothing is NaN. So tokens before the first frame attend to it as well, and
        # the layer drops their result (see visible).
        return (frame_of_state < num_seen.clamp(min=1).unsqueeze(-1)).unsqueeze(1)

    def extend(self, cache: DecoderCache, token_ids: list[int],
               frame_states: torch.Tensor | None) -> torch.Tensor:
        """
        Append tokens and frames to the cache; return hidden states [T, D] before the final norm.

        frame_states [k, N, D] belong to the k image tokens among token_ids, in order. The caller
        must have checked that all of it fits.
        """
        start, num_tokens = cache.num_tokens, len(token_ids)
        end = start + num_tokens
        device = self.embed_tokens.weight.device
        x = self.embed_tokens(torch.tensor([token_ids], device=device))  # [1, T, D]
        rotation = cache.cosines[start:end].unsqueeze(1), cache.sines[start:end].unsqueeze(1)
        mask = None
        if num_tokens > 1 and start > 0:
            mask = cache.token_index[:end] <= cache.token_index[start:end, None]
            mask = mask.repeat(self.num_groups, 1)  # [G * T, L]
        frames = _NewFrames(cache, self.config, token_ids, frame_states, self.num_groups)
        skipped = frames.num_blind_tokens
        seeing_rotation = rotation[0][skipped:], rotation[1][skipped:]
        for layer, buffer in zip(self.layers, cache.buffers):
            if isinstance(layer, SelfAttentionLayer):
                x = layer(x, rotation, mask, buffer, start)
                continue
            frames.append_to(buffer, layer)
            if skipped == num_tokens:
                continue
            seeing = layer(x[:, skipped:] if skipped else x, seeing_rotation,
                           *buffer.first(frames.num_states), frames.mask)
            x = torch.cat((x[:, :skipped], seeing), dim=1) if skipped else seeing
        cache.num_tokens = end
        cache.num_frames = frames.num_frames
        return x[0]


class _NewFrames:
    """The frames that one extend() appends: their place in the cache and which tokens see them."""

    def __init__(self, cache, config, token_ids, frame_states, num_groups):
        num_seen, counts, positions = cache.num_frames, [], []
        for offset, token_id in enumerate(token_ids):
            if token_id == config.image_token_id:
                num_seen += 1
                positions.append(cache.num_tokens + offset)
            counts.append(num_seen)
        self.num_frames = num_seen
        self.num_states = num_seen * config.num_frame_tokens
        self.num_blind_tokens = sum(count == 0 for count in counts)
        self.mask = None
        seeing = counts[self.num_blind_tokens:]
        device = cache.token_index.device
        if seeing and seeing[0] != num_seen:  # otherwise every token sees all frames: no mask
            mask = (cache.frame_of_state[:self.num_states]
                    < torch.tensor(seeing, device=device).unsqueeze(1))
            self.mask = mask.repeat(num_groups, 1)  # [G * T, F * N]
        self._start = cache.num_frames * config.num_frame_tokens
        self._states = None
        if positions:
            self._states = frame_states.unsqueeze(0).to(device, cache.cosines.dtype)
            index = torch.tensor(positions, device=device)
            self._rotation = (cache.cosines[index][None, :, None, None],
                              cache.sines[index][None, :, None, None])

    def append_to(self, buffer, layer):
        if self._states is not None:
            buffer.write(self._start, *layer.project_frames(self._states, self._rotation))
