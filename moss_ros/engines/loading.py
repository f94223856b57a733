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
Loads the model that the narrator's settings name, and makes a session that is ready to run.

NarratorSettings go in; a session and the worker for it come out. Called by the narrator when it is
configured; blocks while weights are read.
"""

from dataclasses import replace
from pathlib import Path

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import VideoModel
from moss_ros.remote import RemoteOptions, RemoteSession, RemoteWorker
from moss_ros.settings import NarratorSettings
from moss_ros.stream import (
    EngineWorker, Frame, Session, StreamChange, StreamCheckpoint, StreamSession, Worker,
)
import numpy as np
import torch

_NUM_WARM_UP_WORDS = 2
_SURELY = 1e4  # logits


def make_engine(settings: NarratorSettings) -> tuple[Session, Worker]:
    """
    Load the model by the backend that the settings name; return a session and its worker.

    Raises CheckpointError, RemoteError or ValueError that say what is wrong and the way out.
    """
    if settings.backend == 'own':
        return make_session(settings), EngineWorker(settings.num_threads)
    session = make_remote_session(settings)
    return session, RemoteWorker(session)


def stream_change(settings: NarratorSettings) -> StreamChange:
    """Return what the settings ask of a stream that is loaded."""
    return StreamChange(
        frame_rate_fps=settings.frame_rate,
        sampling=given_sampling(settings),
        max_tokens_between_frames=settings.max_tokens_between_frames,
        answer_within_s=settings.answer_within_s,
        max_step_s=settings.max_step_s,
        max_tokens_per_s=settings.max_tokens_per_second)


def open_checkpoint(settings: NarratorSettings) -> StreamCheckpoint:
    """
    Open the checkpoint that the settings name, the embedded model where they name none.

    Its options have what can't be changed later. Raises CheckpointError that names the file and
    the value at fault.
    """
    return StreamCheckpoint.open(
        settings.checkpoint or DEMO_CHECKPOINT, settings.seed, settings.system_prompt or None)


def given_sampling(settings: NarratorSettings) -> dict[str, float | int | bool]:
    """Return what the settings say of sampling; the rest is the checkpoint's own."""
    sampling = {
        'temperature': settings.temperature,
        'top_p': settings.top_p,
        'repetition_penalty': settings.repetition_penalty,
    }
    # 0 and '' stand for the checkpoint's own, but for top_k, where 0 means all tokens.
    sampling = {name: value for name, value in sampling.items() if value}
    if settings.top_k >= 0:
        sampling['top_k'] = settings.top_k
    if settings.sampling != 'checkpoint':
        sampling['do_sample'] = settings.sampling == 'random'
    return sampling


def make_session(settings: NarratorSettings) -> StreamSession:
    """
    Load the weights, allocate the stream's memory and run its steps once to warm up.

    Raises CheckpointError or ValueError that say what is wrong and the way out.
    """
    checkpoint = open_checkpoint(settings)
    session = session_of(checkpoint, make_model(checkpoint, settings), settings)
    warm_up(session)
    return session


def make_model(checkpoint: StreamCheckpoint, settings: NarratorSettings) -> VideoModel:
    """Load the weights; raise as make_session does."""
    # The thread that loads and warms up must not take all cores either.
    torch.set_num_threads(settings.num_threads)
    quantization = None if settings.quantization == 'none' else settings.quantization
    model = checkpoint.load_model(
        settings.device, settings.dtype, settings.attention, quantization)
    model.eager = settings.eager
    return model


def session_of(checkpoint: StreamCheckpoint, model: VideoModel,
               settings: NarratorSettings) -> StreamSession:
    """Allocate the memory of a stream of a loaded model; raise as make_session does."""
    session = checkpoint.session(model)
    session.apply(stream_change(settings))
    return session


def warm_up(session: StreamSession) -> None:
    """
    Run each kind of step in a session without a worker, and forget them.

    These are a frame with the opening, a frame in silence and words, of which the first comes
    from a frame's pass and those after it from passes of their own.
    """
    options = session.options
    for stamp_ns, bias in ((0, _SURELY), (1, _SURELY), (2, -_SURELY)):
        session.set_options(replace(options, silence_logit_bias=bias))
        session.add_frame(Frame(np.zeros((48, 64, 3), np.uint8), stamp_ns))
        session.step()
    for _ in range(_NUM_WARM_UP_WORDS):
        session.step()
    session.set_options(options)
    session.reset()


def make_remote_session(settings: NarratorSettings) -> RemoteSession:
    """
    Have a process load the model by the checkpoint's own code.

    Raises RemoteError or ValueError that say what is wrong and the way out; before anything is
    run where the settings do not trust that code.
    """
    for name, unset in (('system_prompt', ''), ('quantization', 'none')):
        value = getattr(settings, name)
        if value != unset:
            raise ValueError(f"{name} is {value!r}, but the backend 'remote_code' can't set it: "
                             f"leave it {unset!r}, or use the backend 'own'")
    if not settings.checkpoint:
        raise ValueError("the backend 'remote_code' needs a checkpoint that brings its own code, "
                         'but checkpoint is empty')
    given = {
        'frame_rate_fps': settings.frame_rate,
        'python': settings.remote_python,
    }
    # A name on the hub would do no good: only weights and settings are ever downloaded.
    session = RemoteSession(RemoteOptions(
        Path(settings.checkpoint).expanduser(), trust_remote_code=settings.trust_remote_code,
        frames=settings.remote_frames, device=settings.device, dtype=settings.dtype,
        attention=settings.attention, num_threads=settings.num_threads, seed=settings.seed,
        generate_kwargs=given_sampling(settings),
        max_tokens_between_frames=settings.max_tokens_between_frames,
        answer_within_s=settings.answer_within_s,
        **{name: value for name, value in given.items() if value}))
    try:
        session.load()
    except BaseException:
        session.close()
        raise
    return session
