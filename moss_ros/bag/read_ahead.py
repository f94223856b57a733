"""
Runs an iterator ahead in a thread of its own: an iterator in, the same items in order out.

While the model speaks of one group of frames, the next ones are read, decoded and encoded. Knows
nothing of what the items are. Called by narrate_bag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import queue
import threading

_END = object()


class ReadAhead:
    """
    Iterate over it once, within `with`, which ends the thread.

    An exception of the iterator comes out where it happened, behind what came before it.
    """

    def __init__(self, iterator: Iterator, max_items: int = 2,
                 prepare_thread: Callable[[], object] = lambda: None):
        """Take at most max_items that nobody wants yet; prepare_thread runs in it first."""
        self._iterator = iterator
        self._prepare_thread = prepare_thread
        self._queue: queue.Queue = queue.Queue(max_items)
        self._is_stop_wanted = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name='moss-read-ahead', daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._is_stop_wanted.set()
        # A thread that waits for room finds it, and then sees that it is to end.
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                pass
        self._thread.join()

    def __iter__(self) -> Iterator:
        while (item := self._queue.get()) is not _END:
            yield item
        if self._error is not None:
            raise self._error

    def _run(self):
        try:
            self._prepare_thread()
            for item in self._iterator:
                self._queue.put(item)
                if self._is_stop_wanted.is_set():
                    return
        except BaseException as error:  # whoever iterates shall know
            self._error = error
        self._queue.put(_END)
