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
Second stage of training: the model learns to narrate.

Streams of both worlds go in, with the features of their frames, and all of a VideoModel but its
vision encoder is trained in place. It learns on windows that samples.py makes anew each time. The
heads of frame_truth.py, which are not shipped, make each frame token a summary.
Shapes: L frames in a stream, P pooled tokens of a frame, Dv vision features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import random

from moss_ros.model import VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.training.frame_truth import Batch, FrameTruthHeads, stack_samples
from moss_ros.training.mixed_precision import mixed_precision
from moss_ros.training.optimiser import LearningRates, Optimiser
from moss_ros.training.samples import IGNORED, SampleMaker, SampleMix, SILENCE_WEIGHT
from moss_ros.training.scenes.language import PAINTED_WORDS
from moss_ros.training.streams import Stream
from moss_ros.training.unknown import UnknownStream
from moss_ros.training.vision_training import cosine_schedule, train_heads
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

AUXILIARY_WEIGHT = 0.5
NUM_BATCHES_SORTED = 16
NUM_HEAD_STEPS = 80
HEAD_LEARNING_RATE = 4e-3
NUM_WARMUP_STEPS, WEIGHT_DECAY = 100, 0.03
SNAPSHOT_STEPS = 100
# A painted word in the unknown world is a lie about a camera. There, training adds so much to the
# logits of those words, so that the model learns to be surer than that before it says one.
PAINTED_WORD_MARGIN = 2.0
# Of the running mean of what the targets of a batch weigh.
MEAN_WEIGHT_DECAY = 0.97


@dataclass(frozen=True)
class Phase:
    """A part of a course: num_steps of batch_size windows of num_frames, asked as mix says."""

    num_steps: int
    batch_size: int
    num_frames: int
    mix: SampleMix = SampleMix()


@dataclass(frozen=True)
class Course:
    """
    One run of the second stage; the learning rates follow one cosine over all phases.

    phases: one after the other: short windows first, in which recency is learned fast.
    p_unknown: part of the samples that are of the unknown world.
    """

    phases: tuple[Phase, ...]
    learning_rates: LearningRates
    p_unknown: float = 0.5


def text_parameters(model: VideoModel) -> dict[str, nn.Parameter]:
    """Return by name all parameters but those of the vision encoder."""
    return {name: parameter for name, parameter in model.named_parameters()
            if not name.startswith('vision.')}


def painted_ids(chat: ChatFormat) -> torch.Tensor:
    """Return the ids, i64 [K], of the tokens that only the painted world's sentences have."""
    words = ('A', *(f' {word}' for word in PAINTED_WORDS))
    return torch.tensor(sorted({chat.encode_text(word)[0] for word in words}))


class NarrationLoss:
    """
    The loss of what a model says about batches, one after the other.

    A word counts the same in every batch: the sum over a batch is divided by what the targets of
    batches weigh in the mean. Samples of like length go together, so divided by its own weight
    a batch of silences would count as much as one of questions. painted_words: as of
    painted_ids().
    """

    def __init__(self, model: VideoModel, heads: FrameTruthHeads, silence_id: int,
                 painted_words: torch.Tensor):
        self._model, self._heads = model, heads
        self._silence_id, self._painted_words = silence_id, painted_words
        self._mean_weight: float | None = None

    def __call__(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float | None]]:
        """Return the loss, and readable figures: the accuracy of words and of silences."""
        hidden, auxiliary = _watch(self._model, self._heads, batch)
        is_target = batch.targets != IGNORED
        targets = batch.targets[is_target]
        logits = self._model.lm_head(hidden[is_target])
        is_silence = targets == self._silence_id
        weights = torch.where(is_silence, SILENCE_WEIGHT, 1.0)
        margins = torch.zeros_like(logits)
        is_unknown = _is_unknown(batch)[is_target.nonzero()[:, 0]]
        margins[:, self._painted_words] = PAINTED_WORD_MARGIN * is_unknown.float()[:, None]
        losses = F.cross_entropy(logits + margins, targets, reduction='none')
        loss = (losses * weights).sum() / self._mean_with(weights.sum().item())
        with torch.no_grad():
            is_right = (logits.argmax(-1) == targets).float()
            figures = {
                'loss': loss.item(), 'auxiliary': auxiliary.item(),
                'words_right': _mean(is_right[~is_silence]),
                'silences_right': _mean(is_right[is_silence])}
        return loss + auxiliary, figures

    def _mean_with(self, weight: float) -> float:
        """Return the mean weight of a batch, this one's among them."""
        if self._mean_weight is None:
            self._mean_weight = weight
        self._mean_weight += (1 - MEAN_WEIGHT_DECAY) * (weight - self._mean_weight)
        return self._mean_weight


