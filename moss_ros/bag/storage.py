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
What a storage of recorded messages is, whichever format it has: channels, times and messages.

The contract between the readers of MCAP, sqlite3 and ROS 1 files and the recording that joins
them. A storage knows no topics of interest and unpacks no message.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
import heapq
from typing import Protocol

import numpy as np

# Times beyond are those of no clock; numpy and the MCAP of the narration hold none.
MAX_TIME_NS = 2**63 - 1


@dataclass(frozen=True)
class Channel:
    """
    A channel of a storage, of which several may have one topic.

    - topic: with a leading slash. type: such as 'sensor_msgs/msg/Image', '' where it is unknown.
    - encoding: how its messages are serialised: 'cdr' of ROS 2, 'ros1', or another one.
    - id: by which its storage knows it.
    """

    topic: str
    type: str
    encoding: str
    num_messages: int = 0
    id: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what is the same of a channel in all files of a bag."""
        return self.topic, self.type, self.encoding


# (id of the channel, bag time in ns, serialised message)
Recorded = tuple[int, int, bytes | memoryview]


class Storage(Protocol):
    """
    An open file of recorded messages; it is only ever read. One thread at a time.

    - broken: why it ends before its time, known since it was opened; '' where it does not.
    - damage: the first part that was passed over while it was read, so far; '' for none.
    """

    channels: list[Channel]
    broken: str
    damage: str

    def times_ns(self, ids: Collection[int]) -> np.ndarray:
        """Return the bag times i64 of these channels' messages, in the order of the file."""

    def messages(self, ids: Collection[int], start_ns: int = 0,
                 in_file_order: bool = False) -> Iterator[Recorded]:
        """
        Yield the messages of these channels from start_ns on, ordered by time.

        in_file_order: as they stand in the file instead, where the format can. Raises what its
        library raises where it breaks off.
        """

    def close(self) -> None:
        """Close the file; may be called twice."""


def merged_by_time(
        blocks: Iterable[tuple[int, Callable[[], Iterable[Recorded]]]]) -> Iterator[Recorded]:
    """
    Yield the messages of blocks by time; of one time, in the order of the blocks and in them.

    A block is when it begins, in ns, and what loads it, which is called when its time has come.
    """
    def mark_and_messages(number, start_ns, load):
        yield start_ns, number, -1, None
        for index, message in enumerate(sorted(load(), key=lambda message: message[1])):
            yield message[1], number, index, message

    streams = [mark_and_messages(number, *block) for number, block in enumerate(blocks)]
    for _, _, index, message in heapq.merge(*streams):
        if index >= 0:
            yield message


def absolute(topic: str) -> str:
    """Return a topic with its leading slash."""
    return topic if topic.startswith('/') else f'/{topic}'


def ros_type(name: str) -> str:
    """Return the name of a message type as ROS 2 has it: ROS 1's have no '/msg' in them."""
    package, separator, rest = name.partition('/')
    return f'{package}/msg/{rest}' if separator and '/' not in rest else name
