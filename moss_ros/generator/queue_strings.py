"""
The strings of the published queue API: events of a stream, or pieces of an answer, in; str out.

The only place that knows them. Control strings come alone, text comes as it was said. Called by
the generator on the thread that generates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import logging

from moss_ros.media import MediaError
from moss_ros.stream import (
    ErrorEvent, Event, PromptEvent, SessionState, SilenceEvent, StateEvent, TokenEvent,
)

ROUND_START = '<|round_start|>'
SILENCE = '<|silence|>'
ROUND_END = '<|round_end|>'
DONE = '[DONE]'
ERROR = '[ERROR]'

_LOGGER = logging.getLogger(__name__)


class LiveStrings:
    """
    What goes on the token queue for the events of one live stream, given one after the other.

    A narration that a limit cut off ends with a silence too, so that a consumer which knows only
    strings sees that it is over. ROUND_END and DONE would end such a consumer: there is none
    while the stream goes on.
    """

    def __init__(self):
        self._is_speaking = False

    def of(self, event: Event) -> list[str]:
        """Return the strings of an event; many have none."""
        if isinstance(event, TokenEvent):
            return [event.text]
        if isinstance(event, PromptEvent):
            return [ROUND_START]
        if isinstance(event, ErrorEvent):
            return [error_string(event.message)]
        if isinstance(event, SilenceEvent):
            self._is_speaking = False
            return [SILENCE]
        if isinstance(event, StateEvent):
            was_speaking, self._is_speaking = (
                self._is_speaking, event.state is SessionState.SPEAKING)
            return [SILENCE] if was_speaking and not self._is_speaking else []
        return []


def answer_strings(pieces: Iterable[str]) -> Iterator[str]:
    """Yield an offline answer piece by piece and ROUND_END, and before it what went wrong."""
    try:
        yield from pieces
    except (MediaError, ValueError) as error:
        yield error_string(error)
    except Exception as error:
        _LOGGER.exception('a query failed')
        yield error_string(error)
    yield ROUND_END


def error_string(error: Exception | str) -> str:
    """Return the string that reports an error, or what is wrong in words."""
    return f'{ERROR} {str(error) or repr(error)}'
