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
First stage, unknown world: what moves must be readable from the states of two frames in a row.

Windows of unknown streams go in; the vision encoder is trained through a head of the decoder's
shape, which is not shipped: a few queries look at a frame's states, the frame before is taken from
what was read, and gated MLPs compare the two. It reads what goes on, how far the camera turned and
where something moves.

Letters: B windows, W frames of a window, N states a frame, Dv vision channels, D channels of the
head, H heads, K channels of a head's query.
"""

import math

from moss_ros.model import normalise_frames, VideoModel
from moss_ros.training.samples import IGNORED
from moss_ros.training.unknown import GOING_ON, UnknownStream
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WINDOW_FRAMES = 4
SIZE, NUM_HEADS, HEAD_DIM, MLP_SIZE = 128, 8, 16, 320
P_REST = 0.25
# By what the motions are multiplied: x, y, zoom, roll of the camera; x, y of what moves.
MOTION_SCALES = (10.0, 10.0, 10.0, 5.0, 4.0, 4.0)
NUM_CAMERA_MOTIONS = 4


def motion_targets(stream: UnknownStream) -> np.ndarray:
    """Return by frame the index in GOING_ON i64 [L], IGNORED where it changes at that frame."""
    targets = np.array([GOING_ON.index(kind) for kind in stream.going_on])
    is_change = np.array([bool(events) for events in stream.observable])
    # What an event will say at the next frame may show already.
    is_unclear = is_change | np.append(is_change[1:], False)
    is_unclear[0] = True
    return np.where(is_unclear, IGNORED, targets)


class _Comparison(nn.Module):
    """Gated MLP [B, W, D] -> [B, W, D], as in the decoder."""

    def __init__(self):
        super().__init__()
        self.norm = nn.RMSNorm(SIZE)
        self.gate_up = nn.Linear(SIZE, 2 * MLP_SIZE, bias=False)
        self.down = nn.Linear(MLP_SIZE, SIZE, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_up(self.norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class _Reading(nn.Module):
    """A few fixed queries look at the states of a frame [B, W, N, D], as cross-attention does."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(NUM_HEADS, HEAD_DIM))
        self.keys_and_values = nn.Linear(SIZE, 2 * NUM_HEADS * HEAD_DIM, bias=False)
        self.key_norm = nn.RMSNorm(HEAD_DIM)
        self.out = nn.Linear(NUM_HEADS * HEAD_DIM, SIZE, bias=False)
        self.before = nn.Linear(SIZE, SIZE, bias=False)
        self.comparisons = nn.ModuleList(_Comparison() for _ in range(2))
        # At first, what is compared is what has changed: it is learned much sooner.
        nn.init.eye_(self.before.weight)
        with torch.no_grad():
            self.before.weight.neg_()

    def forward(self, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Return x [B, W, D] and what was read of each frame, compared with the frame before."""
        heads = self.keys_and_values(states).unflatten(-1, (2, NUM_HEADS, HEAD_DIM))
        keys, values = heads.unbind(-3)  # [B, W, N, H, K]
        scores = (self.key_norm(keys) * self.queries).sum(-1) * (2 / math.sqrt(HEAD_DIM))
        read = torch.einsum('bwnh,bwnhk->bwhk', scores.softmax(2), values).flatten(2)
        x = self.comparisons[0](x + self.out(read))
        x = x + self.before(torch.cat((x[:, :1], x[:, :-1]), 1))
        return self.comparisons[1](x)


class MotionHead(nn.Module):
    """Reads features f32 [B, W, N, Dv] to what goes on [B, W, G] and motions [B, W, 6]."""

    def __init__(self, feature_dim: int):
        super().__init__()
        self.projector = nn.Linear(feature_dim, SIZE)
        self.readings = nn.ModuleList(_Reading() for _ in range(2))
        self.norm = nn.RMSNorm(SIZE)
        self.going_on = nn.Linear(SIZE, len(GOING_ON))
        self.motions = nn.Linear(SIZE, len(MOTION_SCALES))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = self.projector(features)
        x = torch.zeros_like(states[:, :, 0])
        for reading in self.readings:
            x = reading(x, states)
        x = self.norm(x)
        return self.going_on(x), self.motions(x)


class MotionTask:
    """
    Windows of unknown streams, each kind of what goes on as often as any other.

    pictures: u8 [N, L, 3, S, S]; targets: i64 [N, L] as motion_targets; motions: f32 [N, L, 6].
    """

    def __init__(self, pictures: np.ndarray, targets: np.ndarray, motions: np.ndarray,
                 batch_size: int, feature_dim: int, seed: int):
        self.head = MotionHead(feature_dim)
        self._pictures, self._targets, self._motions = pictures, targets, motions
        self._batch_size = batch_size
        self._generator = np.random.default_rng(seed)
        places = [np.argwhere(targets == kind) for kind in range(len(GOING_ON))]
        self._rest, *others = places
        self._moving = [found for found in others if len(found)]

    def loss(self, model: VideoModel) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of the next batch, and readable figures."""
        generator, length = self._generator, self._pictures.shape[1]
        rows, first = [], []
        for _ in range(self._batch_size):
            places = self._rest
            if self._moving and generator.random() >= P_REST:
                places = self._moving[generator.integers(len(self._moving))]
            row, index = places[generator.integers(len(places))]
            rows.append(row)
            first.append(np.clip(index - generator.integers(1, WINDOW_FRAMES), 0,
                                 length - WINDOW_FRAMES))
        rows = np.array(rows)[:, None]
        columns = np.array(first)[:, None] + np.arange(WINDOW_FRAMES)
        pixels = normalise_frames(torch.from_numpy(self._pictures[rows, columns]).flatten(0, 1))
        features = model.pool_frames(model.vision(pixels))
        output = self.head(features.unflatten(0, (self._batch_size, WINDOW_FRAMES)))
        return motion_loss(output, torch.from_numpy(self._targets[rows, columns]),
                           torch.from_numpy(self._motions[rows, columns]))


def motion_loss(output: tuple[torch.Tensor, torch.Tensor], targets: torch.Tensor,
                motions: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the summed loss and readable figures; the first frame of a window shows none."""
    logits, read = (part[:, 1:] for part in output)
    targets, motions = targets[:, 1:], motions[:, 1:]
    is_told = targets != IGNORED
    loss = 0.0 * logits.sum()
    if is_told.any():
        loss = loss + F.cross_entropy(logits[is_told], targets[is_told])
    errors = F.smooth_l1_loss(read, motions * torch.tensor(MOTION_SCALES), beta=0.3,
                              reduction='none')
    is_moving = motions[..., NUM_CAMERA_MOTIONS] != 0
    loss = loss + 1.5 * errors[..., :NUM_CAMERA_MOTIONS].mean()
    if is_moving.any():
        loss = loss + 0.7 * errors[is_moving][:, NUM_CAMERA_MOTIONS:].mean()
    with torch.no_grad():
        is_right = (logits.argmax(-1) == targets)[is_told]
        is_busy = targets[is_told] != 0
        figures = {
            f'{name}_right': chosen.float().mean().item() if len(chosen) else 1.0
            for name, chosen in (('going_on', is_right[is_busy]), ('rest', is_right[~is_busy]))}
    return loss, figures
