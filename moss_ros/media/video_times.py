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
When the frames of a video are shown: its packets in, the times of its frames out; decodes nothing.

Recordings are cut, joined and written by anything, so what a container says of its length is not
believed: all packets are read once. Times are whole ticks of the stream and count from the first
frame that is shown. Called by VideoFile.

Letters: P packets with data in the file's order, F frames that are shown.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

# A frame that is followed by none for longer is not held until the next one: nothing was recorded
# in between. Slides and time lapses are well below.
GAP_S = 60.0
# What goes back by less is a recorder's jitter, not a clock that starts again.
_MIN_RESTART_S = 0.1
# A container's length may be beyond the last packet by as much, without anything being lost.
_SPARE_S = 1.0
# So much of a joined MPEG-TS may be behind the begin of the last packet.
_MOST_UNREAD_BYTES = 2_000_000
# What goes back by more is a clock that starts again, even without a key frame.
_FAR_S = 1.0
# So far from the others, a time is damaged.
_ABSURD_S = 1e9
_DEFAULT_FPS = 25  # of a stream that does not say it, as everywhere in FFmpeg
_UNKNOWN = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class VideoTimes:
    """
    The times of a video in ticks of tick_s seconds.

    - packet_ticks: int64 [P], when the frame of each packet is shown.
    - frame_ticks: int64 [F], those that are shown, ascending from 0.
    - interval_ticks: from one frame to the next, usually. end_ticks: when the last one ends.
    - start_ticks: what a packet's own time is at the first frame; None where packets' own times
      don't do, so that packet_ticks must be used from the first packet on.
    - is_counted: the n-th frame that is decoded is shown at frame_ticks[n], whatever its packet
      says.
    - breaks_off: why the file can't be read to its end, '' where it can.
    - notes: what the user should know, each in one sentence.
    """

    tick_s: Fraction
    packet_ticks: np.ndarray
    frame_ticks: np.ndarray
    interval_ticks: int
    end_ticks: int
    start_ticks: int | None
    is_counted: bool
    breaks_off: str
    notes: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """From the begin of the first frame to the end of the last one."""
        return float(self.end_ticks * self.tick_s)

    @property
    def last_s(self) -> float:
        """When the last frame begins."""
        return float(int(self.frame_ticks[-1]) * self.tick_s)

    @property
    def tolerance_s(self) -> float:
        """How far beyond a time a frame may begin that is shown then: what rounding may make."""
        # Ticks of milliseconds can't tell the times of most rates, longer ones are frames.
        is_rounded = self.tick_s <= Fraction(1, 500)
        return 1e-6 + (min(float(self.tick_s), float(self.interval_ticks * self.tick_s) / 20)
                       if is_rounded else 0.0)

    def pieces_ns(self, gap_s: float = GAP_S) -> list[tuple[int, int]]:
        """
        Return (begin, end) in ns of the pieces of the video between gaps of more than gap_s.

        A piece ends a usual interval after its last frame begins. The last piece ends with the
        video, unless its last frame is followed by a gap as well.
        """
        ticks = self.frame_ticks
        gap_ticks = gap_s / float(self.tick_s)
        lasts = np.flatnonzero(np.diff(ticks) > gap_ticks)
        begins = ticks[[0, *(lasts + 1)]]
        held = max(1, min(self.interval_ticks, int(gap_ticks)))
        ends = [*(ticks[lasts] + held), self.end_ticks]
        if self.end_ticks - ticks[-1] > gap_ticks:
            ends[-1] = ticks[-1] + held
        return [(round(int(begin) * self.tick_s * 10**9), round(int(end) * self.tick_s * 10**9))
                for begin, end in zip(begins, ends)]


def read_times(container: av.container.InputContainer, stream_index: int) -> VideoTimes:
    """Read all packets of an open file; ValueError where the stream of that index has none."""
    stream = container.streams[stream_index]
    packets = _Packets()
    end_s, breaks_off = 0.0, ''
    try:
        for packet in container.demux(list(container.streams)):  # not those found later
            if packet.size and packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0))
                                         * packet.stream.time_base))
            if packet.size:
                packets.note_place(packet)
            if packet.stream_index == stream_index and packet.size:
                packets.add(packet)
    except av.FFmpegError as error:
        breaks_off = error.strerror or str(error)
    if not packets.pts:
        raise ValueError('no packets')
    if packets.is_last_cut or _is_matroska_cut(container):
        breaks_off = breaks_off or 'it is cut off'
    elif packets.is_followed(container):
        breaks_off = breaks_off or (
            'another video stream follows where its first one ends, and is not read; split the '
            'file there')
    return _Reckoning(container, stream, packets).times(end_s, breaks_off)


