"""
A lock that is taken in the order of asking: for threads that share one model, a step each.

Knows nothing of what it guards. Used by the live stream and the offline answerer.
"""

from __future__ import annotations

from collections import deque
import threading


class TurnLock:
    """
    As threading.Lock in a `with`, but fair.

    A plain lock goes to whoever is quickest, which is the thread that has just released it: an
    answer would run to its end before a live stream got a step in between. Not reentrant.
    """

    def __init__(self):
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()  # the first one has the lock

    def __enter__(self):
        turn = object()
        with self._condition:
            self._waiting.append(turn)
            try:
                self._condition.wait_for(lambda: self._waiting[0] is turn)
            except BaseException:  # such as Ctrl-C in the main thread
                self._waiting.remove(turn)
                self._condition.notify_all()
                raise

    def __exit__(self, *_):
        with self._condition:
            self._waiting.popleft()
            self._condition.notify_all()
