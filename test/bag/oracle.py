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
What is to be shown of a hostile bag, and how a run over it may end: from its data alone.

The rules of docs/bags.md, written a second time and in another way than in the package, so that a
mistake in one of the two shows. Called by the test of hostile bags.
"""

from dataclasses import dataclass
from fractions import Fraction
from statistics import median

from hostile_bags import HostileBag, LONG_TEXT

RESTART_NS = 2 * 10**9


@dataclass(frozen=True)
class Expected:
    """
    What a run must do.

    - statuses: how it may end. stamps_ns: of the images that are shown where it ends with 0.
    - num_unusable: images and prompts that could not be used.
    """

    statuses: frozenset[int]
    stamps_ns: tuple[int, ...]
    num_unusable: int


def expected_of(bag: HostileBag) -> Expected:
    """Return what must come of a bag."""
    stamps_ns, num_unusable = _shown(bag)
    return Expected(frozenset(_statuses(bag, stamps_ns)), tuple(stamps_ns), num_unusable)


def _statuses(bag, stamps_ns):
    if bag.cut == 'storage':
        # A database that was cut may have lost nothing but what nobody reads.
        return {0, 3, 4} if 'sqlite3' in bag.storage and not bag.compression else {3, 4}
    end_s = (bag.end_ns - bag.start_ns) / 1e9 if bag.images else 0.0
    if any(time_s > end_s for time_s, _ in bag.prompts_at):
        return {3}
    if not bag.images or not bag.names_topic and 'second camera' in bag.others:
        return {3}
    told_ns = [image.stamp_ns for image in bag.images
               if image.stamp_ns and image.damage != 'headless']
    if bag.clock_option == 'header' and len(set(told_ns)) < min(2, len(told_ns) or 2):
        return {3}  # there is no such clock
    end = {0} if stamps_ns else {4}
    return end | {3} if bag.cut == 'metadata' else end


def _shown(bag):
    """Return the stamps of what is shown, and how many messages could not be used."""
    sampler = _Sampler(bag.frame_rate_fps)
    shown, num_unusable = [], 0
    newest_ns = None  # stamp of the newest image that was not bad
    waiting = None  # the newest image, unless it was shown
    for event in _events(bag):
        if event in ('question', 'long question'):
            num_unusable += event == 'long question'  # refused, but the image is shown
            if waiting is not None:
                image, stamp_ns = waiting
                waiting = None
                if image.damage:
                    num_unusable += 1
                else:
                    shown.append(stamp_ns)
                    sampler.begin_at(stamp_ns)
            continue
        if event == 'bad prompt':
            num_unusable += 1
            continue
        image, stamp_ns = event
        if image.damage in ('headless', 'no picture'):
            num_unusable += 1
            continue
        if newest_ns is not None and stamp_ns <= newest_ns:
            if newest_ns - stamp_ns < RESTART_NS:
                num_unusable += 1  # late
                continue
            sampler.forget()
            waiting, newest_ns = None, stamp_ns
        if not sampler.takes(stamp_ns):
            sampler.see(stamp_ns)
            newest_ns, waiting = stamp_ns, event
        elif image.damage:
            num_unusable += 1
        else:
            sampler.take(stamp_ns)
            shown.append(stamp_ns)
            newest_ns, waiting = stamp_ns, None
    return shown, num_unusable


def _events(bag):
    """Return images with their stamps, questions and bad prompts in the order of the bag."""
    events = []
    # Of a single image nobody knows.
    is_frozen = bag.clock == 'frozen stamps' and sum(
        image.damage != 'headless' for image in bag.images) > 1
    for image in bag.images:
        stamp_ns = image.bag_ns if is_frozen or not image.stamp_ns else image.stamp_ns
        events.append((image.bag_ns, (image, stamp_ns)))
    for prompt in bag.prompts:
        kind = 'long question' if prompt.text == LONG_TEXT else 'question'
        is_asked = prompt.is_message and prompt.text.strip()
        events.append((prompt.bag_ns, kind if is_asked else 'bad prompt'))
    for time_s, _ in bag.prompts_at:
        events.append((bag.start_ns + round(time_s * 1e9), 'question'))
    events.sort(key=lambda event: event[0])
    return [event for _, event in events]


class _Sampler:
    """The grid of times, in exact fractions of ns."""

    def __init__(self, frame_rate_fps):
        self._period_ns = Fraction(10**9) / Fraction(frame_rate_fps)
        self.forget()

    def forget(self):
        self._seen_ns = []
        self._origin_ns, self._index = None, 0

    def takes(self, stamp_ns):
        if self._origin_ns is None:
            return True
        return stamp_ns >= self._due_ns() - self._tolerance_ns(stamp_ns)

    def take(self, stamp_ns):
        if self._origin_ns is None:
            self.begin_at(stamp_ns)
            return
        late_ns = stamp_ns - self._due_ns()
        is_gap = late_ns >= self._period_ns - self._tolerance_ns(stamp_ns)
        self.see(stamp_ns)
        if is_gap:
            self._origin_ns, self._index = stamp_ns, 1
        else:
            self._index += 1

    def see(self, stamp_ns):
        self._seen_ns.append(stamp_ns)

    def begin_at(self, stamp_ns):
        if not self._seen_ns or stamp_ns > self._seen_ns[-1]:
            self.see(stamp_ns)
        self._origin_ns, self._index = stamp_ns, 1

    def _due_ns(self):
        return self._origin_ns + self._index * self._period_ns

    def _tolerance_ns(self, stamp_ns):
        """Half the camera's interval (the median of the last five), half a period at most."""
        times_ns = [*self._seen_ns, stamp_ns][-6:]
        intervals_ns = [later - earlier for earlier, later in zip(times_ns, times_ns[1:])]
        return min(Fraction(median(intervals_ns)), self._period_ns) / 2
