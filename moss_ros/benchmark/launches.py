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
What the host does for a step: operations and kernels that it launches, and waits for the device.

A function that takes the step goes in; counts come out. Called by the command, and by tests that
hold a step to a number of launches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import re
import warnings

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import is_traceable_wrapper_subclass_type, TorchDispatchMode

# They make memory or another view of it, or read a number back: nothing is launched for them.
_NO_LAUNCHES = frozenset((
    'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided', '_unsafe_view',
    'detach', 'detach_', 'alias', 'lift_fresh', 'item', '_local_scalar_dense', 'set_', 'resize_',
    'record_stream', 'is_pinned', 'is_same_size'))

# Names of calls of CUDA's runtime and of its driver.
_GPU_LAUNCH = re.compile(r'(cuda|cu)(Launch|GraphLaunch|Memcpy|Memset)\w*')


class LaunchCounter(TorchDispatchMode):
    """
    Counts, while it is entered, the operations that this thread launches.

    The rule: an operation that PyTorch is asked for in inference mode counts once if it computes
    or copies, such as a matrix product, a norm or an attention, however many kernels it is made of
    on this device. Of a quantised tensor the operations count that its class makes of one. Not
    counted: views, also a reshape that is one; memory that is only allocated; numbers read back to
    the host, which are waits (count_host_syncs()); and what PyTorch's dispatcher does not see,
    such as the replay of a CUDA graph or another runtime.
    """

    def __init__(self):
        super().__init__()
        self.by_name: Counter[str] = Counter()

    @property
    def num_launches(self) -> int:
        """Operations launched so far."""
        return self.by_name.total()

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        if any(is_traceable_wrapper_subclass_type(each) for each in types):
            # A quantised tensor: it comes back with the operations that it is made of.
            return NotImplemented
        result = operation(*arguments, **keywords or {})
        if operation.namespace != 'prim' \
                and operation.overloadpacket.__name__ not in _NO_LAUNCHES \
                and not (operation.is_view and _shares_memory(result, arguments[0])):
            self.by_name[str(operation)] += 1
        return result


def _shares_memory(result, source):
    """Return whether the result of a view has its source's memory, as reshape() need not."""
    results = result if isinstance(result, (list, tuple)) else [result]
    memory = StorageWeakRef(source.untyped_storage())
    return all(StorageWeakRef(each.untyped_storage()) == memory for each in results)


def count_launches(step: Callable[[], object]) -> int:
    """Return how many operations step() launches in inference mode; it should be warm."""
    with torch.inference_mode(), LaunchCounter() as counter:
        step()
    return counter.num_launches


def count_gpu_launches(step: Callable[[], object], device: torch.device) -> int | None:
    """
    Return how many kernels, copies and graphs step() launches on the GPU; None on a CPU.

    As PyTorch's profiler sees them at CUDA's own interface, so also those that do not come from
    PyTorch. The replay of a graph is one, whatever is in it.
    """
    if device.type != 'cuda':
        return None
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step()
        torch.cuda.synchronize(device)
    return sum(bool(_GPU_LAUNCH.fullmatch(event.name)) for event in profile.events())


def count_host_syncs(step: Callable[[], object], device: torch.device) -> int | None:
    """
    Return how often the host waits for the device in step(); None on a CPU, where it can't.

    Counts what PyTorch's debug mode for synchronisations warns of. That mode does not see explicit
    calls of synchronize().
    """
    if device.type != 'cuda':
        return None
    mode_before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(mode_before)
    return sum('synchronizing CUDA operation' in str(warning.message) for warning in caught)
