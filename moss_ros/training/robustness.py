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
The table of robustness: scenes by a clean camera and by each kind of disturbed one.

An Evaluator and conditions go in, figures by disturbance and world, and the table in Markdown,
come out. Called by the programs of evaluation and of the model card.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from moss_ros.training.disturbances import DISTURBANCES
from moss_ros.training.evaluation import Evaluator
from moss_ros.training.fresh_streams import Conditions

# Of the figures of a row, what the table shows, with its heading.
COLUMNS = (('event_recall', 'events told'), ('sentence_precision', 'sentences true'),
           ('silence_kept', 'silence kept'), ('question_accuracy', 'questions right'))


def measure_robustness(evaluator: Evaluator, conditions: Conditions, worlds: Sequence[str],
                       report: Callable[[str], None] = lambda line: None
                       ) -> dict[str, dict[str, dict]]:
    """
    Return figures by the name of the disturbance and by world.

    Of conditions the world and the disturbance are set for each row; its photographs are for the
    unknown world, or for its renderer, which is for the painted one. report: called with one line
    a row.
    """
    rows: dict[str, dict[str, dict]] = {}
    for name in DISTURBANCES:
        for world in worlds:
            figures = evaluator.figures(replace(
                conditions, world=world, disturbance=name,
                photographs=conditions.photographs
                if world == 'unknown' or conditions.renderer else (),
                renderer=conditions.renderer if world == 'painted' else None))
            rows.setdefault(name, {})[world] = figures
            report(f'{name}, {world}: events {figures["event_recall"]:.3f}, '
                   f'sentences {figures["sentence_precision"]:.3f}, {figures["cpu_s"]} CPU s')
    return rows


_OF_HOW_MANY = {'event_recall': 'num_events', 'sentence_precision': 'num_said',
                'silence_kept': 'num_quiet_frames', 'question_accuracy': 'num_questions',
                'other_question_accuracy': 'num_other_questions'}


def with_interval(figures: Mapping, name: str) -> str:
    """Return a figure with its 95 % interval, as a cell of a table; a dash where it is of none."""
    if not figures[_OF_HOW_MANY[name]]:
        return '-'
    low, high = figures['intervals'][name]
    return f'{figures[name]:.3f} ({low:.3f} to {high:.3f})'


def robustness_table(rows: Mapping[str, Mapping[str, Mapping]], worlds: Sequence[str]) -> str:
    """Return the table in Markdown: one row a disturbance and world."""
    lines = ['| World | Camera | ' + ' | '.join(title for _, title in COLUMNS)
             + ' | painted words |', '|---|---|' + '---|' * (len(COLUMNS) + 1)]
    for world in worlds:
        for name, by_world in rows.items():
            figures = by_world[world]
            cells = ' | '.join(with_interval(figures, column) for column, _ in COLUMNS)
            row = DISTURBANCES[name]
            may_say_them = world == 'painted' and row.has_colours
            words = '' if may_say_them else figures['num_painted_words']
            lines.append(f'| {world} | {row.title} | {cells} | {words} |')
    return '\n'.join(lines)
