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
Packets of coded video to pictures: H.264, H.265 and AV1, one packet after the other.

Every packet of a stream goes in, in its order, with a tag of the caller's own; for each comes out,
now or a few packets later, its picture, or a BadImageError that says why there is none. Only what
is asked for is turned into RGB. Knows neither ROS nor bags. Called by the narrator's input and by
readers of bags.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
import re
from statistics import mean, median
from typing import Generic, TypeVar

import av
from moss_ros.images.coded_packets import make_scanner
from moss_ros.images.jpeg_pictures import JPEG_START
from moss_ros.images.png_pictures import PNG_START
from moss_ros.images.raw import BadImageError, MAX_NUM_PIXELS
import numpy as np

# What a name of a codec or an encoder holds where it is of this one.
_SIGNS = (('h264', ('h264', 'x264', 'avc')), ('hevc', ('h265', 'x265', 'hevc', 'hvc1', 'hev1')),
          ('av1', ('av1', 'av01')))
_DECODERS = {'h264': 'h264', 'hevc': 'hevc', 'av1': 'libdav1d'}
CODECS = tuple(_DECODERS)
# A picture may be shown so many packets after its own: more than any of these codecs allows.
_MAX_PENDING = 64
_NUM_VALUES = 31
_MIN_NUM_MISSING = 4
_MIN_NUM_VALUES = 4

Tag = TypeVar('Tag')


def codec_of(format_text: str, data=b'') -> str:
    """
    Return 'h264', 'hevc' or 'av1' where a text names it, '' where it names none of them.

    format_text: of a message, such as 'H.264', 'video/h265', 'libx264' or 'h264;yuv420p;bgr8'.
    data: of the message; where it begins as a picture, that is what it is.
    """
    if bytes(data[:len(PNG_START)]).startswith((JPEG_START, PNG_START)):
        return ''
    names = [re.sub('[^a-z0-9]', '', part) for part in re.split(r'[;,\s]', format_text.lower())]
    return next((codec for codec, signs in _SIGNS
                 if any(sign in name for sign in signs for name in names)), '')


def unknown_codec(name: str) -> BadImageError:
    """Return the error of a packet whose codec, by this name, is none that is decoded."""
    return BadImageError(
        'unknown_format', f'video of {name!r} is not decoded; h264, hevc and av1 are')


class CodedPicture:
    """A decoded picture in the decoder's own colours; any thread, nothing changes it."""

    def __init__(self, frame: av.VideoFrame):
        self._frame = frame

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self._frame.height, self._frame.width

    def to_rgb(self) -> np.ndarray:
        """Return the picture u8 [H, W, 3] RGB; takes about a millisecond."""
        return self._frame.to_ndarray(format='rgb24')


@dataclass(frozen=True, eq=False)
class DecodedPacket(Generic[Tag]):
    """What became of a packet: its picture, or else the error that says why there is none."""

    tag: Tag
    picture: CodedPicture | None = None
    error: BadImageError | None = None


