"""
Opens a recording to be narrated: a rosbag2 bag or a plain video file, read-only.

A path and topic names go in; messages come out in the bag's own order, and pictures on request.
Called by narrate_bag and by the MCAP writer; one thread at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
import math
from pathlib import Path
import struct

from moss_ros.bag.bag_error import BagError, ExitCode
from moss_ros.images import BadImageError, compressed_to_rgb, image_to_rgb
from moss_ros.media import MediaError, VideoFile
import numpy as np
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
STRING_TYPE = 'std_msgs/msg/String'
# These three types are the same in every distribution from Foxy on, whether or not a bag brings
# their definitions; what else is in a bag need not be understood.
TYPESTORE = get_typestore(Stores.ROS2_JAZZY)

_BAG_SUFFIXES = ('.mcap', '.db3')
_REMEDIES = (
    ('end magic', "it is truncated or was never closed: 'mcap recover' saves what is in it"),
    ('Truncated', "it is truncated: 'mcap recover' saves what is in it"),
    ('malformed', "it is damaged: sqlite3's command .recover saves what is in it"),
    ('seems to be empty', 'the file has no bytes'),
)


@dataclass(frozen=True)
class SourceInfo:
    """
    What a source is; the same for every copy of the same file.

    - kind: 'rosbag2' or 'video'. name: of the folder or file. files: (name, bytes) of each file.
    - start_ns, end_ns: bag time of the first message of any topic, and of the last one.
    - image_topic, image_type, num_images: what is shown to the model; '' for a video.
    """

    kind: str
    name: str
    files: tuple[tuple[str, int], ...]
    start_ns: int
    end_ns: int
    image_topic: str = ''
    image_type: str = ''
    num_images: int = 0
    prompt_topic: str = ''

    def to_json(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(self), 'files': [list(file) for file in self.files]}


@dataclass(frozen=True, eq=False)
class Message:
    """
    One message of a source.

    - bag_time_ns: when it was recorded. is_prompt: a prompt, else an image.
    - content: serialised bytes; of a video the picture u8 [H, W, 3] itself.
    - type: of the ROS message, '' of a video.
    """

    bag_time_ns: int
    is_prompt: bool
    content: bytes | np.ndarray
    type: str = ''


@dataclass(frozen=True)
class ReadPosition:
    """
    How far a source was read, to go on from there.

    - num_messages: messages that were read. bag_time_ns: the time of the last one.
    - num_at_time: how many of them had that time.
    """

    num_messages: int = 0
    bag_time_ns: int = 0
    num_at_time: int = 0

    def after(self, message: Message) -> ReadPosition:
        """Return the position behind the next message."""
        is_same_time = self.num_messages and message.bag_time_ns == self.bag_time_ns
        return ReadPosition(self.num_messages + 1, message.bag_time_ns,
                            self.num_at_time + 1 if is_same_time else 1)


class BadPromptError(Exception):
    """A recorded prompt that cannot be asked; kind: what is wrong in one word, to count by."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class Source(ABC):
    """An open source. Use `with`; the files are only ever read."""

    info: SourceInfo

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the files; may be called twice."""

    @abstractmethod
    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """Yield what follows position; BagError (INCOMPLETE) where it breaks off."""

    @abstractmethod
    def stamp_ns(self, message: Message) -> int:
        """Return the header stamp, the bag's time where it is zero; BadImageError if none."""

    @abstractmethod
    def picture(self, message: Message) -> np.ndarray:
        """Return the image u8 [H, W, 3] RGB; BadImageError where it is none."""


def open_source(path: Path | str, image_topic: str = '', prompt_topic: str = '',
                frame_rate_fps: float = 1.0) -> Source:
    """
    Open a rosbag2 folder, a storage file of one, or a video, looked at frame_rate_fps a second.

    Raises BagError with the way out: for a topic that is missing or ambiguous with the choices.
    """
    path = Path(path)
    if not path.exists():
        raise BagError(path, 'does not exist; name a bag folder, an .mcap, .db3 or video file')
    if path.is_dir() or path.suffix in _BAG_SUFFIXES:
        return BagSource(path, image_topic, prompt_topic)
    if image_topic or prompt_topic:
        raise BagError(path, f'is no bag, so it has no topic {image_topic or prompt_topic!r}')
    return VideoSource(path, frame_rate_fps)


