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
What the figures mean, by rule: which bars are met, what the model can and cannot do.

The figures of the measures go in, rows and sentences come out, for whatever model was measured.
Nobody writes a judgement about the model by hand. Called by the page of the model card.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moss_ros.training.disturbances import CLEAN, DISTURBANCES
from moss_ros.training.robustness import with_interval
from moss_ros.training.unknown.statements import DIRECTIONS_ARE_TOLD

FIGURES = {'event_recall': 'events told', 'sentence_precision': 'sentences true',
           'silence_kept': 'silence kept', 'question_accuracy': 'questions right',
           'other_question_accuracy': 'unanswerable questions right'}
PAINTED_BARS = {'event_recall': 0.96, 'sentence_precision': 0.97, 'silence_kept': 0.99,
                'question_accuracy': 0.97}
UNKNOWN_BARS = {'event_recall': 0.85, 'sentence_precision': 0.93, 'silence_kept': 0.99}
KIND_BAR = 0.92
LONG_SLACK, RENDERER_SLACK = 0.02, 0.03
MAX_DELAY_FRAMES = 1
# A camera under which a figure falls by more than this, and out of its interval, is named among
# what cannot be done.
DISTURBED_SLACK = 0.1
# A model that tells less than this part of a world's events does not know that world.
KNOWN_WORLD = 0.5
# Kinds that happened less often than this are not judged alone, nor cameras that saw fewer events.
LEAST_NUM = 10


@dataclass(frozen=True)
class Bar:
    """One row of the table of bars: of what, what is wanted, what was measured, is it met."""

    what: str
    wanted: str
    measured: str
    is_met: bool


def bars(figures: Mapping) -> Iterator[Bar]:
    """Yield a row for each bar that was measured."""
    painted = figures['painted']
    yield from _least('painted', painted, PAINTED_BARS)
    kinds = {kind: recall for kind, recall in painted['recall_by_kind'].items()
             if painted['num_by_kind'][kind] >= LEAST_NUM}
    if kinds:
        kind = min(kinds, key=kinds.get)
        low, high = painted['recall_intervals_by_kind'][kind]
        yield Bar('painted: each kind of event told', f'at least {KIND_BAR}',
                  f'least: {kind}, {kinds[kind]:.3f} ({low:.3f} to {high:.3f})',
                  kinds[kind] >= KIND_BAR)
    delay = painted['median_delay_frames']
    if delay is not None:
        yield Bar('painted: frames from event to first word, median',
                  f'at most {MAX_DELAY_FRAMES}', f'{delay:g}', delay <= MAX_DELAY_FRAMES)
    long = figures['painted_long']
    yield from _near(f'painted, streams of {_length(long)} frames', long, painted, LONG_SLACK)
    other = figures['other_renderer']
    if other:
        for name, what in (('other', 'painted, another renderer'),
                           ('photographs', 'painted, another renderer, photographs behind')):
            if name in other:
                yield from _near(what, other[name], other['own'], RENDERER_SLACK)
    for name, what in (('unknown', 'unknown, made up'),
                       ('unknown_photographs', 'unknown, of photographs')):
        if figures[name]:
            yield from _least(what, figures[name], UNKNOWN_BARS)
            words = figures[name]['num_painted_words']
            yield Bar(f'{what}: painted words', '0', f'{words}', not words)
    stills = figures['stills']
    if stills:
        num = sum(still['num_frames_with_words'] for still in stills['watched'])
        yield Bar('still photographs with noise: frames with a word', '0', f'{num}', not num)
        num = painted_words_of_stills(stills)
        yield Bar('still photographs: painted words, answers included', '0', f'{num}', not num)
    if figures['clips']:
        num = sum(clip['num_painted_words'] for clip in figures['clips'])
        yield Bar('video clips: painted words', '0', f'{num}', not num)


def painted_words_of_stills(stills: Mapping) -> int:
    """Return how many painted words were said of photographs, watched or described."""
    return sum(still['num_painted_words'] for still in stills['watched']) \
        + stills['described']['num_painted_words']


def _least(what, figures, least):
    for name, bar in least.items():
        cell = with_interval(figures, name)
        if cell != '-':
            yield Bar(f'{what}: {FIGURES[name]}', f'at least {bar}', cell, figures[name] >= bar)


