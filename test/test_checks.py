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

"""Checks of values: what passes, and how the rest is refused."""

import math
import subprocess
import sys

from moss_ros.checks import (
    require_count, require_filled_text, require_number, require_text, require_time_ns,
    require_utf8_text,
)
import numpy as np
import pytest


def refuse(message, check, *arguments, **bounds):
    with pytest.raises(ValueError) as caught:
        check('size', *arguments, **bounds)
    assert str(caught.value) == message


def test_counts():
    require_count('size', 1)
    require_count('size', 0, minimum=0)
    for value in (0, -1, True, 1.0, '1', None):
        refuse(f'size is {value!r}; a whole number of at least 1 is needed', require_count, value)
    refuse('size is 4; a whole number of at least 5 is needed', require_count, 4, 5)


def test_numbers():
    for value in (-1, 0, 2.5):
        require_number('size', value)
    require_number('size', 0, minimum=0)
    require_number('size', 1e-9, above=0)
    for value in (math.nan, math.inf, -math.inf, True, '1', None):
        refuse(f'size is {value!r}; a finite number is needed', require_number, value)
        refuse(f'size is {value!r}; a number above 0 is needed', require_number, value, above=0)
    for value in (-0.5, math.nan, False):
        refuse(f'size is {value!r}; a number of at least 0 is needed', require_number, value,
               minimum=0)
    refuse('size is 0; a number above 0 is needed', require_number, 0, above=0)


def test_times():
    for value in (0, -5, np.int64(7)):
        require_time_ns('size', value)
    for value in (True, np.True_, 1.0, np.float64(1.0), '1', None):
        refuse(f'size is {value!r}; a whole number of nanoseconds is needed', require_time_ns,
               value)


def test_texts():
    for check in (require_text, require_utf8_text):
        check('size', '')
        check('size', ' blå')
    require_filled_text('size', ' blå')
    require_text('size', 'caf\udce9')
    for value in (3, None, b'big'):
        refuse(f'size is {value!r}; a str is needed', require_text, value)
    for value in (3, 'caf\udce9'):
        refuse(f'size is {value!r}; text that UTF-8 can carry is needed', require_utf8_text, value)
    for value in (3, '', ' \n'):
        refuse(f'size is {value!r}; a str with something besides whitespace is needed',
               require_filled_text, value)


def test_the_checks_load_no_library():
    code = ('import sys, moss_ros.checks; '
            'print(sorted({"torch", "numpy", "moss_ros.stream"} & set(sys.modules)))')
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == '[]', result.stderr
