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
The scheduling of this process's threads, against an encoder that changes it.

SVT-AV1, run by root, gives each of its threads and the one that calls it the highest real-time
priority, and leaves it so. Whatever starts later inherits it, and the rest of the machine starves.
"""

from contextlib import contextmanager, suppress
import os


@contextmanager
def kept_priorities():
    """Give every thread of this process the caller's scheduling of before at the end."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread_id in map(int, os.listdir('/proc/self/task')):
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setscheduler(thread_id, policy, parameters)
