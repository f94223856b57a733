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
Checks the arguments of the published calls, real_time_generate and offline_generate.

Positional and keyword arguments come in as the caller passed them; LiveCall and OfflineCall come
out. failures_told() also reports a failed call on its output queue: users run these calls in
daemon threads, where an exception ends only the thread, and the consumer would wait for ever.
Used by the generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import logging
import math

from moss_ros.checks import require_count, require_number
from moss_ros.generator.query import GENERATION_KEYS, GenerationSettings, require_known
from moss_ros.generator.queue_strings import error_string
from moss_ros.model import SamplingOptions

DEFAULT_CHUNK_LENGTH = 64
# How long to wait, in seconds, if the output queue is full; then there is only the exception.
_MAX_TELL_S = 5.0
# Arguments in the order of their positions; an argument may have several names.
_LIVE_ARGUMENTS = (
    ('image_queue', 'new_video_frames'), ('prompt_queue', 'new_prompts'),
    ('token_queue', 'output_text_queue'), ('processor',), ('max_tokens_per_turn',))
_OFFLINE_ARGUMENTS = (
    ('processor',), ('new_queries',), ('output_text_queue',), ('vision_chunked_length',))

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveCall:
    """
    The checked arguments of a call of real_time_generate.

    max_tokens_per_turn: tokens a second at most while speaking; None: as fast as possible.
    """

    image_queue: object
    prompt_queue: object
    token_queue: object
    max_tokens_per_turn: float | None
    settings: GenerationSettings

    @classmethod
    def from_arguments(cls, positional: Sequence, keywords: Mapping,
                       base: SamplingOptions) -> LiveCall:
        """Check the arguments; base gives the sampling that they leave out. Raises ValueError."""
        known = [name for names in _LIVE_ARGUMENTS for name in names]
        require_known('generation argument', keywords, (*GENERATION_KEYS, *known))
        values = _bound(_LIVE_ARGUMENTS, positional, keywords, num_needed=3)
        pace = values.get('max_tokens_per_turn')
        if pace is not None and pace != math.inf:
            require_number('max_tokens_per_turn', pace, above=0)
        generation = {key: value for key, value in keywords.items() if key in GENERATION_KEYS}
        return cls(values['image_queue'], values['prompt_queue'], values['token_queue'], pace,
                   GenerationSettings.from_keywords(generation, base))

    @staticmethod
    def output_queues(positional: Sequence, keywords: Mapping) -> list:
        """Return what was passed as token queue; more than one if it was passed twice."""
        return _passed(2, _LIVE_ARGUMENTS, positional, keywords)


@dataclass(frozen=True)
class OfflineCall:
    """The checked arguments of a call of offline_generate."""

    new_queries: object
    output_text_queue: object
    vision_chunked_length: int

    @classmethod
    def from_arguments(cls, positional: Sequence, keywords: Mapping) -> OfflineCall:
        """Check the arguments. Raises ValueError."""
        require_known('argument', keywords, [name for name, in _OFFLINE_ARGUMENTS])
        values = _bound(_OFFLINE_ARGUMENTS, positional, keywords, num_needed=3)
        length = values.get('vision_chunked_length', DEFAULT_CHUNK_LENGTH)
        require_count('vision_chunked_length', length)
        return cls(values['new_queries'], values['output_text_queue'], length)

    @staticmethod
    def output_queues(positional: Sequence, keywords: Mapping) -> list:
        """Return what was passed as output queue; more than one if it was passed twice."""
        return _passed(2, _OFFLINE_ARGUMENTS, positional, keywords)


@contextmanager
def failures_told(output_queues: Sequence, end_marker: str) -> Iterator[None]:
    """If the block raises, put an error string and the end marker on the queues, and re-raise."""
    try:
        yield
    except BaseException as error:
        for output_queue in output_queues:
            try:
                for string in (error_string(error), end_marker):
                    output_queue.put(string, timeout=_MAX_TELL_S)
            except Exception as other:
                _LOGGER.warning('%r could not be told on the queue: %r', error, other)
        raise


def _bound(arguments, positional, keywords, num_needed):
    """Return the values by each argument's first name; ValueError if missing or passed twice."""
    if len(positional) > len(arguments):
        raise ValueError(f'{len(positional)} positional arguments were passed; possible are '
                         f'{len(arguments)}: {", ".join(names[0] for names in arguments)}')
    values = {}
    for index, names in enumerate(arguments):
        passed = _passed(index, arguments, positional, keywords)
        if len(passed) > 1:
            raise ValueError(f'{" or ".join(names)} is passed twice; pass it once')
        if passed:
            values[names[0]] = passed[0]
        elif index < num_needed and names[0] != 'processor':
            raise ValueError(f'{" or ".join(names)} is missing; pass a queue')
    return values


def _passed(index, arguments, positional, keywords):
    return [*positional[index:index + 1],
            *(keywords[name] for name in arguments[index] if name in keywords)]
