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
A node in a process of its own: its environment, its start, its output, its end.

large_image_environment() gives the variables that let DDS carry large images; the launch files,
the demo and the benchmarks set them. A Child is started, watched and ended by demo and benchmarks.
"""

from collections import deque
from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

from moss_ros.engines.machine_checks import PROFILE_VARIABLES

PACKAGE_NAME = 'moss_ros'
_PROFILE = Path('config', 'fastdds_large_images.xml')
# Blocks below 1 GiB are kept for the next image: fetching fresh memory from the system for each
# one costs more than all else.
_ALLOCATOR_BYTES = str(2 ** 30)
_ALLOCATOR_VARIABLES = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')


def profile_path() -> Path:
    """Return the Fast DDS profile, of the source tree or of the installed package."""
    path = Path(__file__).resolve().parents[2] / _PROFILE
    if path.is_file():
        return path
    try:
        # Imported only here: the source tree does not need it, and may not have it.
        from ament_index_python.packages import get_package_share_directory, PackageNotFoundError
    except ImportError:
        return Path(sys.prefix, 'share', PACKAGE_NAME) / _PROFILE  # as pip installs it
    try:
        return Path(get_package_share_directory(PACKAGE_NAME)) / _PROFILE
    except PackageNotFoundError:
        return Path(sys.prefix, 'share', PACKAGE_NAME) / _PROFILE


def large_image_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to add to environment, without those that are set there already."""
    wanted = dict.fromkeys(_ALLOCATOR_VARIABLES, _ALLOCATOR_BYTES)
    if not any(name in environment for name in PROFILE_VARIABLES):
        wanted[PROFILE_VARIABLES[0]] = str(profile_path())
    return {name: value for name, value in wanted.items() if name not in environment}


# How long nodes may take until they narrate, the loading of weights included.
START_TIMEOUT_S = 180.0
END_TIMEOUT_S = 4.0
NUM_LAST_LINES = 20


class Child:
    """
    A node in a child process; the caller must end it by end().

    With is_quiet its output is not shown; last_lines keeps the last NUM_LAST_LINES lines of it.
    """

    def __init__(self, name: str, module: str, ros_arguments: list[str], is_quiet: bool):
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
        self._process = subprocess.Popen(
            [sys.executable, '-m', module, '--ros-args', *ros_arguments],
            stdin=subprocess.DEVNULL if is_quiet else None,
            stdout=subprocess.PIPE if is_quiet else None,
            stderr=subprocess.STDOUT if is_quiet else None,
            env=_child_environment(), text=True, errors='replace')
        self._thread = None
        if is_quiet:
            self._thread = threading.Thread(target=self._keep_lines, daemon=True)
            self._thread.start()

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative: minus the signal that ended it."""
        return self._process.poll()

    @property
    def process_id(self) -> int:
        """Its number among the processes of the machine."""
        return self._process.pid

    def interrupt(self) -> None:
        """Ask it to end; does not block."""
        if self.exit_status is None:
            self._process.send_signal(signal.SIGINT)

    def end(self) -> bool:
        """Wait until it has ended, kill it after END_TIMEOUT_S; return whether it ended well."""
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        # One that was still starting up dies of the signal itself.
        return self.exit_status in (0, -signal.SIGINT, -signal.SIGTERM)

    def report(self) -> None:
        """Print how it ended and what it said last, to stderr."""
        print(f'\n{self.name} ended with exit status {self.exit_status}', file=sys.stderr)
        for line in self.last_lines:
            print(f'  {line}', file=sys.stderr)

    def _keep_lines(self):
        for line in self._process.stdout:
            self.last_lines.append(line.rstrip())


def end_all(children: Sequence[Child]) -> list[Child]:
    """Ask all to end, then wait for each; return those that did not end well."""
    for child in children:
        child.interrupt()
    return [child for child in children if not child.end()]


def _child_environment():
    # The package is found wherever this process found it.
    package_parent = str(Path(__file__).resolve().parents[2])
    python_path = os.environ.get('PYTHONPATH')
    return {
        **os.environ, 'PYTHONUNBUFFERED': '1',
        'PYTHONPATH': package_parent + (os.pathsep + python_path if python_path else '')}


def stay_on_this_machine() -> str:
    """
    Keep this process and its children on this machine, on a ROS domain of their own.

    What the user has set of ROS_AUTOMATIC_DISCOVERY_RANGE and ROS_DOMAIN_ID stays as it is.
    Returns the domain's id. Call it before rclpy.init().
    """
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    return os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
