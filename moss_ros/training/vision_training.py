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
First stage of training: the vision encoder learns what can be read from its pooled tokens.

Rendered streams go in; the vision encoder of a VideoModel is trained in place, through heads that
are not shipped. What is read from painted frames stands here, what from any picture in
picture_truth.py. A linear head reads from each pooled token which colours and which
shapes are centred there and, for each colour, its shape and its position in the whole picture.
From the class token it reads, for each colour, the same of the whole picture, and the number of
objects of each shape. Shapes: L frames in a stream, C colours, S shapes.
A frame is read together with the one before it, as a pair.
"""

from collections.abc import Callable, Sequence
import math
from typing import Protocol

from moss_ros.model import normalise_frames, VideoModel
from moss_ros.training.frame_pairs import draw_before, pairs_at, random_pairs
from moss_ros.training.mixed_precision import mixed_precision
from moss_ros.training.optimiser import LearningRates, Optimiser
from moss_ros.training.scenes import COLOURS, SHAPES
from moss_ros.training.scenes.world import MAX_OBJECTS, PICTURE_HEIGHT
from moss_ros.training.streams import Stream
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NUM_COLOURS, NUM_SHAPES = len(COLOURS), len(SHAPES)
POSITION_SCALE = 10.0
NUM_HEAD_STEPS, HEAD_LEARNING_RATE = 120, 5e-3
NUM_WARMUP_STEPS, WEIGHT_DECAY = 150, 0.02


def pooled_features(model: VideoModel, pictures: torch.Tensor) -> torch.Tensor:
    """Return the pooled features f32 [M, P, Dv] of pairs of pictures u8 [M, 6, H, H]."""
    return model.pool_frames(model.vision(normalise_frames(pictures)))


def learned_features(model: VideoModel, pictures: torch.Tensor) -> torch.Tensor:
    """Return the same as pooled_features, computed in mixed precision, to train model by."""
    with mixed_precision():
        return pooled_features(model, pictures)


class DetectionHead(nn.Module):
    """Linear read-out of pooled features: what is there, by token and in the whole picture."""

    def __init__(self, feature_dim: int):
        super().__init__()
        self.tokens = nn.Linear(feature_dim, NUM_COLOURS * (1 + NUM_SHAPES + 2) + NUM_SHAPES)
        self.picture = nn.Linear(
            feature_dim, NUM_COLOURS * (1 + NUM_SHAPES + 2) + NUM_SHAPES * (1 + MAX_OBJECTS))

    def forward(self, features: torch.Tensor):
        """
        Read features f32 [B, N, Dv] of B pictures: N tokens, the class token first.

        Returns what tokens show by colour [B, N-1, C, 1 + S + 2] (presence, shape, place) and by
        shape [B, N-1, S] (presence), then the whole picture by colour [B, C, 1 + S + 2] (absent
        or shape, place) and by shape [B, S, 1 + MAX_OBJECTS] (how many).
        """
        num_by_colour = NUM_COLOURS * (1 + NUM_SHAPES + 2)
        tokens, picture = self.tokens(features[:, 1:]), self.picture(features[:, 0])
        return (tokens[..., :num_by_colour].unflatten(-1, (NUM_COLOURS, -1)),
                tokens[..., num_by_colour:],
                picture[..., :num_by_colour].unflatten(-1, (NUM_COLOURS, -1)),
                picture[..., num_by_colour:].unflatten(-1, (NUM_SHAPES, -1)))


def detection_targets(stream: Stream, content_part: tuple[float, float],
                      grid: int) -> tuple[np.ndarray, ...]:
    """
    Return what there is to detect in each frame of a stream.

    content_part: parts of the square's width and height that the picture fills. Result: cell i64
    [L, C] of the pooled grid (-1: absent), shape i64 [L, C], place f32 [L, C, 2] in picture widths
    and heights, 0 to 1 (x a little beyond for an object whose centre is just outside).
    """
    length = len(stream.times_s)
    cells = np.full((length, NUM_COLOURS), -1)
    shapes = np.zeros((length, NUM_COLOURS), np.int64)
    places = np.zeros((length, NUM_COLOURS, 2), np.float32)
    for index in range(length):
        for state in stream.objects[index]:
            if not -state.size / 4 < state.x < 1 + state.size / 4:
                continue
            slot = COLOURS.index(state.colour)
            x, y = state.x, state.y / PICTURE_HEIGHT
            column, row = (min(grid - 1, max(0, int(place * part * grid)))
                           for place, part in zip((x, y), content_part))
            cells[index, slot] = row * grid + column
            shapes[index, slot] = SHAPES.index(state.shape)
            places[index, slot] = x, y
    return cells, shapes, places


def detection_loss(head_output, cells, shapes, places):
    """Return the summed loss and a dict of readable errors; targets as detection_targets."""
    token_colours, token_shapes, picture_colours, picture_shapes = head_output
    is_present = cells >= 0
    batch, slot = is_present.nonzero(as_tuple=True)
    cell, shape, place = cells[batch, slot], shapes[batch, slot], places[batch, slot]
    presence, shape_logits, token_places = token_colours.split((1, NUM_SHAPES, 2), -1)
    presence = presence[..., 0]
    presence_target = torch.zeros_like(presence)
    presence_target[batch, cell, slot] = 1.0
    shape_target = torch.zeros_like(token_shapes)
    shape_target[batch, cell, shape] = 1.0
    presence_loss = (
        F.binary_cross_entropy_with_logits(presence, presence_target, reduction='sum')
        + F.binary_cross_entropy_with_logits(token_shapes, shape_target, reduction='sum')
    ) / max(1, len(batch))
    shape_loss = F.cross_entropy(shape_logits[batch, cell, slot], shape)
    place_loss = _place_loss(token_places[batch, cell, slot], place)

    picture_logits, picture_places = picture_colours.split((1 + NUM_SHAPES, 2), -1)
    picture_target = torch.where(is_present, 1 + shapes, 0)
    counts = torch.stack(
        [(picture_target == 1 + index).sum(-1) for index in range(NUM_SHAPES)], -1)
    picture_loss = (
        F.cross_entropy(picture_logits.flatten(0, 1), picture_target.flatten())
        + F.cross_entropy(picture_shapes.flatten(0, 1), counts.flatten())
        + 0.5 * _place_loss(picture_places[batch, slot], place))
    loss = presence_loss + 2.0 * shape_loss + 2.0 * place_loss + picture_loss
    with torch.no_grad():
        figures = {
            'found': (presence[batch, cell, slot] > 0).float().mean().item(),
            'false_per_frame': ((presence > 0) & (presence_target == 0)).sum().item()
            / len(presence),
            'shape_right': _part_right(shape_logits[batch, cell, slot], shape),
            'place_error': (token_places[batch, cell, slot] - place).abs().mean().item(),
            'picture_right': _part_right(picture_logits, picture_target),
            'counts_right': _part_right(picture_shapes, counts),
            'picture_place_error': (picture_places[batch, slot] - place).abs().mean().item(),
        }
    return loss, figures


def _place_loss(places: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return F.smooth_l1_loss(places * POSITION_SCALE, truth * POSITION_SCALE, beta=0.3)


def _part_right(logits: torch.Tensor, truth: torch.Tensor) -> float:
    return (logits.argmax(-1) == truth).float().mean().item()


class VisionTask(Protocol):
    """Something that the vision encoder is to learn, with the head that reads it."""

    head: nn.Module

    def loss(self, model: VideoModel) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of the next batch, and readable figures."""


