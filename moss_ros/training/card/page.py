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
The page of the model card: figures into a template, which holds no number of its own.

The dictionary of the measures goes in, Markdown comes out, the same for the same figures. Called
by the program of the model card, and by the test that compares the page with its figures.
"""

from collections.abc import Mapping
from pathlib import Path

import jinja2
from moss_ros.training.card.judgements import (
    bars, cannot, MAX_DELAY_FRAMES, summary,
)
from moss_ros.training.disturbances import CLEAN
from moss_ros.training.robustness import robustness_table, with_interval

TEMPLATES = Path(__file__).with_name('templates')
NUM_CONFUSED = 4


def card_page(figures: Mapping) -> str:
    """Return the page, Markdown with a line break at its end."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    return environment.get_template('model_card.md.j2').render(
        figures=figures, bars=list(bars(figures)), summary=summary(figures),
        cannot=cannot(figures), worlds=_worlds(figures),
        kind_tables=[(title, _kind_rows(figures[name])) for title, name in (
            ('Painted', 'painted'), ('Unknown, made up', 'unknown'),
            ('Unknown, of photographs', 'unknown_photographs')) if figures[name]],
        part_in_time=_part_in_time(figures['painted']['num_by_delay']),
        robustness=robustness_table(figures['robustness'], ('painted', 'unknown')),
        clean=figures['robustness'][CLEAN]['painted'],
        answered=_answered(figures['unseen_wordings']['painted']),
        still_answers=_still_answers(figures['stills']),
        with_interval=with_interval, clock=_clock)


def _worlds(figures):
    """Return (title, figures) of all that was scored on streams."""
    other = figures['other_renderer'] or {}
    found = [('painted', figures['painted']), ('painted, long streams', figures['painted_long']),
             ('painted, another renderer', other.get('other')),
             ('the same, photographs behind', other.get('photographs')),
             ('unknown, made up', figures['unknown']),
             ('unknown, of photographs', figures['unknown_photographs']),
             *((f'{world}, questions in wordings of no training', of_world)
               for world, of_world in figures['unseen_wordings'].items())]
    return [(title, world) for title, world in found if world]


def _part_in_time(num_by_delay):
    """Return which part of the events that were told was told at most one frame later."""
    num = sum(num_by_delay.values())
    return sum(count for delay, count in num_by_delay.items()
               if int(delay) <= MAX_DELAY_FRAMES) / num if num else 0.0


def _kind_rows(world):
    """Return a row for each kind: events, told with interval, said instead, sentences, false."""
    rows = []
    for kind in dict.fromkeys((*world['num_by_kind'], *world['num_said_by_kind'])):
        num, told = world['num_by_kind'].get(kind, 0), '-'
        if num:
            low, high = world['recall_intervals_by_kind'][kind]
            told = f'{world["recall_by_kind"][kind]:.3f} ({low:.3f} to {high:.3f})'
        confused = list(world['confusion_by_kind'].get(kind, {}).items())
        instead = ', '.join(
            f'{"the same in other words" if other == kind else other} {count}'
            for other, count in confused[:NUM_CONFUSED])
        rest = sum(count for _, count in confused[NUM_CONFUSED:])
        rows.append((kind, num, told, instead + (f', others {rest}' if rest else ''),
                     world['num_said_by_kind'].get(kind, 0),
                     world['num_false_by_kind'].get(kind, 0)))
    return rows


def _answered(world):
    """Return (kind, asked, answered right) of each kind of questions."""
    return [(kind.replace('_', ' '), num, num - world['wrong_answers_by_kind'].get(kind, 0))
            for kind, num in world['num_asked_by_kind'].items()]


def _still_answers(stills):
    """Return how often each answer was given, by question."""
    found = {}
    for still in stills['watched'] if stills else ():
        for question, answer in still['answers'].items():
            counts = found.setdefault(question, {})
            counts[answer] = counts.get(answer, 0) + 1
    return found


def _clock(seconds):
    """Return a time in a clip as minutes and seconds."""
    return f'{int(seconds // 60)}:{seconds % 60:04.1f}'
