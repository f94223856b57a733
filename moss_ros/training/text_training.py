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
Second stage of training: the text side learns to narrate from the frozen features of the frames.

Streams with their cached features go in; projector, decoder and lm_head of a VideoModel are
trained in place, on windows that samples.py makes anew each time. Auxiliary heads, which are not
shipped, make each frame token a summary. Before the last layers it holds what is there, by colour
and by shape, so that those layers can look it up; after them, what has just happened, where it is
said. Shapes: N streams, L frames in a stream, P pooled tokens of a frame, Dv vision features.
"""

from dataclasses import dataclass
import random

from moss_ros.model import TextDecoder, VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.training.samples import (
    EVENT_KINDS, IGNORED, Sample, SampleMaker, SampleMix, SILENCE_WEIGHT,
)
from moss_ros.training.scenes import COLOURS, MOTIONS, SHAPES
from moss_ros.training.scenes.world import MAX_OBJECTS, PICTURE_HEIGHT
from moss_ros.training.streams import Stream
from moss_ros.training.vision_training import cosine_schedule
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

NUM_COLOURS, NUM_SHAPES = len(COLOURS), len(SHAPES)
AUXILIARY_WEIGHT = 0.5
# The summary of a frame is read from the layer before this many last layers.
NUM_LAYERS_AFTER_SUMMARY = 2
NUM_BATCHES_SORTED = 16
SNAPSHOT_STEPS = 300


@dataclass(frozen=True)
class Course:
    """
    One run of the text stage; the learning rate follows one cosine over all phases.

    phases: (num_steps, batch_size, num_frames) one after the other: short windows first, in
    which recency is learned fast. mix: what is asked how often.
    """

    phases: tuple[tuple[int, int, int], ...]
    learning_rate: float
    mix: SampleMix = SampleMix()


@dataclass(frozen=True)
class Batch:
    """
    B samples as tensors: T tokens and F frames in a sample, M frame tokens in all, C colours.

    token_ids, targets: i64 [B, T]. features: f32 [B, F, P, Dv]. frame_rows: i64 [M, 2], sample
    and position of each frame token; its truth: shapes, motions, events i64 [M, C] and places
    f32 [M, C, 2].
    """

    token_ids: torch.Tensor
    targets: torch.Tensor
    features: torch.Tensor
    frame_rows: torch.Tensor
    shapes: torch.Tensor
    motions: torch.Tensor
    events: torch.Tensor
    places: torch.Tensor


def stack_samples(samples: list[Sample], features: list[np.ndarray], pad_id: int) -> Batch:
    """Stack samples and the features [L, P, Dv] of their streams, padded at the end."""
    length = max(len(sample.token_ids) for sample in samples)
    num_frames = max(len(sample.frames) for sample in samples)
    token_ids = torch.full((len(samples), length), pad_id)
    targets = torch.full((len(samples), length), IGNORED)
    stacked = np.zeros((len(samples), num_frames, *features[0].shape[1:]), features[0].dtype)
    rows, truths = [], []
    for row, (sample, stream_features) in enumerate(zip(samples, features)):
        token_ids[row, :len(sample.token_ids)] = torch.tensor(sample.token_ids)
        targets[row, :len(sample.targets)] = torch.tensor(sample.targets)
        stacked[row, :len(sample.frames)] = stream_features[sample.frame_indices]
        rows += [(row, frame.position) for frame in sample.frames]
        truths += sample.frames
    return Batch(
        token_ids, targets, torch.from_numpy(stacked).float(), torch.tensor(rows),
        torch.tensor([truth.shapes for truth in truths]),
        torch.tensor([truth.motions for truth in truths]),
        torch.tensor([truth.events for truth in truths]),
        torch.tensor([truth.places for truth in truths]))


class FrameTruthHeads(nn.Module):
    """
    Linear read-outs of the hidden states at the frame tokens; used in training only.

    Until detach(), a hook on decoder keeps the hidden states of the summary at each forward pass.
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
        self._summary: torch.Tensor | None = None
        self._hook = decoder.layers[-1 - NUM_LAYERS_AFTER_SUMMARY].register_forward_hook(
            self._keep)

    def detach(self) -> None:
        """Remove the hook from the decoder."""
        self._hook.remove()

    def _keep(self, _layer, _inputs, output: torch.Tensor) -> None:
        self._summary = output

    def loss(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the loss of the last forward pass, whose final hidden states are given."""
        rows, positions = batch.frame_rows.unbind(-1)
        summary = self.norm(self._summary[rows, positions])
        events = self.events(hidden[rows, positions])
        # What happens is rare: an event weighs as much as ten quiet slots.
        weights = torch.ones(1 + len(EVENT_KINDS))
        weights[1:] = 10.0
        return (self._loss_by_colour(summary, batch) + self._loss_by_shape(summary, batch)
                + F.cross_entropy(events.view(-1, 1 + len(EVENT_KINDS)),
                                  batch.events.flatten(), weights))

    def _loss_by_colour(self, summary: torch.Tensor, batch: Batch) -> torch.Tensor:
        split = self.by_colour(summary).unflatten(-1, (NUM_COLOURS, -1))
        present, shapes, motions, places = split.split(self._colour_sizes, -1)
        is_present = batch.shapes != IGNORED
        scale = torch.tensor([1.0, 1.0 / PICTURE_HEIGHT])
        place_error = (places - batch.places * scale)[is_present] * 5.0
        return (
            F.binary_cross_entropy_with_logits(present[..., 0], is_present.float())
            + 0.3 * F.cross_entropy(shapes.flatten(0, 1), batch.shapes.flatten(),
                                    ignore_index=IGNORED)
            + F.cross_entropy(motions.flatten(0, 1), batch.motions.flatten(),
                              ignore_index=IGNORED)
            + F.smooth_l1_loss(place_error, torch.zeros_like(place_error), beta=0.3))

    def _loss_by_shape(self, summary: torch.Tensor, batch: Batch) -> torch.Tensor:
        split = self.by_shape(summary).unflatten(-1, (NUM_SHAPES, -1))
        counts, colours = split.split(self._shape_sizes, -1)
        # Which colours each shape has, [M, S, C]; IGNORED is no shape's index.
        has_colour = batch.shapes.unsqueeze(1) == torch.arange(NUM_SHAPES).view(1, -1, 1)
        return (
            0.5 * F.cross_entropy(counts.flatten(0, 1), has_colour.sum(-1).flatten())
            + F.binary_cross_entropy_with_logits(colours, has_colour.float()))


def text_parameters(model: VideoModel) -> list[nn.Parameter]:
    """Return the parameters of the second stage: everything but the vision encoder."""
    return [parameter for name, parameter in model.named_parameters()
            if not name.startswith('vision.')]


def narration_loss(model: VideoModel, heads: FrameTruthHeads, batch: Batch, silence_id: int):
    """Return the loss and readable figures: accuracy of words and of silences."""
    frame_states = model.projector(batch.features)
    hidden = model.decoder(batch.token_ids, frame_states)
    is_target = batch.targets != IGNORED
    targets = batch.targets[is_target]
    logits = model.lm_head(hidden[is_target])
    is_silence = targets == silence_id
    weights = torch.where(is_silence, SILENCE_WEIGHT, 1.0)
    losses = F.cross_entropy(logits, targets, reduction='none')
    loss = (losses * weights).sum() / weights.sum()
    auxiliary = heads.loss(hidden, batch)
    with torch.no_grad():
        is_right = (logits.argmax(-1) == targets).float()
        figures = {
            'loss': loss.item(), 'auxiliary': auxiliary.item(),
            'words_right': _mean(is_right[~is_silence]),
            'silences_right': _mean(is_right[is_silence])}
    return loss + AUXILIARY_WEIGHT * auxiliary, figures


def _mean(values: torch.Tensor) -> float | None:
    # A batch of clips holds no silence, and JSON has no NaN.
    return values.mean().item() if len(values) else None


def _batches(streams, features, maker, pad_id, generator, batch_size, num_frames):
    """Yield batches without end; samples of like length go together, so little is padding."""
    while True:
        drawn = []
        for _ in range(batch_size * NUM_BATCHES_SORTED):
            row = generator.randrange(len(streams))
            first = generator.randrange(len(streams[row].times_s) - num_frames + 1)
            drawn.append((maker.make(streams[row], first, num_frames), row))
        drawn.sort(key=lambda entry: len(entry[0].token_ids))
        groups = [drawn[start:start + batch_size]
                  for start in range(0, len(drawn), batch_size)]
        generator.shuffle(groups)
        for group in groups:
            yield stack_samples([sample for sample, _ in group],
                                [features[row] for _, row in group], pad_id)


def train_text(model: VideoModel, chat: ChatFormat, streams: list[Stream],
               features: np.ndarray, course: Course, seed: int, report, snapshot=None) -> None:
    """
    Train the text side of model in place; its weights end as their moving average.

    features: f16 [N, L, P, Dv], pooled, one row a stream. snapshot(step) is called now and then
    while the model holds the averaged weights.
    """
    torch.manual_seed(seed)
    generator = random.Random(seed)
    maker = SampleMaker(chat, generator, course.mix)
    heads = FrameTruthHeads(model.decoder)
    trained = text_parameters(model)
    parameters = [*trained, *heads.parameters()]
    decayed = [parameter for parameter in parameters if parameter.dim() >= 2]
    others = [parameter for parameter in parameters if parameter.dim() < 2]
    optimiser = torch.optim.AdamW(
        [{'params': decayed, 'weight_decay': 0.03}, {'params': others, 'weight_decay': 0.0}],
        lr=course.learning_rate, betas=(0.9, 0.98))
    average = [parameter.detach().clone() for parameter in trained]
    num_steps = sum(phase[0] for phase in course.phases)
    step = 0
    for num_phase_steps, batch_size, num_frames in course.phases:
        batches = _batches(streams, features, maker, chat.eot_id, generator, batch_size,
                           num_frames)
        for _ in range(num_phase_steps):
            factor = cosine_schedule(step, num_steps, num_warmup=100)
            for group in optimiser.param_groups:
                group['lr'] = course.learning_rate * factor
            loss, figures = narration_loss(model, heads, next(batches), chat.silence_id)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            decay = min(0.996, (step + 1) / (step + 10))
            for kept, parameter in zip(average, trained):
                kept.lerp_(parameter.detach(), 1 - decay)
            if step % 50 == 0 or step == num_steps - 1:
                report(step, figures)
            step += 1
            if snapshot is not None and step % SNAPSHOT_STEPS == 0:
                _swap(trained, average)
                snapshot(step)
                _swap(trained, average)
    heads.detach()
    _swap(trained, average)


@torch.no_grad()
def _swap(parameters: list[nn.Parameter], values: list[torch.Tensor]) -> None:
    """Exchange the contents of parameters and values."""
    for parameter, value in zip(parameters, values):
        kept = parameter.clone()
        parameter.copy_(value)
        value.copy_(kept)