def _near(what, figures, others, slack):
    for name in PAINTED_BARS:
        cell, least = with_interval(figures, name), others[name] - slack
        if cell != '-' and with_interval(others, name) != '-':
            yield Bar(f'{what}: {FIGURES[name]}', f'at least {least:.3f}', cell,
                      round(figures[name], 4) >= round(least, 4))


def _length(figures):
    return round(figures['num_frames'] / figures['num_scenes'])


def summary(figures: Mapping) -> list[str]:
    """Return what the model does in each world, in a sentence or two each."""
    painted, found = figures['painted'], []
    found.append(
        f'In the painted world it tells {painted["event_recall"]:.1%} of the events; '
        f'{painted["sentence_precision"]:.1%} of its sentences are true.')
    for name, where in (('unknown', 'In the unknown world as it is made up'),
                        ('unknown_photographs', 'In the unknown world made of photographs')):
        unknown = figures[name]
        if not unknown:
            continue
        words = unknown['num_painted_words']
        lie = (f'It says {_painted_words(words)} in {unknown["num_frames"]} frames there: it '
               'tells of coloured shapes that are not there.' if words else
               f'It says no painted word there in {unknown["num_frames"]} frames.')
        if unknown['event_recall'] < KNOWN_WORLD:
            told = f'it does not tell what happens ({unknown["event_recall"]:.1%} of the events).'
        else:
            told = (f'it tells {unknown["event_recall"]:.1%} of the events; '
                    f'{unknown["sentence_precision"]:.1%} of its sentences are true.')
        found.append(f'{where} {told} {lie}')
    return found + _of_real_pictures(figures)


def _painted_words(num):
    return f'{num or "no"} painted {"word" if num in (0, 1) else "words"}'


def _of_real_pictures(figures):
    found = []
    if stills := figures['stills']:
        watched = stills['watched']
        num, of = (sum(still[name] for still in watched)
                   for name in ('num_frames_with_words', 'num_frames'))
        speech = f'speaks after {num} of {of} frames' if num else 'keeps silent'
        found.append(f'Before {len(watched)} still photographs it {speech}; asked about them, it '
                     f'says {_painted_words(painted_words_of_stills(stills))}.')
    if clips := figures['clips']:
        found.append(
            f'Before {len(clips)} video clips it says {sum(len(clip["said"]) for clip in clips)} '
            f'sentences, {_painted_words(sum(clip["num_painted_words"] for clip in clips))} among '
            'them and its answers.')
    return found


def cannot(figures: Mapping) -> list[str]:
    """Return what the model cannot do, as the figures show it; each in a sentence."""
    found = [f'{bar.what}: {bar.measured}, where {bar.wanted} is wanted.'
             for bar in bars(figures) if not bar.is_met]
    for world in ('unknown', 'unknown_photographs'):
        unknown = figures[world] or {}
        found += [
            f'Of what happens in the {_title(world)} it tells `{kind}` in {recall:.0%} of '
            f'{unknown["num_by_kind"][kind]} cases only.'
            for kind, recall in unknown.get('recall_by_kind', {}).items()
            if recall < KNOWN_WORLD and unknown['num_by_kind'][kind] >= LEAST_NUM]
    if not DIRECTIONS_ARE_TOLD:
        found.append('It is not taught to tell in which direction a camera moves, only that it '
                     'does.')
    for name, by_world in figures['robustness'].items():
        for world, disturbed in by_world.items():
            clean = figures['robustness'][CLEAN][world]
            falls = [f'{FIGURES[figure]} {clean[figure]:.2f} to {disturbed[figure]:.2f}'
                     for figure in ('event_recall', 'sentence_precision', 'silence_kept',
                                    'question_accuracy')
                     if clean[figure] - disturbed[figure] > DISTURBED_SLACK
                     and clean[figure] > disturbed['intervals'][figure][1]
                     and with_interval(disturbed, figure) != '-']
            # Of a handful of events any fall may be chance.
            if falls and disturbed['num_events'] >= LEAST_NUM:
                found.append(f'{DISTURBANCES[name].title}, {world} world: {", ".join(falls)}.')
    return found


def _title(world):
    return 'unknown world' + (' made of photographs' if world == 'unknown_photographs' else '')
