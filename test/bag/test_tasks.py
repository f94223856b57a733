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

"""Tasks in processes and on Ray: every result arrives, a worker that dies takes no other along."""

import os
import signal
import sys
import time

from moss_ros.bag.worker_pool import RayUnavailableError, run_in_processes, run_in_ray, WorkerDied
import pytest


class DiesWhenSent:
    """A result whose process is killed while it is sent."""

    def __getstate__(self):
        os.kill(os.getpid(), signal.SIGKILL)


def double(task, report, should_stop):
    """Return twice the task, in a worker; some tasks make trouble."""
    report(('begun', task))
    if task == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 'exits':
        os._exit(3)
    if task == 'exits without a word':
        os._exit(0)
    if task == 'killed while sending':
        return DiesWhenSent()
    if task == 'masked':
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if task == 'waits':
        report(('pid', os.getpid()))
        while not should_stop():
            time.sleep(0.01)  # its work
        return 'stopped'
    return task * 2


def test_results_and_progress_of_every_task_arrive():
    seen = []
    results = dict(run_in_processes(double, ['a', 'masked'], 2, lambda *news: seen.append(news)))
    # Ctrl-C in a terminal meets no worker, not even while it imports.
    assert results == {0: 'aa', 1: True}
    assert sorted(seen) == [(0, ('begun', 'a')), (1, ('begun', 'masked'))]


def test_a_worker_that_dies_takes_no_other_along():
    results = dict(run_in_processes(
        double, ['killed', 'exits', 'b'], 2))
    assert results[2] == 'bb'
    assert isinstance(results[0], WorkerDied) and 'SIGKILL' in str(results[0])
    assert isinstance(results[1], WorkerDied) and 'status 3' in str(results[1])


def test_a_worker_that_dies_while_it_sends_or_as_if_all_were_well_takes_no_other_along():
    results = dict(run_in_processes(
        double, ['killed while sending', 'exits without a word', 'b'], 2))
    assert results[2] == 'bb'
    assert isinstance(results[0], WorkerDied) and 'SIGKILL' in str(results[0])
    assert isinstance(results[1], WorkerDied) and 'status 0' in str(results[1])


def test_a_stop_reaches_what_runs_and_begins_no_more():
    seen = []
    results = dict(run_in_processes(
        double, ['waits', 'a'], 1, lambda *news: seen.append(news),
        lambda: any(kind == 'pid' for _, (kind, _) in seen)))
    assert results == {0: 'stopped'}


def test_an_exception_ends_the_workers():
    pids = []

    def fail(index, news):
        if news[0] == 'pid':
            pids.append(news[1])
            raise RuntimeError('of who looks on')

    with pytest.raises(RuntimeError):
        list(run_in_processes(double, ['waits'], 1, fail))
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_without_ray_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)  # as if it were not installed
    with pytest.raises(RayUnavailableError, match=r'pip install -r requirements/cluster\.txt'):
        next(run_in_ray(double, ['a'], 1))
