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
Command line that measures how fast a stream runs here: ros2 run moss_ros bench_stream.

A preset of random weights or a checkpoint goes in; a table comes out on stdout and, as the last
line, the figures as JSON; the progress on stderr. Exit status 0; 1 if the measuring failed; 2 with
one line on stderr if something can't be measured; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys

from moss_ros.benchmark.figures_table import table_of
from moss_ros.benchmark.measuring import measure, Plan, prepare
from moss_ros.benchmark.peer import PeerError
from moss_ros.benchmark.presets import PRESET_NAMES
from moss_ros.benchmark.stream_measures import StreamError
from moss_ros.checks import require_count, require_number
from moss_ros.model import CheckpointError
from moss_ros.model.quantization import QUANTIZATION_NAMES
import torch

_INTERRUPTED = 130  # what a shell reports after Ctrl-C
_NUM_DIGITS = 5
_MIN_PAIRS = 5
_MOST_FRAMES = 100_000


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message):
        self.exit(2, f'{self.prog}: error: {message}\n')


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(format=f'{parser.prog}: %(message)s', level=logging.WARNING)

    def say(text):
        print(f'{parser.prog}: {text}', file=sys.stderr, flush=True)

    try:
        try:
            bench = prepare(_plan(options), say)
        except (CheckpointError, PeerError, ValueError) as error:
            parser.error(' '.join(str(error).split()))
        # For both outputs: what is rounded twice may differ in its last digit.
        figures = _rounded(measure(bench, say))
        print(table_of(figures))
        print(json.dumps(figures), flush=True)
    except StreamError as error:
        say(f'error: {error}')
        return 1
    except torch.OutOfMemoryError as error:
        say(f'error: the GPU has too little memory, take fewer --frames or a lower --up-to '
            f'({" ".join(str(error).split())})')
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has closed it. Keep Python from failing again in its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _plan(options):
    """Return what the options ask for; ValueError that names an option out of range."""
    if options.frames is not None:
        require_count('--frames', options.frames, 0, _MOST_FRAMES)
    for fps in options.ingest_fps:
        require_number('--ingest-fps', fps, minimum=0, maximum=1000)
    require_number('--seconds', options.seconds, above=0, maximum=3600)
    require_count('--prompts', options.prompts, 1, 10_000)
    require_count('--up-to', options.up_to, 0, _MOST_FRAMES)
    require_count('--pairs', options.pairs, _MIN_PAIRS, 1000)
    require_count('--seed', options.seed, 0)
    if options.num_threads is not None:
        require_count('--num-threads', options.num_threads, 1, 1024)
    name = options.preset
    if name is None and options.checkpoint is None:
        name = PRESET_NAMES[0]
    return Plan(
        name=name, checkpoint=options.checkpoint, device=options.device, dtype=options.dtype,
        attention=options.attention,
        quantization=None if options.quantization == 'none' else options.quantization,
        num_frames=options.frames, ingest_fps=tuple(options.ingest_fps), seconds=options.seconds,
        num_prompts=options.prompts, up_to=options.up_to,
        num_pairs=options.pairs if options.peer else 0, num_threads=options.num_threads,
        seed=options.seed, eager=options.eager)


def _rounded(value):
    """Return value with its numbers rounded, in lists and dicts too."""
    if isinstance(value, float):
        return float(f'{value:.{_NUM_DIGITS}g}')
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def _make_parser():
    parser = _Parser(
        prog='bench_stream',
        description='Measure how fast a stream runs here: a table, then one line of JSON.')
    what = parser.add_argument_group('what to measure')
    subject = what.add_mutually_exclusive_group()
    subject.add_argument('--preset', choices=PRESET_NAMES,
                         help='sizes, with random weights (default demo, the embedded model)')
    subject.add_argument('--checkpoint', metavar='FOLDER',
                         help='folder or Hugging Face id of a checkpoint')
    what.add_argument('--frames', type=int, metavar='N',
                      help="frames watched before (default: 26 for demo, 256 for the other "
                           "presets, all that a checkpoint's context holds)")
    what.add_argument('--peer', choices=('transformers',),
                      help="run transformers' Mllama of the same sizes in turn with this package")
    model = parser.add_argument_group('the model')
    model.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:1 ...')
    model.add_argument('--dtype', default='auto',
                       help='auto (default), float32, bfloat16 or float16')
    model.add_argument('--attention', default='auto', help='auto (default), sdpa or flash')
    model.add_argument('--quantization', default='none', choices=('none', *QUANTIZATION_NAMES),
                       help="of the decoder's weights (default none)")
    model.add_argument('--eager', action='store_true',
                       help='on a GPU: record and replay no CUDA graphs')
    model.add_argument('--num-threads', type=int, metavar='N',
                       help='CPU threads (default: as torch chooses)')
    model.add_argument('--seed', type=int, default=0, help='of random weights (default 0)')
    how = parser.add_argument_group('how to measure')
    how.add_argument('--seconds', type=float, default=3.0, metavar='S',
                     help='for which each figure is measured (default %(default)s)')
    how.add_argument('--ingest-fps', type=float, nargs='+', metavar='FPS',
                     default=[0.0, 1.0, 10.0, 30.0],
                     help='frames a second that arrive while the model speaks (default 0 1 10 30)')
    how.add_argument('--prompts', type=int, default=20, metavar='N',
                     help='questions and frames for the percentiles (default %(default)s)')
    how.add_argument('--up-to', type=int, default=1024, metavar='N',
                     help='frames up to which the cost of 64 more is measured (default '
                          '%(default)s)')
    how.add_argument('--pairs', type=int, default=_MIN_PAIRS, metavar='N',
                     help='measurements in turn with the peer (default, and at least, '
                          '%(default)s)')
    return parser


if __name__ == '__main__':
    sys.exit(main())
