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
The strings of the published queue API: events of a stream, or pieces of an answer, in; str out.

All control strings are defined here. They come alone; text comes as it was generated. Called by
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
    Turns the events of one live stream, given in order, into strings for the token queue.

    A narration that a limit cut off also ends with SILENCE, so that a consumer of the strings
    sees that it is over. ROUND_END and DONE would end such a consumer, so neither is given here.
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
    """Yield the pieces of an offline answer, an error string if it fails, and then ROUND_END."""
    try:
        yield from pieces
    except (MediaError, ValueError) as error:
        yield error_string(error)
    except Exception as error:
        _LOGGER.exception('a query failed')
        yield error_string(error)
    yield ROUND_END


def error_string(error: Exception | str) -> str:
    """Return the string that reports an exception or a message."""
    return f'{ERROR} {str(error) or repr(error)}'
