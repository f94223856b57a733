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
What a packet of coded video is, read from its first bits: a key frame, or one behind a gap.

Decoders show whatever they have where a packet is missing, most without a word; the pictures that
are counted in the packets tell it. Formats: ITU-T H.264 and H.265 as byte streams (their annexes
B), and AV1 in temporal units. Knows neither decoders nor messages. Called by coded_video.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
import re

from moss_ros.images.raw import BadImageError

_START_CODE = re.compile(b'\0\0\1')
# More than any header of a slice takes up to what is wanted of it.
_MAX_HEADER_BYTES = 64


@dataclass(frozen=True)
class PacketFacts:
    """
    What is known of a packet without decoding it.

    - has_picture: False where it has settings only. is_start: decoding can begin at it.
    - is_clean_start: nothing of what was before is needed, not even settings.
    - is_gap: a picture that was counted before this one is missing.
    """

    has_picture: bool
    is_start: bool
    is_clean_start: bool
    is_gap: bool


class PacketScanner(ABC):
    """Looks at all packets of one stream, in their order. One thread at a time."""

    @abstractmethod
    def look_at(self, packet: bytes) -> PacketFacts:
        """Return what the next packet is; BadImageError (unknown_format) where it is none."""

    @property
    @abstractmethod
    def num_counted(self) -> int:
        """After so many pictures the count begins anew; 1: nothing is counted."""


def make_scanner(codec: str) -> PacketScanner:
    """Return the scanner of 'h264', 'hevc' or 'av1'."""
    return {'h264': _H264Scanner, 'hevc': _HevcScanner, 'av1': _Av1Scanner}[codec]()


class _Bits:
    """Reads bits from the highest on; behind the end there are zeros."""

    def __init__(self, data: bytes):
        self._value = int.from_bytes(data, 'big')
        self._num_left = 8 * len(data)

    def take(self, num_bits: int) -> int:
        self._num_left -= num_bits
        value = (self._value >> self._num_left if self._num_left >= 0
                 else self._value << -self._num_left)
        return value & ((1 << num_bits) - 1)

    def take_counted(self) -> int:
        """Return a number that is coded with its length, ue(v) and uvlc()."""
        num_zeros = 0
        while not self.take(1):
            num_zeros += 1
            if num_zeros > 32 or self._num_left < 0:
                return 0
        return (1 << num_zeros) - 1 + self.take(num_zeros)


def _units(packet, codec):
    """Yield the units of a byte stream of H.264 or H.265, without start codes."""
    starts = [found.end() for found in _START_CODE.finditer(packet)]
    if not starts or packet[:starts[0] - 3].strip(b'\0'):
        raise BadImageError(
            'unknown_format', f'{len(packet)} bytes that begin with {packet[:4]!r} are no packet '
            f'of {codec}: there must be start codes (Annex B)')
    for start, end in zip(starts, [*(start - 3 for start in starts[1:]), len(packet)]):
        if start < end:
            yield packet[start:end]


def _plain(unit):
    """Return a unit without the bytes that keep start codes out of it."""
    return unit.replace(b'\0\0\3', b'\0\0')


@dataclass(frozen=True)
class _H264Settings:
    """What the header of a slice depends on."""

    num_bits: int  # of frame_num
    has_planes: bool  # three, of one colour each
    may_have_fields: bool


