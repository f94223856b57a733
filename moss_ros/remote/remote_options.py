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
The options of a remote model: whose code is run, by which Python, and what limits it.

Plain data that is checked when made, and RemoteError, the error of this package. The options are
made from the narrator's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
import sys

from moss_ros.checks import require_count, require_number
from moss_ros.stream.conversation import DEFAULT_ANSWER_WITHIN_S


class RemoteError(Exception):
    """
    The remote model could not be started or loaded, died, hung or broke the protocol.

    The message names what happened, the last lines that the process printed, and the way out.
    details is the traceback inside that process, empty where there is none.
    """

    def __init__(self, message: str, details: str = ''):
        super().__init__(message)
        self.details = details


FRAME_KINDS = ('image', 'image_seconds')


@dataclass(frozen=True)
class RemoteOptions:
    """
    Validated settings; __post_init__ raises ValueError that quotes the value.

    - checkpoint: folder whose own code is run.
    - trust_remote_code: must be True; that code may do all that the user may do.
    - python: interpreter of the environment that the code was written for.
    - frames: the image queue gets PIL images, or (image, seconds since the first) pairs.
    - frame_rate_fps: frames a second, by message stamp, that the model expects.
    - device, dtype, attention, num_threads, seed: how transformers loads and runs it; 'auto' is a
      GPU, bfloat16 and flash-attn if available, else the CPU, float32 and what it chooses.
    - generate_kwargs: keyword arguments of real_time_generate; it gets those that its signature
      takes, and do_sample=True unless that is given.
    - max_round_tokens, max_tokens_between_frames: a narration ends as LIMIT after this many text
      strings in one narration, or in a row without a frame being taken (0: no limit).
    - answer_within_s: stream time after which a question without any answer is unanswered.
    - silence_timeout_s: a narration ends, even without a silence, when no string comes for this
      long; the published consumer waits as long.
    - answer_timeout_s: how long a prompt may wait to be taken in, and how long the model may talk
      on after a limit.
    - frame_timeout_s: a model that does not take a frame for this long counts as hung.
    - load_timeout_s: how long loading may take.
    - stop_grace_s: how long a stop may take before the process is killed.
    """

    checkpoint: Path
    trust_remote_code: bool = False
    python: str = sys.executable
    frames: str = 'image'
    frame_rate_fps: float = 1.0
    device: str = 'auto'
    dtype: str = 'auto'
    attention: str = 'auto'
    num_threads: int = 1
    seed: int = 0
    generate_kwargs: Mapping[str, object] = field(default_factory=dict)
    max_round_tokens: int = 1024
    max_tokens_between_frames: int = 0
    answer_within_s: float = DEFAULT_ANSWER_WITHIN_S
    silence_timeout_s: float = 5.0
    answer_timeout_s: float = 30.0
    frame_timeout_s: float = 60.0
    load_timeout_s: float = 600.0
    stop_grace_s: float = 1.0

    def __post_init__(self):
        if self.trust_remote_code is not True:
            raise ValueError(
                f'trust_remote_code is {self.trust_remote_code!r}, but a remote model runs the '
                f'Python code that lies in {self.checkpoint}, with all your rights; set it to '
                'true if you trust that code')
        if not (Path(self.checkpoint) / 'config.json').is_file():
            raise ValueError(
                f'{self.checkpoint} is no checkpoint folder: it has no config.json; code that is '
                'run must lie in a folder, so download a model of the hub whole')
        if self.frames not in FRAME_KINDS:
            raise ValueError(f'frames must be one of {FRAME_KINDS}, not {self.frames!r}')
        if not self.python:
            raise ValueError("python must name an interpreter, not ''")
        for name in ('frame_rate_fps', 'answer_within_s', 'silence_timeout_s',
                     'answer_timeout_s', 'frame_timeout_s', 'load_timeout_s', 'stop_grace_s'):
            require_number(name, getattr(self, name), above=0)
        for name, minimum in (('max_round_tokens', 1), ('max_tokens_between_frames', 0)):
            require_count(name, getattr(self, name), minimum)
