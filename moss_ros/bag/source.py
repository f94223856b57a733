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
What a source of images is: messages in the recording's own order, pictures on request.

The contract between what opens recordings (reading.py) and what narrates them, which need not know
what kind of recording it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from moss_ros.images import BadImageError, CodedPicture
import numpy as np


@dataclass(frozen=True)
class SourceInfo:
    """
    What a source is; the same for every copy of the same file.

    - kind: 'rosbag2', 'rosbag1' or 'video'. name: of the folder or file. files: (name, bytes) of
      each file.
    - start_ns, end_ns: bag time of the first image or prompt, and of the last one; times that lie
      a year from nearly all others are left out.
    - image_topic, image_type, num_images: what is shown to the model; '' for a video.
    - clock: what bag time is: 'bag', when a message was recorded, or 'header', the stamps of the
      images; '' for a video. notes: what is odd about the source, in words.
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
    clock: str = ''
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(self), 'files': [list(file) for file in self.files],
                'notes': list(self.notes)}


@dataclass(frozen=True, eq=False)
class Message:
    """
    One message of a source.

    - bag_time_ns: when it was recorded, by the source's clock. is_prompt: a prompt, else an image.
    - content: serialised bytes; of a video the picture u8 [H, W, 3] itself.
    - type: of the ROS message, '' of a video. encoding: how it is serialised, 'cdr' or 'ros1'.
    - damage: the first part that was passed over before it; '' for none.
    - decoded: of a packet of coded video the picture, or why there is none; None of all others.
    """

    bag_time_ns: int
    is_prompt: bool
    content: bytes | memoryview | np.ndarray
    type: str = ''
    encoding: str = 'cdr'
    damage: str = ''
    decoded: CodedPicture | BadImageError | None = None


@dataclass(frozen=True)
class ReadPosition:
    """
    How far a source was read, to go on from there.

    - num_messages: messages that were read. bag_time_ns: the time of the last one.
    - num_at_time: how many of them had that time. damage: as of the last one.
    """

    num_messages: int = 0
    bag_time_ns: int = 0
    num_at_time: int = 0
    damage: str = ''

    def after(self, message: Message) -> ReadPosition:
        """Return the position behind the next message."""
        is_same_time = self.num_messages and message.bag_time_ns == self.bag_time_ns
        return ReadPosition(self.num_messages + 1, message.bag_time_ns,
                            self.num_at_time + 1 if is_same_time else 1, message.damage)


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

    def recorded_messages(self) -> Iterator[Message]:
        """Yield all messages as they were recorded, nothing decoded; BagError as messages()."""
        return self.messages()

    @abstractmethod
    def stamp_ns(self, message: Message) -> int:
        """Return the header stamp, the bag's time where it is zero; BadImageError if none."""

    @abstractmethod
    def picture(self, message: Message) -> np.ndarray:
        """Return the image u8 [H, W, 3] RGB; BadImageError where it is none."""

    def sent(self, message: Message) -> tuple[str, bytes | np.ndarray | None]:
        """Return an image's encoding and the bytes that were sent; '' and None where none were."""
        return '', None


def files_of(path: Path) -> tuple[tuple[str, int], ...]:
    """Return (name, bytes) of a file, or of each file in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return tuple((file.name, file.stat().st_size) for file in files if file.is_file())
