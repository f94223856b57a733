"""
What was said against what truly happened, from the records of two topics.

Records of `~/events` and `~/truth` go in, one line of text comes out. The same rules as the
evaluation's, on the frames that a live narrator saw. Knows nothing of ROS. Used by the demo and
the end-to-end tests.
"""

from bisect import bisect_left

from moss_ros.training.scoring import (
    match_narration, NarrationScore, split_sentences, TOLERANCE_FRAMES,
)


class Tally:
    """Collects records in any order; no thread but one at a time."""

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
        """What happened: (stamp in ns, sentence), in order."""
        return sorted(self._truth)

    @property
    def said(self) -> list[tuple[int, str]]:
        """What was said unasked: (stamp in ns of the frame before it, sentence), in order."""
        return sorted(self._said)

    def add_truth(self, record: dict) -> None:
        """Take over a record of the camera's `~/truth`."""
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
        # Nobody can tell what happened before the first frame, and has no time to tell what
        # happened after the last but two.
        counted, cut = [], []
        for event in truth:
            (counted if 0 < event[0] < len(stamps) - TOLERANCE_FRAMES else cut).append(event)
        said = [told for told in said if not any(
            told[1] == sentence and abs(told[0] - index) <= TOLERANCE_FRAMES
            for index, sentence in cut)]
        return match_narration(counted, said, TOLERANCE_FRAMES)

    def silence_kept(self) -> tuple[int, int]:
        """Return (frames without a word, frames) of those when there was nothing to say."""
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
