"""
Which prompts a stream is asked: the standing one, and those that come as messages.

Texts in, numbered prompts into the mailbox of the active stream. Knows nothing of topics or
answers. Called by the narrator on the executor's thread.
"""

import itertools
import time

from moss_ros.stream import Mailbox, Prompt


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