def _is_unknown(batch):
    """Return by sample, bool [B], whether none of its frames tells of the painted world."""
    num_painted = torch.zeros(len(batch.token_ids)).index_add_(
        0, batch.frame_rows[:, 0], batch.is_painted.float())
    return num_painted == 0


def _watch(model, heads, batch):
    """Return the hidden states [B, T, D] of a batch, and the loss of what heads read from them."""
    with mixed_precision():
        hidden = model.decoder(batch.token_ids, model.projector(batch.features.float()))
    return hidden, AUXILIARY_WEIGHT * heads.loss(hidden, batch)


def _mean(values: torch.Tensor) -> float | None:
    # A batch of clips holds no silence, and JSON has no NaN.
    return values.mean().item() if len(values) else None


def _batches(streams, features, maker, generator, course, phase):
    """Yield batches without end; samples of like length go together, so little is padding."""
    num_frames, batch_size = phase.num_frames, phase.batch_size
    painted, unknown = ([row for row, stream in enumerate(streams) if isinstance(stream, kind)]
                        for kind in (Stream, UnknownStream))
    worlds, weights = zip(*(
        (rows, weight) for rows, weight in (
            (painted, 1 - course.p_unknown), (unknown, course.p_unknown)) if rows and weight))

    def draw():
        """Return a sample and its features."""
        rows = generator.choices(worlds, weights)[0]
        row = generator.choice(rows)
        first_frame = generator.randrange(len(streams[row].times_s) - num_frames + 1)
        return maker.make(streams[row], first_frame, num_frames), features[row]

    while True:
        drawn = [draw() for _ in range(batch_size * NUM_BATCHES_SORTED)]
        drawn.sort(key=lambda entry: len(entry[0].token_ids))
        groups = [drawn[start:start + batch_size]
                  for start in range(0, len(drawn), batch_size)]
        generator.shuffle(groups)
        for group in groups:
            samples, of_streams = zip(*group)
            yield stack_samples(samples, of_streams, maker.chat.eot_id)


def train_narration(model: VideoModel, chat: ChatFormat, streams: list[Stream | UnknownStream],
                    features: Sequence[np.ndarray], course: Course, seed: int, report,
                    snapshot=None) -> None:
    """
    Train model in place but for the vision encoder; the weights end as their moving average.

    features: by stream, f16 [L, P, Dv], pooled. snapshot(step) is called now and then while the
    model holds the averaged weights.
    """
    torch.manual_seed(seed)
    generator = random.Random(seed)
    heads = FrameTruthHeads(model.decoder)
    named = text_parameters(model)
    optimiser = Optimiser(named.items(), list(heads.parameters()), course.learning_rates,
                          WEIGHT_DECAY)
    trained = list(named.values())
    average = [parameter.detach().clone() for parameter in trained]
    num_steps = sum(phase.num_steps for phase in course.phases)

    def batches_of(phase):
        return _batches(streams, features, SampleMaker(chat, generator, phase.mix), generator,
                        course, phase)

    narration_loss = NarrationLoss(model, heads, chat.silence_id, painted_ids(chat))
    batches = batches_of(course.phases[0])
    train_heads(model, list(heads.parameters()), lambda: _watch(
        model, heads, next(batches))[1], NUM_HEAD_STEPS, HEAD_LEARNING_RATE)
    step = 0
    for phase in course.phases:
        batches = batches_of(phase)
        for _ in range(phase.num_steps):
            loss, figures = narration_loss(next(batches))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step(cosine_schedule(step, num_steps, NUM_WARMUP_STEPS))
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
