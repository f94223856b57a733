"""
Tasks in worker processes of this machine: a function and its arguments go in, results come out.

Each task has a process and a pipe of its own, so one that dies, of lack of memory or of a broken
library, takes no other along. pebble's pool is no substitute: its workers share a pipe, which
stays locked when one dies while it sends. Knows nothing of bags; called by batch.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
import multiprocessing
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
import os
import signal

# How often the caller is asked whether to stop, and how long workers have to do so.
_ASK_EVERY_S = 0.2
_END_TIMEOUT_S = 30.0


class WorkerDied(Exception):
    """A worker process ended without a result; the text says how."""


def run_in_processes(
        function: Callable, tasks: Sequence, num_jobs: int,
        on_progress: Callable[[int, object], None] = lambda index, news: None,
        should_stop: Callable[[], bool] = lambda: False) -> Iterator[tuple[int, object]]:
    """
    Call function(task, report, should_stop) for every task, num_jobs at a time.

    Blocks between the results. Yields (index of the task, result) in the order in which they end;
    the result is a WorkerDied where there is none. What the function gives to report() comes to
    on_progress with the index, on the caller's thread. Once should_stop() is true here, it is
    true for the functions too, and no task is begun any more; what is not done has no result.
    function, tasks and what they give must be picklable, function by name. Leaving the iterator
    ends the workers.
    """
    # Forked processes would share the threads and locks of torch in whatever state they are.
    context = multiprocessing.get_context('spawn')
    waiting = deque(enumerate(tasks))
    running: dict[Connection, tuple[int, multiprocessing.Process]] = {}
    is_stopping = False
    try:
        while running or (waiting and not is_stopping):
            while waiting and not is_stopping and len(running) < num_jobs:
                index, task = waiting.popleft()
                ours, process = _start(context, function, task)
                running[ours] = index, process
            for connection in wait(list(running), _ASK_EVERY_S):
                index, process = running[connection]
                is_result, value = _receive(connection, process)
                if not is_result:
                    on_progress(index, value)
                    continue
                del running[connection]
                process.join()
                connection.close()
                # One that was told to stop while it was starting has no more to say.
                if not (is_stopping and isinstance(value, WorkerDied)):
                    yield index, value
            if should_stop() and not is_stopping:
                is_stopping = True
                for _, process in running.values():
                    process.terminate()
    finally:
        _end(running)


def _start(context, function, task):
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(function, task, theirs))
    # A terminal sends Ctrl-C to every process, also to one that is still importing: the worker
    # inherits that it is not delivered. What multiprocessing starts first would lift that.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()  # so that the end of the process ends the pipe
    return ours, process


def _receive(connection, process):
    """Return (whether it is the result, value) of what comes next."""
    try:
        return connection.recv()
    except EOFError:
        process.join()
        return True, WorkerDied(_how(process.exitcode))


def _work(function, task, connection):
    is_stopping = False

    def stop(number, frame):
        nonlocal is_stopping
        is_stopping = True

    def report(value):
        try:
            connection.send((False, value))
        except OSError:  # the caller is gone, and nobody waits for the result
            stop(None, None)

    # Not Ctrl-C but the caller decides, by a signal of its own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    result = function(task, report, lambda: is_stopping)
    try:
        connection.send((True, result))
    except OSError:
        os._exit(1)


def _how(exit_code):
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        reason = ', as when memory runs out' if name == 'SIGKILL' else ''
        return f'the worker process was ended by {name}{reason}'
    return f'the worker process ended with exit status {exit_code}'


def _end(running):
    for _, process in running.values():
        process.terminate()
    for connection, (_, process) in running.items():
        process.join(_END_TIMEOUT_S)
        if process.is_alive():
            process.kill()
            process.join()
        connection.close()
