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
What the text side learns at each frame token beside words: what is true of the frame.

Samples go in as tensors, losses come out. The heads, which are not shipped, make each frame token
a summary. Before the last layers it holds what is there, by colour and by shape, which world it is
and what goes on, so that those layers can look it up; after them, what has just happened, where it
is said.

Shapes: B samples, T tokens and F frames in a sample, L frames in a stream, P pooled tokens of a
frame, Dv vision features, M frame tokens in all, C colours, S shapes.
"""

from dataclasses import dataclass, replace
import math

from moss_ros.model import TextDecoder
from moss_ros.training.samples import EVENT_KINDS, HAPPENINGS, IGNORED, Sample
from moss_ros.training.scenes import COLOURS, MOTIONS, SHAPES
from moss_ros.training.scenes.world import MAX_OBJECTS, PICTURE_HEIGHT
from moss_ros.training.unknown import GOING_ON, SOMETHING_BY_ZONE
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NUM_COLOURS, NUM_SHAPES = len(COLOURS), len(SHAPES)
# The summary of a frame is read from the layer before this many last layers.
NUM_LAYERS_AFTER_SUMMARY = 2
# Tensors of ever new sizes leave the heap in pieces of as many sizes, among which an allocation
# searches longer and longer; see docs/training_notes.md.
LENGTH_STEP = 16
# What happens is rare: an event weighs as much as ten quiet slots.
EVENT_WEIGHT = 10.0
# What moves before a standing camera is hard to tell from a moving one.
MOVER_WEIGHT = 3.0


@dataclass(frozen=True)
class Batch:
    """
    Samples as tensors.

    token_ids, targets: i64 [B, T]. features: f16 [B, F, P, Dv], padded at the end. frame_rows:
    i64 [M, 2], sample and position of each frame token; its truth: shapes, motions, events
    i64 [M, C], places f32 [M, C, 2], is_painted bool [M], going_on and happenings i64 [M].
    """

    token_ids: torch.Tensor
    targets: torch.Tensor
    features: torch.Tensor
    frame_rows: torch.Tensor
    shapes: torch.Tensor
    motions: torch.Tensor
    events: torch.Tensor
    places: torch.Tensor
    is_painted: torch.Tensor
    going_on: torch.Tensor
    happenings: torch.Tensor

    def of_frames(self, chosen: torch.Tensor) -> 'Batch':
        """Return the same batch with the truth of the chosen frame tokens, bool [M], only."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in (
            'frame_rows', 'shapes', 'motions', 'events', 'places', 'is_painted', 'going_on',
            'happenings')})


def stack_samples(samples: list[Sample], features: list[np.ndarray], pad_id: int) -> Batch:
    """
    Stack samples and the features of their frames, as of Batch, padded at the end.

    T becomes a multiple of LENGTH_STEP.
    features: by sample, those of its stream, f16 [L, P, Dv]: of each frame behind the one before
    it in the stream, also where the sample leaves that out.
    """
    longest = max(len(sample.token_ids) for sample in samples)
    length = math.ceil(longest / LENGTH_STEP) * LENGTH_STEP
    num_frames = max(len(sample.frame_indices) for sample in samples)
    token_ids = torch.full((len(samples), length), pad_id)
    targets = torch.full((len(samples), length), IGNORED)
    stacked = np.zeros((len(samples), num_frames, *features[0].shape[1:]), features[0].dtype)
    rows, truths = [], []
    for row, (sample, stream_features) in enumerate(zip(samples, features)):
        token_ids[row, :len(sample.token_ids)] = torch.tensor(sample.token_ids)
        targets[row, :len(sample.targets)] = torch.tensor(sample.targets)
        stacked[row, :len(sample.frame_indices)] = stream_features[sample.frame_indices]
        rows += [(row, frame.position) for frame in sample.frames]
        truths += sample.frames
    return Batch(
        token_ids, targets, torch.from_numpy(stacked), torch.tensor(rows),
        torch.tensor([truth.shapes for truth in truths]),
        torch.tensor([truth.motions for truth in truths]),
        torch.tensor([truth.events for truth in truths]),
        torch.tensor([truth.places for truth in truths]),
        torch.tensor([truth.is_painted for truth in truths]),
        torch.tensor([truth.going_on for truth in truths]),
        torch.tensor([truth.happening for truth in truths]))


