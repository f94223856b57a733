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
How well a checkpoint narrates fresh streams: `python -m moss_ros.training.evaluate`.

A checkpoint and a seed go in; one JSON line of figures comes out, with 95 % intervals of those
that are fractions. Streams that training never saw run through StreamSession, and what the model
says stays in its context. A sentence must have the exact wording of an event at about that time;
an answer must be true of the frame at which the question was asked, or of the one before it.
"""

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import random
import sys
import time

import cv2
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import CheckpointError
from moss_ros.stream import StreamCheckpoint
from moss_ros.training.evaluation_run import Evaluation, StreamRun
from moss_ros.training.scenes import SceneRenderer
from moss_ros.training.streams import FIRST_TRAINING_SEED, make_stream
from moss_ros.training.unknown import film_of, make_unknown_stream
import numpy as np
import torch

# The demo camera's picture size.
PICTURE_SIZE_PX = (320, 240)
SCENES_PER_SEED = 10_000
MAX_SEED = 2 ** 31
# Scenes of seeds above that leave no room below the seeds of training begin here.
FIRST_HIGH_SEED = 2 ** 40
WORLDS = ('painted', 'unknown')
QUESTIONS = ('known', 'wide')
MAX_PHOTOGRAPHS = 4


def evaluate(checkpoint: Path, num_scenes: int, num_frames: int, seed: int,
             quantization: str | None = None, trace=None, world: str = 'painted',
             photographs: Sequence[np.ndarray] = (), questions: str = 'known') -> dict:
    """
    Stream num_scenes fresh scenes of num_frames frames each; return the figures.

    seed: 0 to 2**31; no training with a seed below a million has the same streams. quantization:
    as of load_model(). trace: called with each StreamRun. world: one of WORLDS. photographs: u8
    [H, W, 3] RGB of which the unknown world's streams are made; none: of made-up pictures.
    questions: 'known' asks in the wordings that the committed checkpoint was trained on, 'wide'
    also in paraphrases and what nobody can answer. Raises ValueError for a value outside,
    CheckpointError for a folder that is no checkpoint.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f'seed is {seed}; take one from 0 to {MAX_SEED}')
    if not 1 <= num_scenes <= SCENES_PER_SEED:
        raise ValueError(f'num_scenes is {num_scenes}; take 1 to {SCENES_PER_SEED}')
    if num_frames < 8:
        raise ValueError(f'num_frames is {num_frames}; a scene needs at least 8')
    if photographs and world != 'unknown':
        raise ValueError(f'world is {world!r}; photographs are for the unknown world')
    opened = StreamCheckpoint.open(checkpoint)
    session = opened.session(opened.load_model('cpu', 'float32', 'auto', quantization))
    evaluation = Evaluation()
    start_s = time.monotonic()
    first = seed * SCENES_PER_SEED
    first += 0 if first < FIRST_TRAINING_SEED else FIRST_HIGH_SEED
    for scene_seed in range(first, first + num_scenes):
        session.reset()
        stream, picture_at = _made(world, scene_seed, num_frames, session.frame_rate_fps,
                                   photographs)
        run = StreamRun(session, stream, picture_at, random.Random(f'questions {scene_seed}'),
                        questions == 'wide')
        run.run()
        run.count_into(evaluation)
        if trace is not None:
            trace(run)
    elapsed_s = time.monotonic() - start_s
    return {'world': world, 'questions': questions, **evaluation.figures(),
            'num_scenes': num_scenes, 'seed': seed,
            'frames_per_s': round(evaluation.num_frames / elapsed_s, 1)}


def _made(world, seed, num_frames, frame_rate_fps, photographs):
    """Return a stream and what gives the picture of a time."""
    if world == 'painted':
        stream = make_stream(seed, num_frames)
        return stream, SceneRenderer(stream.scene, *PICTURE_SIZE_PX).render
    stream = make_unknown_stream(seed, num_frames, frame_rate_fps)
    generator = random.Random(f'photographs {seed}')
    chosen = generator.sample(photographs, min(MAX_PHOTOGRAPHS, len(photographs)))
    return stream, film_of(stream, chosen).picture


def read_photographs(folder: Path) -> list[np.ndarray]:
    """Return the pictures of a folder, u8 [H, W, 3] RGB, by name; ValueError if it has none."""
    pictures = [cv2.imread(str(file), cv2.IMREAD_COLOR) for file in sorted(folder.glob('*'))]
    found = [picture[..., ::-1].copy() for picture in pictures if picture is not None]
    if not found:
        raise ValueError(f'{folder} holds no pictures')
    return found


def print_trace(run: StreamRun) -> None:
    """Print what happened and what was said in one scene, frame by frame, to stderr."""
    print(f'scene {run.stream.scene.seed}', file=sys.stderr)
    lines = [(index, 0, f'      {event.sentence}') for index, event in run.stream.truth]
    lines += [(index, 1, f'              said: {sentence}') for index, sentence in run.said]
    lines += [(index, 2, f'              {question.text} {run.answers.get(prompt_id)}')
              for prompt_id, (index, question) in run.asked.items()]
    for index, _, text in sorted(lines):
        print(f'{index:5d} {text}', file=sys.stderr)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line, of args or sys.argv; the exit status is 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.evaluate',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('--checkpoint', type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument('--world', choices=WORLDS, default='painted',
                        help='painted (default), or unknown: of which the committed checkpoint '
                             'has learned nothing')
    parser.add_argument('--photos', type=Path, metavar='DIR',
                        help='make the streams of the unknown world from these photographs')
    parser.add_argument('--questions', choices=QUESTIONS, default='known',
                        help='known: in the wordings that the committed checkpoint was trained '
                             'on (default); wide: also in paraphrases, and also questions that '
                             'nobody can answer, counted apart')
    parser.add_argument('--num-scenes', type=int, default=200)
    parser.add_argument('--num-frames', type=int, default=60, help='frames a scene (default 60)')
    parser.add_argument('--seed', type=int, default=1, help=f'0 to {MAX_SEED} (default 1)')
    parser.add_argument('--quantization', choices=('int8', 'int4'),
                        help="bits of the decoder's weights (default: as they are)")
    parser.add_argument('--num-threads', type=int, default=1)
    parser.add_argument('--trace', action='store_true',
                        help='show on stderr what happened and what was said')
    arguments = parser.parse_args(args)
    torch.set_num_threads(arguments.num_threads)
    try:
        photographs = read_photographs(arguments.photos) if arguments.photos else []
        figures = evaluate(arguments.checkpoint, arguments.num_scenes, arguments.num_frames,
                           arguments.seed, arguments.quantization,
                           print_trace if arguments.trace else None, arguments.world,
                           photographs, arguments.questions)
    except (ValueError, CheckpointError) as error:
        parser.error(str(error))
    print(json.dumps(figures))
    return 0


if __name__ == '__main__':
    sys.exit(main())
