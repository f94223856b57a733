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
Checks of settings and arguments: a name and a value in; ValueError, or nothing.

The message quotes the name and the value and says what is needed. Called wherever settings and
arguments come in. Importing it loads none of the model's libraries.
"""

import math
from numbers import Integral

_MOST_SHOWN = 100  # characters of a value that an error quotes


def require_count(name: str, value: object, minimum: int = 1, maximum: int | None = None) -> None:
    """Raise ValueError unless value is an int in these bounds; bools are refused."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum \
            or (maximum is not None and value > maximum):
        _refuse(name, value, f'a whole number of at least {minimum}', maximum)


def require_number(name: str, value: object, *, above: float | None = None,
                   minimum: float | None = None, maximum: float | None = None) -> None:
    """Raise ValueError unless value is a finite number in the bounds that are given."""
    is_number = not isinstance(value, bool) and isinstance(value, (int, float)) \
        and -math.inf < value < math.inf and (maximum is None or value <= maximum)
    if above is not None and not (is_number and value > above):
        _refuse(name, value, f'a number above {above}', maximum)
    if minimum is not None and not (is_number and value >= minimum):
        _refuse(name, value, f'a number of at least {minimum}', maximum)
    if not is_number:
        _refuse(name, value, 'a finite number', maximum)


def require_time_ns(name: str, value: object) -> None:
    """Raise ValueError unless value is an integer, Python's or numpy's; it may be negative."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        _refuse(name, value, 'a whole number of nanoseconds')


def require_text(name: str, value: object) -> None:
    """Raise ValueError unless value is a str; it may be empty."""
    if not isinstance(value, str):
        _refuse(name, value, 'a str')


def require_utf8_text(name: str, value: object) -> None:
    """Raise ValueError unless value is a str that UTF-8 can encode; some arguments can not be."""
    if not isinstance(value, str) or value.encode(errors='replace').decode() != value:
        _refuse(name, value, 'text that UTF-8 can carry')


def require_filled_text(name: str, value: object) -> None:
    """Raise ValueError unless value is a str that holds more than whitespace."""
    if not isinstance(value, str) or not value.strip():
        _refuse(name, value, 'a str with something besides whitespace')


def _refuse(name, value, needed, maximum=None):
    shown = repr(value)
    if len(shown) > _MOST_SHOWN:
        shown = f'{shown[:_MOST_SHOWN]}...'
    most = '' if maximum is None else f', {maximum} at most'
    raise ValueError(f'{name} is {shown}; {needed} is needed{most}')
