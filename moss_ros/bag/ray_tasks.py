"""
Tasks on the machines of a Ray cluster: a function and its arguments go in, results come out.

As worker_pool.py, but without progress, which does not cross machines. Ray is optional: this is
the only file that imports it, once it is used. Called by batch.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
import logging
import os

_ASK_EVERY_S = 0.2


class RayUnavailableError(Exception):
    """Ray isn't installed or doesn't run; the text says what to do about it."""


def run_in_ray(
        function: Callable, tasks: Sequence, num_jobs: int = 0, num_threads: int = 1,
        should_stop: Callable[[], bool] = lambda: False) -> Iterator[tuple[int, object]]:
    """
    Call function(task, report, should_stop) for every task, num_jobs at a time; 0: all at once.

    Each takes num_threads CPUs. Uses the cluster that this process has joined, or joins the one
    that RAY_ADDRESS or `ray start` names, or starts one on this machine. Yields (index of the
    task, result) in the order in which they end; the result is Ray's error where there is none.
    Once should_stop() is true, what runs is cancelled. Raises RayUnavailableError.
    """
    # No figures about this run go to anybody.
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
