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
Measure a checkpoint and write its model card: `python -m moss_ros.training.model_card`.

A checkpoint, photographs, clips and another renderer go in; the figures (JSON) and the page made
of them (Markdown) come out. Figures are written after each part, so that a run that was broken
off goes on with --resume.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
import json
from pathlib import Path
import sys
import time

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.media import MediaError
from moss_ros.model import CheckpointError
from moss_ros.training.card.measures import (
    Extent, Measures, PARTS, QUICK, Sources,
)
from moss_ros.training.card.page import card_page
from moss_ros.training.checkpoint_digest import checkpoint_digest
from moss_ros.training.evaluation import Evaluator
from moss_ros.training.fresh_streams import MAX_SEED
import torch


def measure_card(sources: Sources, extent: Extent, seed: int, num_processes: int, file: Path,
                 known: dict, report) -> dict:
    """
    Return the figures of all parts, and write them into file after each.

    known: figures of parts that are not to be measured again. report: called with lines to show.
    """
    figures = {**known, 'seed': seed, 'extent': _as_read(extent)}
    start_s = time.monotonic()
    with Evaluator(sources.checkpoint, num_processes=num_processes) as evaluator:
        measures = Measures(evaluator, sources, extent, seed, report)
        for part in PARTS:
            if part not in figures:
                figures[part] = measures.measure(part)
                report(f'{part} measured after {time.monotonic() - start_s:.0f} s')
                file.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')
    return figures


def _as_read(extent: Extent) -> dict:
    """Return the numbers of extent as they are read back from JSON, which has no tuples."""
    return json.loads(json.dumps(asdict(extent)))


def _known_figures(file: Path, arguments, extent: Extent) -> dict:
    """Return what of an earlier run's figures can stay; ValueError where nothing can."""
    try:
        figures = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ValueError(f'{file} cannot be read ({error}); measure without --resume, --only and '
                         '--redraw') from error
    digest = figures.get('checkpoint', {}).get('digest')
    if arguments.redraw:
        missing = [part for part in PARTS if part not in figures]
        if missing:
            raise ValueError(f'{file} has no {", ".join(missing)}: its run was broken off; go on '
                             'with --resume')
        return figures
    if digest != checkpoint_digest(arguments.checkpoint) or figures['seed'] != arguments.seed:
        raise ValueError(f'{file} is of checkpoint {digest} and seed {figures.get("seed")}, not '
                         f'of {checkpoint_digest(arguments.checkpoint)} and {arguments.seed}; '
                         'measure without --resume and --only')
    if figures.get('extent') != _as_read(extent):
        raise ValueError(f'{file} is of other numbers of scenes: {figures.get("extent")}; '
                         'measure as many, or without --resume and --only')
    return {name: value for name, value in figures.items() if name not in (arguments.only or ())}


def main(command_line: Sequence[str] | None = None) -> int:
    """Run the command line, by default the process's; the exit status is 2 for a bad one."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.model_card',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('--checkpoint', type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument('--output', type=Path, default=Path('docs/model_card.md'),
                        help='the page (default docs/model_card.md); the figures go beside it, '
                             'as .json')
    parser.add_argument('--photos', type=Path, metavar='DIR', help='photographs')
    parser.add_argument('--clips', type=Path, metavar='DIR', help='video clips')
    parser.add_argument('--renderer', type=Path, metavar='FILE',
                        help='another renderer of the painted world, such as '
                             'test/training/other_renderer.py')
    parser.add_argument('--training-log', type=Path, metavar='FILE',
                        help='what the training of the checkpoint printed')
    parser.add_argument('--num-scenes', type=int, metavar='N',
                        help=f'scenes of the painted world (default {Extent().painted[0]})')
    parser.add_argument('--scale', type=float, default=1.0, metavar='X',
                        help='measure X times as many scenes of each kind (default 1)')
    parser.add_argument('--quick', action='store_true',
                        help='a trial, with figures that say little')
    parser.add_argument('--seed', type=int, default=1, help=f'0 to {MAX_SEED} (default 1)')
    parser.add_argument('--num-processes', type=int, default=2)
    again = parser.add_mutually_exclusive_group()
    again.add_argument('--resume', action='store_true',
                       help='keep the parts that an earlier run of the same checkpoint measured')
    again.add_argument('--only', nargs='+', choices=tuple(PARTS), metavar='PART',
                       help=f'measure only these anew: {", ".join(PARTS)}')
    again.add_argument('--redraw', action='store_true',
                       help='measure nothing, make the page anew from the figures')
    arguments = parser.parse_args(command_line)
    torch.set_num_threads(1)
    figures_file = arguments.output.with_suffix('.json')
    if not 0 < arguments.scale <= 20:
        parser.error(f'--scale is {arguments.scale}; take more than 0, and at most 20')
    if arguments.num_processes < 1:
        parser.error(f'--num-processes is {arguments.num_processes}; take 1 or more')
    extent = QUICK if arguments.quick else Extent().scaled(arguments.scale)
    if arguments.num_scenes is not None:
        extent = replace(extent, painted=(arguments.num_scenes, extent.painted[1]))
    try:
        known = {}
        if arguments.resume or arguments.only or arguments.redraw:
            known = _known_figures(figures_file, arguments, extent)
        sources = Sources(arguments.checkpoint, arguments.photos, arguments.clips,
                          arguments.renderer, arguments.training_log)
        figures = known if arguments.redraw else measure_card(
            sources, extent, arguments.seed, arguments.num_processes, figures_file, known,
            lambda line: print(line, file=sys.stderr, flush=True))
        arguments.output.write_text(card_page(figures), encoding='utf-8')
    except (ValueError, OSError, CheckpointError, MediaError) as error:
        parser.error(str(error))
    print(f'{arguments.output} written, from {figures_file}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
