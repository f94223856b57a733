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
One stream narrated in evaluation, and the counts of many: what was said against what was true.

A stream of either world, its pictures and a session go in; counts, figures and their intervals
come out. Called by the evaluation program.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
import math
import random
import statistics

from moss_ros.stream import NarrationEvent, Prompt, StreamSession, TokenEvent
from moss_ros.training.fresh_streams import QUESTIONS
from moss_ros.training.scenes import EventKind, Question, random_question
from moss_ros.training.scenes.language import DO_NOT_KNOW, OTHER, PAINTED_WORDS
from moss_ros.training.scoring import (
    match_pairs, NarrationScore, split_sentences, TOLERANCE_FRAMES,
)
from moss_ros.training.streams import Stream
from moss_ros.training.unknown import SENTENCES, UnknownStream
from moss_ros.training.watching import watch
import numpy as np

P_QUESTION = 0.04
P_OTHER_QUESTION = 0.01
# Of the normal distribution, for an interval that holds the truth in 95 of 100 cases.
_Z = 1.96


def wilson_interval(num_right: int, num: int) -> tuple[float, float]:
    """Return the bounds of Wilson's 95 % interval of a proportion; 0 and 1 where num is 0."""
    if not num:
        return 0.0, 1.0
    part = num_right / num
    middle = part + _Z ** 2 / (2 * num)
    reach = _Z * math.sqrt(part * (1 - part) / num + _Z ** 2 / (4 * num ** 2))
    scale = 1 + _Z ** 2 / num
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


_KIND_BY_SENTENCE = {sentence: kind.value for kind, sentence in SENTENCES.items()}
_PAINTED_KINDS = tuple(kind.value for kind in EventKind)


def kind_of(sentence: str, is_painted: bool) -> str:
    """
    Return the kind of event that a sentence tells, in the words of the figures; or 'other'.

    is_painted: it was said of the painted world. What belongs into the other world is named so.
    """
    if sentence == 'nothing':
        return sentence
    if sentence in _KIND_BY_SENTENCE:
        return ('unknown world: ' if is_painted else '') + _KIND_BY_SENTENCE[sentence]
    words = sentence.rstrip('.').split()
    kind = next((kind for kind in _PAINTED_KINDS if kind in words), 'other')
    return kind if is_painted or kind == 'other' else f'painted world: {kind}'


def _rounded(bounds):
    return [round(bound, 4) for bound in bounds]


def num_painted_words(text: str) -> int:
    """Return how many words of text are of the painted vocabulary."""
    return sum(word.strip('.,?!').lower() in PAINTED_WORDS for word in text.split())


