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
CUDA graphs of a decode step: recorded once for a cache, then replayed as one launch.

A step whose every number is on the device does the same work each time, in the same memory.
Recorded by torch.cuda.CUDAGraph; any other recorder has the same signature.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

import torch

# Called with what computes a step, it returns what repeats it, and the tensor it writes.
Recorder = Callable[[Callable[[], torch.Tensor]], tuple[Callable[[], None], torch.Tensor]]
_NUM_WARM_UPS = 2


def record_on_cuda(compute: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
    """Record compute() as a CUDA graph, after running it so that all its kernels are there."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_NUM_WARM_UPS):
            compute()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Other threads may use the device meanwhile, as those that encode ahead and load weights do.
    with torch.cuda.graph(graph, capture_error_mode='thread_local'):
        out = compute()
    return graph.replay, out


class StepGraphs:
    """
    A recorded step for each cache and variant. They go when their cache does.

    One thread at a time may call.
    """

    def __init__(self, record: Recorder = record_on_cuda):
        self._record = record
        self._recorded: WeakKeyDictionary = WeakKeyDictionary()

    def run(self, cache: object, variant: Hashable,
            compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Repeat the step of cache and variant; the first time record compute(). Return a copy."""
        by_variant = self._recorded.setdefault(cache, {})
        if variant not in by_variant:
            by_variant[variant] = self._record(compute)
        replay, out = by_variant[variant]
        replay()
        return out.clone()
