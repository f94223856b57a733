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
How many bytes can still be allocated on a device: of a CPU, as far as its control groups let it.

A device goes in, bytes come out. Called before weights are loaded, and before memory is spent on
speed alone.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

# Linux's files about control groups, which psutil does not take into account.
_OWN_GROUP = Path('/proc/self/cgroup')
_GROUPS = Path('/sys/fs/cgroup')


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes that can still be allocated on device; None if that is not known."""
    if device.type == 'cuda':
        kept_by_torch = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept_by_torch
    try:
        available = psutil.virtual_memory().available
    except (OSError, ValueError, KeyError):  # psutil could not read /proc/meminfo
        return None
    return max(0, min([available, *_group_limits()]))


def _group_limits():
    """Yield the bytes that each control group (version 2) of this process has left."""
    try:
        own = [line[3:] for line in _OWN_GROUP.read_text().splitlines() if line.startswith('0::')]
    except OSError:
        return
    parts = [part for part in ''.join(own).split('/') if part not in ('', '..')]
    for depth in range(len(parts) + 1):
        group = _GROUPS.joinpath(*parts[:depth])
        try:
            limit = int((group / 'memory.max').read_text())
            usage = dict(line.split() for line in (group / 'memory.stat').read_text().splitlines())
            # Cached file pages count as used, but are freed when needed; shared memory is not.
            reclaimable = int(usage['file']) - int(usage['shmem'])
            yield limit - int((group / 'memory.current').read_text()) + reclaimable
        except (OSError, ValueError, KeyError):
            continue  # no limit: 'max', or the root, which has no such files
