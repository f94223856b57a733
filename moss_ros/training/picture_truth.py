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
What a model learns from pictures without a label: their grey in small.

Without it the features of a frame hold little but what the painted world needs.

Shapes: M and N pictures, L frames in a stream, S px, P pooled tokens of a frame with the class
token, Dv vision features.
"""

from collections.abc import Sequence
import math

from moss_ros.model import VideoModel
from moss_ros.training.frame_pairs import random_pairs
from moss_ros.training.vision_training import learned_features
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Greys that are read from each token, a side of its part of the picture.
TOKEN_SIDE = 4
THUMBNAIL_WEIGHT = 4.0
# Grey levels that make 1 of what is read.
GREY_SCALE = 64.0


class ThumbnailHead(nn.Module):
    """Reads from each pooled token its part of the picture, TOKEN_SIDE by TOKEN_SIDE greys."""

    def __init__(self, feature_dim: int):
        super().__init__()
        self.tokens = nn.Linear(feature_dim, TOKEN_SIDE ** 2)

    def loss(self, features: torch.Tensor, pairs: torch.Tensor
             ) -> tuple[torch.Tensor, dict[str, float]]:
        """
        Return the loss for features f32 [M, P, Dv] of pairs u8 [M, 6, S, S], and a figure.

        thumbnail_r2: which part of the variance within the parts of a picture is read.
        """
        read = self.tokens(features[:, 1:])
        greys = _token_greys(pairs[:, :3], math.isqrt(read.shape[1]))
        loss = THUMBNAIL_WEIGHT * F.smooth_l1_loss(read, greys, beta=0.3)
        with torch.no_grad():
            variance = (greys - greys.mean(-1, keepdim=True)).square().mean()
            r2 = 1 - (read - greys).square().mean() / variance.clamp_min(1e-6)
        return loss, {'thumbnail_r2': r2.item()}


def _token_greys(pictures, grid):
    """Return f32 [M, grid ** 2, TOKEN_SIDE ** 2], row by row: the greys of the tokens' parts."""
    side = grid * TOKEN_SIDE
    small = F.avg_pool2d(pictures.float().mean(1) / GREY_SCALE - 2, pictures.shape[-1] // side)
    parts = small.unflatten(1, (grid, TOKEN_SIDE)).unflatten(3, (grid, TOKEN_SIDE))
    return parts.transpose(2, 3).flatten(1, 2).flatten(2)


class ThumbnailTask:
    """A vision task: pictures at random, u8 [N, L, 3, S, S] of each world, as many of each."""

    def __init__(self, pictures: Sequence[np.ndarray], batch_size: int, feature_dim: int,
                 seed: int):
        self.head = ThumbnailHead(feature_dim)
        self._pictures, self._batch_size = pictures, batch_size
        self._generator = np.random.default_rng(seed)

    def loss(self, model: VideoModel) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of the next batch, and readable figures."""
        drawn = torch.from_numpy(np.concatenate([
            random_pairs(pictures, self._batch_size, self._generator)
            for pictures in self._pictures]))
        return self.head.loss(learned_features(model, drawn), drawn)
