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
The index page of many narrated bags: an IndexEntry for each bag goes in, HTML comes out.

The page links to the report of each bag, counts what was said, and names the bags that failed,
with the reasons. Like the reports it loads nothing from elsewhere, and it runs no script at all.
Called by bag/batch.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
import os
from urllib.parse import quote

from moss_ros.views.report import (
    answers_text, LEAST_STRETCH, pieces, seconds, stretches_path,
)
from moss_ros.views.timeline import Timeline
from moss_ros.views.times import duration_text

_NO_TIMELINE = Timeline((), ())


@dataclass(frozen=True)
class IndexEntry:
    """
    One bag: narrated into folder (a name beside the index page), or failed for a reason, or both.

    subtitle: a line about it, such as its image topic. start_ns, duration_ns: its bag time.
    """

    name: str
    folder: str = ''
    error: str = ''
    subtitle: str = ''
    start_ns: int = 0
    duration_ns: int = 0
    timeline: Timeline = _NO_TIMELINE

    @property
    def href(self) -> str:
        """Relative address of the report."""
        # The dot keeps a name such as 'a:b' from being read as another scheme. A name is bytes,
        # in whatever encoding.
        return f'./{quote(os.fsencode(self.folder))}/report.html'

    @property
    def duration(self) -> str:
        """Length of the bag, to be read."""
        return duration_text(self.duration_ns)

    @property
    def duration_s(self) -> str:
        """Length of the small timeline."""
        return seconds(self._drawn_ns)

    @property
    def path(self) -> str:
        """SVG path of the small timeline."""
        # A fourth as wide as that of a report.
        return stretches_path(
            self.timeline.narrations, self.start_ns, int(self._drawn_ns * LEAST_STRETCH * 4))

    @property
    def num_narrations(self) -> int:
        """Count what was said."""
        return len(self.timeline.narrations)

    @property
    def answers(self) -> str:
        """Count those that answer a prompt, and the prompts where some have no answer."""
        return answers_text(self.timeline)

    @property
    def _drawn_ns(self):
        return max(self.duration_ns, 10**9)


def index_page(title: str, entries: Sequence[IndexEntry]) -> Iterator[str]:
    """Yield the page over entries, in their order, piece by piece."""
    failed = [entry for entry in entries if entry.error]
    narrated = [entry for entry in entries if entry.folder]
    figures = [
        ('Bags', f'{len(narrated)} of {len(entries)}' if failed else str(len(entries))),
        ('Time', duration_text(sum(entry.duration_ns for entry in narrated))),
        ('Narrations', str(sum(entry.num_narrations for entry in narrated))),
        ('Answers', answers_text(Timeline(tuple(chain.from_iterable(
            entry.timeline.narrations for entry in narrated)), ())))]
    return pieces('index.html.j2', title=title, figures=figures, failed=failed, narrated=narrated)
