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
Recorded packets of coded video as messages with their pictures, each in its turn.

Every packet is decoded, whether or not its picture is wanted, for the next ones are made from it.
Messages as they were recorded go in; the same ones come out, each once, those with packets when
their pictures are known. Called by bag_source.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.ros_types import COMPRESSED_TYPE, FFMPEG_TYPE, VIDEO_TYPES
from moss_ros.bag.source import Message
from moss_ros.images import BadImageError, codec_of, PacketStream, unknown_codec

# A recorded message, and its fields, or BadImageError where it has none.
Unpack = Callable[[Message], object]


def is_coded(message: Message, unpack: Unpack) -> bool:
    """Return whether an image is a packet of coded video."""
    if message.type in VIDEO_TYPES:
        return True
    if message.type != COMPRESSED_TYPE:
        return False
    try:
        fields = unpack(message)
        return bool(codec_of(fields.format, fields.data))
    except BadImageError:
        return False


def decoded_messages(recorded: Callable[[], Iterator[Message]], unpack: Unpack,
                     stamp_ns: Callable[[Message], int], num_passed: int) -> Iterator[Message]:
    """
    Yield the messages of a bag from number num_passed on, those with packets decoded.

    recorded() reads the bag from its beginning; unpack() gives the fields of an image, stamp_ns()
    its stamp. Nothing before the last key frame that all can be begun from is decoded.
    Raises BagError, as recorded() does, behind what came before it.
    """
    begin = _last_beginning(recorded, unpack, stamp_ns, num_passed)
    stream = _CodedStream(unpack, stamp_ns)
    num_known = 0
    for index, message in enumerate(_with_end(recorded())):
        if index < begin:
            stream.pass_over(message)
            num_known += 1
            continue
        known = stream.take(message) if isinstance(message, Message) else stream.finish()
        for item in known:
            num_known += 1
            if num_known > num_passed:
                yield item
        if isinstance(message, BagError):
            raise message


def _with_end(messages):
    """Yield messages, and at the end None, or the BagError with which they break off."""
    end = None
    try:
        yield from messages
    except BagError as error:
        end = error
    yield end


def _last_beginning(recorded, unpack, stamp_ns, num_passed):
    """Return the number of the message at which decoding can begin so that nothing is missed."""
    begin = 0
    stream = _CodedStream(unpack, stamp_ns)
    # All that is before such a packet is known before it.
    for index, message in enumerate(recorded() if num_passed else ()):
        if index > num_passed:
            break
        if stream.pass_over(message):
            begin = index
    return begin


class _CodedStream:
    """The messages of one topic, each with what becomes of its packet."""

    def __init__(self, unpack, stamp_ns):
        self._unpack = unpack
        self._stamp_ns = stamp_ns
        self._packets: PacketStream[Message] = PacketStream()

    def take(self, message) -> list[Message]:
        """Return the messages that are known now."""
        if message.is_prompt:
            return [message]
        try:
            codec, packet, clock = self._packet(message)
        except BadImageError as error:
            return [replace(message, decoded=error)]
        if not codec:
            return [message]  # a picture among the packets
        return list(map(_with_picture, self._packets.decode(codec, packet, message, clock)))

    def pass_over(self, message) -> bool:
        """Take a message in without decoding it; return whether decoding could begin at it."""
        if message.is_prompt:
            return False
        try:
            codec, packet, clock = self._packet(message)
        except BadImageError:
            return False
        return bool(codec) and self._packets.pass_over(codec, packet, clock)

    def finish(self) -> list[Message]:
        """Return what is left at the end."""
        return list(map(_with_picture, self._packets.finish()))

    def _packet(self, message):
        """Return (codec, packet, clock) of a message; the codec is '' where it is none."""
        fields = self._unpack(message)
        is_ffmpeg = message.type == FFMPEG_TYPE
        name = fields.encoding if is_ffmpeg else fields.format
        codec = codec_of(name, fields.data)
        if not codec and message.type in VIDEO_TYPES:
            raise unknown_codec(name)
        return codec, bytes(fields.data), fields.pts if is_ffmpeg else self._stamp_ns(message)


def _with_picture(packet):
    return replace(packet.tag, decoded=packet.picture or packet.error)
