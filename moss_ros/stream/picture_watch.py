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
Whether a camera's pictures are good for anything: frozen, almost black, white, of one colour.

Pictures go in, in the order of their stamps; a CameraEvent comes out where something begins or
ends. It tells only what pixels prove, and guesses no cause. Used by the narrator's input and for
bags.
"""

from __future__ import annotations

import re
import zlib

import cv2
from moss_ros.checks import require_number
from moss_ros.stream.events import CameraEvent, CameraReason
import numpy as np

DEFAULT_FROZEN_AFTER_S = 5.0
DEFAULT_BLANK_AFTER_S = 3.0
# However long that lasts, so many pictures must show it: stamps may jump.
MIN_PICTURES = 5
# Of 255: the ends of what a sensor gives, and room for noise and for what JPEG makes of it.
BLACK_END, WHITE_END, CONTRAST = 16, 250, 12
# Of the pixels, in each colour; what is told ends only when clearly less are left.
SHARE, SHARE_LEFT, SLACK = 0.99, 0.97, 4
_SAMPLE_PX = 64
_BLOCK_BYTES = 1 << 16
# Without pictures for so long, it is not known what the camera saw meanwhile.
_PAUSE_S = 5.0
# Depth, heat, masks and what else holds no light as it is seen; most of it has 16 bits.
_NO_LIGHT = re.compile(r'16|8UC1|\d[SF]C\d|depth', re.IGNORECASE)
_TEXTS = {
    CameraReason.BLACK: 'The picture is almost black.',
    CameraReason.WHITE: 'The picture is almost white.',
    CameraReason.UNIFORM: 'The picture is of almost one colour.'}
_END_TEXTS = {
    CameraReason.FROZEN: 'The picture changes again.',
    CameraReason.BLACK: 'The picture is not almost black any more.',
    CameraReason.WHITE: 'The picture is not almost white any more.',
    CameraReason.UNIFORM: 'The picture is not of almost one colour any more.'}


class PictureWatch:
    """
    Watches one camera; one thread at a time, nothing blocks.

    - Frozen: all pictures of frozen_after_s, and at least MIN_PICTURES, are the same to the last
      bit. It ends with the first other picture. Blank pictures do not count, for where a sensor is
      at its end its noise is cut off.
    - Almost black, white or of one colour: SHARE of the pixels are, in all pictures of
      blank_after_s and at least MIN_PICTURES. Told only of pictures that hold light: not of depth,
      heat or masks, nor of anything else with 16 bits. Black borders leave enough of a picture.

    A pause does not count, nor do stamps that go back. The cost of a good picture is that of a few
    thousand of its pixels.
    """

    def __init__(self, frozen_after_s: float = DEFAULT_FROZEN_AFTER_S,
                 blank_after_s: float = DEFAULT_BLANK_AFTER_S):
        """Watch from now on; 0: never tell of it. ValueError quotes what is no number from 0."""
        require_number('frozen_after_s', frozen_after_s, minimum=0)
        require_number('blank_after_s', blank_after_s, minimum=0)
        self._same = _Run(frozen_after_s)
        self._blank = _Run(blank_after_s)
        self._blank_reason: CameraReason | None = None  # of the newest picture
        self._content = None
        self._checksum: int | None = None  # of the content before, after restore()
        self._told: CameraEvent | None = None

    @property
    def trouble(self) -> CameraEvent | None:
        """Return the event that told what is wrong now; None if nothing is."""
        return self._told

    @property
    def trouble_s(self) -> float:
        """Seconds of stamps for which that has lasted; 0.0 where nothing is wrong."""
        if self._told is None:
            return 0.0
        return (self._same if self._told.reason is CameraReason.FROZEN else self._blank).length_s

    @property
    def identical_s(self) -> float:
        """Seconds of stamps for which all pictures have been the same, whether told or not."""
        return self._same.length_s

    @property
    def num_identical(self) -> int:
        """How many pictures in a row, up to the newest, are the same; 0 before the first."""
        return self._same.num

    def look(self, picture: np.ndarray, stamp_ns: int, received_ns: int, encoding: str,
             content=None) -> CameraEvent | None:
        """
        Take in the next picture; return what begins or ends with it, None if nothing does.

        - picture: u8 [H, W, 3] RGB. encoding: what the camera calls it, such as 'rgb8' or 'jpeg'.
        - content: what the camera sent of it, bytes or an array of them, by which pictures are
          compared; it is kept until the next one, so nobody may change it. None: not compared, as
          of coded video, whose encoder may leave out the noise of a still picture.
        """
        has_light = _NO_LIGHT.search(encoding) is None
        blank = self._judge(picture, has_light)
        if blank is not self._blank_reason:
            self._blank.begin()
        self._blank_reason = blank
        if blank is not None:
            self._blank.add(stamp_ns)
        is_comparable = content is not None and blank is None and (
            has_light or not _is_one_colour(picture))
        if not is_comparable or not self._is_as_before(content):
            self._same.begin()
        self._content, self._checksum = content if is_comparable else None, None
        if is_comparable:
            self._same.add(stamp_ns)
        return self._tell(stamp_ns, received_ns)

    def snapshot(self) -> dict:
        """Return all that look() depends on, as plain values for JSON."""
        told = self._told
        return {
            'same': self._same.snapshot(), 'blank': self._blank.snapshot(),
            'blank_reason': self._blank_reason and self._blank_reason.value,
            'checksum': self._checksum if self._content is None else _checksum(self._content),
            'told': told and {'reason': told.reason.value, 'text': told.text,
                              'stamp_ns': told.stamp_ns, 'received_ns': told.received_ns}}

    def restore(self, snapshot: dict) -> None:
        """Take over a snapshot() of a watch with the same limits."""
        self._same.restore(snapshot['same'])
        self._blank.restore(snapshot['blank'])
        reason, told = snapshot['blank_reason'], snapshot['told']
        self._blank_reason = reason and CameraReason(reason)
        self._content, self._checksum = None, snapshot['checksum']
        self._told = told and CameraEvent(**{**told, 'reason': CameraReason(told['reason'])})

    def _is_as_before(self, content):
        if self._content is not None:
            return _is_same(self._content, content)
        return self._checksum is not None and self._checksum == _checksum(content)

    def _judge(self, picture, has_light):
        if not has_light:
            return None
        was = self._blank_reason if self._told is not None else None
        height, width = picture.shape[:2]
        sample = picture[::max(1, height // _SAMPLE_PX), ::max(1, width // _SAMPLE_PX)]
        found = _blank_reason(sample, was)
        # A sample may miss what is fine; all pixels are looked at only where it may matter.
        return found and _blank_reason(picture, was)

    def _tell(self, stamp_ns, received_ns):
        reason, text = None, ''
        if self._blank.is_long_enough:
            reason, text = self._blank_reason, _TEXTS[self._blank_reason]
        elif self._same.is_long_enough:
            reason = CameraReason.FROZEN
            text = (f'The picture is frozen: {self._same.num} pictures of '
                    f'{self._same.length_s:.1f} s are identical.')
        before = self._told
        if reason is (before.reason if before else None):
            return None
        times = {'stamp_ns': stamp_ns, 'received_ns': received_ns}
        if reason is None:
            self._told = None
            return CameraEvent(**times, reason=CameraReason.CLEAR, text=_END_TEXTS[before.reason])
        self._told = CameraEvent(**times, reason=reason, text=text)
        return self._told


class _Run:
    """Pictures in a row of which something is true; begin() ends the row before."""

    def __init__(self, after_s):
        self._after_s = after_s
        self.begin()

    def begin(self):
        self.num = 0
        self._first_ns = self._newest_ns = 0

    def add(self, stamp_ns):
        step_ns = stamp_ns - self._newest_ns
        if self.num and not 0 <= step_ns <= 1e9 * max(self._after_s, _PAUSE_S):
            if self.is_long_enough:
                self._first_ns += step_ns
            else:
                self.begin()
        if not self.num:
            self._first_ns = stamp_ns
        self._newest_ns = stamp_ns
        self.num += 1

    def snapshot(self):
        return [self.num, self._first_ns, self._newest_ns]

    def restore(self, snapshot):
        self.num, self._first_ns, self._newest_ns = snapshot

    @property
    def length_s(self):
        return (self._newest_ns - self._first_ns) / 1e9

    @property
    def is_long_enough(self):
        return bool(self._after_s) and self.num >= MIN_PICTURES and self.length_s >= self._after_s


def _blank_reason(picture, was):
    """Return in which way the picture is blank, None if it is not; was: what was told of it."""
    low, high = _ends(picture, SHARE if was is None else SHARE_LEFT)
    slack = 0 if was is None else SLACK
    if high.max() <= BLACK_END + slack * (was is CameraReason.BLACK):
        return CameraReason.BLACK
    if low.min() >= WHITE_END - slack * (was is CameraReason.WHITE):
        return CameraReason.WHITE
    if (high - low).max() <= CONTRAST + slack * (was is CameraReason.UNIFORM):
        return CameraReason.UNIFORM
    return None


def _ends(picture, share):
    """Return the values i64 [3] below and above which lie but 1 - share of the pixels."""
    picture = np.ascontiguousarray(picture)
    num_outside = (1 - share) * picture.shape[0] * picture.shape[1]
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for channel in range(3):
        counts = cv2.calcHist([picture], [channel], None, [256], [0, 256])[:, 0]
        counts = np.cumsum(counts, dtype=np.float64)
        low[channel] = np.searchsorted(counts, num_outside, side='right')
        high[channel] = np.searchsorted(counts, counts[-1] - num_outside, side='left')
    return low, high


def _is_one_colour(picture):
    return bool((picture[0, 0] == picture[0]).all()) and bool((picture[0, 0] == picture).all())


def _checksum(content):
    return zlib.crc32(np.frombuffer(content, np.uint8))


def _is_same(one, other):
    """Return whether two buffers hold the same bytes; most that do not differ early."""
    one, other = (np.frombuffer(each, np.uint8) for each in (one, other))
    return len(one) == len(other) and all(
        np.array_equal(one[start:start + _BLOCK_BYTES], other[start:start + _BLOCK_BYTES])
        for start in range(0, len(one), _BLOCK_BYTES))
