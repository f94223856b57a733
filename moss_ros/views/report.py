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
The report page of a narrated bag: its timeline and thumbnails go in, HTML comes out.

The page is one file that loads nothing from elsewhere and runs only its own script; whatever a
model or a prompt says stays text. The same input gives the same bytes. Called by bag/outputs.py.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
import hashlib
import math
from pathlib import Path

import cv2
import jinja2
from markupsafe import Markup
from moss_ros.views.page_files import report_style, TEMPLATES
from moss_ros.views.timeline import Narration, Timeline
from moss_ros.views.times import clock_text, has_calendar
import numpy as np

# A shorter silence between two narrations is not worth a line of its own.
_LEAST_REST_S = 15
# Stretches of speech are drawn at least so wide that they can be seen: a part of the duration.
LEAST_STRETCH = 1 / 800
# What is laid out together; page.css has the height of so many.
ROWS_PER_CHUNK = 50
# The pictures of a page are as wide as they were kept, or, in one of many, so many px at most:
# (up to so many narrations, width), so that a page of 10,000 has less than 30 MB.
_PICTURE_WIDTHS_PX = ((1_000, None), (10_000, 128), (math.inf, 80))
_SMALL_QUALITY = 55
_NOTE_BY_REASON = {
    'interrupted': 'cut off by the next prompt',
    'limit': 'ended at the limit of its length',
    'stopped': 'cut off by the end of the bag',
}
# Of a question to which nothing was said; {} is how long it waited.
_UNANSWERED_BY_REASON = {
    'unanswered': 'not answered within {}',
    'interrupted': 'not answered: the next prompt came after {}',
    'stopped': 'not answered: the stream ended after {}',
}


@dataclass(frozen=True)
class ReportHead:
    """
    What the page says about the bag as a whole.

    start_ns: bag time at which it begins, ns since 1970 (or since 0 where a file has no date).
    duration_ns: from there to its end. figures are shown large, facts on demand: names and
    values. warning: why the bag is not narrated to its end, '' where it is.
    """

    title: str
    subtitle: str
    start_ns: int
    duration_ns: int
    figures: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    warning: str = ''


def report_page(head: ReportHead, timeline: Timeline,
                thumbnail_file: Callable[[int], Path]) -> Iterator[str]:
    """
    Yield the page piece by piece, so that its pictures need not be in memory together.

    thumbnail_file: where the JPEG of a narration is, by its id; one that isn't there leaves an
    empty frame.
    """
    return pieces('report.html.j2', 'report.js', page=_Page(head, timeline, thumbnail_file))


def pieces(template: str, script_name: str | None = None, **values) -> Iterator[str]:
    """Yield a page made of a template, the common style and a script of the templates folder."""
    style = report_style()
    script = (TEMPLATES / script_name).read_text(encoding='utf-8') if script_name else ''
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    stream = environment.get_template(template).stream(
        style=Markup(style), style_hash=_source_hash(style),
        script=Markup(script), script_hash=_source_hash(script), **values)
    stream.enable_buffering(100)
    yield from stream


def stretches_path(narrations: Sequence[Narration], start_ns: int, least_ns: int) -> str:
    """
    Return an SVG path of the times in which something was said: seconds since start_ns, height 1.

    Each stretch is at least least_ns long; those that meet are drawn as one.
    """
    stretches = []
    for narration in narrations:
        if not narration.text:
            continue
        end_ns = max(narration.end_ns, narration.begin_ns + least_ns)
        if stretches and narration.begin_ns <= stretches[-1][1]:
            stretches[-1][1] = max(stretches[-1][1], end_ns)
        else:
            stretches.append([narration.begin_ns, end_ns])
    return ''.join(
        f'M{seconds(begin_ns - start_ns)} 0h{seconds(end_ns - begin_ns)}v1'
        f'H{seconds(begin_ns - start_ns)}z' for begin_ns, end_ns in stretches)


def seconds(duration_ns: int) -> str:
    """Return a duration in seconds with three decimals, cut off."""
    return f'{duration_ns // 10**9}.{duration_ns // 10**6 % 1000:03}'


def answers_text(timeline: Timeline) -> str:
    """Return how many answers there are, and of how many questions where some have none."""
    num_answers, num_questions = timeline.num_answers, timeline.num_questions
    return str(num_answers) + (f' of {num_questions}' if num_questions > num_answers else '')


