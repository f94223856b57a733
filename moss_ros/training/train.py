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
streams, train the vision encoder on detection, cache its features, train the text side on them.
Runs on two CPU cores without anything downloaded; the same seed, program and thread count give
the same weights.
"""

import argparse
from dataclasses import replace
import json
from pathlib import Path
import time

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import (
    initialise, load_model, ModelConfig, normalise_frames, save_model, VideoModel,
)
from moss_ros.stream.chat import ChatFormat
from moss_ros.training.architecture import demo_config
from moss_ros.training.samples import SampleMix
from moss_ros.training.streams import (
    content_rows, FIRST_TRAINING_SEED, make_stream, render_streams,
)
from moss_ros.training.text_training import Course, train_text
from moss_ros.training.vision_training import detection_targets, train_vision
from moss_ros.training.vocabulary import write_tokenizer
import numpy as np
from safetensors.torch import load_file, save_file
import torch

NUM_STREAMS, STREAM_FRAMES = 2000, 96
# Questions about the colour of a shape are the hardest, and offline samples the shortest.
COURSE = Course(
    ((700, 64, 10), (700, 48, 18), (2200, 32, 28)), learning_rate=2.5e-3,
    mix=SampleMix(p_prompt_at_frame=0.1, p_offline=0.2, question_weights={'colour': 2.0}))
VISION_STEPS, VISION_BATCH_SIZE = 4500, 64
VISION_LEARNING_RATE = 1.5e-3


class Log:
    """Prints one JSON line a report, with the seconds since the start."""

    def __init__(self):
        self._start_s = time.monotonic()

    def __call__(self, stage: str, **figures) -> None:
        rounded = {name: round(value, 4) if isinstance(value, float) else value
                   for name, value in figures.items()}
        print(json.dumps({'t_s': round(time.monotonic() - self._start_s), 'stage': stage,
                          **rounded}), flush=True)

    def stage(self, name: str):
        """Return a report(step, figures) function for one stage."""
        return lambda step, figures: self(name, step=step, **figures)


def train(output: Path, seed: int, scale: float = 1.0, num_threads: int = 2,
          work_dir: Path | None = None, start_from: Path | None = None) -> None:
    """
    Train and write the checkpoint folder output.

    scale: multiplies the number of streams and steps; below 1 for a trial run. work_dir: keeps
    the result of the vision stage, and a later run with the same seed and scale loads it from
    there, to try changes of the text stage alone. start_from: a checkpoint of the same sizes to
    start from; only the text stage is then trained.
    """
    log = Log()
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(output)
    config = demo_config(tokenizer)
    (output / 'config.json').write_text(json.dumps(config, indent=1) + '\n')
    model = VideoModel(ModelConfig.from_dict(config))
    initialise(model, torch.Generator().manual_seed(seed))
    if start_from is not None:
        model.load_state_dict(load_model(start_from, device='cpu').state_dict())
    log('model', parameters=sum(parameter.numel() for parameter in model.parameters()))

    num_streams = max(8, round(NUM_STREAMS * scale))
    first_seed = FIRST_TRAINING_SEED + seed * 1_000_000
    seeds = range(first_seed, first_seed + num_streams)
    streams = [make_stream(stream_seed, STREAM_FRAMES) for stream_seed in seeds]
    kept = work_dir and work_dir / f'vision_seed_{seed}_streams_{num_streams}'
    if kept and kept.is_dir():
        model.vision.load_state_dict(load_file(kept / 'vision.safetensors'))
        features = np.load(kept / 'features.npy', allow_pickle=False)
    else:
        pictures = render_streams(seeds, STREAM_FRAMES, num_threads)
        log('rendered', streams=len(streams), frames=len(streams) * STREAM_FRAMES)
        if start_from is None:
            _vision_stage(model, pictures, streams, scale, seed, log)
        features = encode_pictures(model, pictures)
        log('encoded', feature_std=float(features[:8].astype(np.float32).std()))
        del pictures
        if kept:
            kept.mkdir(parents=True)
            save_file(model.vision.state_dict(), kept / 'vision.safetensors')
            np.save(kept / 'features.npy', features)

    chat = ChatFormat(output / 'tokenizer.json')

    def snapshot(_):
        save_model(model, output)

    phases = tuple((max(1, round(steps * scale)), batch, frames)
                   for steps, batch, frames in COURSE.phases)
    train_text(model, chat, streams, features, replace(COURSE, phases=phases), seed,
               log.stage('text'), snapshot)
    save_model(model.eval(), output)
    log('saved', folder=str(output))


def _vision_stage(model, pictures, streams, scale, seed, log) -> None:
    """Train model.vision on the rendered streams."""
    grid = model.config.vision.grid_size // model.config.pool_stride
    targets = [np.concatenate(arrays) for arrays in zip(*(
        detection_targets(stream, content_rows(stream), grid) for stream in streams))]
    train_vision(model, pictures.reshape(-1, *pictures.shape[2:]), targets,
                 max(2, round(VISION_STEPS * scale)), VISION_BATCH_SIZE, VISION_LEARNING_RATE,
                 seed, log.stage('vision'))


@torch.inference_mode()
def encode_pictures(model: VideoModel, pictures: np.ndarray) -> np.ndarray:
    """
    Return the pooled features f16 [N, L, P, Dv] of pictures u8 [N, L, 3, S, S].

    N streams, L frames in a stream, P pooled tokens of a frame, Dv vision features, S px.
    """
    features = []
    for stream_pictures in pictures:
        pixels = normalise_frames(torch.from_numpy(stream_pictures))
        features.append(model.pool_frames(model.vision(pixels)).half().numpy())
    return np.stack(features)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.train',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('--output', type=Path, default=DEMO_CHECKPOINT,
                        help="checkpoint folder to write (default: the package's own)")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--scale', type=float, default=1.0,
                        help='part of the full training, for a trial (default 1)')
    parser.add_argument('--num-threads', type=int, default=2)
    parser.add_argument('--work-dir', type=Path,
                        help='keep the vision stage here, and start from it the next time')
    parser.add_argument('--start-from', type=Path,
                        help='train the text side of this checkpoint on; its vision stays')
    arguments = parser.parse_args()
    train(arguments.output, arguments.seed, arguments.scale, arguments.num_threads,
          arguments.work_dir, arguments.start_from)


if __name__ == '__main__':
    main()
