"""
The bounded letter box between whoever receives frames and prompts and the worker's thread.

Frames and prompts go in from any thread and come out, oldest first, on the worker's. A Prompter
numbers the prompts of a node and asks the standing one whenever a stream begins.
"""

from __future__ import annotations

from collections import deque
import itertools
import threading
import time

from moss_ros.checks import require_count
from moss_ros.stream.frame import Frame, Prompt


class Mailbox:
    """
    Frames and prompts that the session has not taken in yet.

    At most max_frames frames: one more drops the oldest, which is counted. Prompts are never
    dropped. All methods may be called from any thread and block for no longer than it takes
    another thread to put or take a reference.
    """

    def __init__(self, max_frames: int):
        """Raise ValueError that quotes a max_frames that is no whole number above 0."""
        require_count('max_frames', max_frames)
        self._max_frames = max_frames
        self._frames: deque[Frame] = deque()
        self._prompts: deque[Prompt] = deque()
        self._num_dropped_frames = 0
        self._lock = threading.Lock()
        self._wake = threading.Condition()

    @property
    def num_dropped_frames(self) -> int:
        """Frames dropped since the mailbox was made."""
        return self._num_dropped_frames

    @property
    def has_frames(self) -> bool:
        """Whether a frame waits."""
        return bool(self._frames)

    @property
    def has_prompts(self) -> bool:
        """Whether a prompt waits."""
        return bool(self._prompts)

    def submit_frame(self, frame: Frame) -> None:
        """Put a frame in, dropping the oldest where there are max_frames already."""
        with self._lock:
            if len(self._frames) == self._max_frames:
                self._frames.popleft()
                self._num_dropped_frames += 1
            self._frames.append(frame)
        self._notify()

    def submit_prompt(self, prompt: Prompt) -> None:
        """Put a prompt in."""
        with self._lock:
            self._prompts.append(prompt)
        self._notify()

    def drain(self, max_frames: int | None = None) -> tuple[list[Prompt], list[Frame]]:
        """Take out all prompts and all frames, at most max_frames of them; oldest first."""
        with self._lock:
            prompts = list(self._prompts)
            self._prompts.clear()
            num_frames = len(self._frames)
            if max_frames is not None:
                num_frames = min(num_frames, max_frames)
            frames = [self._frames.popleft() for _ in range(num_frames)]
        return prompts, frames

    def take_newest(self, num_frames: int) -> list[Frame]:
        """Take out the newest num_frames frames, oldest first, and drop those before them."""
        with self._lock:
            frames = list(self._frames)[-num_frames:]
            self._num_dropped_frames += len(self._frames) - len(frames)
            self._frames.clear()
        return frames

    def attach(self, condition: threading.Condition) -> None:
        """
        Notify this condition of whatever comes in from now on.

        The worker calls it, to wait on one condition for all its mailboxes.
        """
        self._wake = condition
        self._notify()

    def _notify(self):
        # Never while holding the lock: the worker looks into mailboxes while it holds the
        # condition, so the other order could deadlock.
        condition = self._wake
        with condition:
            condition.notify_all()


class Prompter:
    """
    Numbers prompts, and asks the standing one whenever a stream begins.

    The ids 'prompt-1', 'prompt-2', ... count over the life of the node, so that none comes twice.
    One thread at a time; nothing blocks.
    """

    def __init__(self):
        self._numbers = itertools.count(1)
        self._mailbox: Mailbox | None = None
        self.standing = ''

    def open(self, mailbox: Mailbox) -> None:
        """Ask into this mailbox from now on, the standing prompt first."""
        self._mailbox = mailbox
        self.ask_standing()

    def close(self) -> None:
        """Ask nobody any more."""
        self._mailbox = None

    def ask(self, text: str) -> None:
        """Ask text, which is not blank, behind all that waits; nothing happens where closed."""
        if self._mailbox is not None:
            self._mailbox.submit_prompt(
                Prompt(text, f'prompt-{next(self._numbers)}', time.monotonic_ns()))

    def ask_standing(self) -> None:
        """Ask the standing prompt, if there is one, before the prompts that wait."""
        if self._mailbox is None or not self.standing.strip():
            return
        waiting, _ = self._mailbox.drain(max_frames=0)
        self.ask(self.standing)
        for prompt in waiting:
            self._mailbox.submit_prompt(prompt)
