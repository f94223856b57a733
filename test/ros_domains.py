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

"""The ROS domains of the tests: two for each of the processes that share the tests of a run."""

from collections.abc import Mapping
import os

NUM_DOMAINS = 100


def domains(environment: Mapping[str, str] = os.environ, process_id: int | None = None,
            parent_id: int | None = None) -> tuple[int, int]:
    """
    Return the domain of this process's tests, and one for programs with a domain of their own.

    - environment: in which pytest-xdist names the process, gw0 and so on, if there are several.
    - process_id, parent_id: of this process and of the one that started it (None: as they are).

    Domains 1 to 100 keep clear of the ephemeral ports.
    """
    worker = environment.get('PYTEST_XDIST_WORKER', '')
    run = (parent_id or os.getppid()) if worker else (process_id or os.getpid())
    first = 2 * (run + int(worker.removeprefix('gw') or 0)) % NUM_DOMAINS
    return first + 1, first + 2
