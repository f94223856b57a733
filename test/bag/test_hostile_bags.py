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
Every bag ends well: documented status, one line, no traceback, and nothing lost where all is well.

A hundred bags here; `make check-bags` takes 2,000, of a seed that it can be told.
"""

import contextlib
import io
import json
import os
from pathlib import Path
import re
import subprocess
import sys
from tempfile import TemporaryDirectory, TemporaryFile

from hostile_bags import hostile_bags, write
from hypothesis import given, HealthCheck, note, settings
from moss_ros.bag import ExitCode
from moss_ros.bag.command import main
from oracle import expected_of
from runs import OUTPUTS, records_of

REPOSITORY = Path(__file__).resolve().parents[2]
NUM_BAGS = int(os.environ.get('MOSS_NUM_BAGS', '0')) or 100
NUM_PROCESSES = max(3, NUM_BAGS // 100)
# What tqdm draws, which a carriage return takes back.
PROGRESS = re.compile(r'[^\r\n]*\d+%\|[^\r\n]*')


def run_here(arguments):
    """Run the command line in this process; return (status, lines on stderr)."""
    with TemporaryFile('w+', encoding='utf-8', errors='backslashreplace') as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)  # libraries in C write there
        try:
            with contextlib.redirect_stderr(file), contextlib.redirect_stdout(io.StringIO()):
                try:
                    status = main(arguments)
                except SystemExit as stop:
                    status = stop.code
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return status, lines_of(file.read())


def run_process(arguments):
    """Run the command line as users do; return (status, lines on stderr)."""
    ended = subprocess.run(
        [sys.executable, '-m', 'moss_ros.bag', *arguments], cwd=REPOSITORY, timeout=120,
        capture_output=True, text=True, errors='backslashreplace')
    return ended.returncode, lines_of(ended.stderr)


def lines_of(stderr):
    """Return the lines that a reader is left with, the progress left out."""
    return [line for line in PROGRESS.sub('', stderr).replace('\r', '\n').split('\n')
            if line.strip()]


def check(bag, run):
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = write(bag, folder)
        output = folder / 'out'
        status, lines = run(bag.arguments(path, output))
        note(f'status {status}, stderr {lines}')
        expected = expected_of(bag)
        assert status in set(ExitCode) and status in expected.statuses, (status, lines)
        assert len(lines) <= 1 and 'Traceback' not in ''.join(lines)
        if status in (ExitCode.OK, ExitCode.INCOMPLETE):
            assert sorted(item.name for item in output.iterdir()) == OUTPUTS
            counts = json.loads((output / 'run.json').read_text())['counts']
        else:
            assert len(lines) == 1
        if status == ExitCode.OK:
            assert counts['frames_used'] == len(expected.stamps_ns)
            assert counts['unusable'] == expected.num_unusable
            assert len(lines) == (1 if counts['unusable'] else 0)
            seen = {record['stamp_ns'] for record in records_of(output)} - {None}
            assert seen == set(expected.stamps_ns)


def every_bag(num):
    """Return settings that take the same bags at each run, unless a seed says otherwise."""
    return settings(max_examples=num, deadline=None, database=None,
                    derandomize='MOSS_NUM_BAGS' not in os.environ,
                    suppress_health_check=list(HealthCheck))


@every_bag(NUM_BAGS)
@given(hostile_bags())
def test_every_bag_ends_with_a_status_and_all_frames_are_used(bag):
    check(bag, run_here)


@every_bag(NUM_PROCESSES)
@given(hostile_bags())
def test_so_it_is_in_a_process_of_its_own(bag):
    check(bag, run_process)
