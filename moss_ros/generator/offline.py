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
Answers questions about pictures and whole videos: a query in, pieces of text out.

Frames are decoded, fitted and encoded in chunks. Of each chunk, only its entries in the decoder's
cache are kept. Called by the generator.

Letters: k frames of a chunk, S side of the encoder's input in pixels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from itertools import chain, islice
import json
import logging
from pathlib import Path

from moss_ros.checks import require_count, require_number
from moss_ros.generator.query import OfflineQuery
from moss_ros.generator.turn_lock import TurnLock
from moss_ros.media import num_samples, read_image, VideoFile
from moss_ros.model import (
    DecoderCache, fit_frame, normalise_frames, pair_frames, VideoModel,
)
from moss_ros.stream import ChatFormat
from moss_ros.stream.decoding import TextPieces, TokenChooser
from moss_ros.stream.system_prompts import (
    DEFAULT_OFFLINE_SYSTEM_PROMPTS, NO_THINKING, offline_system_prompts, require_prompts,
)
import numpy as np
import torch

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class OfflineOptions:
    """
    A checkpoint's settings for whole videos; the defaults suit the published one.

    - frame_rate_fps: frames taken per second of video, unless the query says otherwise.
    - max_frames: largest number of frames, over all media of a query.
    - system_prompts: by system_prompt_type, the text of the system turn, or a dict of texts by
      thinking mode.
    """

    frame_rate_fps: float = 1.0
    max_frames: int = 256
    system_prompts: dict[str, str | dict[str, str]] = field(
        default_factory=lambda: dict(DEFAULT_OFFLINE_SYSTEM_PROMPTS))

    def __post_init__(self):
        """Raise ValueError that quotes the name and the value of a bad setting."""
        require_number('frame_rate_fps', self.frame_rate_fps, above=0)
        require_count('max_frames', self.max_frames)
        require_prompts(self.system_prompts)

    @classmethod
    def from_checkpoint(cls, folder: str | Path,
                        system_prompts: Mapping | None = None) -> OfflineOptions:
        """
        Read "offline_config" from folder/config.json; the defaults if it is not there.

        system_prompts, where given, replace those of the checkpoint, which may also come from its
        code (see system_prompts.py); the log says where each is from. Raises ValueError that
        names the file and the key or value that is wrong.
        """
        path = Path(folder) / 'config.json'
        try:
            settings = json.loads(path.read_text(encoding='utf-8')).get('offline_config', {})
            unknown = sorted(set(settings) - {option.name for option in fields(cls)})
            if unknown:
                raise ValueError(f'unknown key {unknown[0]!r}')
            configured = settings.pop('system_prompts', None)
            return cls(**settings, system_prompts=offline_system_prompts(
                folder, system_prompts, configured))
        except (OSError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f'offline_config in {path}: {error}') from error


