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
How well a narration tells what happened: sentences matched with events, one to one.

Times may be frame indices or seconds; the tolerance has the same unit. match_pairs() serves
the evaluation. A Tally applies the same rules to the records of a live narrator and of a demo
camera; the demo's closing line and the benchmark of several cameras come from it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
import re

from moss_ros.training.unknown.statements import SCENE_KIND

# A sentence counts where it begins at most this many frames from the event.
TOLERANCE_FRAMES = 2


@dataclass(frozen=True)
class NarrationScore:
    """Counts of one comparison; add them with + to score several streams together."""

    num_events: int = 0
    num_said: int = 0
    num_matched: int = 0

    @property
    def num_missed(self) -> int:
        """Events that no sentence told in time."""
        return self.num_events - self.num_matched

    @property
    def num_false(self) -> int:
        """Sentences that no event of that time justifies."""
        return self.num_said - self.num_matched

    @property
    def event_recall(self) -> float:
        """Return the part of the events that was told; 1 where nothing happened."""
        return self.num_matched / self.num_events if self.num_events else 1.0

    @property
    def sentence_precision(self) -> float:
        """Return the part of the sentences that was true; 1 where nothing was said."""
        return self.num_matched / self.num_said if self.num_said else 1.0

    def __add__(self, other: 'NarrationScore') -> 'NarrationScore':
        return NarrationScore(self.num_events + other.num_events, self.num_said + other.num_said,
                              self.num_matched + other.num_matched)


def match_narration(truth: Sequence[tuple[float, str]], said: Sequence[tuple[float, str]],
                    tolerance: float) -> NarrationScore:
    """Count what match_pairs() matches."""
    return NarrationScore(len(truth), len(said), len(match_pairs(truth, said, tolerance)))


def match_pairs(truth: Sequence[tuple[float, str]], said: Sequence[tuple[float, str]],
                tolerance: float) -> dict[int, int]:
    """
    Match each sentence with at most one event of the same wording at most tolerance away.

    truth, said: (time, sentence) in any order. In order of time, each sentence takes the earliest
    such event that no sentence has taken yet. Returns by index of the event that of the sentence.
    """
    free = sorted(range(len(truth)), key=lambda index: truth[index])
    pairs = {}
    for at in sorted(range(len(said)), key=lambda index: said[index]):
        time, sentence = said[at]
        for index in free:
            event_time, event_sentence = truth[index]
            if event_sentence == sentence and abs(time - event_time) <= tolerance:
                free.remove(index)
                pairs[index] = at
                break
    return pairs


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a narration, each with its full stop."""
    return [sentence.strip() for sentence in re.findall(r'[^.?!]+[.?!]?', text)
            if sentence.strip()]


class Tally:
    """Collects records in any order and compares them; one thread at a time."""

    def __init__(self):
        self._frame_stamps: set[int] = set()
        self._spoken_stamps: set[int] = set()
        self._answer_stamps: set[int] = set()
        self._said: list[tuple[int, str]] = []
        self._truth: list[tuple[int, str]] = []

    @property
    def num_frames(self) -> int:
        """Frames after which the narrator spoke or kept silent."""
        return len(self._frame_stamps)

    @property
    def truth(self) -> list[tuple[int, str]]:
        """Return what happened: (stamp in ns, sentence), in order."""
        return sorted(self._truth)

    @property
    def said(self) -> list[tuple[int, str]]:
        """Return what was said unasked: (stamp in ns of the frame before, sentence), in order."""
        return sorted(self._said)

    def add_truth(self, record: dict) -> None:
        """Take over a record of the camera's `~/truth`; a cut to another scene is no event."""
        if record['kind'] != SCENE_KIND:
            self._truth.append((record['stamp_ns'], record['sentence']))

    def add_event(self, record: dict) -> None:
        """Take over a record of the narrator's `~/events`."""
        stamp_ns, kind = record['stamp_ns'], record['type']
        if stamp_ns is None:
            return
        if kind in ('token', 'silence'):
            self._frame_stamps.add(stamp_ns)
        if record['prompt_id'] is not None:
            self._answer_stamps.add(stamp_ns)
        elif kind == 'token':
            self._spoken_stamps.add(stamp_ns)
        elif kind == 'narration':
            first_ns = record['first_stamp_ns']
            self._said += [(first_ns, sentence) for sentence in split_sentences(record['text'])]

    def score(self) -> NarrationScore:
        """Compare what was said with what happened while the narrator watched."""
        stamps = sorted(self._frame_stamps)
        truth = [(bisect_left(stamps, stamp_ns), sentence) for stamp_ns, sentence in self._truth]
        said = [(bisect_left(stamps, stamp_ns), sentence) for stamp_ns, sentence in self._said]
        # Events before the first frame can't be told, and after the last frame but two there is
        # no time left to tell them: neither is counted.
        counted, cut = [], []
        for event in truth:
            (counted if 0 < event[0] < len(stamps) - TOLERANCE_FRAMES else cut).append(event)
        said = [told for told in said if not any(
            told[1] == sentence and abs(told[0] - index) <= TOLERANCE_FRAMES
            for index, sentence in cut)]
        return match_narration(counted, said, TOLERANCE_FRAMES)

    def silence_kept(self) -> tuple[int, int]:
        """Return (frames without a word, frames), of those frames with nothing to tell."""
        stamps = sorted(self._frame_stamps)
        busy = {bisect_left(stamps, stamp_ns) + delay for stamp_ns, _ in self._truth
                for delay in range(-1, TOLERANCE_FRAMES + 1)}
        quiet = [stamp_ns for index, stamp_ns in enumerate(stamps)
                 if index not in busy and stamp_ns not in self._answer_stamps]
        return sum(stamp_ns not in self._spoken_stamps for stamp_ns in quiet), len(quiet)

    def line(self) -> str:
        """Return the comparison in one line."""
        score = self.score()
        num_kept, num_quiet = self.silence_kept()
        part = f'{num_kept / num_quiet:.0%}' if num_quiet else 'all'
        return (
            f'{score.num_events} events, {score.num_said} said: {score.num_matched} right, '
            f'{score.num_missed} missed, {score.num_false} false; silence kept in {part} of '
            f'{num_quiet} quiet frames')
