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
Before a photograph in which nothing painted has shown yet that is the answer of an unknown scene.
"""

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import sys

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import CheckpointError
from moss_ros.training.disturbances import CLEAN, DISTURBANCES
from moss_ros.training.evaluation import Evaluator
from moss_ros.training.evaluation_run import StreamRun
from moss_ros.training.fresh_streams import (
    Conditions, MAX_SEED, QUESTIONS, read_photographs, WORLDS,
)
from moss_ros.training.robustness import measure_robustness, robustness_table
import torch


def print_trace(run: StreamRun) -> None:
    """Print what happened and what was said in one scene, frame by frame, to stderr."""
    print(f'scene {run.stream.scene.seed}', file=sys.stderr)
    lines = [(index, 0, f'      {event.sentence}') for index, event in run.stream.truth]
    lines += [(index, 1, f'              said: {sentence}') for index, sentence in run.said]
    lines += [(index, 2, f'              {question.text} {run.answers.get(prompt_id)}')
              for prompt_id, (index, question) in run.asked.items()]
    for index, _, text in sorted(lines):
        print(f'{index:5d} {text}', file=sys.stderr)


def main(command_line: Sequence[str] | None = None) -> int:
    """Run the command line, by default the process's; the exit status is 2 for a bad one."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.evaluate',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('--checkpoint', type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument('--world', choices=WORLDS, help='painted (default), or unknown; '
                        '--robustness takes both where it is not given')
    parser.add_argument('--photos', type=Path, metavar='DIR',
                        help='make the streams of the unknown world, or the backgrounds of '
                             '--renderer, from these photographs')
    parser.add_argument('--renderer', type=Path, metavar='FILE',
                        help='draw the painted world by the class Renderer of this Python file, '
                             'such as test/training/other_renderer.py')
    parser.add_argument('--disturbance', choices=DISTURBANCES, default=CLEAN, metavar='NAME',
                        help=f'what the camera does to its pictures: {", ".join(DISTURBANCES)}')
    parser.add_argument('--robustness', action='store_true',
                        help='print the table of all disturbances, one row each')
    parser.add_argument('--questions', choices=QUESTIONS, default='known',
                        help='known: in the wordings of the docs (default); wide: in all that '
                             'training asks, and also questions that nobody can answer, counted '
                             'apart; unseen: both in wordings that training never asks')
    parser.add_argument('--num-scenes', type=int, default=200)
    parser.add_argument('--num-frames', type=int, default=60, help='frames a scene (default 60)')
    parser.add_argument('--seed', type=int, default=1, help=f'0 to {MAX_SEED} (default 1)')
    parser.add_argument('--quantization', choices=('int8', 'int4'),
                        help="bits of the decoder's weights (default: as they are)")
    parser.add_argument('--num-processes', type=int, default=1,
                        help='how many share the scenes; the figures are the same (default 1)')
    parser.add_argument('--num-threads', type=int, default=1, help='of one process (default 1)')
    parser.add_argument('--trace', action='store_true',
                        help='show on stderr what happened and what was said; in one process')
    arguments = parser.parse_args(command_line)
    for name in ('num_processes', 'num_threads'):
        if getattr(arguments, name) < 1:
            parser.error(f'--{name.replace("_", "-")} is {getattr(arguments, name)}; take 1 or '
                         'more')
    torch.set_num_threads(arguments.num_threads)
    if arguments.robustness and (arguments.trace or arguments.disturbance != CLEAN):
        parser.error('--robustness is a table of all disturbances; leave out --disturbance and '
                     '--trace')
    try:
        conditions = _conditions(arguments)
        with Evaluator(arguments.checkpoint, arguments.quantization,
                       arguments.num_processes) as evaluator:
            if arguments.robustness:
                worlds = (arguments.world,) if arguments.world else WORLDS
                rows = measure_robustness(evaluator, conditions, worlds, _say)
                print(robustness_table(rows, worlds))
            else:
                print(json.dumps(evaluator.figures(
                    conditions, print_trace if arguments.trace else None)))
    except (ValueError, CheckpointError) as error:
        parser.error(str(error))
    return 0


def _conditions(arguments):
    """Return what the arguments ask for; ValueError for what cannot be."""
    photographs = read_photographs(arguments.photos) if arguments.photos else []
    world = arguments.world or (
        'unknown' if arguments.robustness and photographs and not arguments.renderer
        else 'painted')
    return Conditions(arguments.num_scenes, arguments.num_frames, arguments.seed, world,
                      arguments.questions, photographs, arguments.disturbance,
                      arguments.renderer)


def _say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main())
