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
The bounded, thread-safe mailbox between the receivers of frames and prompts and the worker.

Frames and prompts go in from any thread and come out, oldest first, on the worker's thread. A
Prompter numbers the prompts of a node, and asks the standing one whenever a stream begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
import itertools
import threading
import time

from moss_ros.checks import require_count
from moss_ros.stream.frame import Frame, Prompt


class Mailbox:
    """
    Frames and prompts that the session has not taken in yet.

    It holds at most max_frames frames: one more drops the oldest, and the drop is counted. Prompts
    are never dropped. Any thread may call all methods; they block only as long as another thread
    needs to put or take a reference.
    """

    def __init__(self, max_frames: int):
        """Make an empty mailbox; ValueError if max_frames is not a whole number above 0."""
        require_count('max_frames', max_frames)
        self._max_frames = max_frames
        self._frames: deque[Frame] = deque()
        self._prompts: deque[Prompt] = deque()
        self._forgotten_prompts: list[Prompt] = []
        self._num_dropped_frames = self._num_forgotten_frames = 0
        self._num_holds = 0
        self._waiting_since_ns: int | None = None
        self._lock = threading.Lock()
        self._wake = threading.Condition()

    @property
    def num_dropped_frames(self) -> int:
        """Return the number of frames dropped, for newer ones, since the mailbox was made."""
        return self._num_dropped_frames

    @property
    def num_forgotten_frames(self) -> int:
        """Return the number of frames that a pause or a new stream had forgotten since then."""
        return self._num_forgotten_frames

    @property
    def has_frames(self) -> bool:
        """Whether a frame waits."""
        return bool(self._frames)

    @property
    def has_prompts(self) -> bool:
        """Whether a prompt waits."""
        return bool(self._prompts)

    @property
    def waiting_s(self) -> float:
        """For how many seconds nobody has looked while something waits; 0 where nothing does."""
        since_ns = self._waiting_since_ns
        return 0.0 if since_ns is None else (time.monotonic_ns() - since_ns) / 1e9

    def submit_frame(self, frame: Frame) -> None:
        """Put a frame in; drop the oldest if there are max_frames already."""
        with self._lock:
            while len(self._frames) >= self._max_frames:
                self._frames.popleft()
                self._num_dropped_frames += 1
            self._frames.append(frame)
            self._note_arrival()
        self._notify()

    def submit_prompt(self, prompt: Prompt, is_first: bool = False) -> None:
        """Put a prompt in, behind those that wait or before them."""
        with self._lock:
            (self._prompts.appendleft if is_first else self._prompts.append)(prompt)
            self._note_arrival()
        self._notify()

    def drain(self, max_frames: int | None = None) -> tuple[list[Prompt], list[Frame]]:
        """
        Take out all prompts, and all frames or the oldest max_frames; oldest first.

        Nothing while it is held.
        """
        with self._lock:
            if self._num_holds:
                return [], []
            prompts = list(self._prompts)
            self._prompts.clear()
            num_frames = len(self._frames)
            if max_frames is not None:
                num_frames = min(num_frames, max_frames)
            frames = [self._frames.popleft() for _ in range(num_frames)]
            self._note_look()
        return prompts, frames

    def take_prompts(self) -> list[Prompt]:
        """
        Take out all prompts, oldest first, also while it is held: no stream will ask them.

        Those that hold_until() has forgotten are among them.
        """
        with self._lock:
            prompts = [*self._forgotten_prompts, *self._prompts]
            self._forgotten_prompts = []
            self._prompts.clear()
            self._note_look()
        return prompts

    def take_forgotten_prompts(self) -> list[Prompt]:
        """Take out the prompts that hold_until() has forgotten since this was called last."""
        with self._lock:
            prompts, self._forgotten_prompts = self._forgotten_prompts, []
        return prompts

    def take_newest(self, num_frames: int) -> list[Frame]:
        """
        Take out the newest num_frames frames, oldest first; drop and count the older ones.

        Nothing while it is held.
        """
        with self._lock:
            if self._num_holds:
                return []
            frames = list(self._frames)[-num_frames:]
            self._num_dropped_frames += len(self._frames) - len(frames)
            self._frames.clear()
            self._note_look()
        return frames

    def look(self) -> None:
        """Note that somebody looks, though nothing is taken out: waiting_s counts from now."""
        with self._lock:
            self._note_look()

    def forget_frames(self, num_taken: int = 0) -> None:
        """Forget the frames that wait; count them, and num_taken that were taken out before."""
        with self._lock:
            self._num_forgotten_frames += len(self._frames) + num_taken
            self._frames.clear()
            self._note_look()

    def hold_until(self, request: Callable[[], Future]) -> Future:
        """
        Forget all that waits, call request(), and give out nothing until its future is done.

        So what comes in after a stream was asked to begin anew is not taken into the old one by a
        step that has already begun. take_forgotten_prompts() gives the prompts that are forgotten.
        Returns that future; raises what request() raises, and then all goes on waiting.
        """
        with self._lock:
            frames, prompts = list(self._frames), list(self._prompts)
            self._frames.clear()
            self._prompts.clear()
            self._forgotten_prompts += prompts
            self._num_holds += 1
            self._note_look()
        try:
            future = request()
        except BaseException:
            with self._lock:
                self._frames.extendleft(reversed(frames))
                self._prompts.extendleft(reversed(prompts))
                self._forgotten_prompts = [
                    prompt for prompt in self._forgotten_prompts if prompt not in prompts]
                self._note_look()
            self._release()
            raise
        with self._lock:
            self._num_forgotten_frames += len(frames)
        future.add_done_callback(lambda _: self._release())
        return future

    def _release(self):
        with self._lock:
            self._num_holds -= 1
        self._notify()

    def attach(self, condition: threading.Condition) -> None:
        """
        Notify this condition whenever something comes in from now on.

        The worker calls this, so that it can wait on one condition for all its mailboxes.
        """
        self._wake = condition
        self._notify()

    def _note_arrival(self):
        if self._waiting_since_ns is None:
            self._waiting_since_ns = time.monotonic_ns()

    def _note_look(self):
        is_waiting = bool(self._frames or self._prompts)
        self._waiting_since_ns = time.monotonic_ns() if is_waiting else None

    def _notify(self):
        # Never while holding the lock: the worker looks into mailboxes while it holds the
        # condition, so the other order could deadlock.
        condition = self._wake
        with condition:
            condition.notify_all()


class Prompter:
    """
    Numbers the prompts of a node, and asks the standing one whenever a stream begins.

    The ids 'prompt-1', 'prompt-2', ... are counted over the life of the node, so none is used
    twice. One thread at a time may call; nothing blocks.
    """

    def __init__(self):
        self._numbers = itertools.count(1)
        self._mailbox: Mailbox | None = None
        self.standing = ''

    def open(self, mailbox: Mailbox) -> None:
        """Put prompts into this mailbox from now on, the standing prompt first."""
        self._mailbox = mailbox
        self.ask_standing()

    def close(self) -> None:
        """Stop asking: prompts are dropped until the next open()."""
        self._mailbox = None

    def ask(self, text: str) -> None:
        """Ask text (not blank) after all prompts that wait; does nothing while closed."""
        if self._mailbox is not None:
            self._mailbox.submit_prompt(self._numbered(text))

    def ask_standing(self) -> None:
        """Ask the standing prompt, if there is one, before all prompts that wait."""
        if self._mailbox is not None and self.standing.strip():
            self._mailbox.submit_prompt(self._numbered(self.standing), is_first=True)

    def _numbered(self, text):
        return Prompt(text, f'prompt-{next(self._numbers)}', time.monotonic_ns())
