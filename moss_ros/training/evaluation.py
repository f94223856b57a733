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
Fresh streams through a checkpoint, in one process or in several: figures come out.

Each process loads the checkpoint once and keeps it for all conditions that it is asked for, so
that a table of many rows is not many loads. Which process takes which scene changes no figure
but those of time and memory. Called by the programs of evaluation and of the model card.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
import multiprocessing
from pathlib import Path
import random
import resource
import time
from typing import Any

from moss_ros.stream import StreamCheckpoint, StreamSession
from moss_ros.training.evaluation_run import Evaluation, StreamRun
from moss_ros.training.fresh_streams import Conditions, make_fresh
import torch

# Pieces of work for each process: small ones, so that all end at about the same time.
PIECES_PER_PROCESS = 6


class Evaluator:
    """
    Scores one checkpoint under any conditions. Use it by `with`; one thread at a time.

    num_processes: more than one are fresh ones, with one thread each. Raises CheckpointError for a
    folder that is no checkpoint.
    """

    def __init__(self, checkpoint: Path, quantization: str | None = None, num_processes: int = 1):
        self._session = open_session(checkpoint, quantization)
        self._num_processes = num_processes
        self._pool = None
        if num_processes > 1:
            # Fresh interpreters: a fork of a process that runs torch threads may hang.
            self._pool = ProcessPoolExecutor(
                num_processes, multiprocessing.get_context('spawn'), _open_worker,
                (checkpoint, quantization))

    def __enter__(self) -> 'Evaluator':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; may be called twice."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @property
    def session(self) -> StreamSession:
        """Return this process's own session; reset it before use."""
        return self._session

    def figures(self, conditions: Conditions,
                trace: Callable[[StreamRun], None] | None = None) -> dict:
        """
        Return the figures of one JSON line.

        trace: called with each StreamRun, all of which then run in this process.
        """
        start_s = time.monotonic()
        seeds = conditions.scene_seeds
        if self._pool is None or trace is not None:
            evaluation = evaluate_scenes(self._session, conditions, seeds, trace)
        else:
            evaluation = Evaluation()
            num = min(len(seeds), self._num_processes * PIECES_PER_PROCESS)
            for counts in self.map(_evaluate_piece, [
                    (conditions, seeds[index::num]) for index in range(num)]):
                evaluation.add(counts)
        elapsed_s = time.monotonic() - start_s
        return {'world': conditions.world, 'questions': conditions.questions,
                'disturbance': conditions.disturbance, **evaluation.figures(),
                'num_scenes': conditions.num_scenes, 'seed': conditions.seed,
                'frames_per_s': round(evaluation.num_frames / elapsed_s, 1),
                'cpu_s': round(evaluation.cpu_s, 1),
                'peak_memory_mb': round(evaluation.peak_memory_mb)}

    def map(self, function: Callable[[StreamSession, Any], Any],
            items: Sequence[Any]) -> list[Any]:
        """
        Return function(session, item) of each item, in their order.

        The session is that of the process; function, of a module, resets it before use.
        """
        if self._pool is None:
            return [function(self._session, item) for item in items]
        return [future.result() for future in [
            self._pool.submit(_with_session, function, item) for item in items]]


def open_session(checkpoint: Path, quantization: str | None = None) -> StreamSession:
    """Return a session on the CPU for a checkpoint folder; CheckpointError if it is none."""
    opened = StreamCheckpoint.open(checkpoint)
    return opened.session(opened.load_model('cpu', 'float32', 'auto', quantization))


def evaluate_scenes(session: StreamSession, conditions: Conditions, scene_seeds: range,
                    trace: Callable[[StreamRun], None] | None = None) -> Evaluation:
    """Return the counts of the scenes of some seeds, each narrated from the beginning."""
    evaluation = Evaluation()
    start_s = time.process_time()
    for scene_seed in scene_seeds:
        session.reset()
        stream, picture_at = make_fresh(conditions, scene_seed, session.frame_rate_fps)
        run = StreamRun(session, stream, picture_at, random.Random(f'questions {scene_seed}'),
                        conditions.questions)
        run.run()
        run.count_into(evaluation)
        if trace is not None:
            trace(run)
    # ru_maxrss is in KiB on Linux.
    return replace(evaluation, cpu_s=time.process_time() - start_s,
                   peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


_worker_session: StreamSession | None = None


def _open_worker(checkpoint, quantization):
    global _worker_session
    torch.set_num_threads(1)
    _worker_session = open_session(checkpoint, quantization)


def _with_session(function, item):
    return function(_worker_session, item)


def _evaluate_piece(session, piece):
    return evaluate_scenes(session, *piece)
