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
Standard error for this program's own lines alone: within `with`, libraries in C write nowhere.

OpenCV's decoders and FFmpeg write a line of their own to it for each picture that is damaged,
which this package counts and tells itself. Used by the command line, whose process is its own;
worker processes inherit it. One thread enters and leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import faulthandler
import io
import os
import sys

_STDERR = 2


@contextmanager
def own_stderr() -> Iterator[None]:
    """Let sys.stderr go where it went, and what is written past Python nowhere."""
    kept = os.dup(_STDERR)
    before = sys.stderr
    # A caller may have put another one in its place, which is left alone.
    is_ours = _descriptor(before) == _STDERR
    if is_ours:
        before.flush()
        sys.stderr = open(kept, 'w', buffering=1, encoding=before.encoding,
                          errors='backslashreplace', closefd=False)
        # What a library that aborts would say is lost, so that at least the place is told.
        faulthandler.enable(kept)
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        if is_ours:
            faulthandler.disable()
            sys.stderr.flush()
            sys.stderr = before
        os.close(kept)


def _descriptor(stream):
    try:
        return stream.fileno()
    except (AttributeError, OSError, io.UnsupportedOperation):
        return None
