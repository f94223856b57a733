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
A bag of ROS 1 or 2 as a source: a folder or a storage file in, its images and prompts out.

Finds the topics, tells times by the clock that suits, and unpacks those messages that are wanted.
Opened by reading.py; one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.bag.clock import BagTimes, choose_clock, GAP_NS, header_stamp_ns, NoClockError
from moss_ros.bag.coded_messages import decoded_messages, is_coded
from moss_ros.bag.recording import Recording
from moss_ros.bag.ros_types import (
    COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE, TYPESTORE, VIDEO_TYPES,
)
from moss_ros.bag.source import (
    BadPromptError, files_of, Message, ReadPosition, Source, SourceInfo,
)
from moss_ros.bag.sqlite_storage import RECOVERY
from moss_ros.bag.storage import absolute, Channel
from moss_ros.images import BadImageError, compressed_to_rgb, image_to_rgb
import numpy as np

IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE, *VIDEO_TYPES)
# How messages may be serialised; what is in others, such as JSON, is left alone.
_ENCODINGS = ('cdr', 'ros1')
_NUM_FIRST_IMAGES = 32
_REMEDIES = (
    ('malformed', f'it is damaged: {RECOVERY}'),
)


class BagSource(Source):
    """A recording of rosbag2 or of ROS 1: a folder, or a single storage file."""

    def __init__(self, path: Path, image_topic: str, prompt_topic: str, clock: str = 'auto'):
        """Open it, find the topics and choose the clock; BagError where any cannot be."""
        self._path = path
        self._recording = Recording(path)
        try:
            self._find_topics(image_topic, prompt_topic)
            try:
                self._clock = choose_clock(clock, self._times())
            except NoClockError as error:
                raise BagError(path, f'cannot be narrated by --clock header: {error}') from error
            self.info = self._describe()
            self._is_coded = self._has_packets()
        except BagError:
            self._recording.close()
            raise
        except Exception as error:  # each format has errors of its own
            self._recording.close()
            raise BagError(path, f'is not a bag that can be read: {_reason(error)}') from error

    def close(self) -> None:
        """Close the files; may be called twice."""
        self._recording.close()

    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield images and prompts; BagError where the bag breaks off.

        They come in the order in which they were recorded, but for the packets of coded video:
        these in the order in which their pictures are shown.
        """
        if not self._is_coded:
            return self.recorded_messages(position)
        return decoded_messages(
            self.recorded_messages, _image_fields, self._stamp_ns, position.num_messages)

    def recorded_messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield images and prompts as they were recorded; BagError where the bag breaks off.

        A bag in one file is read from the position on, by its index. One in several files, whose
        times may overlap, is read from the start again, and so is one told by header stamps.
        """
        start_ns, num_read = position.bag_time_ns, position.num_at_time
        if not self._recording.is_one_file or self._clock.name == 'header':
            start_ns, num_read = 0, position.num_messages
        damage = position.damage
        try:
            for channel, time_ns, content in islice(self._timed(start_ns), num_read, None):
                damage = damage or self._recording.damage
                yield Message(time_ns, channel.topic == self._prompt_topic, content,
                              channel.type, channel.encoding, damage)
        except Exception as error:
            raise BagError(self._path, f'breaks off: {_reason(error)}',
                           ExitCode.INCOMPLETE) from error
        damage = damage or self._recording.damage
        if self._recording.broken:
            raise BagError(self._path, f'breaks off: it {self._recording.broken}',
                           ExitCode.INCOMPLETE)
        if damage:
            raise BagError(self._path, f'breaks off and goes on: {damage}, and is passed over',
                           ExitCode.INCOMPLETE)

    def stamp_ns(self, message: Message) -> int:
        """Return the header stamp, the bag's time where it is none; BadImageError if no header."""
        if isinstance(message.decoded, BadImageError):
            raise message.decoded
        return self._stamp_ns(message)

    def _stamp_ns(self, message):
        stamp_ns = header_stamp_ns(message.content, message.encoding, message.type)
        if stamp_ns is None:
            raise BadImageError(
                'bad_message', f'{len(message.content)} bytes are no {message.type}')
        if not self._clock.has_stamps:
            return message.bag_time_ns
        return stamp_ns or message.bag_time_ns + self._clock.offset_ns

    def picture(self, message: Message) -> np.ndarray:
        """Return the image u8 [H, W, 3] RGB; BadImageError where it is none."""
        if message.decoded is not None:
            return message.decoded.to_rgb()
        image = _image_fields(message)
        if message.type == COMPRESSED_TYPE:
            return compressed_to_rgb(image.format, image.data)
        return image_to_rgb(image.encoding, image.height, image.width, image.step,
                            bool(image.is_bigendian), image.data)

    def sent(self, message: Message) -> tuple[str, bytes | np.ndarray | None]:
        """Return an image's encoding and bytes; no bytes of video, whose packets are no images."""
        image = _image_fields(message)
        name = image.format if message.type == COMPRESSED_TYPE else getattr(image, 'encoding', '')
        return name, None if message.decoded is not None else image.data

    def _has_packets(self):
        if all(channel.type == IMAGE_TYPE for channel in self._images):
            return False  # known without reading any
        first = islice(self._recording.messages(self._images), _NUM_FIRST_IMAGES)
        return any(is_coded(Message(time_ns, False, content, channel.type, channel.encoding),
                            _image_fields)
                   for channel, time_ns, content in _as_far_as_it_goes(first))

    def _timed(self, start_ns=0):
        """Yield (channel, time in ns by the clock, content) of images and prompts."""
        is_header = self._clock.name == 'header'
        found = self._recording.messages([*self._images, *self._prompts], start_ns, is_header)
        return _by_header(found, self._prompt_topic) if is_header else found

    def _times(self) -> BagTimes:
        first = [(time_ns, header_stamp_ns(content, channel.encoding, channel.type) or 0)
                 for channel, time_ns, content in _as_far_as_it_goes(
                     islice(self._recording.messages(self._images), _NUM_FIRST_IMAGES))]
        return BagTimes(self._recording.times_ns(self._images),
                        self._recording.times_ns(self._prompts), first, self._read_stamps)

    def _read_stamps(self):
        bag_ns, stamps_ns, prompts_ns = [], [], []
        found = _as_far_as_it_goes(self._recording.messages(
            [*self._images, *self._prompts], in_file_order=True))
        for channel, time_ns, content, bag_time_ns in _with_bag_time(found, self._prompt_topic):
            if channel.topic == self._prompt_topic:
                prompts_ns.append(time_ns)
            elif header_stamp_ns(content, channel.encoding, channel.type):
                bag_ns.append(bag_time_ns)
                stamps_ns.append(time_ns)
        return tuple(np.array(times, np.int64) for times in (bag_ns, stamps_ns, prompts_ns))

    def _describe(self):
        types = sorted({channel.type for channel in self._images if channel.num_messages}) \
            or [self._images[0].type]
        notes = [*self._recording.notes, *self._clock.notes]
        if len(types) > 1:
            notes.append(f'its topic {self._images[0].topic} has messages of several types, all '
                         f'of which are shown: {", ".join(map(_short, types))}')
        return SourceInfo(
            self._recording.kind, self._path.resolve().name, files_of(self._path),
            self._clock.start_ns, self._clock.end_ns, self._images[0].topic, types[0],
            sum(channel.num_messages for channel in self._images),
            self._prompt_topic, self._clock.name, tuple(notes))

    def _find_topics(self, image_topic, prompt_topic):
        if not any(channel.num_messages for channel in self._recording.channels):
            raise self._error('holds no messages')
        images = self._channels_of(IMAGE_TYPES)
        topic = self._image_topic(absolute(image_topic) if image_topic else '', images)
        self._images = images[topic]
        self._prompts: list[Channel] = []
        self._prompt_topic = absolute(prompt_topic) if prompt_topic else ''
        if prompt_topic:
            strings = self._channels_of((STRING_TYPE,))
            self._require_topic(self._prompt_topic, strings, 'a std_msgs/String',
                                ', '.join(sorted(strings)) or 'none')
            self._prompts = strings[self._prompt_topic]

    def _channels_of(self, types) -> dict[str, list[Channel]]:
        """Return the channels of these types that can be unpacked, by topic."""
        by_topic: dict[str, list[Channel]] = {}
        for channel in self._recording.channels:
            if channel.type in types and channel.encoding in _ENCODINGS:
                by_topic.setdefault(channel.topic, []).append(channel)
        return by_topic

    def _image_topic(self, wanted, images):
        numbers = {topic: sum(channel.num_messages for channel in channels)
                   for topic, channels in images.items()}
        choices = ', '.join(f'{topic} ({_short(images[topic][0].type)}, {number})'
                            for topic, number in sorted(numbers.items())) or 'none'
        if wanted:
            topic = self._require_topic(wanted, images, 'an image', choices)
            if not numbers[topic]:
                raise self._error(f'topic {topic} holds no messages')
            return topic
        filled = [topic for topic, number in numbers.items() if number]
        if len(filled) == 1:
            return filled[0]
        if not filled:
            raise self._error(f'has no images; its topics are {self._topics()}')
        raise BagError(self._path, f'has several image topics: {choices}; choose one by '
                       '--image-topic')

    def _require_topic(self, wanted, found, kind, choices):
        if wanted in found:
            return wanted
        others = [channel for channel in self._recording.channels if channel.topic == wanted]
        if others:
            raise BagError(self._path, f'topic {wanted} is {_described(others[0])}, not {kind}; '
                           f'to choose from: {choices}')
        raise self._error(f'has no topic {wanted}; to choose from: {choices}')

    def _topics(self):
        return ', '.join(sorted({f'{channel.topic} ({_described(channel)})'
                                 for channel in self._recording.channels})) or 'none'

    def _error(self, text):
        """Return the error that something is not there, with why it may be missing."""
        reason = self._recording.broken or self._recording.damage
        return BagError(self._path, f'{text}; it {reason}' if reason else text)