@dataclass
class Evaluation:
    """Counts over all streams so far."""

    score: NarrationScore = field(default_factory=NarrationScore)
    num_quiet_steps: int = 0
    num_kept_silent: int = 0
    num_questions: int = 0
    num_answered_right: int = 0
    num_other_questions: int = 0
    num_others_answered_right: int = 0
    num_painted_words: int = 0
    num_frames: int = 0
    delays: list[int] = field(default_factory=list)
    missed: Counter = field(default_factory=Counter)
    happened: Counter = field(default_factory=Counter)
    said_instead: Counter = field(default_factory=Counter)
    # (kind that happened, kind of the sentence that was said instead), of what was missed.
    confused: Counter = field(default_factory=Counter)
    said_by_kind: Counter = field(default_factory=Counter)
    false_by_kind: Counter = field(default_factory=Counter)
    false_sentences: Counter = field(default_factory=Counter)
    wrong_answers: Counter = field(default_factory=Counter)
    asked: Counter = field(default_factory=Counter)
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0

    def add(self, other: 'Evaluation') -> None:
        """Take over the counts of other streams; of the peaks of memory the larger one stays."""
        for name in (field.name for field in fields(self)):
            mine, others = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, others) if name == 'peak_memory_mb' else mine + others)

    def figures(self) -> dict:
        """Return the figures of the JSON line; fractions, 1 where nothing was asked for."""
        score = self.score
        counts = {
            'event_recall': (score.num_matched, score.num_events),
            'sentence_precision': (score.num_matched, score.num_said),
            'silence_kept': (self.num_kept_silent, self.num_quiet_steps),
            'question_accuracy': (self.num_answered_right, self.num_questions)}
        if self.num_other_questions:
            counts['other_question_accuracy'] = (
                self.num_others_answered_right, self.num_other_questions)
        figures = {name: round(right / num, 4) if num else 1.0
                   for name, (right, num) in counts.items()}
        return {
            **figures,
            'intervals': {name: _rounded(wilson_interval(*count))
                          for name, count in counts.items()},
            'num_quiet_frames': self.num_quiet_steps,
            'median_delay_frames': statistics.median(self.delays) if self.delays else None,
            'num_by_delay': {str(delay): num for delay, num in sorted(
                Counter(self.delays).items())},
            'num_events': score.num_events,
            'num_said': score.num_said,
            'num_questions': self.num_questions,
            'num_other_questions': self.num_other_questions,
            'num_painted_words': self.num_painted_words,
            'num_frames': self.num_frames,
            'recall_by_kind': {
                kind: round(1 - self.missed[kind] / count, 3)
                for kind, count in sorted(self.happened.items())},
            'recall_intervals_by_kind': {
                kind: _rounded(wilson_interval(count - self.missed[kind], count))
                for kind, count in sorted(self.happened.items())},
            'num_by_kind': dict(sorted(self.happened.items())),
            'confusion_by_kind': {
                kind: {other: num for (missed, other), num in self.confused.most_common()
                       if missed == kind}
                for kind in sorted(self.happened)},
            'num_said_by_kind': dict(sorted(self.said_by_kind.items())),
            'num_false_by_kind': dict(sorted(self.false_by_kind.items())),
            'said_instead': dict(self.said_instead.most_common(30)),
            'false_sentences': dict(self.false_sentences.most_common(20)),
            'wrong_answers_by_kind': dict(sorted(self.wrong_answers.items())),
            'num_asked_by_kind': dict(sorted(self.asked.items())),
        }


