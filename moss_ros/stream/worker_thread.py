"""
A thread that a worker owns: started, asked for things, and stopped within bounds.

What runs in it is the worker's matter. Knows neither models nor streams. EngineWorker and the
worker of remote models are made of it.
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

    All public methods may be called from any thread; none blocks but stop(). A worker waits on
    _condition for calls and for work of its own, and ends when _is_stop_wanted; it says by _state
    how _run() has ended, and cancels the calls that are left by _cancel_calls().
    """

    def __init__(self, thread_name: str, condition: threading.Condition | None = None):
        """condition: what its work is waited for with; None: a new one."""
        self._thread_name = thread_name
        self._condition = condition or threading.Condition()  # guards all below
        self._calls: deque[tuple[Callable, Future]] = deque()
        self._state = WorkerState.STOPPED
        self._is_stop_wanted = False
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> WorkerState:
        """RUNNING from the start until the thread ends; FAILED where it can't go on."""
        return self._state

    @property
    def has_requests(self) -> bool:
        """Whether a call waits for the step that runs to end, or stop()."""
        return self._is_stop_wanted or bool(self._calls)

    @property
    def is_ending(self) -> bool:
        """Whether stop() was called and the thread has not ended."""
        return self._is_stop_wanted

    def call(self, function: Callable[[], object]) -> Future:
        """
        Run function on the worker's thread, between two steps; the future gets what it returns.

        It is cancelled where the worker stops first. Raises RuntimeError where the worker does
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
        End the thread after the step it is in; block until it has ended, at most timeout_s.

        Returns whether no thread runs any more. What was being said is reported as STOPPED. May
        be called in any state. Called by on_event, it does not wait and returns False.
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
        """Do the work, on the thread, until _is_stop_wanted; raise nothing."""

    def start_thread(self) -> None:
        """Start the thread where it doesn't run; RuntimeError where an earlier one still does."""
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
