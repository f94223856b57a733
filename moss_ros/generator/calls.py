"""
The arguments of the published calls: as they were passed in, checked and by one name each out.

Also tells a call's failure on its output queue, whose consumer would else wait for ever: users
start these calls in daemon threads, where an exception ends nothing but the thread.
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
# For an output queue that is full; then the exception alone has to do.
_MAX_TELL_S = 5.0
# In the order of positions; the names that an argument goes by.
_LIVE_ARGUMENTS = (
    ('image_queue', 'new_video_frames'), ('prompt_queue', 'new_prompts'),
    ('token_queue', 'output_text_queue'), ('processor',), ('max_tokens_per_turn',))
_OFFLINE_ARGUMENTS = (
    ('processor',), ('new_queries',), ('output_text_queue',), ('vision_chunked_length',))

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveCall:
    """
    What real_time_generate was called with.

    max_tokens_per_turn: tokens a second at most while it speaks; None: as fast as it can.
    """

    image_queue: object
    prompt_queue: object
    token_queue: object
    max_tokens_per_turn: float | None
    settings: GenerationSettings

    @classmethod
    def from_arguments(cls, positional: Sequence, keywords: Mapping,
                       base: SamplingOptions) -> LiveCall:
        """Check them; base is the sampling where they say nothing. Raises ValueError."""
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
        """Return what was passed for a token queue, by either name; several if that is wrong."""
        return _passed(2, _LIVE_ARGUMENTS, positional, keywords)


@dataclass(frozen=True)
class OfflineCall:
    """What offline_generate was called with."""

    new_queries: object
    output_text_queue: object
    vision_chunked_length: int

    @classmethod
    def from_arguments(cls, positional: Sequence, keywords: Mapping) -> OfflineCall:
        """Check them. Raises ValueError."""
        require_known('argument', keywords, [name for name, in _OFFLINE_ARGUMENTS])
        values = _bound(_OFFLINE_ARGUMENTS, positional, keywords, num_needed=3)
        length = values.get('vision_chunked_length', DEFAULT_CHUNK_LENGTH)
        require_count('vision_chunked_length', length)
        return cls(values['new_queries'], values['output_text_queue'], length)

    @staticmethod
    def output_queues(positional: Sequence, keywords: Mapping) -> list:
        """Return what was passed for an output queue; more than one if that is wrong."""
        return _passed(2, _OFFLINE_ARGUMENTS, positional, keywords)


@contextmanager
def failures_told(output_queues: Sequence, end_marker: str) -> Iterator[None]:
    """Put an error string and the end marker on the queues where the block raises."""
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
    """Return the values by first names; ValueError for one that is missing or passed twice."""
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