class _H264Scanner(PacketScanner):
    """By frame_num, which counts the pictures that others are made from (7.4.3)."""

    _SLICE, _IDR_SLICE, _SEI, _SPS, _PPS = 1, 5, 6, 7, 8
    _RECOVERY_POINT = 6
    _WITH_CHROMA_FORMAT = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
    _I_SLICES = (2, 4, 7, 9)

    def __init__(self):
        self._sps: dict[int, _H264Settings] = {}
        self._sps_of_pps: dict[int, int] = {}
        self._counted: int | None = None  # frame_num of the newest picture that counts
        self._num_counted = 1

    @property
    def num_counted(self) -> int:
        return self._num_counted

    def look_at(self, packet: bytes) -> PacketFacts:
        kinds, are_all_i, is_recovery, is_gap = set(), True, False, False
        for unit in _units(packet, 'h264'):
            kind = unit[0] & 31
            if kind == self._SPS:
                self._read_sps(_Bits(_plain(unit[1:])))
            elif kind == self._PPS:
                bits = _Bits(_plain(unit[1:_MAX_HEADER_BYTES]))
                pps_id = bits.take_counted()
                self._sps_of_pps[pps_id] = bits.take_counted()
            elif kind == self._SEI:
                is_recovery |= self._RECOVERY_POINT in _sei_kinds(_plain(unit[1:]))
            elif kind in (self._SLICE, self._IDR_SLICE):
                bits = _Bits(_plain(unit[1:_MAX_HEADER_BYTES]))
                bits.take_counted()
                are_all_i &= bits.take_counted() in self._I_SLICES
                if not kinds & {self._SLICE, self._IDR_SLICE}:
                    is_gap = self._count(unit[0], bits)
            kinds.add(kind)
        has_picture = bool(kinds & {self._SLICE, self._IDR_SLICE})
        is_idr = self._IDR_SLICE in kinds
        return PacketFacts(
            has_picture, has_picture and (is_idr or is_recovery or are_all_i),
            is_idr and {self._SPS, self._PPS} <= kinds, is_gap)

    def _count(self, head, bits):
        """Take in the frame_num of a picture; return whether one before it is missing."""
        is_idr, is_reference = head & 31 == self._IDR_SLICE, bool(head & 0x60)
        settings = self._sps.get(self._sps_of_pps.get(bits.take_counted(), -1))
        if settings is None:
            self._counted = None
            return False
        if settings.has_planes:
            bits.take(2)
        number, before = bits.take(settings.num_bits), self._counted
        self._num_counted = 1 << settings.num_bits
        is_second_field = number == before and settings.may_have_fields and bits.take(1)
        is_next = before is not None and number == (before + 1) % self._num_counted
        # A picture that nothing is made from has the number of the next one that counts.
        self._counted = (number if is_reference or is_second_field
                         else (number - 1) % self._num_counted)
        return not (is_idr or before is None or is_next or is_second_field)

    def _read_sps(self, bits):
        profile = bits.take(8)
        bits.take(16)
        sps_id = bits.take_counted()
        has_planes = False
        if profile in self._WITH_CHROMA_FORMAT:
            chroma_format = bits.take_counted()
            has_planes = chroma_format == 3 and bool(bits.take(1))
            bits.take_counted()
            bits.take_counted()
            bits.take(1)
            if bits.take(1):
                for index in range(12 if chroma_format == 3 else 8):
                    if bits.take(1):
                        _pass_scaling_list(bits, 16 if index < 6 else 64)
        num_bits = min(16, bits.take_counted() + 4)
        kind_of_order = bits.take_counted()
        if kind_of_order == 0:
            bits.take_counted()
        elif kind_of_order == 1:
            bits.take(1)
            for _ in range(2):
                bits.take_counted()
            for _ in range(min(255, bits.take_counted())):
                bits.take_counted()
        bits.take_counted()
        bits.take(1)
        for _ in range(2):
            bits.take_counted()
        self._sps[sps_id] = _H264Settings(num_bits, has_planes, not bits.take(1))


def _sei_kinds(data):
    """Yield the kind of each message in a unit of supplemental information (7.3.2.3)."""
    position = 0
    while position + 1 < len(data):
        numbers = []  # kind and size, each as bytes that are added up
        for _ in range(2):
            number = 0
            while position < len(data) and data[position] == 255:
                number, position = number + 255, position + 1
            numbers.append(number + (data[position] if position < len(data) else 0))
            position += 1
        yield numbers[0]
        position += numbers[1]