class FrameTruthHeads(nn.Module):
    """
    Linear read-outs of the hidden states at the frame tokens; used in training only.

    Until detach(), a hook on decoder keeps the hidden states of a layer at each forward pass.
    """

    def __init__(self, decoder: TextDecoder):
        super().__init__()
        hidden_size = decoder.config.text.hidden_size
        # By colour: present, shape, motion, place. By shape: how many, and of which colours.
        self._colour_sizes = (1, NUM_SHAPES, len(MOTIONS), 2)
        self._shape_sizes = (1 + MAX_OBJECTS, NUM_COLOURS)
        self.norm = nn.RMSNorm(hidden_size)
        self.by_colour = nn.Linear(hidden_size, NUM_COLOURS * sum(self._colour_sizes))
        self.by_shape = nn.Linear(hidden_size, NUM_SHAPES * sum(self._shape_sizes))
        self.events = nn.Linear(hidden_size, NUM_COLOURS * (1 + len(EVENT_KINDS)))
        self.world = nn.Linear(hidden_size, 1)
        self.going_on = nn.Linear(hidden_size, len(GOING_ON))
        self.happenings = nn.Linear(hidden_size, 1 + len(HAPPENINGS))
        self._states: torch.Tensor | None = None
        layer = decoder.layers[len(decoder.layers) - 1 - NUM_LAYERS_AFTER_SUMMARY]
        self._hook = layer.register_forward_hook(self._keep)

    def detach(self) -> None:
        """Remove the hook from the decoder."""
        self._hook.remove()

    def _keep(self, _layer, _inputs, output: torch.Tensor) -> None:
        self._states = output

    def loss(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the loss of the last forward pass, whose final hidden states are given."""
        rows, positions = batch.frame_rows.unbind(-1)
        summary = self.norm(self._states[rows, positions])
        last = hidden[rows, positions]
        is_painted = batch.is_painted
        loss = F.binary_cross_entropy_with_logits(
            self.world(summary)[:, 0], is_painted.float())
        part = is_painted.float().mean()
        if is_painted.any():
            loss = loss + part * self._painted_loss(summary[is_painted], last[is_painted],
                                                    batch.of_frames(is_painted))
        if not is_painted.all():
            loss = loss + (1 - part) * self._unknown_loss(summary[~is_painted], last[~is_painted],
                                                          batch.of_frames(~is_painted))
        return loss

    def _painted_loss(self, summary: torch.Tensor, last: torch.Tensor,
                      batch: Batch) -> torch.Tensor:
        weights = torch.full((1 + len(EVENT_KINDS),), EVENT_WEIGHT)
        weights[0] = 1.0
        events = self.events(last).view(-1, 1 + len(EVENT_KINDS))
        return (self._loss_by_colour(summary, batch) + self._loss_by_shape(summary, batch)
                + F.cross_entropy(events, batch.events.flatten(), weights))

    def _unknown_loss(self, summary: torch.Tensor, last: torch.Tensor,
                      batch: Batch) -> torch.Tensor:
        weights = torch.full((1 + len(HAPPENINGS),), EVENT_WEIGHT)
        weights[0] = 1.0
        loss = F.cross_entropy(self.happenings(last), batch.happenings, weights)
        if (batch.going_on != IGNORED).any():
            kinds = torch.tensor([MOVER_WEIGHT if kind in SOMETHING_BY_ZONE else 1.0
                                  for kind in GOING_ON])
            loss = loss + 2.0 * F.cross_entropy(self.going_on(summary), batch.going_on, kinds,
                                                ignore_index=IGNORED)
        return loss

    def _loss_by_colour(self, summary: torch.Tensor, batch: Batch) -> torch.Tensor:
        split = self.by_colour(summary).unflatten(-1, (NUM_COLOURS, -1))
        present, shapes, motions, places = split.split(self._colour_sizes, -1)
        is_present = batch.shapes != IGNORED
        scale = torch.tensor([1.0, 1.0 / PICTURE_HEIGHT])
        place_error = (places - batch.places * scale)[is_present] * 5.0
        loss = F.binary_cross_entropy_with_logits(present[..., 0], is_present.float())
        # A mean over nothing is no number: a batch of single pictures shows no motions.
        if is_present.any():
            loss = loss + F.smooth_l1_loss(place_error, torch.zeros_like(place_error), beta=0.3)
            loss = loss + 0.3 * F.cross_entropy(shapes.flatten(0, 1), batch.shapes.flatten(),
                                                ignore_index=IGNORED)
        if (batch.motions != IGNORED).any():
            loss = loss + F.cross_entropy(motions.flatten(0, 1), batch.motions.flatten(),
                                          ignore_index=IGNORED)
        return loss

    def _loss_by_shape(self, summary: torch.Tensor, batch: Batch) -> torch.Tensor:
        split = self.by_shape(summary).unflatten(-1, (NUM_SHAPES, -1))
        counts, colours = split.split(self._shape_sizes, -1)
        # Which colours each shape has, [M, S, C]; IGNORED is no shape's index.
        has_colour = batch.shapes.unsqueeze(1) == torch.arange(NUM_SHAPES).view(1, -1, 1)
        return (
            0.5 * F.cross_entropy(counts.flatten(0, 1), has_colour.sum(-1).flatten())
            + F.binary_cross_entropy_with_logits(colours, has_colour.float()))