class StreamRun:
    """
    One stream through a session: what was said and answered, at which frame.

    picture_at: gives the picture u8 [H, W, 3] of a time of the stream. generator: draws the
    questions. asking: what is asked, one of QUESTIONS.
    """

    def __init__(self, session: StreamSession, stream: Stream | UnknownStream,
                 picture_at: Callable[[float], np.ndarray], generator: random.Random,
                 asking: str = 'known'):
        self.stream = stream
        self.said: list[tuple[int, str]] = []
        self.spoke_at: set[int] = set()
        self.asked: dict[str, tuple[int, Question]] = {}
        self.answers: dict[str, str] = {}
        self._session = session
        self._picture_at = picture_at
        self._random = generator
        self._draw_wording, self._draw_other = QUESTIONS[asking]
        self._other_random = random.Random(generator.random()) if self._draw_other else None

    def run(self) -> None:
        """Feed every frame; each is followed by as many tokens as the model wants to say."""
        times_s = self.stream.times_s
        prompts = {}
        # A frame or two must have been seen: nothing can be said of movement before.
        for index in range(2, len(times_s)):
            if (question := self._question_at(index)) is not None:
                prompts[index] = Prompt(question.text, f'question {index}', 0)
                self.asked[prompts[index].prompt_id] = index, question
        frames = ((time_s, self._picture_at(time_s)) for time_s in times_s)
        for index, events in watch(self._session, frames, prompts):
            self._take(index, events)
        self._take(len(times_s) - 1, self._session.stop())

    def _question_at(self, index: int) -> Question | None:
        if self._random.random() < P_QUESTION:
            objects = self.stream.objects[index] if isinstance(self.stream, Stream) else ()
            return random_question(self._random, objects, draw_wording=self._draw_wording)
        if self._other_random and self._other_random.random() < P_OTHER_QUESTION:
            return self._draw_other(self._other_random)
        return None

    def _take(self, index: int, events: list) -> None:
        for event in events:
            if isinstance(event, TokenEvent):
                self.spoke_at.add(index)
            elif isinstance(event, NarrationEvent) and event.prompt_id is not None:
                self.answers[event.prompt_id] = event.text.strip()
            elif isinstance(event, NarrationEvent):
                self.said += [(index, sentence) for sentence in split_sentences(event.text)]

    def count_into(self, evaluation: Evaluation) -> None:
        """Add the counts of this run."""
        # What happens at the very end has no frames left in which it could be told.
        num_frames = len(self.stream.times_s)
        truth = [(index, event) for index, event in self.stream.truth
                 if 0 < index < num_frames - TOLERANCE_FRAMES]
        said = [(index, sentence) for index, sentence in self.said
                if not self._is_of_cut_event(index, sentence, num_frames)]
        events = [(index, event.sentence) for index, event in truth]
        pairs = match_pairs(events, said, TOLERANCE_FRAMES)
        evaluation.score += NarrationScore(len(events), len(said), len(pairs))
        false = [told for at, told in enumerate(said) if at not in pairs.values()]
        for number, (index, event) in enumerate(truth):
            told_at = said[pairs[number]][0] if number in pairs else None
            self._count_event(evaluation, index, event, told_at, false)
        evaluation.false_sentences.update(sentence for _, sentence in false)
        is_painted = isinstance(self.stream, Stream)
        for counter, part in ((evaluation.said_by_kind, said), (evaluation.false_by_kind, false)):
            counter.update(kind_of(sentence, is_painted) for _, sentence in part)
        busy = {index + delay for index, _ in self.stream.truth
                for delay in range(-1, TOLERANCE_FRAMES + 1)}
        busy |= {index for index, _ in self.asked.values()}
        quiet = set(range(num_frames)) - busy
        evaluation.num_quiet_steps += len(quiet)
        evaluation.num_kept_silent += len(quiet - self.spoke_at)
        evaluation.num_frames += num_frames
        evaluation.num_painted_words += sum(num_painted_words(text) for text in (
            *(sentence for _, sentence in self.said), *self.answers.values()))
        self._count_answers(evaluation)

    def _count_event(self, evaluation: Evaluation, index: int, event, told_at: int | None,
                     false) -> None:
        kind = event.kind.value
        evaluation.happened[kind] += 1
        if told_at is not None:
            evaluation.delays.append(told_at - index)
            return
        evaluation.missed[kind] += 1
        # What tells another event of that time is not said instead of this one.
        instead = next((sentence for at, sentence in false
                        if abs(at - index) <= TOLERANCE_FRAMES), 'nothing')
        evaluation.said_instead[f'{kind}: {instead}'] += 1
        evaluation.confused[kind, kind_of(instead, isinstance(self.stream, Stream))] += 1

    def _is_of_cut_event(self, index: int, sentence: str, num_frames: int) -> bool:
        """Return whether the sentence tells one of the events that are not counted."""
        return any(event.sentence == sentence and abs(index - event_index) <= TOLERANCE_FRAMES
                   for event_index, event in self.stream.truth
                   if not 0 < event_index < num_frames - TOLERANCE_FRAMES)

    def _count_answers(self, evaluation: Evaluation) -> None:
        for prompt_id, (index, question) in self.asked.items():
            # True when asked, or one frame before: what is seen is that old.
            accepted = {self.stream.answer(question, at) for at in (index - 1, index)}
            is_right = self.answers.get(prompt_id) in accepted
            evaluation.asked[question.kind] += 1
            # In the unknown world nobody can answer what is asked of balls, boxes and cones.
            if question.kind == OTHER or accepted == {DO_NOT_KNOW}:
                evaluation.num_other_questions += 1
                evaluation.num_others_answered_right += is_right
            else:
                evaluation.num_questions += 1
                evaluation.num_answered_right += is_right
            if not is_right:
                evaluation.wrong_answers[question.kind] += 1