def utc(time_ns: int) -> datetime:
    """Return the date and time, cut off to seconds, of a bag time."""
    return datetime.fromtimestamp(time_ns // 10**9, timezone.utc)


class _Page:
    """What the template reads."""

    def __init__(self, head, timeline, thumbnail_file):
        narrations = timeline.narrations
        # A bag of one frame still has a timeline to draw on.
        duration_ns = max(head.duration_ns, 10**9)
        self.title, self.subtitle, self.warning = head.title, head.subtitle, head.warning
        self.figures, self.facts = head.figures, head.facts
        self.duration_s = seconds(duration_ns)
        self.has_clock = has_calendar(head.start_ns)
        least_ns = int(duration_ns * LEAST_STRETCH)
        self.fine_path = stretches_path(narrations, head.start_ns, 0)
        self.coarse_path = stretches_path(narrations, head.start_ns, least_ns)
        self.prompt_marks = ''.join(
            f'M{seconds(time_ns - head.start_ns)} 0v1' for time_ns in timeline.prompt_times_ns)
        self.num_marks = len(timeline.prompt_times_ns)
        num_by_prompt = Counter(
            narration.prompt for narration in narrations if narration.prompt is not None)
        self.prompts = list(num_by_prompt.items())
        self.num_unasked = len(narrations) - num_by_prompt.total()
        self.num_answers = timeline.num_answers
        self.num_unanswered = timeline.num_questions - timeline.num_answers
        index_by_text = {text: index for index, text in enumerate(num_by_prompt)}
        ends_ns = [head.start_ns, *(narration.end_ns for narration in narrations)]
        width_px = next(width_px for num, width_px in _PICTURE_WIDTHS_PX if len(narrations) <= num)
        self.rows = [
            _Row(narration, head.start_ns, ends_ns[index], index_by_text.get(narration.prompt),
                 thumbnail_file(narration.narration_id), width_px)
            for index, narration in enumerate(narrations)]
        self.chunks = [
            _Chunk(number, self.rows[first:first + ROWS_PER_CHUNK])
            for number, first in enumerate(range(0, len(self.rows), ROWS_PER_CHUNK))]


class _Chunk:
    """Rows that the browser lays out together, once they are about to be seen."""

    def __init__(self, number, rows):
        self.number, self.rows = number, rows
        # The pictures of the first are in place; those of others are put there by the script.
        self.is_later = number > 0


class _Row:
    """One narration of the page, below its question if it has one."""

    def __init__(self, narration, start_ns, silent_since_ns, prompt_index, thumbnail, width_px):
        self.narration_id = narration.narration_id
        self.text, self.prompt = narration.text, narration.prompt
        self.prompt_index = prompt_index
        self.note = _NOTE_BY_REASON.get(narration.reason, '')
        self.silence = 'no words'
        self.begin_s = seconds(narration.begin_ns - start_ns)
        self.end_s = seconds(narration.end_ns - start_ns)
        self.time = _Time(narration.begin_ns, start_ns)
        self.asked, self.asked_s = None, ''
        if narration.asked_ns is not None:
            self.asked = _Time(narration.asked_ns, start_ns)
            self.asked_s = seconds(narration.asked_ns - start_ns)
            self._tell_waiting(narration)
        rest_ns = narration.shown_ns - silent_since_ns
        self.rest = _rest_text(rest_ns // 10**9) if rest_ns >= _LEAST_REST_S * 10**9 else ''
        self._thumbnail, self._width_px = thumbnail, width_px

    def has_picture(self) -> bool:
        """Return whether there is a JPEG."""
        return self._thumbnail.is_file()

    def picture(self) -> str:
        """Return the JPEG in base64, '' where there is none."""
        try:
            jpeg = self._thumbnail.read_bytes()
        except OSError:
            return ''
        return base64.b64encode(_shrunk(jpeg, self._width_px)).decode()

    def _tell_waiting(self, narration):
        waiting = _waiting_text(narration.begin_ns - narration.asked_ns)
        if narration.text:
            after = f'after {waiting}' if waiting else 'at once'
            self.note = ', '.join(filter(None, (after, self.note)))
        elif narration.reason in _UNANSWERED_BY_REASON:
            self.silence = _UNANSWERED_BY_REASON[narration.reason].format(waiting or '0.0 s')
            self.note = ''


def _shrunk(jpeg, width_px):
    """Return a JPEG of at most this width; one that can't be read, or None, as it is."""
    picture = None if width_px is None else cv2.imdecode(
        np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        return jpeg
    height, width = picture.shape[:2]
    if width > width_px:
        picture = cv2.resize(picture, (width_px, max(1, height * width_px // width)),
                             interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', picture, [
        cv2.IMWRITE_JPEG_QUALITY, _SMALL_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1].tobytes()


class _Time:
    """A bag time: since the start, and by the clock where there is one."""

    def __init__(self, time_ns, start_ns):
        self.text = clock_text(time_ns - start_ns)
        self.clock = self.datetime = ''
        if has_calendar(start_ns):
            moment = utc(time_ns)
            self.clock, self.datetime = f'{moment:%H:%M:%S}', f'{moment:%Y-%m-%dT%H:%M:%SZ}'


def _waiting_text(duration_ns):
    """Return how long a question waited; '' where that rounds to nothing."""
    tenths = round(duration_ns / 10**8)
    if tenths < 600:
        return f'{tenths / 10:.1f} s' if tenths else ''
    return _rest_text(duration_ns // 10**9)


def _rest_text(rest_s):
    hours, minutes, rest_s = rest_s // 3600, rest_s // 60 % 60, rest_s % 60
    parts = [f'{number} {unit}' for number, unit in (
        (hours, 'h'), (minutes, 'min'), (rest_s, 's')) if number]
    return ' '.join(parts[:2])


def _source_hash(text):
    """Return the name by which a page's security policy allows an inline style or script."""
    return 'sha256-' + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
