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
What goes on before any camera, read from one frame's features: it is shown with the one before.

Unknown streams with their pictures go in; a task for the first stage of training comes out. A
frame's tokens are compared with nothing later, so what moved has to be in them.

Shapes: N streams of L frames, B frames of a batch, P pooled tokens, Dv vision features, S px.
"""

from collections.abc import Sequence

from moss_ros.model import VideoModel
from moss_ros.training.frame_pairs import pairs_at
from moss_ros.training.unknown import GOING_ON, Happening, SOMETHING_BY_ZONE, UnknownStream
from moss_ros.training.vision_training import learned_features
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# How often what is shown: nothing is easily taken for something that moves, so it is shown most.
_SHARES = {None: 40, Happening.MOVES: 28, **dict.fromkeys(SOMETHING_BY_ZONE, 16),
           Happening.DARK: 4, Happening.BRIGHT: 4, Happening.COVERED: 10, Happening.BLURRED: 10}
_MOTION_WEIGHT = 2.0
_P_MIRRORED = 0.5
_LEFT, _, _RIGHT = (GOING_ON.index(kind) for kind in SOMETHING_BY_ZONE)


class MotionHead(nn.Module):
    """Reads what goes on, as an index in GOING_ON, from the class token and from the others."""

    def __init__(self, num_tokens: int, feature_dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(feature_dim)
        self.picture = nn.Linear(feature_dim, len(GOING_ON))
        self.tokens = nn.Linear((num_tokens - 1) * feature_dim, len(GOING_ON))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two sets of logits f32 [B, len(GOING_ON)] for features f32 [B, P, Dv]."""
        features = self.norm(features)
        return self.picture(features[:, 0]), self.tokens(features[:, 1:].flatten(1))


class MotionTask:
    """
    Frames of the unknown world, rare kinds nearly as often as others, half of them mirrored.

    pictures: u8 [N, L, 3, S, S] of the streams. num_tokens, feature_dim: P and Dv.
    """

    def __init__(self, pictures: np.ndarray, streams: Sequence[UnknownStream], batch_size: int,
                 num_tokens: int, feature_dim: int, seed: int):
        self.head = MotionHead(num_tokens, feature_dim)
        self._pictures = pictures
        self._generator = np.random.default_rng(seed)
        self._is_upright = np.array([stream.scene.aspect > 1 for stream in streams])
        kinds = np.array([[GOING_ON.index(kind) for kind in stream.going_on]
                          for stream in streams])
        kinds[:, 0] = -1  # one frame shows no movement
        found = {index: np.argwhere(kinds == index) for index in range(len(GOING_ON))
                 if GOING_ON[index] in _SHARES}
        self._places = {index: places for index, places in found.items() if len(places)}
        shares = np.array([_SHARES[GOING_ON[index]] for index in self._places])
        self._sizes = np.maximum(1, np.round(batch_size * shares / shares.sum())).astype(int)

    def loss(self, model: VideoModel) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of the next batch, and a readable figure."""
        drawn = np.concatenate([
            places[self._generator.integers(len(places), size=size)]
            for places, size in zip(self._places.values(), self._sizes)])
        kinds = np.repeat(list(self._places), self._sizes)
        rows, indices = drawn.T
        pairs = pairs_at(self._pictures, rows, indices, indices - 1)
        # An upright picture does not fill the model's square to the right.
        is_mirrored = ((self._generator.random(len(rows)) < _P_MIRRORED)
                       & ~self._is_upright[rows])
        pairs[is_mirrored] = pairs[is_mirrored][..., ::-1]
        kinds = torch.from_numpy(np.where(is_mirrored, _mirrored(kinds), kinds))
        read = self.head(learned_features(model, torch.from_numpy(pairs)))
        loss = _MOTION_WEIGHT * sum(F.cross_entropy(logits, kinds) for logits in read)
        is_right = sum(read).argmax(-1) == kinds
        return loss, {'motion_right': is_right.float().mean().item()}


def _mirrored(kinds):
    return np.select((kinds == _LEFT, kinds == _RIGHT), (_RIGHT, _LEFT), kinds)
