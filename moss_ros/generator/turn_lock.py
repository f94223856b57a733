"""
A lock that is taken in the order of asking: for threads that share one model, a step each.

Knows nothing of what it guards. Used by the live stream and the offline answerer.
"""

from __future__ import annotations

import atexit
from collections import deque
import os
import threading
import time
import weakref

# How long the end of the process waits for a pass that runs, in seconds.
_MAX_END_S = 60.0


class TurnLock:
    """
    As threading.Lock in a `with`, but fair, and closed when the process ends.

    A plain lock goes to whoever is quickest, which is the thread that has just released it: an
    answer would run to its end before a live stream got a step in between. Not reentrant.

    The interpreter ends a daemon thread where it comes back from compiled code, and C++ aborts
    the process when that is beneath it. So close() is called first: whoever wants the lock then
    never gets it, and whoever has it sleeps when leaving it.
    """

    def __init__(self):
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()  # in the order of asking, the one that has it first
        self._is_held = False
        self._is_closed = False
        _close_at_exit(self)

    def __enter__(self):
        turn = object()
        with self._condition:
            self._waiting.append(turn)
            try:
                self._condition.wait_for(lambda: self._may_enter(turn))
            except BaseException:  # such as Ctrl-C in the main thread
                self._waiting.remove(turn)
                self._condition.notify_all()
                raise
            self._is_held = True

    def __exit__(self, *_):
        with self._condition:
            self._is_held = False
            self._waiting.popleft()
            self._condition.notify_all()
            # Out of it a thread would free tensors, which is compiled code as well.
            self._condition.wait_for(lambda: not self._must_sleep())

    def close(self, timeout_s: float) -> bool:
        """
        Let nobody in any more, and wait until whoever is inside has left; whether it has.

        Other threads that ask, or leave, sleep from then on. The main thread gets a RuntimeError
        where it asks.
        """
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
            return self._condition.wait_for(lambda: not self._is_held, timeout_s)

    def _may_enter(self, turn):
        if not self._is_closed:
            return self._waiting[0] is turn
        if not self._must_sleep():
            raise RuntimeError('the process is ending: the model can not be used any more')
        return False

    def _must_sleep(self):
        return self._is_closed and threading.current_thread() is not threading.main_thread()


_open_locks: weakref.WeakSet[TurnLock] = weakref.WeakSet()
_exit_process_id: int | None = None


def _close_at_exit(lock):
    global _exit_process_id
    _open_locks.add(lock)
    if _exit_process_id is None:
        _exit_process_id = os.getpid()
        atexit.register(_close_all)


def _close_all():
    if os.getpid() != _exit_process_id:
        return  # a fork, which has none of the threads that may be inside
    deadline_s = time.monotonic() + _MAX_END_S
    for lock in list(_open_locks):
        lock.close(max(0.0, deadline_s - time.monotonic()))
