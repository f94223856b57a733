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
What was said in a bag, and when: records of narration.jsonl in, narrations by time out.

Goes through the records once and keeps the text of each narration, not its pieces. Called by
bag/outputs.py, for the report page of a bag and the index page of many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Narration:
    """
    One finished utterance, or a question to which nothing was said.

    begin_ns and end_ns: bag times of its first word and of its end; without words both are the
    end. prompt: text of the prompt that it answers, and asked_ns when that was asked; both None
    for what was said unasked. reason: why it ended, a value of EndReason.
    """

    narration_id: int
    begin_ns: int
    end_ns: int
    text: str
    prompt: str | None
    reason: str
    asked_ns: int | None = None

    @property
    def shown_ns(self) -> int:
        """Bag time by which narrations are sorted: when it was asked for, else when it began."""
        return self.begin_ns if self.asked_ns is None else self.asked_ns


@dataclass(frozen=True)
class Timeline:
    """The narrations of a bag, by shown_ns, and the bag times at which prompts were asked."""

    narrations: tuple[Narration, ...]
    prompt_times_ns: tuple[int, ...]

    @property
    def num_answers(self) -> int:
        """Narrations that answer a prompt, in words."""
        return sum(narration.prompt is not None and narration.text != ''
                   for narration in self.narrations)

    @property
    def num_questions(self) -> int:
        """Narrations that belong to a prompt, with words or without."""
        return sum(narration.prompt is not None for narration in self.narrations)

    @property
    def spoken_ns(self) -> int:
        """Bag time during which something was being said, ns."""
        total_ns, covered_ns = 0, 0
        for narration in self.narrations:
            total_ns += max(0, narration.end_ns - max(narration.begin_ns, covered_ns))
            covered_ns = max(covered_ns, narration.end_ns)
        return total_ns


def timeline_of(records: Iterable[dict]) -> Timeline:
    """Return the timeline in records; KeyError or TypeError if they are something else."""
    narrations = []
    prompt_times_ns = []
    asked = {}
    for record in records:
        if record['type'] == 'prompt':
            asked[record['prompt_id']] = record['text'], record['first_bag_time_ns']
            prompt_times_ns.append(record['first_bag_time_ns'])
        elif record['type'] == 'narration':
            prompt, asked_ns = asked.get(record['prompt_id'], (None, None))
            narrations.append(Narration(
                record['narration_id'], record['first_bag_time_ns'], record['bag_time_ns'],
                record['text'], prompt, record['reason'], asked_ns))
    narrations.sort(key=lambda narration: (narration.shown_ns, narration.narration_id))
    return Timeline(tuple(narrations), tuple(prompt_times_ns))