class DetectionTask:
    """
    Painted frames in random order, and frames of the unknown world, in which there are no objects.

    pictures: u8 [N, L, 3, H, H] of N streams; targets: as detection_targets, [N, L] in place of L.
    without: u8 [M, K, 3, H, H], of the unknown world. batch_sizes: how many painted frames a step,
    and how many without objects.
    """

    def __init__(self, pictures: np.ndarray, targets: tuple[np.ndarray, ...],
                 without: np.ndarray, batch_sizes: tuple[int, int], feature_dim: int, seed: int):
        self.head = DetectionHead(feature_dim)
        self._pictures, self._targets, self._batch_sizes = pictures, targets, batch_sizes
        self._without = without
        self._generator = np.random.default_rng(seed)
        self._order = np.empty(0, np.int64)

    def loss(self, model: VideoModel) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of the next batch, and readable figures."""
        (size, num_without), length = self._batch_sizes, self._pictures.shape[1]
        if len(self._order) < size:
            self._order = self._generator.permutation(self._pictures.shape[0] * length)
        drawn, self._order = np.sort(self._order[:size]), self._order[size:]
        rows, indices = np.divmod(drawn, length)
        pairs = pairs_at(self._pictures, rows, indices, draw_before(indices, self._generator))
        without = random_pairs(self._without, num_without, self._generator)
        cells, shapes, places = (array[rows, indices] for array in self._targets)
        # A cell of -1 is an object that is not there, so its shape and place are not read.
        targets = (_extended(cells, len(without), -1), _extended(shapes, len(without), 0),
                   _extended(places, len(without), 0))
        pictures = torch.from_numpy(np.concatenate([pairs, without]))
        return detection_loss(self.head(learned_features(model, pictures)), *targets)


def _extended(array, num, value):
    """Return array as a tensor, with num more rows of value behind it."""
    rows = np.full((num, *array.shape[1:]), value, array.dtype)
    return torch.from_numpy(np.concatenate([array, rows]))


def train_vision(model: VideoModel, tasks: Sequence[VisionTask], num_steps: int,
                 rates: LearningRates, report) -> None:
    """
    Train model.vision in place on a batch of each of the tasks a step.

    report(step, figures) is called now and then.
    """
    heads = [parameter for task in tasks for parameter in task.head.parameters()]
    train_heads(model, heads, lambda: sum(task.loss(model)[0] for task in tasks),
                NUM_HEAD_STEPS, HEAD_LEARNING_RATE)
    optimiser = Optimiser(model.vision.named_parameters(), heads, rates, WEIGHT_DECAY)
    for step in range(num_steps):
        optimiser.zero_grad()
        figures, total = {}, 0.0
        for task in tasks:
            loss, task_figures = task.loss(model)
            loss.backward()
            figures.update(task_figures)
            total += loss.item()
        optimiser.step(cosine_schedule(step, num_steps, NUM_WARMUP_STEPS))
        if step % 100 == 0 or step == num_steps - 1:
            report(step, {'loss': total, **figures})


def train_heads(model: VideoModel, parameters: Sequence[nn.Parameter],
                loss: Callable[[], torch.Tensor], num_steps: int, learning_rate: float) -> None:
    """
    Train only the heads: at first model has nothing to learn from what they do not know yet.

    loss: returns that of the next batch.
    """
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate)
    model.requires_grad_(False)
    for _ in range(num_steps):
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()
    model.requires_grad_(True)


def cosine_schedule(step: int, num_steps: int, num_warmup: int, floor: float = 0.02) -> float:
    """Return the factor on the learning rate: linear warm-up, then half a cosine to floor."""
    if step < num_warmup:
        return (step + 1) / num_warmup
    part = (step - num_warmup) / max(1, num_steps - num_warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part))