class PacketDecoder(Generic[Tag]):
    """
    Decodes one stream; each packet comes out once, in the order in which pictures are shown.

    Packets before the first key frame are errors of the kind 'before_key_frame'. Where a packet
    is missing, or one is damaged ('not_convertible'), those that follow are of the kind
    'lost_packet' up to the next key frame: no picture is made from a wrong one. A packet without
    a picture is of the kind 'no_picture', what is no packet of the codec 'unknown_format'.

    One thread at a time; memory is what the decoder needs.
    """

    def __init__(self, codec: str):
        """Begin a stream of one of CODECS."""
        self.codec = codec
        self._scanner = make_scanner(codec)
        self._clock = _Clock()
        self._decoder = self._open()
        self._num_packets = 0
        self._num_since_start = 0
        self._tags: dict[int, Tag] = {}  # of packets whose picture may still come, by number
        self._waits_for: BadImageError | None = BadImageError(
            'before_key_frame', f'no key frame of {codec} came yet')
        self._has_begun = False  # since it waits, with what may be a key frame

    def decode(self, packet: bytes, tag: Tag, clock: int | None = None) -> list[DecodedPacket]:
        """
        Return what is known now, of this packet or of those before it.

        clock: a number that grows evenly with the pictures, such as a stamp; None: there is none.
        Where it leaps so far that the count of pictures may have begun anew meanwhile, that none
        is missing is not believed.
        """
        try:
            facts = self._scanner.look_at(packet)
        except BadImageError as error:
            return [*self._lose('a packet before it is none'), DecodedPacket(tag, error=error)]
        known: list[DecodedPacket] = []
        is_behind_loss = self._note(facts, clock)
        if facts.is_clean_start:
            known = self._restart()
            self._waits_for = None
        elif is_behind_loss:
            known = self._lose('a packet before it is missing')
        number, self._num_packets = self._num_packets, self._num_packets + 1
        if not facts.has_picture:
            known += self._shown(self._feed(packet, number)[0])
            return [*known, DecodedPacket(tag, error=BadImageError(
                'no_picture', f'a packet of {self.codec} holds settings, but no picture'))]
        self._has_begun |= facts.is_start
        self._tags[number] = tag
        frames, is_refused = self._feed(packet, number)
        known += self._shown(frames)
        if is_refused:
            return known + self._refuse(number, facts.is_start)
        if self._waits_for is not None and not self._has_begun:
            known += self._give_up(number)
        while len(self._tags) > _MAX_PENDING:
            known += self._give_up(min(self._tags))
        return known

    def pass_over(self, packet: bytes, clock: int | None = None) -> bool:
        """
        Take a packet in without decoding it; return whether decoding could begin at it.

        What follows a packet of which that is true comes out the same as if all before it had
        been decoded.
        """
        try:
            facts = self._scanner.look_at(packet)
        except BadImageError:
            return False
        self._note(facts, clock)
        self._num_packets += 1
        return facts.is_clean_start

    def finish(self) -> list[DecodedPacket]:
        """Return what is left at the end of the stream."""
        return self._restart()

    def _open(self):
        decoder = av.CodecContext.create(_DECODERS[self.codec], 'r')
        # Threads that decode several pictures at once would hold them back.
        decoder.thread_type, decoder.thread_count = 'SLICE', 1
        decoder.options = {'err_detect': 'explode', 'max_pixels': str(MAX_NUM_PIXELS)}
        return decoder

    def _note(self, facts, clock):
        """Take in what is known of the next packet; return whether one before it is missing."""
        # So many may be missing that the count looks the same without them: that is where a key
        # frame may be among them, behind which it begins anew.
        is_behind_loss = facts.is_gap or self._clock.num_missing(clock) >= max(
            _MIN_NUM_MISSING, self._num_since_start % self._scanner.num_counted)
        if is_behind_loss:
            self._clock = _Clock()
        self._num_since_start = 0 if facts.is_start else self._num_since_start + 1
        if facts.has_picture:
            self._clock.note(clock)
        return is_behind_loss

    def _feed(self, data, number):
        """Return the frames that come out whole, and whether the decoder finds anything wrong."""
        packet = av.Packet(data)
        packet.pts = packet.dts = number
        try:
            frames = self._decoder.decode(packet)
        except (av.FFmpegError, ValueError):
            return [], True
        whole = [frame for frame in frames if not frame.is_corrupt]
        return whole, len(whole) < len(frames)

    def _shown(self, frames):
        known = []
        for frame in frames:
            # A packet that was refused may come out all the same, and some come out twice.
            if frame.pts in self._tags:
                known.append(DecodedPacket(self._tags.pop(frame.pts), CodedPicture(frame)))
                self._waits_for = None
        return known

    def _refuse(self, number, is_start):
        """Return what is known where the decoder refuses a packet."""
        if self._waits_for is not None:
            refused = self._give_up(number)
            # One that leads up to a key frame needs what is before that, the key frame itself no
            # more.
            return refused + (self._lose(str(self._waits_for)) if is_start else [])
        tag = self._tags.pop(number, None)
        known = self._lose('a packet before it is missing or damaged')
        # The pictures of hevc name each other; it is refused where one of them is not there.
        error = self._waits_for if self.codec == 'hevc' else BadImageError(
            'not_convertible', f'a packet of {self.codec} is damaged')
        return [*known, DecodedPacket(tag, error=error)]

    def _lose(self, reason):
        """Wait for the next key frame; return what was known before."""
        known = self._restart()
        if self._waits_for is None:
            self._waits_for = BadImageError(
                'lost_packet', f'{reason}: pictures are used from the next key frame on')
        return known

    def _restart(self):
        """Have the decoder give out what it has, and begin anew with the settings it knows."""
        try:
            known = self._shown([frame for frame in self._decoder.decode(None)
                                 if not frame.is_corrupt])
        except (av.FFmpegError, ValueError):
            known = []
        for number in sorted(self._tags):
            known += self._give_up(number)
        self._decoder.flush_buffers()
        self._has_begun = False
        return known

    def _give_up(self, number):
        error = self._waits_for or BadImageError(
            'lost_packet', 'the decoder shows no picture of it: it needs one that is missing')
        return [DecodedPacket(self._tags.pop(number), error=error)]


