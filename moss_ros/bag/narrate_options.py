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
The options of narrating a bag, as plain data: all that the outputs depend on besides the bag.

Checked when made; they can be written as JSON and read again, for worker processes and run.json.
They also open the checkpoint that they name. Made by the command line.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from moss_ros.bag.clock import CLOCKS
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.checks import require_count, require_number, require_utf8_text
from moss_ros.model.attention import ATTENTION_NAMES
from moss_ros.model.placement import DTYPES
from moss_ros.model.quantization import QUANTIZATION_NAMES
from moss_ros.stream import StreamCheckpoint
from moss_ros.stream.conversation import DEFAULT_ANSWER_WITHIN_S

DEFAULT_TOKENS_PER_SECOND = 40.0

# Beyond these no run makes sense, and libraries fail in ways of their own: OpenMP ends the process
# where it can't have its threads, torch takes no larger seed, and times overflow.
_MOST_BY_COUNT = {'num_threads': 256, 'max_tokens_between_frames': 1_000_000, 'seed': 2**63 - 1}
_LEAST_FRAME_RATE_FPS, _MOST_FRAME_RATE_FPS = 0.00001, 1000
_MOST_TOKENS_PER_SECOND = 10_000
_MOST_ANSWER_WITHIN_S = 1_000_000
_MOST_PROMPT_TIME_S = 1_000_000_000


@dataclass(frozen=True)
class NarrateOptions:
    """
    Options of one run; the same ones give the same outputs of the same bag.

    - image_topic: may be '' if the bag has only one with images. prompt_topic: topic of String
      messages, each asked at the time when it was recorded; '': none.
    - clock: of a bag, its times ('bag'), the stamps of its images ('header'), or the first unless
      they are plainly no clock ('auto').
    - prompt: asked at the first frame; '': none. prompts_at: (seconds since the start of the
      bag, text) pairs.
    - checkpoint: folder or name on the Hugging Face hub; '': the embedded model. device, dtype,
      attention, quantization: as load_model() takes them.
    - num_threads: CPU threads of the model, 1 to 256. Their number changes the last bits of what
      it computes, so it is an option and does not depend on the machine.
    - frame_rate_fps: frames a second shown to the model, 0.00001 to 1000; 0: the checkpoint's own.
    - tokens_per_second: pace of the model in the bag's time; each frame takes at least one token
      of it, 10,000 at most. 0: as much as it wants to say at each frame.
    - answer_within_s: stream time after which a question without any answer is unanswered.
    - system_prompt: '': the checkpoint's own. max_tokens_between_frames: 0: the checkpoint's own.
    - sampling: 'checkpoint', 'greedy' or 'random'; seed: of random sampling.
    - with_images: whether narration.mcap has the images too.

    Raises ValueError that quotes the name and the value.
    """

    image_topic: str = ''
    prompt_topic: str = ''
    clock: str = 'auto'
    prompt: str = ''
    prompts_at: tuple[tuple[float, str], ...] = ()
    checkpoint: str = ''
    device: str = 'auto'
    dtype: str = 'auto'
    attention: str = 'auto'
    quantization: str = ''
    num_threads: int = 1
    frame_rate_fps: float = 0.0
    tokens_per_second: float = DEFAULT_TOKENS_PER_SECOND
    answer_within_s: float = DEFAULT_ANSWER_WITHIN_S
    system_prompt: str = ''
    max_tokens_between_frames: int = 0
    sampling: str = 'checkpoint'
    seed: int = 0
    with_images: bool = False

    def __post_init__(self):
        for name, minimum in (('num_threads', 1), ('max_tokens_between_frames', 0), ('seed', 0)):
            require_count(name, getattr(self, name), minimum, _MOST_BY_COUNT[name])
        for name in ('prompt', 'system_prompt', 'checkpoint', 'image_topic', 'prompt_topic'):
            require_utf8_text(name, getattr(self, name))
        if self.frame_rate_fps != 0:
            require_number('frame_rate_fps', self.frame_rate_fps, minimum=_LEAST_FRAME_RATE_FPS,
                           maximum=_MOST_FRAME_RATE_FPS)
        require_number('tokens_per_second', self.tokens_per_second, minimum=0,
                       maximum=_MOST_TOKENS_PER_SECOND)
        require_number('answer_within_s', self.answer_within_s, above=0,
                       maximum=_MOST_ANSWER_WITHIN_S)
        for name, allowed in (
                ('sampling', ('checkpoint', 'greedy', 'random')), ('clock', CLOCKS),
                ('dtype', ('auto', *DTYPES)), ('attention', ATTENTION_NAMES),
                ('quantization', ('', *QUANTIZATION_NAMES))):
            if getattr(self, name) not in allowed:
                raise ValueError(f'{name} is {getattr(self, name)!r}; allowed: '
                                 f'{", ".join(filter(None, allowed))}')
        if self.prompt and not self.prompt.strip():
            raise ValueError(f'prompt is {self.prompt!r}; a text with something besides '
                             'whitespace is needed, or none')
        # JSON has lists, no tuples.
        object.__setattr__(self, 'prompts_at', tuple(
            (time_s, text) for time_s, text in self.prompts_at))
        for time_s, text in self.prompts_at:
            require_number('time of a prompt', time_s, minimum=0, maximum=_MOST_PROMPT_TIME_S)
            require_utf8_text('text of a prompt', text)
            if not text.strip():
                raise ValueError(f'the prompt at {time_s:g} s must not be empty')

    def to_json(self) -> dict:
        """Return plain values for JSON; NarrateOptions(**them) is equal to this one."""
        return {**asdict(self), 'prompts_at': [list(pair) for pair in self.prompts_at]}

    def open_checkpoint(self) -> StreamCheckpoint:
        """
        Open the checkpoint that is named, with its options changed by what is given here.

        Raises CheckpointError, or ValueError for a pace that the frame rate does not allow.
        """
        checkpoint = StreamCheckpoint.open(
            self.checkpoint or DEMO_CHECKPOINT, self.seed, self.system_prompt or None)
        options = checkpoint.options
        given = {name: value for name, value in (
            ('frame_rate_fps', float(self.frame_rate_fps)),
            ('answer_within_s', float(self.answer_within_s)),
            ('max_tokens_between_frames', self.max_tokens_between_frames)) if value}
        if self.sampling != 'checkpoint':
            given['sampling'] = replace(options.sampling, do_sample=self.sampling == 'random')
        options = replace(options, **given)
        if 0 < self.tokens_per_second < options.frame_rate_fps:
            raise ValueError(
                f'tokens_per_second is {self.tokens_per_second:g}, but each of '
                f'{options.frame_rate_fps:g} frames a second takes one token at least; '
                f'{options.frame_rate_fps:g} to {_MOST_TOKENS_PER_SECOND} are possible, 0 for no '
                'limit, or a lower frame_rate_fps')
        return replace(checkpoint, options=options)


OPTION_NAMES = tuple(option.name for option in fields(NarrateOptions))
