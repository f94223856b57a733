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
A fair lock for threads that share one model: they get it in the order in which they asked.

Also keeps daemon threads from crashing the process when it ends. Used by the live stream and the
offline answerer, for one step of the model at a time.
"""

from __future__ import annotations

import atexit
from collections import deque
import os
import threading
import time
import weakref

# How long the process waits at its end for a running pass through the model, in seconds.
_MAX_END_S = 60.0


class TurnLock:
    """
    A lock for `with`, like threading.Lock, but fair, and closed when the process ends.

    A plain lock usually goes to the thread that has just released it: an offline answer would run
    to its end before a live stream got a step. Not reentrant.

    At its end, the interpreter kills a daemon thread as it returns from compiled code. If there
    are C++ frames below, the process aborts. So close() is called first, at exit: other threads
    that want the lock then never get it, and the one that holds it sleeps when it leaves.
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
            # A thread that went on would free tensors, which is compiled code as well.
            self._condition.wait_for(lambda: not self._must_sleep())

    def close(self, timeout_s: float) -> bool:
        """
        Let no thread in any more; wait at most timeout_s until the lock is free, return if it is.

        From then on threads that ask for the lock or leave it sleep for ever. Only the main
        thread does not: it gets a RuntimeError when it asks.
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
        return  # in a fork, where the threads that may hold the lock do not exist
    deadline_s = time.monotonic() + _MAX_END_S
    for lock in list(_open_locks):
        lock.close(max(0.0, deadline_s - time.monotonic()))
