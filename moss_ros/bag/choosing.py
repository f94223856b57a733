"""
Which frames of a source the model sees: messages in, groups of encoded frames and prompts out.

Decodes nothing but what the sampler chose, and encodes frames in groups which depend on the bag
alone, so that they come out the same to the last bit however often a run is taken up. Runs ahead
of the narration in a thread of its own (ahead.py). Knows neither pace nor outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import cv2
from moss_ros.bag.reading import Message, prompt_text, ReadPosition, Source
from moss_ros.images import BadImageError
from moss_ros.model import VideoModel
from moss_ros.stream import encode_frames, EncodedFrame, Frame, FrameSampler
import numpy as np

FRAMES_PER_GROUP = 8
# Bounds a group in which no frame is chosen.
_MAX_ITEMS_PER_GROUP = 256
# Stamps that fall back by more are a camera or a clock that began anew, as for the live node.
_RESTART_NS = 2_000_000_000
# At least; a wider picture is shrunk by a whole number, which is three times as fast as others.
_THUMBNAIL_WIDTH_PX = 160


@dataclass(eq=False)
class ChosenFrame:
    """A frame for the model, and the thumbnail u8 [h, w, 3] RGB of it."""

    bag_time_ns: int
    frame: EncodedFrame | None  # None until its group is encoded
    thumbnail: np.ndarray


@dataclass(frozen=True)
class UnusableMessage:
    """An image or prompt that could not be used; kind as of a BadImageError, or 'late'."""

    bag_time_ns: int
    kind: str
    text: str


@dataclass(frozen=True)
class RecordedPrompt:
    """A prompt that was recorded with the images."""

    bag_time_ns: int
    text: str


@dataclass(frozen=True)
class StreamRestart:
    """The stamps went back: the camera began anew, and so does the stream."""

    bag_time_ns: int
    text: str


Item = ChosenFrame | UnusableMessage | RecordedPrompt | StreamRestart


@dataclass(frozen=True, eq=False)
class Group:
    """Items in the bag's order, and the state (for JSON) of the chooser behind them."""

    items: list[Item]
    chooser_state: dict


class FrameChooser:
    """
    Reads a source from where it is told to.

    Used by one thread, whichever; groups() blocks for reading, decoding and encoding.
    """

    def __init__(self, source: Source, model: VideoModel, frame_rate_fps: float):
        self._source = source
        self._model = model
        self._sampler = FrameSampler(frame_rate_fps)
        self._position = ReadPosition()
        self._newest_stamp_ns: int | None = None
        self._num_read = self._num_used = 0
        self._num_unusable_by_kind: Counter[str] = Counter()

    def restore(self, chooser_state: dict) -> None:
        """Go on behind the group that this state came with."""
        self._position = ReadPosition(**chooser_state['position'])
        self._sampler.restore(chooser_state['sampler'])
        self._newest_stamp_ns = chooser_state['newest_stamp_ns']
        self._num_read = chooser_state['num_read']
        self._num_used = chooser_state['num_used']
        self._num_unusable_by_kind = Counter(chooser_state['num_unusable_by_kind'])

    def groups(self) -> Iterator[Group]:
        """Yield all that is left, in groups; BagError where the source breaks off."""
        items: list[Item] = []
        pictures: list[Frame] = []
        try:
            for message in self._source.messages(self._position):
                items += self._look_at(message, pictures)
                self._position = self._position.after(message)
                if len(pictures) == FRAMES_PER_GROUP or len(items) >= _MAX_ITEMS_PER_GROUP:
                    yield self._group(items, pictures)
                    items, pictures = [], []
        except Exception:
            # What came before the break is not lost.
            yield self._group(items, pictures)
            raise
        yield self._group(items, pictures)

    def _group(self, items, pictures):
        encoded = iter(encode_frames(self._model, pictures))
        for item in items:
            if isinstance(item, ChosenFrame):
                item.frame = next(encoded)
        return Group(items, {
            'position': asdict(self._position),
            'sampler': self._sampler.snapshot(),
            'newest_stamp_ns': self._newest_stamp_ns,
            'num_read': self._num_read,
            'num_used': self._num_used,
            'num_unusable_by_kind': dict(sorted(self._num_unusable_by_kind.items())),
        })

    def _look_at(self, message: Message, pictures: list[Frame]) -> list[Item]:
        if message.is_prompt:
            return self._prompt(message)
        self._num_read += 1
        items: list[Item] = []
        try:
            stamp_ns = self._source.stamp_ns(message)
            if self._is_restart(stamp_ns):
                items.append(StreamRestart(
                    message.bag_time_ns, 'image stamps went back by '
                    f'{(self._newest_stamp_ns - stamp_ns) / 1e9:.1f} s: the stream begins anew'))
                self._sampler.reset()
            self._newest_stamp_ns = stamp_ns
            before = self._sampler.snapshot()
            if not self._sampler.select(stamp_ns):
                return items
            try:
                picture = self._source.picture(message)
            except BadImageError:
                # As if it had not been there, so that the next one takes its place.
                self._sampler.restore(before)
                raise
        except BadImageError as error:
            return [*items, self._unusable(message, error)]
        pictures.append(Frame(picture, stamp_ns))
        self._num_used += 1
        return [*items, ChosenFrame(message.bag_time_ns, None, _thumbnail(picture))]

    def _is_restart(self, stamp_ns):
        """Whether the camera began anew; BadImageError for a stamp that is just late."""
        newest_ns = self._newest_stamp_ns
        if newest_ns is None or stamp_ns > newest_ns:
            return False
        if newest_ns - stamp_ns < _RESTART_NS:
            raise BadImageError(
                'late', f'the stamp is {(newest_ns - stamp_ns) / 1e6:.1f} ms before that of an '
                'earlier image')
        return True

    def _prompt(self, message):
        try:
            text = prompt_text(message)
            if not text.strip():
                raise BadImageError('empty_prompt', 'a prompt is empty')
        except BadImageError as error:
            return [self._unusable(message, error)]
        return [RecordedPrompt(message.bag_time_ns, text)]

    def _unusable(self, message, error):
        self._num_unusable_by_kind[error.kind] += 1
        return UnusableMessage(message.bag_time_ns, error.kind, str(error))


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
