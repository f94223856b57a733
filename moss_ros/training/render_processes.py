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

"""Many streams rendered in several processes. Called by the streams of both worlds."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
import multiprocessing


def render_in_processes(render: Callable, streams: Sequence, arguments: tuple,
                        num_processes: int, take: Callable) -> None:
    """
    Call take(index, render(stream, *arguments)) for each of streams, in their order.

    One process is this one; more are fresh ones, so render must be a function of a module.
    """
    if num_processes == 1:
        for index, stream in enumerate(streams):
            take(index, render(stream, *arguments))
        return
    # Fresh interpreters: a fork of a process that runs torch threads may hang.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(num_processes, mp_context=context) as pool:
        results = pool.map(render, streams, *([value] * len(streams) for value in arguments),
                           chunksize=8)
        for index, result in enumerate(results):
            take(index, result)