def _pass_scaling_list(bits, num_values):
    last = following = 8
    for _ in range(num_values):
        if following:
            code = bits.take_counted()
            following = (last + (-(code // 2) if code % 2 == 0 else (code + 1) // 2)) % 256
        last = following or last


class _HevcScanner(PacketScanner):
    """Of H.265 each picture names those that it is made from: the decoder misses them itself."""

    _NUM_PICTURE_KINDS = 32
    _STARTS, _IDRS = range(16, 24), (19, 20)
    _SETTINGS = {32, 33, 34}

    @property
    def num_counted(self) -> int:
        return 256  # at most so in most streams; a count of its own is part of each picture

    def look_at(self, packet: bytes) -> PacketFacts:
        kinds = {unit[0] >> 1 & 63 for unit in _units(packet, 'hevc')}
        has_picture = any(kind < self._NUM_PICTURE_KINDS for kind in kinds)
        return PacketFacts(
            has_picture, any(kind in self._STARTS for kind in kinds),
            any(kind in self._IDRS for kind in kinds) and self._SETTINGS <= kinds, False)


@dataclass(frozen=True)
class _Av1Sequence:
    """What the header of a picture depends on; num_hint_bits: 0 where nothing is counted."""

    num_hint_bits: int
    num_id_bits: int
    is_screen_chosen: bool  # each picture says whether it has screen content ...
    is_screen: bool  # ... or all do
    is_integer_chosen: bool  # the same of whole vectors


class _Av1Scanner(PacketScanner):
    """By order_hint, which counts the pictures in the order in which they are shown (7.20)."""

    _SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
    _KEY, _INTRA_ONLY, _SWITCH = 0, 2, 3

    def __init__(self):
        self._sequence: _Av1Sequence | None = None
        self._hint_of_slot: list[int | None] = [None] * 8
        self._shown: int | None = None  # order_hint of the picture that was shown last

    @property
    def num_counted(self) -> int:
        return 1 << (self._sequence.num_hint_bits if self._sequence else 0)

    def look_at(self, packet: bytes) -> PacketFacts:
        if not packet:
            raise BadImageError('unknown_format', 'an empty packet is none of av1')
        kinds, has_picture, is_start, is_gap = set(), False, False, False
        for kind, content in self._units(packet):
            kinds.add(kind)
            if kind == self._SEQUENCE:
                self._sequence = _av1_sequence(_Bits(content))
            elif kind in (self._FRAME_HEADER, self._FRAME):
                has_picture = True
                if self._sequence is not None:
                    is_key, is_behind_gap = self._read_frame(
                        _Bits(content[:_MAX_HEADER_BYTES]), self._sequence)
                    is_start |= is_key
                    is_gap |= is_behind_gap
        return PacketFacts(
            has_picture, is_start, is_start and self._SEQUENCE in kinds, is_gap and not is_start)

    def _read_frame(self, bits, sequence):
        """Return whether it is a key frame that is shown, and whether one before is missing."""
        if bits.take(1):
            return False, self._show(self._hint_of_slot[bits.take(3)])
        frame_type, is_shown = bits.take(2), bits.take(1)
        if not is_shown:
            bits.take(1)
        is_key = frame_type == self._KEY and bool(is_shown)
        is_resilient = frame_type == self._SWITCH or is_key or bool(bits.take(1))
        if not sequence.num_hint_bits:
            return is_key, False
        bits.take(1)
        is_screen = bits.take(1) if sequence.is_screen_chosen else sequence.is_screen
        if is_screen and sequence.is_integer_chosen:
            bits.take(1)
        bits.take(sequence.num_id_bits)
        if frame_type != self._SWITCH:
            bits.take(1)
        hint = bits.take(sequence.num_hint_bits)
        if frame_type not in (self._KEY, self._INTRA_ONLY) and not is_resilient:
            bits.take(3)
        slots = 255 if frame_type == self._SWITCH or is_key else bits.take(8)
        for index in range(8):
            if slots >> index & 1:
                self._hint_of_slot[index] = hint
        if is_key:
            self._shown = None
        return is_key, bool(is_shown) and self._show(hint)

    def _show(self, hint):
        before, self._shown = self._shown, hint
        return None not in (hint, before) and hint != (before + 1) % self.num_counted

    def _units(self, packet):
        """Yield (kind, content) of each unit of a temporal unit (5.3)."""
        position = 0
        while position < len(packet):
            head = packet[position]
            position += 1 + (head >> 2 & 1)
            size = len(packet) - position
            if head >> 1 & 1:
                size, position = _av1_size(packet, position)
            if head & 0x81 or position + size > len(packet):
                raise BadImageError(
                    'unknown_format', f'{len(packet)} bytes that begin with {packet[:4]!r} are no '
                    'packet of av1, or not a whole one')
            yield head >> 3 & 15, packet[position:position + size]
            position += size


def _av1_size(packet, position):
    """Return the number that is coded at position, leb128(), and where it ends."""
    size = 0
    for index in range(8):
        byte = packet[position + index] if position + index < len(packet) else 0
        size |= (byte & 127) << 7 * index
        if byte < 128:
            break
    return size, position + index + 1


def _av1_sequence(bits):
    """Return what a sequence header (5.5) says; counts nothing where it has a decoder model."""
    bits.take(4)
    if bits.take(1):  # a still picture
        return _Av1Sequence(0, 0, False, False, False)
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.take_counted()
        if bits.take(1):
            return _Av1Sequence(0, 0, False, False, False)
    has_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if has_delay and bits.take(1):
            bits.take(4)
    num_width_bits, num_height_bits = bits.take(4) + 1, bits.take(4) + 1
    bits.take(num_width_bits + num_height_bits)
    num_id_bits = 0
    if bits.take(1):
        num_id_bits = bits.take(4) + 2
        num_id_bits += bits.take(3) + 1
    bits.take(3 + 4)
    has_hints = bits.take(1)
    if has_hints:
        bits.take(2)
    is_screen_chosen = bool(bits.take(1))
    is_screen = is_screen_chosen or bool(bits.take(1))
    is_integer_chosen = is_screen and bool(bits.take(1))
    if is_screen and not is_integer_chosen:
        bits.take(1)
    return _Av1Sequence(bits.take(3) + 1 if has_hints else 0, num_id_bits, is_screen_chosen,
                        is_screen, is_integer_chosen)