def prompt_text(message: Message) -> str:
    """Return the text of a recorded prompt; BadPromptError where it is no String, or empty."""
    text = _unpacked(message, BadPromptError).data
    if not text.strip():
        raise BadPromptError('empty_prompt', 'a prompt is empty')
    return text


def cdr_of(message: Message) -> bytes | memoryview:
    """Return a message as ROS 2 serialises it; raises what rosbags raises of one that is none."""
    if message.encoding == 'ros1':
        return TYPESTORE.ros1_to_cdr(message.content, message.type)
    return message.content


def _image_fields(message):
    return _unpacked(message, BadImageError)


def _unpacked(message, error_type):
    try:
        return TYPESTORE.deserialize_cdr(cdr_of(message), message.type)
    except Exception as error:  # not only its own for bytes that are no message at all
        raise error_type('bad_message', f'it is no {message.type}: {error}') from error


def _as_far_as_it_goes(found):
    """Yield what there is; that it breaks off is told when it is narrated."""
    with suppress(Exception):
        yield from found


def _by_header(found, prompt_topic):
    for channel, time_ns, content, _ in _with_bag_time(found, prompt_topic):
        yield channel, time_ns, content


def _with_bag_time(found, prompt_topic):
    """
    Yield (channel, time by header stamps, content, bag time) of messages as the file has them.

    An image without a stamp, and a prompt, which has none, have that of the image before; a prompt
    also what went by since then, by the bag's times, where that can be.
    """
    newest_ns = newest_bag_ns = None
    waiting = []
    for channel, bag_time_ns, content in found:
        stamp_ns = None if channel.topic == prompt_topic else header_stamp_ns(
            content, channel.encoding, channel.type)
        if stamp_ns:
            newest_ns, newest_bag_ns = stamp_ns, bag_time_ns
            for item in waiting:  # before the first stamp
                yield item[0], stamp_ns, item[1], item[2]
            waiting.clear()
            yield channel, stamp_ns, content, bag_time_ns
        elif newest_ns is None:
            waiting.append((channel, content, bag_time_ns))
        else:
            passed_ns = bag_time_ns - newest_bag_ns if channel.topic == prompt_topic else 0
            yield (channel, newest_ns + (passed_ns if 0 <= passed_ns < GAP_NS else 0), content,
                   bag_time_ns)


def _reason(error):
    text = ' '.join(str(error).split()) or type(error).__name__
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in text), None)
    return remedy or f'{text} ({type(error).__name__})'


def _described(channel):
    text = _short(channel.type) or 'of an unknown type'
    return text if channel.encoding == 'cdr' else f'{text} in {channel.encoding}'


def _short(message_type):
    return message_type.replace('/msg/', '/')
