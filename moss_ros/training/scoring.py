"""
How well a narration tells what happened: sentences matched with events, one to one.

Times may be frame indices or seconds; the tolerance is in the same unit. Used by the evaluation
and by the demo's closing line. Knows neither models nor topics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import re

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
    """
    Match each sentence with at most one event of the same wording at most tolerance away.

    truth, said: (time, sentence) in any order. Sentences are served in order of time, each by
    the earliest event that is still free.
    """
    free = sorted(truth)
    num_matched = 0
    for time, sentence in sorted(said):
        for index, (event_time, event_sentence) in enumerate(free):
            if event_sentence == sentence and abs(time - event_time) <= tolerance:
                del free[index]
                num_matched += 1
                break
    return NarrationScore(len(truth), len(said), num_matched)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a narration, each with its full stop."""
    return [sentence.strip() for sentence in re.findall(r'[^.?!]+[.?!]?', text)
            if sentence.strip()]
