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
One model for several narrators of a process: weights loaded once, one worker for all sessions.

NarratorSettings go in; a session and a share of the worker come out. Made by the process that
narrates several cameras, where its make_engine() replaces that of loading.py.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, TimeoutError as FutureTimeoutError
import time
from weakref import WeakSet, WeakValueDictionary

from moss_ros.engines.loading import make_engine, make_model, open_checkpoint, session_of, warm_up
from moss_ros.model import VideoModel
from moss_ros.settings import NarratorSettings
from moss_ros.stream import (
    Channel, EngineChannel, EngineWorker, Event, Mailbox, Session, StreamSession, Worker,
    WorkerState,
)


class SharedEngine:
    """
    Makes the engines of narrators that name the same model from one copy of it.

    A model is freed with its last session. One thread at a time.
    """

    def __init__(self):
        self._models: WeakValueDictionary[tuple, VideoModel] = WeakValueDictionary()
        self._worker: EngineWorker | None = None
        self._shares: WeakSet[WorkerShare] = WeakSet()

    def make_engine(self, settings: NarratorSettings) -> tuple[Session, Worker]:
        """Return a session and its worker; raise what loading's function of that name does."""
        if settings.backend != 'own':
            return make_engine(settings)  # a process of its own, which shares nothing
        checkpoint = open_checkpoint(settings)
        key = (checkpoint.folder, settings.device, settings.dtype, settings.attention,
               settings.quantization, settings.eager)
        model = self._models.get(key)
        is_new = model is None
        if is_new:
            model = self._models[key] = make_model(checkpoint, settings)
        session = session_of(checkpoint, model, settings)
        if is_new:  # one that is not may be in a step of another session
            warm_up(session)
        if self._worker is None:
            self._worker = EngineWorker(settings.num_threads)
        share = WorkerShare(self._worker)
        self._shares.add(share)
        return session, share

    def close(self, timeout_s: float) -> None:
        """Stop the worker of all; blocks for timeout_s at most, and its shares for no more."""
        if self._worker is not None:
            self._worker.close(timeout_s)
        for share in self._shares:
            share.wait_no_more()


class WorkerShare:
    """
    What one narrator sees of the worker that it shares: as an EngineWorker with one channel.

    The thread starts with the first share that is started, and ends with the last one closed.
    """

    def __init__(self, worker: EngineWorker):
        self._worker = worker
        self._channel: EngineChannel | None = None
        self._ending: Future | None = None  # of a channel that was closed in its step
        self._may_wait = True

    @property
    def state(self) -> WorkerState:
        """Return that of the channel, STOPPED where there is none."""
        return WorkerState.STOPPED if self._channel is None else self._channel.state

    def open_channel(self, session: StreamSession, mailbox: Mailbox,
                     on_event: Callable[[Event], None],
                     max_tokens_per_s: float = 0.0) -> Channel:
        """Open the one channel of this share, as an EngineWorker does; ValueError for a second."""
        if self._channel is not None:
            raise ValueError('a share of a worker has one channel; close that one first')
        self._channel = self._worker.open_channel(
            session, mailbox, on_event, max_tokens_per_s, is_held=True)
        return self._channel

    def start(self) -> None:
        """Have the channel served; RuntimeError where there is none, else as an EngineWorker."""
        if self._channel is None:
            raise RuntimeError('the worker has nothing to serve; open_channel() first')
        if not self._has_ended(timeout_s=0.0):
            raise RuntimeError("the worker's thread is still in its last step for this stream; "
                               'try again when it has ended')
        self._channel.restart()

    def close(self, timeout_s: float = 2.0) -> bool:
        """
        Close the channel, after the step that runs; block until then, at most timeout_s.

        Returns whether no step of it runs any more. What was being said is reported as STOPPED.
        """
        channel, self._channel = self._channel, None
        timeout_s = timeout_s if self._may_wait else 0.0
        end_s = time.monotonic() + timeout_s
        if channel is not None:
            try:
                self._ending = channel.request_close()
            except RuntimeError:  # it isn't served: no step of it runs
                channel.end_unserved()
        has_ended = self._has_ended(timeout_s)
        if channel is not None:
            channel.close()
        if self._worker.num_channels == 0 or self._worker.is_ending:
            has_ended &= self._worker.stop(max(0.0, end_s - time.monotonic()))
        return has_ended

    def wait_no_more(self) -> None:
        """Have close() wait for nothing from now on: who owns the worker has waited for all."""
        self._may_wait = False

    def _has_ended(self, timeout_s):
        """Wait for the end of the channel that was closed last; return whether it has come."""
        if self._ending is not None:
            try:
                self._ending.exception(timeout_s)
            except FutureTimeoutError:
                return False
            except CancelledError:
                pass  # the worker has stopped: no step runs
            self._ending = None
        return True