def _is_matroska_cut(container):
    """
    Return whether a Matroska or WebM file ends before its segment does.

    FFmpeg takes that for its end; every other format has a last packet that is cut. The size of a
    segment stands behind its id, in as many bytes as its first one has zeros in front, and one;
    all ones for a recording that goes on (https://www.rfc-editor.org/rfc/rfc8794).
    """
    if 'matroska' not in container.format.name:
        return False
    with open(container.name.removeprefix('file:'), 'rb') as file:
        head = file.read(4096)
    at = head.find(b'\x18\x53\x80\x67') + 4
    num_bytes = 9 - head[at].bit_length() if 4 <= at < len(head) else 9
    if num_bytes > 8:
        return False
    size = int.from_bytes(head[at:at + num_bytes], 'big') & (1 << 7 * num_bytes) - 1
    is_known = size != (1 << 7 * num_bytes) - 1
    return is_known and at + num_bytes + size > container.size


class _Packets:
    """Times of packets, 26 bytes each."""

    def __init__(self):
        self.pts, self.dts, self.durations = array('q'), array('q'), array('q')
        self.is_shown, self.is_key = bytearray(), bytearray()
        self.is_last_cut = False
        self._num_before_others = 0  # of these, before the last stream that began in the file
        self._streams_seen: set[int] = set()
        self._last_pos = 0

    def note_place(self, packet):
        """Note where in the file a packet of any stream is."""
        self._last_pos = max(self._last_pos, packet.pos or 0)
        if packet.stream_index not in self._streams_seen and packet.stream.type == 'video':
            self._num_before_others = len(self.pts)
        self._streams_seen.add(packet.stream_index)

    def is_followed(self, container):
        """
        Return whether a joined MPEG-TS goes on in another stream.

        That is one that begins behind all of these packets, or that is not known of at all, as its
        tables come too late in the file.
        """
        if container.format.name != 'mpegts':
            return False
        unread = container.size - self._last_pos
        # The last packet of a stream is known to be whole at the end of the file only.
        begins_behind = len(self.pts) > 4 and self._num_before_others >= len(self.pts) - 2
        return begins_behind or unread > max(_MOST_UNREAD_BYTES, container.size // 20)

    def add(self, packet):
        self.pts.append(_UNKNOWN if packet.pts is None else packet.pts)
        self.dts.append(_UNKNOWN if packet.dts is None else packet.dts)
        self.durations.append(packet.duration or 0)
        self.is_shown.append(not packet.is_discard)  # an edit list leaves out the others
        self.is_key.append(packet.is_keyframe)
        self.is_last_cut = packet.is_corrupt


class _Reckoning:
    """Makes one time that goes on of what the packets say."""

    def __init__(self, container, stream, packets):
        self._container = container
        self._stream = stream
        self._tick_s = Fraction(stream.time_base)
        self._pts = np.array(packets.pts, np.int64)
        self._dts = np.array(packets.dts, np.int64)
        self._durations = np.array(packets.durations, np.int64)
        self._is_shown = np.array(packets.is_shown, bool)
        if not self._is_shown.any():
            self._is_shown[:] = True
        self._notes = []
        self._is_key = np.array(packets.is_key, bool)
        if not self._is_key[0]:
            self._notes.append('it begins without a key frame, so its first pictures are missing')

    def times(self, end_s, breaks_off) -> VideoTimes:
        self._forget_absurd()
        known = self._pts[(self._pts != _UNKNOWN) & self._is_shown]
        if len(known) == 0 or (len(self._pts) > 1 and len(np.unique(known)) == 1):
            if len(known):
                self._notes.append(
                    f'its frames all have the same time, so they are taken to be '
                    f'{self._fps():.4g} a second')
            return self._counted(breaks_off)
        self._interval = self._usual_interval(known)
        before = self._pts.copy()
        starts = self._find_restarts()
        self._fill_unknown()
        ticks, end = self._joined(starts)
        shift = self._pts[0] - ticks[0]
        is_plain = bool((before - ticks == shift).all())
        self._compare_length(end_s)
        # No container of FFmpeg's names the times of its frames less well than AVI, which has
        # none: frames out of order are known only by being decoded.
        is_counted = self._container.format.name == 'avi' and bool(
            self._stream.codec_context.has_b_frames)
        return VideoTimes(
            self._tick_s, ticks, np.sort(ticks[self._is_shown]), self._interval, int(end),
            int(shift) if is_plain and not is_counted else None, is_counted, breaks_off,
            tuple(self._notes))

    def _forget_absurd(self):
        """Make times unknown that damage has set to what no clock can show."""
        self._durations[self._durations > _ABSURD_S / float(self._tick_s)] = 0
        known = self._pts[self._pts != _UNKNOWN]
        if len(known):
            # As floats: the difference of two of them need not fit into 64 bits.
            away_s = np.abs(self._pts.astype(float) - np.median(known)) * float(self._tick_s)
            self._pts[away_s > _ABSURD_S] = self._dts[away_s > _ABSURD_S] = _UNKNOWN

    def _counted(self, breaks_off):
        """Frames of a stream without times, one after the other."""
        interval = max(1, round(1 / (self._fps() * float(self._tick_s))))
        ticks = np.arange(self._is_shown.sum(), dtype=np.int64) * interval
        return VideoTimes(
            self._tick_s, np.arange(len(self._pts), dtype=np.int64) * interval, ticks, interval,
            int(ticks[-1]) + interval, None, True, breaks_off, tuple(self._notes))

    def _fps(self):
        # A raw stream is said to have 25 a second, but what it tells of itself is in its packets.
        lengths = self._durations[self._durations > 0]
        if len(lengths):
            return 1 / float(int(np.median(lengths)) * self._tick_s)
        return float(self._stream.average_rate or _DEFAULT_FPS)

    def _usual_interval(self, known):
        # Decoding times are evenly spaced like the frames, and are in order.
        for times in (self._dts[self._dts != _UNKNOWN], np.unique(known)):
            steps = np.diff(times)
            if (steps > 0).any():
                return max(1, int(np.median(steps[steps > 0])))
        if self._durations[0] > 0:
            return int(self._durations[0])
        rate = self._stream.average_rate or _DEFAULT_FPS
        return max(1, round(1 / (rate * self._tick_s)))

    def _find_restarts(self):
        """
        Return at which packets the clock starts again; one packet's stray time becomes unknown.

        Decoding times never go back in a stream that was written in one go. But FFmpeg guesses
        them where a container has none, and errs by a few frames behind a joint.
        """
        order = np.flatnonzero(self._dts != _UNKNOWN)
        dts = self._dts[order]
        least = max(_MIN_RESTART_S / float(self._tick_s), 1.5 * self._interval)
        far = max(_FAR_S / float(self._tick_s), 4 * self._interval)
        starts = []
        for at in np.flatnonzero(np.diff(dts) < 0) + 1:
            back = dts[at - 1] - dts[at]
            if at + 1 < len(dts) and dts[at + 1] > dts[at - 1]:
                stray = at
            elif at > 1 and dts[at] > dts[at - 2]:
                stray = at - 1
            else:
                # The first ones of the new piece may have none.
                first = int(order[at - 1]) + 1
                keys = np.flatnonzero(self._is_key[first:order[at] + 1])
                if back > (least if len(keys) else far):
                    starts.append(first + int(keys[0]) if len(keys) else int(order[at]))
                continue
            if abs(int(dts[stray]) - int(dts[stray - 1])) > far:
                self._pts[order[stray]] = self._dts[order[stray]] = _UNKNOWN
        return starts

    def _fill_unknown(self):
        """Give packets without a time the one behind the packet before, or before the next."""
        unknown = np.flatnonzero(self._pts == _UNKNOWN)
        for at in unknown:
            if at and self._pts[at - 1] != _UNKNOWN:
                self._pts[at] = self._pts[at - 1] + self._interval
        for at in unknown[::-1]:
            if self._pts[at] == _UNKNOWN:
                self._pts[at] = self._pts[at + 1] - self._interval

    def _joined(self, starts):
        """Return int64 [P] of a clock that goes on from 0, and when the last frame ends."""
        ticks = self._pts.copy()
        end = 0
        bounds = [0, *starts, len(ticks)]
        for first, behind in zip(bounds, bounds[1:]):
            piece = ticks[first:behind]
            shown = piece[self._is_shown[first:behind]]
            if not len(shown):
                continue
            piece += end - shown.min()
            last = first + int(np.argmax(np.where(
                self._is_shown[first:behind], piece, _UNKNOWN)))
            if behind == len(ticks) or self._durations[last] <= self._interval:
                end = ticks[last] + (self._durations[last] or self._interval)
            else:
                end = ticks[last] + self._interval
            if first == 0 and starts:
                self._notes.append(
                    f'its clock starts again at {float(int(end) * self._tick_s):.1f} s'
                    + (f' and {len(starts) - 1} more times' if len(starts) > 1 else '')
                    + ', so its pieces are taken one after the other')
        return ticks, end

    def _compare_length(self, end_s):
        said_s = (self._container.duration or 0) / av.time_base
        found_s = end_s - (self._container.start_time or 0) / av.time_base
        if said_s > found_s + _SPARE_S:
            self._notes.append(
                f'it says that it lasts {said_s:.1f} s, but it ends at {max(found_s, 0):.1f} s')
