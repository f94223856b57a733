"""
First stage: the vision encoder learns to find every object in every pooled token.

Rendered streams go in; the vision encoder of a VideoModel is trained in place by linear heads
that are not shipped: for each pooled token and colour, whether such an object is centred there,
its shape and its ABSOLUTE position; for the class token, which colours are in the picture.
"""

import math

from moss_ros.model import normalise_frames, VideoModel
from moss_ros.training.scenes import COLOURS, SHAPES
from moss_ros.training.scenes.world import PICTURE_HEIGHT
from moss_ros.training.streams import Stream
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NUM_COLOURS, NUM_SHAPES = len(COLOURS), len(SHAPES)
POSITION_SCALE = 10.0


class DetectionHead(nn.Module):
    """Linear read-out of pooled features: presence, shape and place by token and colour."""

    def __init__(self, feature_dim: int):
        super().__init__()
        self.tokens = nn.Linear(feature_dim, NUM_COLOURS * (1 + NUM_SHAPES + 2))
        self.picture = nn.Linear(feature_dim, NUM_COLOURS)

    def forward(self, features: torch.Tensor):
        """
        Read features f32 [B, N, Dv], class token first.

        Returns presence [B, N-1, C], shapes [B, N-1, C, S], places [B, N-1, C, 2] and the
        presence in the whole picture [B, C].
        """
        split = self.tokens(features[:, 1:]).unflatten(-1, (NUM_COLOURS, -1))
        return (split[..., 0], split[..., 1:1 + NUM_SHAPES], split[..., 1 + NUM_SHAPES:],
                self.picture(features[:, 0]))


def detection_targets(stream: Stream, content_rows: float, grid: int) -> tuple[np.ndarray, ...]:
    """
    Return what there is to detect in each frame of a stream.

    content_rows: part of the square's height that the picture fills. Result: cell i64 [L, C] of
    the pooled grid (-1: absent), shape i64 [L, C], place f32 [L, C, 2] in picture widths and
    heights, 0 to 1.
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
            column = min(grid - 1, max(0, int(x * grid)))
            row = min(grid - 1, max(0, int(y * content_rows * grid)))
            cells[index, slot] = row * grid + column
            shapes[index, slot] = SHAPES.index(state.shape)
            places[index, slot] = x, y
    return cells, shapes, places


def detection_loss(head_output, cells, shapes, places):
    """Return the summed loss and a dict of readable errors; targets as detection_targets."""
    presence, shape_logits, place, in_picture = head_output
    is_present = cells >= 0
    presence_target = torch.zeros_like(presence)
    batch, slot = is_present.nonzero(as_tuple=True)
    cell = cells[batch, slot]
    presence_target[batch, cell, slot] = 1.0
    presence_loss = F.binary_cross_entropy_with_logits(
        presence, presence_target, reduction='sum') / max(1, len(batch))
    picture_loss = F.binary_cross_entropy_with_logits(in_picture, is_present.float())
    shape_loss = F.cross_entropy(shape_logits[batch, cell, slot], shapes[batch, slot])
    place_error = place[batch, cell, slot] - places[batch, slot]
    place_loss = F.smooth_l1_loss(place_error * POSITION_SCALE, torch.zeros_like(place_error),
                                  beta=0.3)
    loss = presence_loss + picture_loss + 2.0 * shape_loss + 2.0 * place_loss
    with torch.no_grad():
        found = presence[batch, cell, slot] > 0
        figures = {
            'found': found.float().mean().item(),
            'false_per_frame': ((presence > 0) & (presence_target == 0)).sum().item()
            / len(presence),
            'shape_right': (shape_logits[batch, cell, slot].argmax(-1) == shapes[batch, slot])
            .float().mean().item(),
            'place_error': place_error.abs().mean().item(),
        }
    return loss, figures


def train_vision(model: VideoModel, pictures: np.ndarray, targets: tuple[np.ndarray, ...],
                 num_steps: int, batch_size: int, learning_rate: float, seed: int,
                 report) -> DetectionHead:
    """
    Train model.vision in place and return the head.

    pictures: u8 [M, 3, S, S]; targets: arrays of first length M. report(step, figures) is
    called now and then.
    """
    torch.manual_seed(seed)
    head = DetectionHead(model.config.vision.output_dim)
    parameters = [*model.vision.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98),
                                  weight_decay=0.02)
    generator = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for step in range(num_steps):
        for group in optimiser.param_groups:
            group['lr'] = learning_rate * cosine_schedule(step, num_steps, num_warmup=150)
        if len(order) < batch_size:
            order = generator.permutation(len(pictures))
        rows, order = np.sort(order[:batch_size]), order[batch_size:]
        pixels = normalise_frames(torch.from_numpy(pictures[rows]))
        features = model.pool_frames(model.vision(pixels))
        batch_targets = [torch.from_numpy(array[rows]) for array in targets]
        loss, figures = detection_loss(head(features), *batch_targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 100 == 0 or step == num_steps - 1:
            report(step, {'loss': loss.item(), **figures})
    return head


def cosine_schedule(step: int, num_steps: int, num_warmup: int, floor: float = 0.02) -> float:
    """Return the factor on the learning rate: linear warm-up, then half a cosine to floor."""
    if step < num_warmup:
        return (step + 1) / num_warmup
    part = (step - num_warmup) / max(1, num_steps - num_warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part))
