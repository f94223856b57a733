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

"""Spins a benchmark's own nodes while other processes, which it watches, run nodes."""

from collections.abc import Callable, Sequence
import time

from moss_ros.nodes.node_process import Child


def spin_beside(children: Sequence[Child], spin_once: Callable[..., None], seconds: float,
                until: Callable[[], object] | None = None, what: str = '') -> None:
    """
    Spin for seconds, or until until() is true.

    spin_once: as rclpy's, with a timeout_sec. Raises RuntimeError as soon as a child has ended,
    and TimeoutError, which tells what did not come, where until() is not true in time.
    """
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        spin_once(timeout_sec=0.1)
        if until is not None and until():
            return
        for child in children:
            if child.exit_status is not None:
                child.report()
                raise RuntimeError(f'{child.name} has ended')
    if until is not None:
        raise TimeoutError(f'{what} within {seconds:g} s')
