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
The engines of the contract, each with a model that says a given script.

A new engine gets a class here, and a line in ENGINES.
"""

from collections import deque
from contextlib import suppress
import json
import os
from pathlib import Path
import shutil
import signal
import threading

from contract_streams import SILENCE, WAIT_S
from moss_ros.engines.shared_engine import WorkerShare
from moss_ros.remote import RemoteOptions, RemoteSession, RemoteWorker
from moss_ros.stream import (
    ChatFormat, EngineWorker, Frame, Mailbox, SilenceEvent, StreamOptions, StreamSession,
)
import numpy as np
from scripted_model import ScriptedModel, write_tokenizer

FAKE_MODEL = Path(__file__).parents[1] / 'remote' / 'fake_model.py'
TOKEN_S = 0.005  # of a model that talks on


class TokenScript:
    """Says a script by tokens, to a ScriptedModel: of Begin, the last token on and on."""

    def __init__(self, chat, script):
        self._chat = chat
        self._script = script
        self._seen_ids = []
        self._rest = deque()
        self._said_id = None
        self.error = None
        self.is_in_step = False
        self.is_entered = threading.Event()
        self.is_free = threading.Event()
        self.is_free.set()

    def __call__(self, model):
        self.is_in_step = True
        self.is_entered.set()
        assert self.is_free.wait(WAIT_S)
        self.is_in_step = False
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self._look_for_a_beginning(model.seen_ids)
        last_id = next(token_id for token_id in reversed(model.seen_ids)
                       if token_id != self._chat.image_id)
        if last_id != self._said_id:  # no sentence goes on
            self._decide()
        elif not self._rest:
            threading.Event().wait(TOKEN_S)
            self._rest.append(self._said_id)
        token_id = self._rest.popleft()
        self._said_id = None if token_id == self._chat.silence_id else token_id
        return token_id

    def _look_for_a_beginning(self, seen_ids):
        num = len(self._seen_ids)
        if len(seen_ids) <= num or seen_ids[:num] != self._seen_ids or not num:
            self._items = iter(self._script)
            self._said_id = None
        self._seen_ids = list(seen_ids)

    def _decide(self):
        item = next(self._items, SILENCE)
        self._rest = deque(
            token_id for piece in item.pieces for token_id in self._chat.encode_text(piece))
        if item.is_whole:
            self._rest.append(self._chat.silence_id)


class OwnEngine:
    """An EngineWorker with a ScriptedModel."""

    def __init__(self, folder):
        self._chat = ChatFormat(write_tokenizer(folder / 'tokenizer.json'))
        self._script = None

    def make(self, script, **options):
        self._script = TokenScript(self._chat, script)
        return self.make_session(self._script, **options), self.make_worker()

    def make_session(self, script, **options):
        return StreamSession(ScriptedModel(self._chat, script), self._chat, StreamOptions(**{
            'system_prompt': 'Watch and tell.', 'max_context_frames': 100,
            'keep_context_frames': 50, 'max_context_tokens': 20_000, 'keep_context_tokens': 100,
            'max_tokens_between_frames': 10_000, **options}))

    def make_worker(self):
        return EngineWorker(num_torch_threads=1)

    def fail_next(self):
        """Make the next step of the model fail, at the latest at the next frame."""
        self._script.error = RuntimeError('the model is broken')

    def hang(self):
        """Have the model take its time from its next step on, which a frame brings about."""
        self._script.is_entered.clear()
        self._script.is_free.clear()

    @property
    def is_in_step(self):
        return self._script.is_in_step

    def wait_hung(self):
        assert self._script.is_entered.wait(WAIT_S)

    def let_go(self):
        self._script.is_free.set()

    def close(self):
        pass


class SharedEngine(OwnEngine):
    """A share of an EngineWorker, of which another share is served all the time."""

    def make_worker(self):
        worker = super().make_worker()
        self._has_come = threading.Condition()
        self._heard = []
        self._mailbox = Mailbox(8)
        self._other = WorkerShare(worker)
        self._other.open_channel(self.make_session(()), self._mailbox, self._hear)
        self._other.start()
        self._look_after_the_other()
        return WorkerShare(worker)

    def close(self):
        """See that the other share was left alone, and end it."""
        self._look_after_the_other()
        assert self._other.close(WAIT_S)

    def _hear(self, event):
        with self._has_come:
            self._heard.append(event)
            self._has_come.notify_all()

    def _look_after_the_other(self):
        stamp_ns = 1 + max((event.stamp_ns or 0 for event in self._heard), default=0)
        self._mailbox.submit_frame(Frame(np.zeros((16, 16, 3), np.uint8), stamp_ns))
        with self._has_come:
            assert self._has_come.wait_for(lambda: any(
                isinstance(event, SilenceEvent) and event.stamp_ns == stamp_ns
                for event in self._heard), WAIT_S)


class RemoteEngine:
    """A RemoteWorker with the fake model that decides as the published one was trained to."""

    def __init__(self, folder):
        self._folder = folder

    def make(self, script, **options):
        said = [piece for item in script for piece in self._pieces(item)]
        shutil.copy(FAKE_MODEL, self._folder)
        (self._folder / 'config.json').write_text(json.dumps(
            {'queue_api': 'fake_model.py:load', 'behaviour': 'trained', 'said': said}))
        self._session = RemoteSession(RemoteOptions(
            self._folder, trust_remote_code=True, silence_timeout_s=2 * WAIT_S, **options))
        return self._session, RemoteWorker(self._session)

    def fail_next(self):
        os.kill(self._session.pid, signal.SIGKILL)

    def hang(self):
        os.kill(self._session.pid, signal.SIGSTOP)

    @property
    def is_in_step(self):
        return 'moss-remote-worker' in [thread.name for thread in threading.enumerate()]

    def wait_hung(self):
        pass

    def let_go(self):
        if self._session.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._session.pid, signal.SIGCONT)

    def close(self):
        pass

    @staticmethod
    def _pieces(item):
        return [''.join(item.pieces) + '<|silence|>'] if item.is_whole else item.pieces


ENGINES = {'own': OwnEngine, 'shared': SharedEngine, 'remote': RemoteEngine}
