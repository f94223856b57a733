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
The video model: frames and token ids in, next-token logits out.

Combines vision encoder, pooling, projector, decoder and head. checkpoint.py fills it with weights.
Streams and offline answers call encode_frames(), extend(), append() and decode(). Training starts
from initialise() and runs the parts one by one.

Letters: B rows, T tokens, F or k frames, S image side in pixels, P states a frame before pooling,
N after it, Dv vision channels, D text channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from importlib import import_module

from moss_ros.model.cache import DecoderCache
from moss_ros.model.config import ModelConfig
from moss_ros.model.decode_step import can_compile, DecodeStep
from moss_ros.model.decoder import CrossAttentionLayer, SelfAttentionLayer, TextDecoder
from moss_ros.model.large_matrices import is_large
from moss_ros.model.step_graphs import StepGraphs
from moss_ros.model.vision import run_to_end, VisionEncoder, VisionLayer
import torch
from torch import nn

# extend() feeds longer inputs to the decoder in pieces, to bound the memory of masks and scores.
_MAX_TOKENS_AT_ONCE = 512
_GATE = 0.8


class VideoModel(nn.Module):
    """
    MOSS's video model: Mllama with pooled one-tile frames and rotary cross-attention.

    VideoModel(config) has random weights, see initialise(); on the meta device it has none.
    load_model() reads a checkpoint. forward() and encode_frames() are differentiable; extend() is
    for inference only.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.vision = VisionEncoder(config.vision)
        self.projector = nn.Linear(config.vision.output_dim, config.text.hidden_size)
        self.decoder = TextDecoder(config)
        self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        self.quantization = None  # 'int8' or 'int4' where load_model() quantised the decoder
        self.eager = False  # True: no step of decode() is recorded as a CUDA graph
        self._step: DecodeStep | None = None
        if not self.lm_head.weight.is_meta:
            initialise(self)

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.projector.weight.dtype

    @property
    def attention(self) -> str:
        """Return the attention kernels in use: 'sdpa' (PyTorch's) or 'flash' (flash-attn's)."""
        return 'flash' if self.decoder.layers[0].flash is not None else 'sdpa'

    @property
    def num_cheap_rows(self) -> int:
        """
        Return how many tokens decode() appends in about the time of one.

        More than one where reading the weights is what takes the time: with large matrices on a
        CPU. On a GPU it was not measured.
        """
        return 4 if is_large(self.decoder.layers[0].mlp.gate_up_proj.weight) else 1

    def use_flash(self, flash: Callable[..., torch.Tensor] | None) -> None:
        """Compute attention by flash-attn's function; None: by PyTorch's kernels, the default."""
        for module in self.modules():
            if isinstance(module, (SelfAttentionLayer, CrossAttentionLayer, VisionLayer)):
                module.flash = flash
        self._step = None

    def pool_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Average features [F, P, Dv] over squares of pool_stride patches a side: [F, N, Dv]."""
        stride, grid = self.config.pool_stride, self.config.vision.grid_size
        pooled_grid = grid // stride
        kept = pooled_grid * stride  # patches at the edge that fill no whole square are dropped
        num_frames, _, size = features.shape
        patches = features[:, 1:].view(num_frames, grid, grid, size)[:, :kept, :kept]
        squares = patches.reshape(num_frames, pooled_grid, stride, pooled_grid, stride, size)
        pooled = squares.mean(dim=(2, 4)).flatten(1, 2)
        return torch.cat((features[:, :1], pooled), dim=1)

    def encode_frames(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encode preprocessed frames float [F, C, S, S] to frame states [F, N, D]."""
        return run_to_end(self.encode_frames_in_blocks(pixel_values))

    def encode_frames_in_blocks(
            self, pixel_values: torch.Tensor) -> Generator[None, None, torch.Tensor]:
        """Do as encode_frames(), yield after each layer, and return the states at the end."""
        features = yield from self.vision.in_blocks(pixel_values)
        return self.projector(self.pool_frames(features))

    def forward(self, input_ids: torch.Tensor, frame_states: torch.Tensor) -> torch.Tensor:
        """
        Return logits [B, T, V] of input_ids int64 [B, T] with frame_states [B, F, N, D].

        Causal, without a cache. The j-th image token of a row stands for frame j of that row. Rows
        may be padded at the end with any other id, and frame_states with any numbers: frames
        without an image token are invisible. Raises ValueError if a row has more than F image
        tokens.
        """
        return self.lm_head(self.decoder(input_ids, frame_states))

    def new_cache(self, max_tokens: int, max_frames: int) -> DecoderCache:
        """Allocate the decoder state of one stream, on the model's device and in its dtype."""
        return DecoderCache(self.config, max_tokens, max_frames, self.device, self.dtype,
                            self.decoder.rotary_tables, can_compile(self.decoder))

    @torch.inference_mode()
    def extend(self, cache: DecoderCache, token_ids: torch.Tensor | list[int],
               frame_states: torch.Tensor | None = None, last_only: bool = True) -> torch.Tensor:
        """
        Append T tokens at position cache.num_tokens; return logits [V] of the last, or all [T, V].

        token_ids is int64 [T], preferably on the CPU, where its values are read. frame_states is
        [k, N, D] for the k image tokens among them, in order; None if there are none. Raises
        ValueError, and leaves the cache unchanged, if they do not fit or do not match.
        """
        ids = token_ids.tolist() if isinstance(token_ids, torch.Tensor) else list(token_ids)
        num_image_tokens = ids.count(self.config.image_token_id)
        self._check_extension(cache, ids, num_image_tokens, frame_states)
        before = cache.num_tokens, cache.num_frames
        hidden, num_used = [], 0
        try:
            for first in range(0, len(ids), _MAX_TOKENS_AT_ONCE):
                piece = ids[first:first + _MAX_TOKENS_AT_ONCE]
                num_new = piece.count(self.config.image_token_id) if num_image_tokens else 0
                states = frame_states[num_used:num_used + num_new] if num_new else None
                hidden.append(self.decoder.extend(cache, piece, states))
                num_used += num_new
        except BaseException:
            cache.num_tokens, cache.num_frames = before
            raise
        last = hidden[-1][-1] if last_only else torch.cat(hidden)
        return self.lm_head(self.decoder.norm(last))

    @torch.inference_mode()
    def decode(self, caches: Sequence[DecoderCache],
               token_ids: Sequence[int]) -> torch.Tensor:
        """
        Append a text token to each of some caches; return the logits [S, V] after them.

        What extend() gives for each, within rounding, in one pass over the weights; made to be as
        fast as memory allows. A cache that is given several times takes its tokens in their order.
        Weights and gates must stay as they are from the first call on, until train() or eval() is
        called. Raises ValueError, and leaves the caches unchanged, if a token is no text token or
        does not fit.
        """
        ids_by_cache: dict[DecoderCache, list[int]] = {}
        for cache, token_id in zip(caches, token_ids, strict=True):
            if token_id == self.config.image_token_id:
                raise ValueError(f'token id {token_id} is an image token; extend() takes frames')
            ids_by_cache.setdefault(cache, []).append(token_id)
        for cache, ids in ids_by_cache.items():
            self._check_extension(cache, ids, 0, None)
        return self._decode_step().run(caches, token_ids)

    @torch.inference_mode()
    def append(self, cache: DecoderCache, token_ids: list[int],
               frame_states: torch.Tensor | None = None, last_only: bool = True) -> torch.Tensor:
        """
        Do as extend(), within rounding, by whatever is faster: it or the kernels of decode().

        For what a live stream adds: a frame, a few tokens. Weights must stay as for decode().
        """
        step = self._decode_step()
        if not step.takes(cache, len(token_ids)):
            return self.extend(cache, token_ids, frame_states, last_only)
        self._check_extension(cache, token_ids, token_ids.count(self.config.image_token_id),
                              frame_states)
        logits = step.append(cache, token_ids, frame_states)
        return logits[-1] if last_only else logits

    def _decode_step(self):
        if self._step is None:
            self._step = DecodeStep(self.decoder, self.lm_head,
                                    None if self.eager else StepGraphs(), self._fused_kernels())
        return self._step

    def _fused_kernels(self):
        """Return kernels for one stream on CUDA, or None where they can not be used."""
        if self.device.type != 'cuda' or self.quantization is not None:
            return None
        # Imported here: it makes torch import its compiler, which takes seconds.
        fused_kernels = import_module('moss_ros.model.fused_kernels')
        text = self.config.text
        return fused_kernels.FusedKernels(text, self.device) if fused_kernels.can_fuse(text) \
            else None

    def train(self, mode: bool = True) -> VideoModel:
        """Set the mode as torch does; what decode() has prepared is prepared anew."""
        self._step = None
        return super().train(mode)

    def _check_extension(self, cache, ids, num_image_tokens, frame_states):
        text = self.config.text
        if not ids:
            raise ValueError('token_ids is empty; at least one token is needed')
        if min(ids) < 0 or max(ids) >= text.num_embeddings:
            bad = min(ids) if min(ids) < 0 else max(ids)
            raise ValueError(f'token id {bad} is outside the embedding table of '
                             f'{text.num_embeddings} rows')
        num_frames = 0 if frame_states is None else frame_states.shape[0]
        if num_frames != num_image_tokens:
            raise ValueError(f'token_ids has {num_image_tokens} image tokens (id '
                             f'{self.config.image_token_id}), but frame_states has {num_frames} '
                             f'frames')
        shape = (self.config.num_frame_tokens, text.hidden_size)
        if num_frames and tuple(frame_states.shape[1:]) != shape:
            raise ValueError(f'frame_states has shape {list(frame_states.shape)}; '
                             f'{[num_frames, *shape]} is needed')
        if cache.num_tokens + len(ids) > cache.max_tokens:
            raise ValueError(f'{len(ids)} more tokens do not fit: the cache holds '
                             f'{cache.num_tokens} of at most {cache.max_tokens}')
        if cache.num_frames + num_frames > cache.max_frames:
            raise ValueError(f'{num_frames} more frames do not fit: the cache holds '
                             f'{cache.num_frames} of at most {cache.max_frames}')


@torch.no_grad()
def initialise(model: VideoModel, generator: torch.Generator | None = None) -> None:
    """
    Give a model random weights to train from scratch; generator is on the model's device.

    Matrices are normal with standard deviation 0.02 * sqrt(768 / inputs). For matrices that add
    to a residual stream it is divided by the square root of the number of additions. Unlike in
    Mllama's own initialisation, the gates are open, since layers behind a closed gate learn late:
    those of cross-attention and global layers start at 0.8. The position embedding is fully on
    (it is weighted by 1 - tanh(gate), with gate 0), and the tile embeddings, which are useless
    with one tile, are off.
    """
    for name, module in model.named_modules():
        if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
            module.weight.fill_(1.0)
            if getattr(module, 'bias', None) is not None:
                module.bias.zero_()
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            std = 0.02 * (768 / module.weight.shape[1]) ** 0.5
            if name.endswith(('o_proj', 'down_proj', 'fc2')):
                tower = model.vision if name.startswith('vision.') else model.decoder
                std /= _num_residual_additions(tower) ** 0.5
            module.weight.normal_(0.0, std, generator=generator)
            if getattr(module, 'bias', None) is not None:
                module.bias.zero_()
        elif isinstance(module, CrossAttentionLayer) or (
                isinstance(module, VisionLayer) and module.gated):
            module.attention_gate.fill_(_GATE)
            module.mlp_gate.fill_(_GATE)
    vision = model.vision
    num_pixels = vision.patch_embedding[0].numel()
    vision.patch_embedding.normal_(0.0, 0.02 * (768 / num_pixels) ** 0.5, generator=generator)
    for embedding in (vision.class_embedding, vision.position_embedding):
        embedding.normal_(0.0, model.config.vision.hidden_size ** -0.5, generator=generator)
    for tensor in (vision.position_gate, vision.tile_position_embedding, vision.pre_tile_embedding,
                   vision.pre_tile_gate, vision.post_tile_embedding, vision.post_tile_gate):
        tensor.zero_()


def _num_residual_additions(tower: TextDecoder | VisionEncoder) -> int:
    if isinstance(tower, TextDecoder):
        return 2 * len(tower.layers)
    return 2 * (len(tower.local_layers) + len(tower.global_layers))
