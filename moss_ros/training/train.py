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
Train the embedded model from a seed: `python -m moss_ros.training.train` (`make train`).

Writes a checkpoint folder (config.json, tokenizer.json, model.safetensors). The stages: render
streams of both worlds, train the vision encoder by heads of its own, cache the features of the
frames, train the text side on them, in short windows and then in long ones.
Runs on two CPU cores without anything downloaded; the same seed, program, thread count and kind
of processor give the same weights. Prints one JSON line a report, with the seconds since the start
and of the stage.
"""

import argparse
from dataclasses import dataclass, replace
import json
from pathlib import Path
import time

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import (
    CheckpointError, initialise, ModelConfig, pair_frames, save_model, VideoModel,
)
from moss_ros.stream.chat import ChatFormat
from moss_ros.training.architecture import demo_config
from moss_ros.training.carry_over import carry_over
from moss_ros.training.checkpoint_digest import checkpoint_digest
from moss_ros.training.colourless import make_colourless_by_chance
from moss_ros.training.kept_features import first_stages, KeptFeatures
from moss_ros.training.motion_truth import MotionTask
from moss_ros.training.narration_training import Course, Phase, train_narration
from moss_ros.training.optimiser import LearningRates
from moss_ros.training.picture_truth import ThumbnailTask
from moss_ros.training.samples import SampleMix
from moss_ros.training.streams import (
    content_part, FIRST_TRAINING_SEED, FRAME_RATE_FPS, IMAGE_SIZE_PX,
    make_training_stream, render_streams,
)
from moss_ros.training.unknown import make_unknown_stream, render_unknown_streams
from moss_ros.training.vision_training import (
    detection_targets, DetectionTask, pooled_features, train_vision,
)
from moss_ros.training.vocabulary import build_tokenizer, write_tokenizer
import numpy as np
import torch

# These kinds of questions are learned last: what they name has to be looked up in the picture.
MIX = SampleMix(p_prompt_at_frame=0.2, p_offline=0.2,
                question_weights={'colour': 3.0, 'where': 3.0, 'is_there': 2.0}, p_misread=0.06)


@dataclass(frozen=True)
class Recipe:
    """
    How much of what is learned.

    painted, unknown: (streams, frames of each). vision_batches: frames a step with objects to
    find, without any, of each world to read greys from, and to read motions from. course: of the
    text side.
    """

    painted: tuple[int, int]
    unknown: tuple[int, int]
    vision_steps: int
    vision_batches: tuple[int, int, int, int]
    vision_learning_rates: LearningRates
    course: Course

    def scaled(self, scale: float) -> 'Recipe':
        """Return the same recipe with scale times the streams and steps."""
        painted, unknown = ((max(8, round(num * scale)), length)
                            for num, length in (self.painted, self.unknown))
        return replace(self, painted=painted, unknown=unknown,
                       vision_steps=max(2, round(self.vision_steps * scale)),
                       course=replace(self.course, phases=tuple(
                           replace(phase, num_steps=max(1, round(phase.num_steps * scale)))
                           for phase in self.course.phases)))


RECIPE = Recipe(
    painted=(3840, 40), unknown=(4500, 40), vision_steps=2600, vision_batches=(72, 18, 8, 92),
    vision_learning_rates=LearningRates(8e-3, 1.5e-3),
    course=Course((
        Phase(600, 64, 2, replace(MIX, p_prompt_at_frame=0.6)),
        Phase(1400, 32, 8, replace(MIX, p_prompt_at_frame=0.25)),
        Phase(4400, 16, 28, MIX)), LearningRates(6e-3, 1.8e-3), p_unknown=0.32))
# What --finish does with a checkpoint.
FINISH_RECIPE = Recipe(
    painted=(3360, 40), unknown=(8500, 40), vision_steps=2500, vision_batches=(56, 14, 8, 144),
    vision_learning_rates=LearningRates(2e-3, 7e-4),
    course=Course((Phase(2800, 32, 28, MIX),), LearningRates(2.8e-3, 8e-4)))
# For a night; it has never been run.
LONG_RECIPE = Recipe(
    painted=(5760, 40), unknown=(12000, 40), vision_steps=12000,
    vision_batches=(72, 18, 12, 140), vision_learning_rates=LearningRates(8e-3, 1.5e-3),
    course=Course((Phase(2000, 64, 8, MIX), Phase(12000, 32, 28, MIX)), LearningRates(7e-3, 2e-3)))


class Log:
    """Prints one JSON line a report, with the seconds since the start and of the stage."""

    def __init__(self):
        self._start_s = self._stage_start_s = time.monotonic()
        self._stage = ''

    def __call__(self, stage: str, **figures) -> None:
        now_s = time.monotonic()
        rounded = {name: round(value, 4) if isinstance(value, float) else value
                   for name, value in figures.items()}
        print(json.dumps({
            't_s': round(now_s - self._start_s), 'stage': stage,
            'stage_s': round(now_s - self._stage_start_s), **rounded}), flush=True)
        if 'step' not in figures:
            self._stage_start_s = now_s

    def stage(self, name: str):
        """Return a report(step, figures) function for one stage."""
        return lambda step, figures: self(name, step=step, **figures)


def train(output: Path, seed: int, recipe: Recipe = RECIPE, num_threads: int = 2,
          work_dir: Path | None = None, start_from: Path | None = None,
          keep_vision: bool = False) -> None:
    """
    Train and write the checkpoint folder output.

    work_dir: keeps the weights before the last stage and the features, and a later run with the
    same seed and numbers of streams loads them from there, to try changes of that stage alone.
    start_from: a checkpoint of the same widths to start from; with keep_vision only the last stage
    is trained. Raises CheckpointError and ValueError as carry_over() does, and ValueError where
    what work_dir keeps was made otherwise, before it writes.
    """
    log = Log()
    torch.set_num_threads(num_threads)
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    config = demo_config(tokenizer)
    model = VideoModel(ModelConfig.from_dict(config))
    initialise(model, torch.Generator().manual_seed(seed))
    # Before output is written, which may be the same folder.
    if start_from is not None:
        carry_over(start_from, model, tokenizer)
    kept = work_dir and KeptFeatures(
        work_dir, seed, {**first_stages(recipe), 'keeps_vision': keep_vision,
                         'starts_from': start_from and checkpoint_digest(start_from)})
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory before it is written, and filling it takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    output.mkdir(parents=True, exist_ok=True)
    write_tokenizer(output)
    (output / 'config.json').write_text(json.dumps(config, indent=1) + '\n')
    log('model', parameters=sum(parameter.numel() for parameter in model.parameters()), seed=seed,
        starts_from_checkpoint=start_from is not None)

    first_seed = FIRST_TRAINING_SEED + seed * 1_000_000
    (num_painted, painted_frames), (num_unknown, unknown_frames) = recipe.painted, recipe.unknown
    painted_seeds = range(first_seed, first_seed + num_painted)
    unknown_seeds = range(first_seed, first_seed + num_unknown)
    painted = [make_training_stream(stream_seed, painted_frames) for stream_seed in painted_seeds]
    unknown = [make_colourless_by_chance(stream_seed, unknown_frames)
               or make_unknown_stream(stream_seed, unknown_frames, FRAME_RATE_FPS)
               for stream_seed in unknown_seeds]
    streams = [*painted, *unknown]
    chat = ChatFormat(output / 'tokenizer.json')

    def snapshot(_):
        save_model(model, output, torch.float16)

    if kept and kept.exists:
        features = kept.load(model)
    else:
        pictures = render_streams(painted_seeds, painted_frames, num_threads)
        log('painted world rendered', streams=num_painted, frames=num_painted * painted_frames)
        unknown_pictures = render_unknown_streams(unknown, IMAGE_SIZE_PX, num_threads)
        log('unknown world rendered', streams=num_unknown, frames=num_unknown * unknown_frames)
        if not keep_vision:
            # The tasks hold the pictures, so nothing here keeps the tasks.
            train_vision(model, _vision_tasks(
                model, painted, pictures, unknown, unknown_pictures, recipe.vision_batches, seed),
                recipe.vision_steps, recipe.vision_learning_rates, log.stage('vision'))
            log('vision trained')
        features = [encode_pictures(model, array) for array in (pictures, unknown_pictures)]
        log('encoded', feature_std=float(features[0][:8].astype(np.float32).std()))
        del pictures, unknown_pictures
        if kept:
            kept.save(model, features)

    train_narration(model, chat, streams, [*features[0], *features[1]], recipe.course,
                    seed, log.stage('text'), snapshot)
    save_model(model.eval(), output, torch.float16)
    log('saved', folder=str(output))


def _vision_tasks(model, painted, pictures, unknown, unknown_pictures, batches, seed):
    """Return what the encoder is to learn of painted and unknown streams, by Recipe's batches."""
    config, (*num_objects, num_greys, num_motions) = model.config, batches
    feature_dim, grid = config.vision.output_dim, config.vision.grid_size // config.pool_stride
    targets = tuple(np.stack(arrays) for arrays in zip(*(
        detection_targets(stream, content_part(stream), grid) for stream in painted)))
    return (DetectionTask(pictures, targets, unknown_pictures, num_objects, feature_dim, seed),
            ThumbnailTask((pictures, unknown_pictures), num_greys, feature_dim, seed),
            MotionTask(unknown_pictures, unknown, num_motions, config.num_frame_tokens,
                       feature_dim, seed))