class PacketStream(Generic[Tag]):
    """
    The packets of one topic, whose codec may change: each codec has a PacketDecoder of its own.

    One thread at a time.
    """

    def __init__(self):
        self._decoder: PacketDecoder[Tag] | None = None

    def decode(self, codec: str, packet: bytes, tag: Tag,
               clock: int | None = None) -> list[DecodedPacket]:
        """Return what is known now, as PacketDecoder; behind what a codec before it has left."""
        known = self._change_codec(codec)
        return known + self._decoder.decode(packet, tag, clock)

    def pass_over(self, codec: str, packet: bytes, clock: int | None = None) -> bool:
        """Take a packet in without decoding it; return whether decoding could begin at it."""
        self._change_codec(codec)
        return self._decoder.pass_over(packet, clock)

    def finish(self) -> list[DecodedPacket]:
        """Return what is left at the end."""
        return self._decoder.finish() if self._decoder else []

    def _change_codec(self, codec):
        if self._decoder is not None and self._decoder.codec == codec:
            return []
        known = self.finish()
        self._decoder = PacketDecoder(codec)
        return known


class _Clock:
    """How evenly a clock goes forward from picture to picture, which may come reordered."""

    def __init__(self):
        self._values: deque[int] = deque(maxlen=_NUM_VALUES)
        # Steps forward, and how far others were behind the newest.
        self._steps: deque[int] = deque(maxlen=_NUM_VALUES)
        self._backs: deque[int] = deque(maxlen=_NUM_VALUES)

    def note(self, value: int | None) -> None:
        """Take in the clock of the next picture."""
        if value is None:
            return
        newest = max(self._values, default=value)
        if value > newest:
            self._steps.append(value - newest)
        elif len(self._values) > 1 and newest - value > _NUM_VALUES * self._period():
            for kept in (self._values, self._steps, self._backs):  # it was set back
                kept.clear()
        elif value < newest:
            self._backs.append(newest - value)
        self._values.append(value)

    def num_missing(self, value: int | None) -> int:
        """Return how many pictures may be missing before the one with this value."""
        is_known = value is not None and self._steps and (
            len(self._values) >= _MIN_NUM_VALUES)
        period = self._period() if is_known else 0
        if not period:
            return 0
        lead = max(self._backs, default=0)
        return round((value - max(self._values) - max(self._steps) + lead) / period)

    def _period(self):
        """Return by how much it goes forward from one picture to the next one that is shown."""
        gaps = [after - before for before, after in pairwise(sorted(self._values))]
        # The usual one, but some come in bursts.
        return max(median(gaps), mean(gaps) / 2)
