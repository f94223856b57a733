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
A stream that is listened to, on whichever engine, and what its model says, as a script.

The tests of the contract use nothing of an engine but what is here.
"""

from dataclasses import dataclass
import threading
import time

from moss_ros.stream import (
    Frame, Mailbox, NarrationEvent, Prompt, PromptEvent, SilenceEvent, TokenEvent,
)
import numpy as np

WAIT_S = 30.0  # an upper bound for what takes milliseconds
PERIOD_NS = 1_000_000_000


@dataclass(frozen=True)
class Item:
    """
    What the model says at once, as pieces.

    One that is not whole leaves it in mid-sentence, perhaps with more to say; a frame has to be
    shown for each of its pieces.
    """

    pieces: tuple[str, ...]
    is_whole: bool


SILENCE = Item((), is_whole=True)


def say(text):
    """Return an item that says text, and is silent then."""
    return Item((text,), is_whole=True)


def begin(*pieces):
    """Return an item that says pieces, and does not end."""
    return Item(pieces, is_whole=False)


class Stream:
    """
    A session, its worker, and one channel after the other; keeps what is reported.

    The script is what the model says, from its beginning in each stream: an item whenever it
    decides, at a frame in silence or at a question in mid-sentence; silence when it is used up.
    An engine has make() and close(), and can make its model fail or hang.
    """

    def __init__(self, engine, script, max_tokens_per_s, max_frames, on_event, **options):
        self.engine = engine
        self.events, self.threads = [], set()
        self.session, self.worker = engine.make(script, **options)
        self.mailbox = Mailbox(max_frames)
        self._has_come = threading.Condition()
        self._on_event = on_event
        self._max_tokens_per_s = max_tokens_per_s
        self._num_frames = 0

    def open(self):
        self.channel = self.worker.open_channel(
            self.session, self.mailbox, self._hear, self._max_tokens_per_s)

    def _hear(self, event):
        with self._has_come:
            self.threads.add(threading.current_thread())
            self.events.append(event)
            self._has_come.notify_all()
        if self._on_event is not None:
            self._on_event(self, event)

    def submit(self):
        """Submit a frame, a second after the one before; return its stamp_ns."""
        self._num_frames += 1
        stamp_ns = self._num_frames * PERIOD_NS
        image = np.full((16, 16, 3), self._num_frames % 256, np.uint8)
        self.mailbox.submit_frame(Frame(image, stamp_ns, time.monotonic_ns()))
        return stamp_ns

    def show(self, num=1):
        """Show frames, each when the model was silent again after the one before."""
        for _ in range(num):
            self.wait(SilenceEvent, stamp_ns=self.submit())

    def show_until_it_speaks(self):
        """Show a frame, and wait for a word."""
        self.wait(TokenEvent, stamp_ns=self.submit())

    def show_until_it_says(self, text):
        """Show a frame, and wait until what was said begins with text."""
        self.submit()
        with self._has_come:
            assert self._has_come.wait_for(lambda: ''.join(
                event.text for event in self.of(TokenEvent)).startswith(text), WAIT_S), self.events

    def ask(self, text='Is it red?', prompt_id='q'):
        self.mailbox.submit_prompt(Prompt(text, prompt_id))

    def ask_in_silence(self, prompt_id='q'):
        """Ask, and wait until the model was asked."""
        self.ask(prompt_id=prompt_id)
        self.wait(PromptEvent, prompt_id=prompt_id)

    def interrupt(self):
        self.channel.request_interrupt().result(WAIT_S)

    def of(self, event_class, **fields):
        with self._has_come:
            return [event for event in self.events if isinstance(event, event_class) and all(
                getattr(event, name) == value for name, value in fields.items())]

    def wait(self, event_class, num=1, **fields):
        """Return the num-th event of a class with these fields once it is there."""
        with self._has_come:
            assert self._has_come.wait_for(
                lambda: len(self.of(event_class, **fields)) >= num, WAIT_S), self.events
        return self.of(event_class, **fields)[num - 1]

    @property
    def ends(self):
        """Return what was said, as (prompt_id, text, reason)."""
        return [(event.prompt_id, event.text, event.reason) for event in self.of(NarrationEvent)]

    def wait_ends(self, num):
        self.wait(NarrationEvent, num)
        return self.ends

    def close(self):
        """End it, whatever it is in, and see that nothing is left."""
        self.engine.let_go()
        assert self.worker.close(WAIT_S), 'a step still runs'
        self.session.close()
        self.session.close()
        self.engine.close()


def wait_until(is_true):
    end_s = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)
