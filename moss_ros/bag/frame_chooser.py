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
Chooses the frames that the model sees: messages in, groups of encoded frames and prompts out.

Only images that a FrameIntake chose or a question needs are decoded. Which frames are encoded
together depends on the bag and its prompts alone, so the results are the same to the last bit
however often a run is resumed. Runs ahead of the narration, in threads of bag_run.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
import math

import cv2
from moss_ros.bag.bag_source import prompt_text
from moss_ros.bag.picture_notes import PictureNotes
from moss_ros.bag.source import BadPromptError, Message, ReadPosition, Source
from moss_ros.bag.unusable import UnusableTally
from moss_ros.images import BadImageError
from moss_ros.model import VideoModel
from moss_ros.stream import EncodedFrame, Frame, FrameEncoder
from moss_ros.stream.intake import FrameIntake, LateFrameError
import numpy as np
import torch

FRAMES_PER_GROUP = 8
# Bounds a group in which no frame is chosen.
_MAX_ITEMS_PER_GROUP = 256
# At least; a wider picture is shrunk by a whole number, which is three times as fast as others.
_THUMBNAIL_WIDTH_PX = 160


@dataclass(eq=False)
class ChosenFrame:
    """
    A frame for the model, and the thumbnail u8 [h, w, 3] RGB of it; None until it is encoded.

    bag_time_ns: when it is shown; later than it was recorded where a question asked for it.
    """

    bag_time_ns: int
    frame: EncodedFrame | None = None
    thumbnail: np.ndarray | None = None


@dataclass(frozen=True)
class UnusableMessage:
    """An image or prompt that could not be used; kind: why, in one word, to count by."""

    bag_time_ns: int
    kind: str
    text: str


@dataclass(frozen=True)
class AskedPrompt:
    """A prompt, recorded with the images or given for a time of the bag."""

    bag_time_ns: int
    text: str


@dataclass(frozen=True)
class StreamRestart:
    """The stamps went back: the camera began anew, and so does the stream."""

    bag_time_ns: int
    text: str


Item = ChosenFrame | UnusableMessage | AskedPrompt | StreamRestart


@dataclass(frozen=True, eq=False)
class Group:
    """
    Items in the bag's order, and the state (for JSON) of the chooser behind them.

    pictures: what is still to be encoded of the chosen frames among them, in order. frame_before:
    what FrameEncoder.frame_before is behind them, once they are encoded.
    """

    items: list[Item]
    chooser_state: dict
    pictures: list[Frame]
    frame_before: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class _ReadImage:
    """An image that can be shown; position: the one before it, to read it again."""

    position: ReadPosition
    stamp_ns: int
    message: Message