@torch.inference_mode()
def encode_pictures(model: VideoModel, pictures: np.ndarray) -> np.ndarray:
    """
    Return the pooled features f16 [N, L, P, Dv] of pictures u8 [N, L, 3, S, S].

    N streams, L frames in a stream, P pooled tokens of a frame, Dv vision features, S px. Each
    frame is seen with the one before it.
    """
    config = model.config
    features = np.empty((*pictures.shape[:2], config.num_frame_tokens, config.vision.output_dim),
                        np.float16)
    for row, stream_pictures in enumerate(pictures):
        features[row] = pooled_features(
            model, pair_frames(torch.from_numpy(stream_pictures))).numpy()
    return features


def main(arguments=None) -> None:
    """Run the command line; arguments: those of the process where they are None."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.train',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('--output', type=Path, default=DEMO_CHECKPOINT,
                        help="checkpoint folder to write (default: the package's own)")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--long', action='store_true', help='several times the steps and streams')
    parser.add_argument('--scale', type=float, default=1.0,
                        help='part of the full training, for a trial (default 1)')
    parser.add_argument('--num-threads', type=int, default=2)
    parser.add_argument('--work-dir', type=Path,
                        help='keep what the last stage needs here, and start from it '
                             'the next time')
    parser.add_argument('--start-from', type=Path,
                        help='train this checkpoint of the same widths on')
    parser.add_argument('--keep-vision', action='store_true',
                        help='leave the vision encoder of --start-from as it is')
    parser.add_argument('--finish', action='store_true',
                        help='train --start-from on for a shorter time, on more streams')
    arguments = parser.parse_args(arguments)
    if arguments.seed < 0:
        parser.error(f'seed is {arguments.seed}; take one from 0 on')
    if not arguments.scale > 0:
        parser.error(f'scale is {arguments.scale}; take more than 0')
    if arguments.num_threads < 1:
        parser.error(f'--num-threads is {arguments.num_threads}; take 1 or more')
    for name in ('keep_vision', 'finish'):
        if getattr(arguments, name) and arguments.start_from is None:
            parser.error(f'--{name.replace("_", "-")} needs --start-from')
    if arguments.finish and arguments.long:
        parser.error('--finish and --long are two recipes; take one of them')
    recipe = LONG_RECIPE if arguments.long else FINISH_RECIPE if arguments.finish else RECIPE
    try:
        train(arguments.output, arguments.seed, recipe.scaled(arguments.scale),
              arguments.num_threads, arguments.work_dir, arguments.start_from,
              arguments.keep_vision)
    except (CheckpointError, ValueError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
