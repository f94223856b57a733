"""
Checks of settings and arguments: a name and a value in; ValueError, or nothing.

The message quotes the name and the value and says what is needed. Called wherever settings and
arguments come in. Importing it loads none of the model's libraries.
"""

import math
from numbers import Integral


def require_count(name: str, value: object, minimum: int = 1) -> None:
    """Raise ValueError unless value is an int of at least minimum; bools are refused."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        _refuse(name, value, f'a whole number of at least {minimum}')


def require_number(name: str, value: object, *, above: float | None = None,
                   minimum: float | None = None) -> None:
    """Raise ValueError unless value is a finite number, above `above` and at least `minimum`."""
    is_number = not isinstance(value, bool) and isinstance(value, (int, float)) \
        and math.isfinite(value)
    if above is not None and not (is_number and value > above):
        _refuse(name, value, f'a number above {above}')
    if minimum is not None and not (is_number and value >= minimum):
        _refuse(name, value, f'a number of at least {minimum}')
    if not is_number:
        _refuse(name, value, 'a finite number')


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


def _refuse(name, value, needed):
    raise ValueError(f'{name} is {value!r}; {needed} is needed')