class FrameChooser:
    """
    Reads a source from where it is told to.

    The model sees the frames that a FrameIntake chooses, and right behind a question the last
    image at or before it, unless that was shown already; choosing then goes on from there. An
    image of the question's own bag time is one before it, wherever it stands in the bag.

    Used by one thread, whichever, but for encoded(), which any other may run meanwhile. groups()
    blocks for reading and decoding.
    """

    def __init__(self, source: Source, model: VideoModel, frame_rate_fps: float,
                 prompts: Iterable[tuple[int, str]] = ()):
        """Prompts are (bag time in ns, text); of those of one time, they come before recorded."""
        self._source = source
        self._encoder = FrameEncoder(model)
        self._intake: FrameIntake[_ReadImage] = FrameIntake(frame_rate_fps, self._frame)
        self._prompts = sorted(prompts, key=lambda prompt: prompt[0])
        self._num_prompts_given = 0  # of those
        self._position = ReadPosition()
        # Bag time of a question whose image may still come; never set between two groups.
        self._question_ns: int | None = None
        self._num_read = self._num_used = 0
        self._unusable = UnusableTally()
        self._pictures = PictureNotes(source.info.start_ns)

    def restore(self, chooser_state: dict, frame_before: torch.Tensor | None) -> None:
        """
        Go on behind the group that both came with, of the same source and prompts.

        Raises KeyError, TypeError or ValueError where it is none, BagError as groups() does.
        """
        self._position = ReadPosition(**chooser_state['position'])
        self._num_prompts_given = chooser_state['num_prompts_given']
        held = chooser_state['held']
        self._intake.restore(
            chooser_state['intake'],
            held and self._read_again(ReadPosition(**held['position']), held['stamp_ns']))
        self._num_read = chooser_state['num_read']
        self._num_used = chooser_state['num_used']
        self._unusable = UnusableTally(chooser_state['unusable'])
        self._pictures.restore(chooser_state['pictures'])
        self._encoder.reset(frame_before)

    def groups(self) -> Iterator[Group]:
        """Yield all that is left, in groups; BagError where the source breaks off."""
        items: list[Item] = []
        pictures: list[Frame] = []
        try:
            for message in self._source.messages(self._position):
                items += self._ask_until(message.bag_time_ns, pictures)
                items += self._look_at(message, pictures)
                self._position = self._position.after(message)
                is_full = len(pictures) >= FRAMES_PER_GROUP or len(items) >= _MAX_ITEMS_PER_GROUP
                if is_full and self._question_ns is None:
                    yield self._group(items, pictures)
                    items, pictures = [], []
        except Exception:
            # What came before the break is not lost.
            yield self._group([*items, *self._ask_until(math.inf, pictures)], pictures)
            raise
        yield self._group([*items, *self._ask_until(math.inf, pictures)], pictures)

    def encoded(self, groups: Iterable[Group]) -> Iterator[Group]:
        """Yield what groups() yields, each with its pictures encoded, and thumbnails of them."""
        for group in groups:
            pictures = iter(group.pictures)
            for is_new, chosen in _streams(group.items):
                if is_new:
                    self._encoder.reset()
                shown = list(islice(pictures, len(chosen)))
                for item, frame, picture in zip(
                        chosen, self._encoder.encode(shown), shown, strict=True):
                    item.frame, item.thumbnail = frame, _thumbnail(picture.image)
            group.pictures.clear()
            yield replace(group, frame_before=self._encoder.frame_before)

    def _read_again(self, position, stamp_ns):
        message = next(self._source.messages(position), None)
        if message is None:
            raise ValueError(f'no message behind {position}')
        return _ReadImage(position, stamp_ns, message)

    def _group(self, items, pictures):
        held = self._intake.left_out
        return Group(items, {
            'position': asdict(self._position),
            'intake': self._intake.snapshot(),
            'num_prompts_given': self._num_prompts_given,
            'held': held and {'position': asdict(held.position), 'stamp_ns': held.stamp_ns},
            'num_read': self._num_read,
            'num_used': self._num_used,
            'unusable': self._unusable.to_json(),
            'pictures': self._pictures.to_json(),
        }, pictures)

    def _ask_until(self, time_ns: float, pictures: list[Frame]) -> list[Item]:
        """Ask what was given for a time up to the next message's, which is time_ns; inf: none."""
        items: list[Item] = []
        while self._num_prompts_given < len(self._prompts):
            prompt_ns, text = self._prompts[self._num_prompts_given]
            if prompt_ns > time_ns:
                break
            items += self._ask(prompt_ns, text, pictures)
            self._num_prompts_given += 1
        return items + self._show_before(time_ns, pictures)

    def _ask(self, time_ns, text, pictures):
        items = self._show_before(time_ns, pictures)
        self._question_ns = time_ns
        return [*items, AskedPrompt(time_ns, text)]

    def _show_before(self, time_ns, pictures):
        """Show what the latest question needs, unless an image of its own time may come yet."""
        if self._question_ns is None or time_ns <= self._question_ns:
            return []
        question_ns, self._question_ns = self._question_ns, None
        try:
            frame = self._intake.show_left_out()
        except BadImageError as error:
            return [self._bad_image(question_ns, error)]
        return [] if frame is None else [self._chosen(question_ns, frame, pictures)]

    def _look_at(self, message: Message, pictures: list[Frame]) -> list[Item]:
        if message.is_prompt:
            return self._prompt(message, pictures)
        self._num_read += 1
        items: list[Item] = []
        try:
            stamp_ns = self._intake.time_ns(
                self._source.stamp_ns(message), message.bag_time_ns)
            back_ns = self._intake.admit(stamp_ns)
            if back_ns:
                items.append(StreamRestart(
                    message.bag_time_ns, f'image stamps went back by {back_ns / 1e9:.1f} s: the '
                    'stream begins anew'))
            frame = self._intake.offer(
                _ReadImage(self._position, stamp_ns, message),
                is_wanted=self._question_ns is not None)
        except (BadImageError, LateFrameError) as error:
            return [*items, self._bad_image(message.bag_time_ns, error)]
        if frame is None:
            return items
        self._question_ns = None
        return [*items, self._chosen(message.bag_time_ns, frame, pictures)]

    def _prompt(self, message, pictures):
        try:
            text = prompt_text(message)
        except BadPromptError as error:
            time_s = (message.bag_time_ns - self._source.info.start_ns) / 1e9
            self._unusable.note(True, error.kind, f'at {time_s:.1f} s, {error}')
            return [UnusableMessage(message.bag_time_ns, error.kind, str(error))]
        return self._ask(message.bag_time_ns, text, pictures)

    def _frame(self, image):
        picture = self._source.picture(image.message)
        self._pictures.look(picture, image.stamp_ns, image.message.bag_time_ns,
                            *self._source.sent(image.message))
        return Frame(picture, image.stamp_ns)

    def _chosen(self, bag_time_ns, frame, pictures):
        pictures.append(frame)
        self._num_used += 1
        return ChosenFrame(bag_time_ns)

    def _bad_image(self, bag_time_ns, error):
        self._unusable.note(False, error.kind, str(error))
        return UnusableMessage(bag_time_ns, error.kind, str(error))


def _streams(items):
    """Return what is chosen between the restarts, each with whether it begins a stream anew."""
    streams = [(False, [])]
    for item in items:
        if isinstance(item, StreamRestart):
            streams.append((True, []))
        elif isinstance(item, ChosenFrame):
            streams[-1][1].append(item)
    return streams


def _thumbnail(picture):
    factor = max(1, picture.shape[1] // _THUMBNAIL_WIDTH_PX)
    height, width = (max(1, size // factor) for size in picture.shape[:2])
    thumbnail = picture[:height * factor, :width * factor]
    # OpenCV halves a picture far faster than it shrinks it by any other number.
    while factor > 1:
        factor = factor // 2 if factor % 2 == 0 else 1
        thumbnail = cv2.resize(
            thumbnail, (width * factor, height * factor), interpolation=cv2.INTER_AREA)
    return thumbnail
