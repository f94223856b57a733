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
The settings of one live stream.

They are read from "stream_config" in a checkpoint's config.json, and callers may override them.
Made when a checkpoint is opened (stream_checkpoint.py); read by the session.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
import json
from pathlib import Path

from moss_ros.checks import require_count, require_number, require_text
from moss_ros.model import SamplingOptions
from moss_ros.stream.conversation import DEFAULT_ANSWER_WITHIN_S
from moss_ros.stream.system_prompts import DEFAULT_SYSTEM_PROMPT, live_system_prompt


@dataclass(frozen=True)
class StreamOptions:
    """
    Validated settings of a StreamSession; the defaults suit the published 11B checkpoint.

    - frame_rate_fps: frames a second that the model was trained on, by message stamp.
    - system_prompt: text of the system turn.
    - max_context_frames, max_context_tokens: upper limits of the context, and so of the cache.
      The published model was trained with 30 to 155 frames and 4096 tokens.
    - keep_context_frames, keep_context_tokens: how much of the transcript is kept when a full
      context rolls over: that many frames at most, about that many tokens at most; the opening is
      not counted.
    - max_tokens_between_frames: a narration ends after so many text tokens without a new frame.
    - max_narration_tokens: it ends after so many, whatever frames come between them.
    - answer_within_s: stream time in seconds after which a question counts as unanswered.
    - max_step_s: longest time to encode frames before the worker looks for prompts and requests
      again. The newest frames that can probably be encoded in it are taken, at least one; older
      ones are dropped.
    - silence_logit_bias: added to the logit of <|silence|> before sampling. A model trained with
      silence weighted by w needs -ln(w) to say silence as often as its data did.
    - seed: for the session's random generator.
    - sampling: how a token is drawn from the logits.
    """

    frame_rate_fps: float = 1.0
    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    max_context_frames: int = 155
    keep_context_frames: int = 100
    max_context_tokens: int = 4096
    keep_context_tokens: int = 2600
    max_tokens_between_frames: int = 48
    max_narration_tokens: int = 1024
    answer_within_s: float = DEFAULT_ANSWER_WITHIN_S
    max_step_s: float = 0.5
    silence_logit_bias: float = 0.0
    seed: int = 0
    sampling: SamplingOptions = field(default_factory=SamplingOptions)

    def __post_init__(self):
        """Raise ValueError that quotes the name and the value of a bad setting."""
        for name in ('frame_rate_fps', 'answer_within_s', 'max_step_s'):
            require_number(name, getattr(self, name), above=0)
        require_text('system_prompt', self.system_prompt)
        for name in ('max_context_frames', 'keep_context_frames', 'max_context_tokens',
                     'keep_context_tokens', 'max_tokens_between_frames', 'max_narration_tokens'):
            require_count(name, getattr(self, name))
        require_count('seed', self.seed, minimum=0)
        for unit in ('frames', 'tokens'):
            kept = getattr(self, f'keep_context_{unit}')
            most = getattr(self, f'max_context_{unit}')
            if kept >= most:
                raise ValueError(
                    f'keep_context_{unit} must be below max_context_{unit}, '
                    f'not {kept!r} with {most!r}: a full context would drop nothing')
        require_number('silence_logit_bias', self.silence_logit_bias)
        if not isinstance(self.sampling, SamplingOptions):
            raise ValueError(f'sampling must be SamplingOptions, not {self.sampling!r}')

    @classmethod
    def from_checkpoint(cls, folder: str | Path, **overrides) -> StreamOptions:
        """
        Return the options of the checkpoint in folder, changed by overrides.

        They are read from "stream_config" in config.json; missing keys have the defaults. Its key
        "sampling" is an object with the fields of SamplingOptions; without it,
        generation_config.json is read (see SamplingOptions.from_folder). A missing system prompt
        is searched in the checkpoint's code (system_prompts.py); the log says where it is from.
        Raises ValueError that names the file and the key or value that is wrong, CheckpointError
        for generation_config.json.
        """
        path = Path(folder) / 'config.json'
        settings = _read_stream_config(path)
        known = {option.name for option in fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ValueError(
                f'{path}: stream_config has the unknown key {unknown[0]!r}; '
                f'known are {", ".join(sorted(known))}')
        try:
            if isinstance(settings.get('sampling'), dict):
                settings['sampling'] = SamplingOptions(**settings['sampling'])
            elif 'sampling' not in settings:
                settings['sampling'] = SamplingOptions.from_folder(folder)
            options = cls(**{**settings, **overrides})
        except (TypeError, ValueError) as error:
            raise ValueError(f'stream options for {path.parent}: {error}') from error
        return replace(options, system_prompt=live_system_prompt(
            folder, overrides.get('system_prompt'), settings.get('system_prompt')))


def _read_stream_config(path):
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ValueError(
            f'{path} cannot be read ({error.strerror}); name a checkpoint folder') from error
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from error
    settings = config.get('stream_config', {}) if isinstance(config, dict) else None
    if not isinstance(settings, dict):
        raise ValueError(f'{path}: stream_config must be an object, not {settings!r}')
    return dict(settings)