class OfflineAnswerer:
    """
    Answers one query after the other, with a model that other threads may use in between.

    One thread at a time may call. model_lock is held only during each pass through the model, so
    that a live stream in another thread gets its turn.
    """

    def __init__(self, model: VideoModel, chat: ChatFormat, options: OfflineOptions,
                 model_lock: TurnLock):
        self._model = model
        self._chat = chat
        self._options = options
        self._model_lock = model_lock
        # Held during work that needs no model, but must not be cut off when the process ends.
        self._own_lock = TurnLock()
        self._told: set[tuple[str, str]] = set()
        self._chooser = TokenChooser(chat, model.config.text.vocab_size, model.device)

    def answer(self, query: OfflineQuery, chunk_length: int,
               on_frames: Callable[[int, int], None] | None = None) -> Iterator[str]:
        """
        Yield the answer in pieces of whole characters, as they are generated; it may be empty.

        At most chunk_length frames are encoded at a time. on_frames(num_done, num_frames) is
        called first with 0 done, once the first chunk was read, then after each chunk. Raises
        MediaError for media that can't be read, ValueError for a query that doesn't suit the
        checkpoint.
        """
        with self._own_lock:
            before, after = self._chat.media_opening(self._system_prompt(query), query.prompt)
        with ExitStack() as stack:
            num_frames, frames = self._frames(query, stack)
            num_read = len(before) + num_frames + len(after)
            cache = self._cache(num_read, num_frames, query.settings.max_new_tokens)
            report = on_frames or (lambda num_done, num_frames: None)
            self._extend(cache, before)
            while chunk := list(islice(frames, chunk_length)):
                if cache.num_frames == 0:
                    report(0, num_frames)
                self._show(cache, chunk)
                report(cache.num_frames, num_frames)
        yield from self._say(cache, self._extend(cache, after), query)

    def _system_prompt(self, query):
        prompts = self._options.system_prompts
        kind, mode = query.system_prompt_type, query.thinking_mode
        if kind not in prompts:
            raise ValueError(f'system_prompt_type is {kind!r}; the checkpoint '
                             f'knows {", ".join(map(repr, prompts))}')
        by_mode = {NO_THINKING: prompts[kind]} if isinstance(prompts[kind], str) else prompts[kind]
        if mode in by_mode:
            return by_mode[mode]
        if (kind, mode) not in self._told:
            self._told.add((kind, mode))
            _LOGGER.warning('thinking_mode %r has no system prompt of type %r in this checkpoint; '
                            "the type's own is used", mode, kind)
        return next(iter(by_mode.values()))

    def _frames(self, query, stack):
        """Return the number of frames and an iterator over them, fitted, uint8 [C, S, S] each."""
        num_images, most = len(query.images), self._options.max_frames
        if num_images + len(query.videos) > most:
            raise ValueError(f'{num_images} images and {len(query.videos)} videos are too many '
                             f'for the checkpoint, which takes {most} frames')
        videos = [stack.enter_context(VideoFile(path)) for path in query.videos]
        for video in videos:
            stack.callback(_tell_notes, video)  # damage is known at the end only
        fps = query.video_fps or self._options.frame_rate_fps
        # Each image stands alone, and the frames of a video follow each other.
        num_frames, pictures = num_images, [
            map(read_image, [image]) for image in query.images]
        for index, video in enumerate(videos):
            bounds = query.video_min_frames, query.video_max_frames
            num_wanted = num_there = video.count_frames(query.video_min_frames)
            is_short = 0 < num_there < query.video_min_frames
            if not is_short:
                num_wanted = num_samples(video.duration_s, fps, *bounds)
            # The limit is shared equally among this video and those that follow.
            share = (most - num_frames) // (len(videos) - index)
            if num_wanted > share:
                _LOGGER.warning(
                    '%s: %d frames instead of %d, uniformly spaced: the checkpoint takes at most '
                    '%d in all', video.path, share, num_wanted, most)
                bounds, is_short = (share, share), False
            if is_short:
                num_frames += num_wanted
                pictures.append(video.every_frame())
            else:
                times_s = video.sample_times_s(fps, *bounds)
                num_frames += len(times_s)
                pictures.append(video.frames_at(times_s))
        return num_frames, chain.from_iterable(map(self._fitted, pictures))

    def _fitted(self, pictures: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
        # Fitted as soon as they are decoded, so that no chunk of large pictures is held in memory.
        vision, before = self._model.config.vision, None
        for picture in pictures:
            with self._own_lock:
                fitted = fit_frame(picture, vision.image_size, self._model.device)
                shown = fitted
                if vision.sees_frame_before:
                    [shown] = pair_frames(fitted[None], before)
            before = fitted
            yield shown

    def _cache(self, num_read, num_frames, max_new_tokens) -> DecoderCache:
        most = self._model.config.text.max_position_embeddings
        if num_read >= most:
            raise ValueError(f'the query is too long: {num_read} tokens with its frames, but the '
                             f'model has {most} positions; ask in fewer words, or about less')
        num_tokens = min(num_read + max_new_tokens, most)
        with self._model_lock:
            return self._model.new_cache(num_tokens, num_frames)

    def _show(self, cache, chunk):
        """Encode fitted frames, uint8 [C, S, S] each, and append them to the cache."""
        with self._model_lock, torch.inference_mode():
            pixel_values = normalise_frames(torch.stack(chunk)).to(self._model.dtype)
            frame_states = self._model.encode_frames(pixel_values)
            self._model.extend(cache, [self._chat.image_id] * len(chunk), frame_states)

    def _extend(self, cache, ids):
        with self._model_lock:
            return self._model.extend(cache, ids)

    def _say(self, cache, logits, query):
        """Sample tokens, beginning with logits [V], and yield the text that they complete."""
        with self._own_lock:
            generator = torch.Generator().manual_seed(query.seed)
        pieces = TextPieces(self._chat.decode)
        said = []
        while True:
            with self._model_lock:
                if said:
                    [logits] = self._model.decode([cache], said[-1:])
                token_id = self._chooser.choose(
                    logits, query.settings.sampling, said, generator)
                if token_id in (self._chat.eot_id, self._chat.silence_id):
                    return
                said.append(token_id)
                piece = pieces.push(token_id)
            if piece:
                yield piece
            if len(said) >= query.settings.max_new_tokens or cache.num_tokens == cache.max_tokens:
                return


def _tell_notes(video):
    notes = [*video.notes]
    if video.times.breaks_off:
        notes.append(f'it breaks off: {video.times.breaks_off}')
    if video.num_damaged:
        notes.append(f'{video.num_damaged} damaged parts were passed over')
    for note in notes:
        _LOGGER.warning('%s: %s', video.path, note)
