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
What of a source could not be used: counted by kind, and told with the first text of a kind.

The chooser of frames and the narration note it, run.json keeps it, and the command line says it in
one line. Knows neither sources nor models; one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable

# Of a text that an error quotes: beyond that a line is not read.
_MOST_SHOWN = 240


class UnusableTally:
    """Counts by kind, apart for images and for prompts, with the text of the first of each."""

    def __init__(self, values: Iterable[list] = ()):
        """Go on from values, what to_json() gave; TypeError or ValueError if they are not."""
        # By (is a prompt, kind): [how many, text of the first].
        self._found: dict[tuple[bool, str], list] = {}
        self._add(values)

    def note(self, is_prompt: bool, kind: str, text: str) -> None:
        """Count one more of a kind."""
        self._add([[is_prompt, kind, 1, ' '.join(text.split())]])

    def joined(self, other: UnusableTally) -> UnusableTally:
        """Return what both have counted."""
        return UnusableTally([*self.to_json(), *other.to_json()])

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind, by name."""
        counts: dict[str, int] = {}
        for (_, kind), (num, _) in self._found.items():
            counts[kind] = counts.get(kind, 0) + num
        return dict(sorted(counts.items()))

    def told(self, is_prompt: bool | None = None) -> str:
        """
        Return the kinds in words, the most frequent first; '' where there are none.

        is_prompt: whether of prompts only, or of images only; None: of both. The most frequent
        kind has the text of its first one, and so has every kind of prompt.
        """
        keys = [key for key in self._found if is_prompt in (None, key[0])]
        keys.sort(key=lambda key: (-self._found[key][0], key))
        return ', '.join(self._told(key, key is keys[0] or key[0]) for key in keys)

    def to_json(self) -> list[list]:
        """Return all of it as plain values for JSON."""
        return [[*key, *self._found[key]] for key in sorted(self._found)]

    def _told(self, key, has_text):
        is_prompt, kind = key
        num, text = self._found[key]
        whose = ' of a prompt' if is_prompt and 'prompt' not in kind else ''
        return f'{num} {kind}{whose}' + (f' (the first: {_shortened(text)})' if has_text else '')

    def _add(self, values):
        for is_prompt, kind, num, text in values:
            found = self._found.setdefault((is_prompt, kind), [0, text])
            found[0] += num


def _shortened(text):
    return text if len(text) <= _MOST_SHOWN else f'{text[:_MOST_SHOWN]}...'
