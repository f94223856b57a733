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
Which clock a bag is narrated by: its own times, or the header stamps of its images.

Bag (log) time is the one that `ros2 bag info` and players show, and it is the clock unless it is
plainly none: all times are the same, or they jump by an hour or more, to zero for instance, where
the header stamps go on. Header stamps that never change are no clock either. Decided by the times
of messages alone; the stamps are read only where these look odd. Called by bag_source.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import struct

from moss_ros.bag.ros_types import FOXGLOVE_TYPE
import numpy as np

CLOCKS = ('auto', 'bag', 'header')
# So far apart, two images are not of one stretch.
GAP_NS = 3600 * 10**9
# So far from all others, a time is that of a clock that was not set.
_STRAY_NS = 365 * 24 * GAP_NS
# Of all images, as few as a time that is astray may have.
_STRAY_PART = 0.1
# Stamps and bag times so far apart are of two clocks.
_OTHER_CLOCK_NS = 2 * 10**9


class NoClockError(Exception):
    """The clock that is wanted is none; the text says why."""


@dataclass(frozen=True)
class Clock:
    """
    How the images of a bag are timed.

    - name: 'bag' or 'header'. notes: what is to be told about it.
    - start_ns, end_ns: of what is narrated, by this clock; times astray left out.
    - has_stamps: whether the header stamps change; where not, bag times stand for them.
    - offset_ns: from bag time to the stamps' clock, for an image without a stamp.
    """

    name: str
    start_ns: int
    end_ns: int
    has_stamps: bool = True
    offset_ns: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BagTimes:
    """
    What a clock is chosen by; all times i64 in ns.

    - images_ns, prompts_ns: bag times, in the order of the file.
    - first: (bag time, stamp) of some of the first images, those without a stamp with 0.
    - read_stamps: reads the whole bag; returns the bag times and stamps of the images that have a
      stamp, and the times of prompts by the images' clock, in the order of the file.
    """

    images_ns: np.ndarray
    prompts_ns: np.ndarray
    first: list[tuple[int, int]]
    read_stamps: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


def choose_clock(wanted: str, times: BagTimes) -> Clock:
    """Return the clock that is wanted, of 'auto' the better one; NoClockError where it is none."""
    stamps = np.array([stamp_ns for _, stamp_ns in times.first if stamp_ns], np.int64)
    has_stamps = len(stamps) == 1 or (len(stamps) > 1 and not _are_equal(stamps))
    if wanted == 'header':
        clock = _header_clock(times.read_stamps(), ())
        if clock is None:
            raise NoClockError('its header stamps never change, so they are no clock')
        return clock
    if wanted == 'auto' and has_stamps:
        problem = _problem_of(times.images_ns)
        if problem:
            clock = _better_header_clock(times, problem)
            if clock is not None:
                return clock
    start_ns, end_ns = _span(np.concatenate([times.images_ns, times.prompts_ns]))
    return Clock('bag', start_ns, end_ns, has_stamps, _offset_ns(times.first),
                 (*(() if has_stamps else _stamp_notes(stamps, times)),
                  *_gap_notes(times.images_ns)))


def header_stamp_ns(content: bytes | memoryview, encoding: str, message_type: str) -> int | None:
    """
    Return the stamp that an image begins with; None where there is none.

    All kinds of image begin with a header, and a header with its stamp, or with the stamp alone,
    so that images which nobody wants need not be unpacked.
    """
    if encoding == 'ros1':
        # In a header behind the number of the message.
        begin = 0 if message_type == FOXGLOVE_TYPE else 4
        if len(content) < begin + 8:
            return None
        seconds, nanoseconds = struct.unpack_from('<II', content, begin)
    else:
        if len(content) < 12 or content[0] != 0 or content[1] > 1:
            return None
        seconds, nanoseconds = struct.unpack_from('<iI' if content[1] else '>iI', content, 4)
    return seconds * 1_000_000_000 + nanoseconds


def _problem_of(images_ns) -> str:
    """Return why bag times look like those of no clock; '' where they do not."""
    if len(images_ns) > 1 and _are_equal(images_ns):
        return 'are all the same'
    if (_steps(images_ns) >= GAP_NS).any():
        return 'jump where the header stamps go on'
    return ''


def _better_header_clock(times, problem) -> Clock | None:
    """Return the clock of the header stamps where they are better than the bag's times."""
    bag_ns, stamps_ns, _ = found = times.read_stamps()
    if not _are_equal(times.images_ns):
        jumps, stamp_jumps = _steps(bag_ns) >= GAP_NS, _steps(stamps_ns) >= GAP_NS
        if (jumps & ~stamp_jumps).sum() <= (stamp_jumps & ~jumps).sum():
            return None
    return _header_clock(found, (f'its times {problem}, so it is narrated by the header stamps of '
                                 'its images',))


def _header_clock(found, notes) -> Clock | None:
    """Return the clock of the header stamps, of what read_stamps() has found; None: it is none."""
    _, stamps_ns, prompts_ns = found
    if not len(stamps_ns) or len(np.unique(stamps_ns)) < min(2, len(stamps_ns)):
        return None
    start_ns, end_ns = _span(np.concatenate([stamps_ns, prompts_ns]))
    return Clock('header', start_ns, end_ns, notes=(*notes, *_gap_notes(stamps_ns)))


def _stamp_notes(stamps, times):
    if len(times.images_ns) > 1 and _are_equal(times.images_ns):
        yield 'neither its times nor the header stamps of its images change'
    elif len(stamps):
        _, all_ns, _ = times.read_stamps()
        how = 'never change' if _are_equal(all_ns) else 'do not change at first'
        yield (f'the header stamps of its images {how}; the times at which they were recorded '
               'stand for them')


def _gap_notes(times_ns):
    start_ns, end_ns = _span(times_ns)
    inside = np.sort(times_ns[(times_ns >= start_ns) & (times_ns <= end_ns)])
    steps = _steps(inside)
    places = np.flatnonzero(steps >= GAP_NS)
    if len(places):
        first = places[0]
        others = f', and {len(places) - 1} more times' if len(places) > 1 else ''
        yield (f'its images pause for {steps[first] / 3.6e12:.1f} h after '
               f'{(inside[first] - start_ns) / 1e9:.1f} s{others}; nothing is shown meanwhile')


def _steps(times_ns):
    """Return how far each time is from the one before it, f64 in ns."""
    return np.abs(np.diff(times_ns.astype(np.float64)))  # which nothing makes overflow


def _are_equal(times_ns) -> bool:
    return bool((times_ns == times_ns[0]).all())


def _span(times_ns) -> tuple[int, int]:
    """Return the first and the last time, those left out that few have and that lie far off."""
    times_ns = np.sort(times_ns)
    if not len(times_ns):
        return 0, 0
    edges = np.flatnonzero(_steps(times_ns) >= _STRAY_NS) + 1
    stretches = np.split(times_ns, edges)
    longest = max(range(len(stretches)), key=lambda index: len(stretches[index]))
    few = max(1.0, _STRAY_PART * len(times_ns))
    if len(stretches[longest]) <= few:
        return int(times_ns[0]), int(times_ns[-1])
    kept = [stretch for index, stretch in enumerate(stretches)
            if index == longest or len(stretch) > few]
    return int(kept[0][0]), int(kept[-1][-1])


def _offset_ns(first):
    offsets = [stamp_ns - time_ns for time_ns, stamp_ns in first if stamp_ns]
    return offsets[0] if offsets and abs(offsets[0]) >= _OTHER_CLOCK_NS else 0
