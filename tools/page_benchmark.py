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
How fast the pages of long bags open and answer in Chromium: `make benchmark-pages`.

Makes the report of a bag in which much was said, and the index of many bags, opens both, and
prints a JSON line for each. Needs Chromium.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import json
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time

import cv2
from moss_ros.training.scenes import Scene, SceneRenderer
from moss_ros.views.index_page import index_page, IndexEntry
from moss_ros.views.report import report_page, ReportHead
from moss_ros.views.timeline import Narration, Timeline
from tools.browser import Browser, find_program

_START_NS = 1_795_000_000 * 10**9
_INTERVAL_NS = 26 * 10**9
_NUM_PICTURES = 200
# How the page is read: from one end to the other, and somewhere in between.
_SCROLLS = 20


def make_timeline(num_narrations: int) -> Timeline:
    """Return a timeline of so many narrations, every tenth of them an answer."""
    events = list(Scene(7).events_between(0.0, 600.0))
    narrations = []
    for index in range(num_narrations):
        begin_ns = _START_NS + (index + 1) * _INTERVAL_NS
        is_answer = index % 10 == 0
        narrations.append(Narration(
            index + 1, begin_ns, begin_ns + 2 * 10**9, events[index % len(events)].sentence,
            'What do you see?' if is_answer else None, 'silence',
            begin_ns - 10**9 if is_answer else None))
    return Timeline(tuple(narrations), tuple(
        said.asked_ns for said in narrations if said.asked_ns is not None))


def write_pictures(folder: Path) -> list[Path]:
    """Write thumbnails as the journal of a run keeps them; return their paths."""
    renderer = SceneRenderer(Scene(7), 160, 120)
    paths = []
    for index in range(_NUM_PICTURES):
        picture = cv2.cvtColor(renderer.render(index * 0.7), cv2.COLOR_RGB2BGR)
        paths.append(folder / f'{index}.jpg')
        cv2.imwrite(str(paths[-1]), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return paths


def write_report(path: Path, num_narrations: int) -> None:
    """Write the page of a bag with so many narrations, each with a picture."""
    pictures = write_pictures(path.parent)
    timeline = make_timeline(num_narrations)
    head = ReportHead('days', '/camera/image_raw', _START_NS, (num_narrations + 2) * _INTERVAL_NS)
    _write(path, report_page(head, timeline, lambda number: pictures[number % len(pictures)]))


def write_index(path: Path, num_bags: int) -> None:
    """Write the page over so many bags of an hour."""
    timeline = make_timeline(138)
    _write(path, index_page('fleet', [
        IndexEntry(f'bag_{index}', f'bag_{index}', '', '/camera/image_raw', _START_NS,
                   3600 * 10**9, timeline) for index in range(num_bags)]))


def _write(path: Path, pieces: Iterator[str]) -> None:
    with path.open('w', encoding='utf-8', newline='\n') as file:
        file.writelines(pieces)


def measure(browser: Browser, path: Path) -> dict:
    """Open a page; return how long that and scrolling through it takes."""
    figures = {'page_mb': round(path.stat().st_size / 1e6, 1)}
    begin_s = time.monotonic()
    browser.open(path)
    browser.evaluate(_NEXT_PICTURE)
    figures['open_s'] = round(time.monotonic() - begin_s, 2)
    slowest_s = 0.0
    for step in range(_SCROLLS):
        begin_s = time.monotonic()
        browser.evaluate(f'scrollTo(0, document.documentElement.scrollHeight * {step} / '
                         f'{_SCROLLS}), {_NEXT_PICTURE}')
        slowest_s = max(slowest_s, time.monotonic() - begin_s)
    figures['slowest_scroll_s'] = round(slowest_s, 2)
    return figures


def measure_report(browser: Browser, path: Path) -> dict:
    """Return the figures of a report, those of its search and its keys too."""
    figures = measure(browser, path)
    browser.press('/')
    figures['search_s'] = _timed(browser, lambda: browser.write('red'))
    browser.press('Escape')
    browser.evaluate("document.getElementById('strip').focus()")
    figures['key_s'] = _timed(browser, lambda: browser.press('End'))
    figures['heap_mb'] = round(browser.evaluate('performance.memory.usedJSHeapSize') / 1e6, 1)
    return figures


def _timed(browser, action):
    begin_s = time.monotonic()
    action()
    browser.evaluate(_NEXT_PICTURE)
    return round(time.monotonic() - begin_s, 2)


# Resolved when the picture after the next one is drawn: by then all is laid out.
_NEXT_PICTURE = ('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame('
                 '() => done(true))))')


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--narrations', type=int, default=10_000, help='default %(default)s')
    parser.add_argument('--bags', type=int, default=1000, help='default %(default)s')
    arguments = parser.parse_args()
    program = find_program()
    if program is None:
        sys.exit('no Chromium here: apt install chromium')
    with TemporaryDirectory(prefix='pages_') as name:
        folder = Path(name)
        write_report(folder / 'report.html', arguments.narrations)
        write_index(folder / 'index.html', arguments.bags)
        browser = Browser(program, folder / 'profile')
        try:
            print(json.dumps({'narrations': arguments.narrations,
                              **measure_report(browser, folder / 'report.html')}), flush=True)
            print(json.dumps({'bags': arguments.bags,
                              **measure(browser, folder / 'index.html')}), flush=True)
        finally:
            browser.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
