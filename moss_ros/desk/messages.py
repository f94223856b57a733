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
What a browser may send to the desk: a text of the WebSocket goes in, a checked order comes out.

Anything else raises MessageError with a line for people. Called by each client of the server.
"""

from __future__ import annotations

from dataclasses import dataclass
import json

SERVICES = ('interrupt', 'reset', 'pause', 'resume')
SOURCES = ('camera', 'overlay')
MAX_WATCHED = 64
MAX_NAME = 300
# The narrator refuses what is too long for its context; this is what a person may paste.
MAX_PROMPT = 20_000


class MessageError(ValueError):
    """A message is not one of the page's."""


@dataclass(frozen=True)
class Hello:
    """The first message: what the browser has seen already, of the desk that started as boot."""

    boot: str
    after: int


@dataclass(frozen=True)
class Watch:
    """The pictures that are on the screen: pairs of a narrator and one of SOURCES."""

    pictures: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """A picture was drawn; the next one may come."""

    picture: tuple[str, str]


@dataclass(frozen=True)
class Ask:
    """A question to a narrator; order_id comes back with the result."""

    order_id: int
    narrator: str
    text: str


@dataclass(frozen=True)
class Call:
    """One of SERVICES of a narrator; order_id comes back with the result."""

    order_id: int
    narrator: str
    service: str


def read_message(text: str) -> Hello | Watch | Shown | Ask | Call:
    """Return what a text says; MessageError says why it is nothing."""
    try:
        message = json.loads(text)
    # RecursionError: a thousand brackets.
    except (ValueError, RecursionError):
        raise MessageError('it is not JSON') from None
    kind = message.get('type') if isinstance(message, dict) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise MessageError('its type is unknown')
    return reader(message)


def _hello(message):
    return Hello(_text(message, 'boot', 100), _count(message, 'after'))


def _watch(message):
    pictures = message.get('pictures')
    if not isinstance(pictures, list) or len(pictures) > MAX_WATCHED:
        raise MessageError(f'pictures must be a list of at most {MAX_WATCHED}')
    return Watch(frozenset(map(_picture, pictures)))


def _shown(message):
    return Shown(_picture(message.get('picture')))


def _picture(pair):
    if not (isinstance(pair, list) and len(pair) == 2 and _is_name(pair[0])
            and pair[1] in SOURCES):
        raise MessageError(f'a picture is a narrator and one of {", ".join(SOURCES)}')
    return (pair[0], pair[1])


def _ask(message):
    text = _text(message, 'text', MAX_PROMPT)
    if not text.strip():
        raise MessageError('the question is empty')
    return Ask(_count(message, 'id'), _name(message), text)


def _call(message):
    service = message.get('service')
    if service not in SERVICES:
        raise MessageError(f'service must be one of {", ".join(SERVICES)}')
    return Call(_count(message, 'id'), _name(message), service)


def _name(message):
    if not _is_name(message.get('narrator')):
        raise MessageError('narrator must be a name')
    return message['narrator']


def _is_name(name):
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME


def _text(message, key, max_letters):
    text = message.get(key)
    if not isinstance(text, str) or len(text) > max_letters:
        raise MessageError(f'{key} must be a text of at most {max_letters} letters')
    # A topic carries neither; half of a pair of surrogates is no letter.
    if '\0' in text or any('\ud800' <= letter <= '\udfff' for letter in text):
        raise MessageError(f'{key} has a letter that cannot be sent')
    return text


def _count(message, key):
    count = message.get(key)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2 ** 53:
        raise MessageError(f'{key} must be a count')
    return count


_READERS = {'hello': _hello, 'watch': _watch, 'shown': _shown, 'ask': _ask, 'call': _call}