class BagSource(Source):
    """A rosbag2 recording: a folder with metadata.yaml, or a single .mcap or .db3 file."""

    def __init__(self, path: Path, image_topic: str, prompt_topic: str):
        """Open it and find the topics; BagError where either cannot be."""
        self._path = path
        _require_index(path)
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # each of its storages has errors of its own
            raise BagError(path, f'is not a bag that can be read: {_reason(error)}') from error
        try:
            self._find_topics(image_topic, prompt_topic)
        except BaseException:
            self._reader.close()
            raise

    def close(self) -> None:
        """Close the files; may be called twice."""
        if self._reader.is_open:
            self._reader.close()

    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield images and prompts as they were recorded; BagError where the bag breaks off.

        A bag in one file is read from the position on, by its index. One in several files, whose
        times may overlap, is read from the start again.
        """
        start_ns, num_read = position.bag_time_ns, position.num_at_time
        if len(getattr(self._reader.storage, 'storages', ())) > 1:
            start_ns, num_read = 0, position.num_messages
        try:
            found = self._reader.messages(self._connections, start=start_ns)
            for connection, time_ns, content in islice(found, num_read, None):
                yield Message(time_ns, connection.topic == self.info.prompt_topic, content,
                              connection.msgtype)
        except Exception as error:
            raise BagError(self._path, f'breaks off: {_reason(error)}',
                           ExitCode.INCOMPLETE) from error

    def stamp_ns(self, message: Message) -> int:
        """Return the header stamp, the bag's time where it is zero; BadImageError if none."""
        content = message.content
        # Both kinds of image begin with their header, and a header with its stamp, so that
        # images which nobody wants need not be unpacked.
        if len(content) < 12 or content[0] != 0 or content[1] > 1:
            raise BadImageError('bad_message', f'{len(content)} bytes are no {message.type}')
        seconds, nanoseconds = struct.unpack_from('<iI' if content[1] else '>iI', content, 4)
        return seconds * 1_000_000_000 + nanoseconds or message.bag_time_ns

    def picture(self, message: Message) -> np.ndarray:
        """Return the image u8 [H, W, 3] RGB; BadImageError where it is none."""
        image = _unpacked(message, BadImageError)
        if message.type == COMPRESSED_TYPE:
            return compressed_to_rgb(image.format, image.data)
        return image_to_rgb(image.encoding, image.height, image.width, image.step,
                            bool(image.is_bigendian), image.data)

    def _find_topics(self, image_topic, prompt_topic):
        connections = self._reader.connections
        if not self._reader.message_count:
            raise BagError(self._path, 'holds no messages')
        image = self._image_topic(image_topic)
        wanted = [_absolute(image)]
        if prompt_topic:
            prompt_topic = self._prompt_topic(_absolute(prompt_topic))
            wanted.append(prompt_topic)
        self._connections = [item for item in connections if item.topic in wanted]
        images = [item for item in self._connections if item.topic == wanted[0]]
        self.info = SourceInfo(
            'rosbag2', self._path.resolve().name, _files(self._path), self._reader.start_time,
            self._reader.end_time - 1, wanted[0], images[0].msgtype,
            sum(item.msgcount for item in images), prompt_topic)

    def _image_topic(self, wanted):
        images = {item.topic: item for item in self._reader.connections
                  if item.msgtype in (IMAGE_TYPE, COMPRESSED_TYPE)}
        choices = ', '.join(f'{topic} ({_short(item.msgtype)}, {item.msgcount})'
                            for topic, item in sorted(images.items())) or 'none'
        if wanted:
            return self._require_topic(_absolute(wanted), images, 'an image', choices)
        filled = [topic for topic, item in images.items() if item.msgcount]
        if len(filled) == 1:
            return filled[0]
        if not filled:
            raise BagError(self._path, f'has no images; its topics are {self._topics()}')
        raise BagError(self._path, f'has several image topics: {choices}; choose one by '
                       '--image-topic')

    def _prompt_topic(self, wanted):
        strings = {item.topic: item for item in self._reader.connections
                   if item.msgtype == STRING_TYPE}
        choices = ', '.join(sorted(strings)) or 'none'
        return self._require_topic(wanted, strings, 'a std_msgs/String', choices)

    def _require_topic(self, wanted, found, kind, choices):
        if wanted in found:
            if found[wanted].msgcount or kind != 'an image':
                return wanted
            raise BagError(self._path, f'topic {wanted} holds no messages')
        others = [item for item in self._reader.connections if item.topic == wanted]
        if others:
            raise BagError(self._path, f'topic {wanted} is {_short(others[0].msgtype)}, not '
                           f'{kind}; to choose from: {choices}')
        raise BagError(self._path, f'has no topic {wanted}; to choose from: {choices}')

    def _topics(self):
        return ', '.join(sorted(
            f'{item.topic} ({_short(item.msgtype)})' for item in self._reader.connections))


