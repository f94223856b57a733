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
The base class of workers: a thread that can be started, be given calls, and be stopped in time.

Subclasses do their work in _run(). EngineWorker and the worker of remote models are such.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
import threading


class WorkerState(Enum):
    """Whether a worker or a channel runs; FAILED after an exception, until started again."""

    STOPPED = 'stopped'
    RUNNING = 'running'
    FAILED = 'failed'


class WorkerThread(ABC):
    """
    Base of a worker, which does its work in _run().

    Any thread may call all public methods. Only stop() blocks, and start_thread() after a failure,
    for at most 2 s until the failed thread has ended. _run() must wait on _condition for _calls
    and for its own work, and end when _is_stop_wanted is set. Before it ends, it must set _state
    and call _cancel_calls() to cancel the calls that are left.
    """

    def __init__(self, thread_name: str, condition: threading.Condition | None = None):
        """Wait on condition for calls and other work; None: on a new one."""
        self._thread_name = thread_name
        self._condition = condition or threading.Condition()  # guards all below
        self._calls: deque[tuple[Callable, Future]] = deque()
        self._state = WorkerState.STOPPED
        self._is_stop_wanted = False
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> WorkerState:
        """Return RUNNING from the start until the thread ends; FAILED if it can't go on."""
        return self._state

    @property
    def has_requests(self) -> bool:
        """Whether a call or a stop waits for the running step to end."""
        return self._is_stop_wanted or bool(self._calls)

    @property
    def is_ending(self) -> bool:
        """Whether stop() was called since the thread was last started."""
        return self._is_stop_wanted

    def call(self, function: Callable[[], object]) -> Future:
        """
        Run function on the worker's thread, between two steps; the future gets its result.

        The future is cancelled if the worker stops first. Raises RuntimeError if the worker does
        not run.
        """
        future: Future = Future()
        with self._condition:
            if self._state is not WorkerState.RUNNING or self._is_stop_wanted:
                raise RuntimeError(f'the worker is {self._state.value}; start() it first')
            self._calls.append((function, future))
            self._condition.notify_all()
        return future

    def stop(self, timeout_s: float = 2.0) -> bool:
        """
        End the thread after its current step; wait for that at most timeout_s.

        Returns whether the thread has ended. What was being said is reported as STOPPED. May be
        called in any state. On the worker's own thread (by on_event) it returns False at once.
        """
        with self._condition:
            thread = self._thread
            if thread is None:
                self._state = WorkerState.STOPPED
                return True
            self._is_stop_wanted = True
            self._condition.notify_all()
        if thread is threading.current_thread():
            return False
        thread.join(timeout_s)
        if thread.is_alive():
            return False
        with self._condition:
            if self._thread is thread:
                self._thread = None
                self._state = WorkerState.STOPPED
        return True

    @abstractmethod
    def _run(self) -> None:
        """Do the work, on the worker's thread, until _is_stop_wanted is set; raise nothing."""

    def start_thread(self) -> None:
        """Start the thread if it doesn't run; RuntimeError if an earlier one is still ending."""
        thread = self._thread
        if thread is threading.current_thread():
            raise RuntimeError("start() was called on the worker's own thread")
        if thread is not None and self._state is WorkerState.FAILED:
            thread.join(timeout=2.0)
        with self._condition:
            if self._thread is not None and self._thread.is_alive():
                if not self._is_stop_wanted and self._state is WorkerState.RUNNING:
                    self._condition.notify_all()
                    return
                raise RuntimeError("the worker's thread is still in its last step; try again "
                                   'when it has ended')
            self._is_stop_wanted = False
            self._state = WorkerState.RUNNING
            self._thread = threading.Thread(
                target=self._run, name=self._thread_name, daemon=True)
            self._thread.start()

    def _cancel_calls(self):
        with self._condition:
            calls, self._calls = self._calls, deque()
        for _, future in calls:
            future.cancel()
