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
Times as people read them: nanoseconds in, texts out. Used by the console and by reports.

Stamps of a simulator, and times within a video file, begin near 0 and are no dates.
"""

from datetime import datetime

# Times before that (2001) are those of a simulator or a video file, not of a calendar.
FIRST_CALENDAR_NS = 1_000_000_000 * 10**9


def has_calendar(time_ns: int) -> bool:
    """Return whether a time can be a date, not a time since the start of a simulator."""
    return time_ns >= FIRST_CALENDAR_NS


def time_text(stamp_ns: int | None) -> str:
    """
    Return the time of day of a stamp on this machine's clock, as hh:mm:ss.

    Of a simulator's stamp it is the time since its clock began; of None, before the first frame,
    dashes.
    """
    if stamp_ns is None:
        return '--:--:--'
    total_s = stamp_ns // 10**9
    if has_calendar(stamp_ns):
        return datetime.fromtimestamp(total_s).strftime('%H:%M:%S')
    return f'{total_s // 3600:02}:{total_s // 60 % 60:02}:{total_s % 60:02}'


def clock_text(duration_ns: int) -> str:
    """Return a duration as 0:07, 12:34 or 1:02:03, cut off to seconds."""
    total_s = duration_ns // 10**9
    hours, minutes, rest_s = total_s // 3600, total_s // 60 % 60, total_s % 60
    return f'{hours}:{minutes:02}:{rest_s:02}' if hours else f'{minutes}:{rest_s:02}'


def duration_text(duration_ns: int) -> str:
    """Return how long something took, written as clock_text does it, rounded."""
    return clock_text(duration_ns + 500_000_000)
