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
Runs tasks in processes of this machine or on a Ray cluster: a function and tasks in, results out.

Each local task has its own process and pipe, so a process that dies (out of memory, or a broken
library) does not affect the others. pebble's pool is no substitute: its workers share a pipe,
which stays locked when one dies while it sends. Ray is optional, imported only when it is asked
for, and reports no progress. Called by batch.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
import logging
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

    Yields (index of the task, result) in the order in which the tasks end, and blocks in between;
    the result is a WorkerDied if the process died. What the function passes to report() goes to
    on_progress with the index, on the caller's thread. Once should_stop() is true here, it is
    true for the functions too, and no further task is begun; a task without a result then yields
    nothing. function, tasks, results and reports must be picklable, function by name. Leaving the
    iterator ends the workers.
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
                # A process that was told to stop while it was starting has no result.
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
    # A terminal sends Ctrl-C to every process, also to one that is still importing: so the worker
    # inherits SIGINT blocked. The tracker is started before, because its start unblocks SIGINT.
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

    # Ctrl-C is ignored: the caller decides when to stop, and then sends SIGTERM.
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


class RayUnavailableError(Exception):
    """Ray isn't installed or doesn't run; the text says what to do about it."""


def run_in_ray(
        function: Callable, tasks: Sequence, num_jobs: int = 0, num_threads: int = 1,
        should_stop: Callable[[], bool] = lambda: False) -> Iterator[tuple[int, object]]:
    """
    Call function(task, report, should_stop) for every task, num_jobs at a time; 0: all at once.

    Each takes num_threads CPUs. Uses the cluster that this process has joined, or joins the one
    that RAY_ADDRESS or `ray start` names, or starts one on this machine. Yields (index of the
    task, result) in the order in which the tasks end; the result is Ray's error if there is none.
    Once should_stop() is true here, what runs is cancelled; the function's own report() does
    nothing and its should_stop() is always False. Raises RayUnavailableError.
    """
    # Ray sends no usage statistics.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    try:
        import ray
    except ImportError as error:
        raise RayUnavailableError(
            'the engine ray needs Ray, which is not installed: '
            'pip install -r requirements/cluster.txt, or leave out --engine') from error
    is_ours = not ray.is_initialized()
    if is_ours:
        try:
            ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        except Exception as error:  # of many kinds: no cluster there, another version of Ray ...
            raise RayUnavailableError(
                f'Ray cannot be joined or started ({error}); look at RAY_ADDRESS and at '
                '`ray status`, or leave out --engine') from error
    # A bag that kills its worker would kill the next one too.
    call = ray.remote(num_cpus=num_threads, max_retries=0)(_call)
    waiting = deque(enumerate(tasks))
    running = {}
    try:
        while (waiting or running) and not should_stop():
            while waiting and (not num_jobs or len(running) < num_jobs):
                index, task = waiting.popleft()
                running[call.remote(function, task)] = index
            for reference in ray.wait(list(running), timeout=_ASK_EVERY_S)[0]:
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayError as error:
                    result = error
                yield running.pop(reference), result
    finally:
        for reference in running:
            ray.cancel(reference)
        if is_ours:
            ray.shutdown()


def _call(function, task):
    return function(task, lambda news: None, lambda: False)
