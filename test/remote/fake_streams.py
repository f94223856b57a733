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

"""A stream of a fake model that is listened to."""

import threading
import time

from moss_ros.remote import RemoteOptions, RemoteSession, RemoteWorker
from moss_ros.stream import Frame, Mailbox, NarrationEvent, Prompt, TokenEvent
import numpy as np

PERIOD_NS = 1_000_000_000


class Stream:
    """A worker with a fake model, and all that it reports."""

    def __init__(self, checkpoint, max_frames=8, max_tokens_per_s=0.0, **options):
        self.events = []
        self.has_come = threading.Condition()
        self.options = RemoteOptions(checkpoint, trust_remote_code=True, **options)
        self.session = RemoteSession(self.options)
        self.worker = RemoteWorker(self.session)
        self.mailbox = Mailbox(max_frames)
        self.channel = self.worker.open_channel(
            self.session, self.mailbox, self._hear, max_tokens_per_s)
        self._num_frames = 0

    def _hear(self, event):
        with self.has_come:
            self.events.append(event)
            self.has_come.notify_all()

    @property
    def pid(self):
        return self.session.pid

    def show(self, image=None):
        """Submit a frame, a second after the one before; return its stamp_ns."""
        if image is None:
            image = np.zeros((12, 16, 3), np.uint8)
        self._num_frames += 1
        stamp_ns = self._num_frames * PERIOD_NS
        self.mailbox.submit_frame(Frame(image, stamp_ns, time.monotonic_ns()))
        return stamp_ns

    def ask(self, text, prompt_id='p1'):
        self.mailbox.submit_prompt(Prompt(text, prompt_id))

    def of(self, event_class):
        return [event for event in list(self.events) if isinstance(event, event_class)]

    def wait(self, event_class, count=1, timeout_s=20.0):
        """Wait for count events of a class, and return them."""
        with self.has_come:
            assert self.has_come.wait_for(
                lambda: len(self.of(event_class)) >= count, timeout_s), self.events
        return self.of(event_class)

    def wait_state(self, state, timeout_s=20.0):
        end_s = time.monotonic() + timeout_s
        while self.worker.state is not state:
            assert time.monotonic() < end_s, (self.worker.state, self.events)
            time.sleep(0.01)

    @property
    def texts(self):
        return [event.text for event in self.of(NarrationEvent)]

    @property
    def tokens(self):
        return [event.text for event in self.of(TokenEvent)]