class VideoSource(Source):
    """A video file, looked at frame_rate_fps a second; its time begins at 0."""

    def __init__(self, path: Path, frame_rate_fps: float):
        """Open it; BagError where it is no video."""
        self._path = path
        try:
            self._video = VideoFile(path)
        except MediaError as error:
            raise BagError(path, f'is neither a bag nor a video that can be read: '
                           f'{_without_path(error, path)}') from error
        num_frames = max(1, math.ceil(self._video.duration_s * frame_rate_fps - 1e-3))
        self._times_ns = [
            round(index * 1e9 / frame_rate_fps) for index in range(num_frames)]
        self.info = SourceInfo(
            'video', path.resolve().name, _files(path), 0,
            max(round(self._video.duration_s * 1e9), self._times_ns[-1]),
            num_images=num_frames)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._video.close()

    def messages(self, position: ReadPosition = ReadPosition()) -> Iterator[Message]:
        """
        Yield the frame at each time; BagError where nothing can be decoded. Call it once.

        Always decoded from the start: not every video gives the same pictures after a jump.
        """
        frames = self._video.frames_at([time_ns / 1e9 for time_ns in self._times_ns])
        try:
            for time_ns, picture in islice(
                    zip(self._times_ns, frames), position.num_messages, None):
                yield Message(time_ns, False, picture)
        except MediaError as error:
            raise BagError(self._path, _without_path(error, self._path)) from error

    def stamp_ns(self, message: Message) -> int:
        """Return the time since the start of the video."""
        return message.bag_time_ns

    def picture(self, message: Message) -> np.ndarray:
        """Return the frame u8 [H, W, 3] RGB."""
        return message.content


def prompt_text(message: Message) -> str:
    """Return the text of a recorded prompt; BadPromptError where it is no String, or empty."""
    text = _unpacked(message, BadPromptError).data
    if not text.strip():
        raise BadPromptError('empty_prompt', 'a prompt is empty')
    return text


def _unpacked(message, error_type):
    try:
        return TYPESTORE.deserialize_cdr(message.content, message.type)
    except Exception as error:  # not only its own for bytes that are no message at all
        raise error_type('bad_message', f'it is no {message.type}: {error}') from error


def _require_index(path):
    if not path.is_dir() or (path / 'metadata.yaml').exists():
        return
    files = sorted(file.name for file in path.iterdir() if file.suffix in _BAG_SUFFIXES)
    if not files:
        raise BagError(path, 'is a folder with no bag in it (no metadata.yaml, .mcap or .db3)')
    raise BagError(path, f"has no index (metadata.yaml): run 'ros2 bag reindex' on it, or name "
                   f'the file in it, {files[0]}')


def _reason(error):
    text = ' '.join(str(error).split()) or type(error).__name__
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in text), None)
    return remedy or f'{text} ({type(error).__name__})'


def _without_path(error, path):
    return str(error).replace(f'{path} ', '').replace(f'{path}: ', '')


def _absolute(topic):
    return topic if topic.startswith('/') else f'/{topic}'


def _short(message_type):
    return message_type.replace('/msg/', '/')


def _files(path):
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return tuple((file.name, file.stat().st_size) for file in files if file.is_file())
