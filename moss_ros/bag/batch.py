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
Narrates many bags, each into a folder of its own: tasks in, outcomes and an index page out.

A bag that fails gives an outcome with the error, and the others go on. What is said does not
depend on how many bags run at a time, or where. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moss_ros.bag.bag_error import BagError, ExitCode, unexpected, writing
from moss_ros.bag.bag_run import DEFAULT_SAVE_EVERY_S, narrate_bag
from moss_ros.bag.journal import replace_durably, RunRecord
from moss_ros.bag.narrate_options import NarrateOptions
from moss_ros.bag.outputs import read_timeline, RUN_FILE, subtitle
from moss_ros.bag.worker_pool import RayUnavailableError, run_in_processes, run_in_ray
from moss_ros.views.index_page import index_page, IndexEntry

INDEX_FILE = 'index.html'
ENGINES = ('processes', 'ray')


@dataclass(frozen=True)
class BagTask:
    """What narrate_bag() takes, for one bag."""

    source: Path
    output: Path
    options: NarrateOptions
    resume: bool = False
    overwrite: bool = False
    save_every_s: float = DEFAULT_SAVE_EVERY_S


@dataclass(frozen=True)
class BagOutcome:
    """How the narration of one bag ended; error is '' if it ended well."""

    task: BagTask
    record: RunRecord | None = None
    error: str = ''
    exit_code: ExitCode = ExitCode.OK


def narrate_many(tasks: Sequence[BagTask], engine: str = 'processes', num_jobs: int = 0,
                 on_progress: Callable[[int, float], None] = lambda index, part: None,
                 on_outcome: Callable[[BagOutcome], None] = lambda outcome: None,
                 should_stop: Callable[[], bool] = lambda: False) -> list[BagOutcome]:
    """
    Narrate all bags; return their outcomes in the order of tasks.

    num_jobs: how many at a time; 0: one by 'processes', all by 'ray'. on_progress gets the index
    of a bag and how much of it is done, 0 to 1 ('processes' only). on_outcome is called as each
    ends. Bags that are not done because should_stop() was true have the outcome INTERRUPTED.
    Raises BagError (USAGE) if Ray is asked for but cannot be used.
    """
    if engine == 'ray':
        num_threads = max(task.options.num_threads for task in tasks)
        results = run_in_ray(narrate_task, tasks, num_jobs, num_threads, should_stop)
    else:
        results = run_in_processes(narrate_task, tasks, num_jobs or 1, on_progress, should_stop)
    outcomes: dict[int, BagOutcome] = {}
    try:
        for index, result in results:
            if isinstance(result, Exception):  # of the worker, not of the bag
                result = _failed(tasks[index], str(result).partition('\n')[0])
            outcomes[index] = result
            on_outcome(result)
    except RayUnavailableError as error:
        raise BagError(tasks[0].output.parent, str(error), ExitCode.USAGE) from error
    return [outcomes.get(index) or _failed(
        task, 'interrupted; --resume goes on where it stopped', ExitCode.INTERRUPTED)
        for index, task in enumerate(tasks)]


def narrate_task(task: BagTask, report: Callable[[float], None],
                 should_stop: Callable[[], bool]) -> BagOutcome:
    """Narrate one bag in whatever process this is; report() gets how much is done, 0 to 1."""
    newest_percent = -1

    def show(done_s, total_s):
        nonlocal newest_percent
        percent = int(100 * done_s / total_s) if total_s else 100
        if percent != newest_percent:
            newest_percent = percent
            report(percent / 100)

    try:
        record = narrate_bag(
            task.source, task.output, task.options, show, resume=task.resume,
            overwrite=task.overwrite, save_every_s=task.save_every_s, should_stop=should_stop)
    except BagError as error:
        return BagOutcome(task, None, str(error), error.exit_code)
    except Exception as error:  # one bag must not end the others, whatever it meets
        failure = unexpected(task.source, task.output, error)
        return BagOutcome(task, None, str(failure), failure.exit_code)
    return BagOutcome(task, record)


def write_index(output: Path, outcomes: Sequence[BagOutcome]) -> None:
    """Write the page over all bags into the folder output; BagError (OUTPUT) where it can't be."""
    page = index_page(output.resolve().name, [_entry(outcome) for outcome in outcomes])
    partial = output / f'.{INDEX_FILE}.partial'
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        with partial.open('w', encoding='utf-8', errors='replace', newline='\n') as file:
            file.writelines(page)
        replace_durably(partial, output / INDEX_FILE)


def _entry(outcome):
    task = outcome.task
    name = task.output.name
    try:
        run = RunRecord.from_json((task.output / RUN_FILE).read_text(encoding='utf-8'))
        start_ns, end_ns = run.source['start_ns'], run.source['end_ns']
        timeline = read_timeline(task.output / 'narration.jsonl', start_ns)
        return IndexEntry(
            name, name, outcome.error, subtitle(run), start_ns, end_ns - start_ns, timeline)
    except (OSError, ValueError, TypeError, KeyError, BagError) as error:
        return IndexEntry(name, error=outcome.error or str(error))


def _failed(task, reason, exit_code=ExitCode.FAILED):
    return BagOutcome(task, None, f'{task.source}: {reason}', exit_code)
