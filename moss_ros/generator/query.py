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
Checks the keyword arguments and query dicts of the published calls.

Dicts of the queue protocol come in, frozen dataclasses come out. A ValueError names the key,
quotes the value and says what is possible. Used by the generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moss_ros.checks import require_count, require_number
from moss_ros.model import SamplingOptions
from moss_ros.stream.system_prompts import NO_THINKING, THINKING_MODES
from PIL import Image

STOP_KEY = 'stop_offline_generate'
# The defaults of the published scripts.
DEFAULT_MAX_NEW_TOKENS = 1024
DEFAULT_MIN_FRAMES = 8
DEFAULT_MAX_FRAMES = 256
DEFAULT_TOP_K = 50

_SAMPLING_KEYS = ('do_sample', 'temperature', 'top_k', 'top_p', 'repetition_penalty')
GENERATION_KEYS = ('max_new_tokens', *_SAMPLING_KEYS)
_MEDIA_KEYS = ('video_fps', 'video_minlen', 'video_maxlen')
_QUERY_KEYS = ('prompt', 'images', 'videos', 'media_kwargs', 'thinking_mode',
               'system_prompt_type', 'generate_kwargs', STOP_KEY)


@dataclass(frozen=True)
class GenerationSettings:
    """How tokens are drawn, and how many at most; None: only the checkpoint's own limits."""

    sampling: SamplingOptions
    max_new_tokens: int | None = None

    @classmethod
    def from_keywords(cls, keywords: Mapping, base: SamplingOptions) -> GenerationSettings:
        """
        Read the published keyword arguments; settings that they leave out are as in base.

        temperature 0 means the most likely token, top_k None means all tokens. If they turn
        sampling on, and neither they nor base have a top_k, it is that of the published clients
        (DEFAULT_TOP_K). Raises ValueError for an unknown key or a bad value.
        """
        require_known('generation argument', keywords, GENERATION_KEYS)
        max_new_tokens = keywords.get('max_new_tokens')
        if max_new_tokens is not None:
            require_count('max_new_tokens', max_new_tokens)
        changes = {key: keywords[key] for key in _SAMPLING_KEYS if key in keywords}
        if changes.get('do_sample') and not base.do_sample and base.top_k == 0:
            changes.setdefault('top_k', DEFAULT_TOP_K)
        if changes.get('top_k', 0) is None:
            changes['top_k'] = 0
        temperature = changes.get('temperature')
        if not isinstance(temperature, bool) and temperature == 0:
            changes.update(do_sample=False, temperature=1.0)
        return cls(replace(base, **changes), max_new_tokens)


@dataclass(frozen=True)
class OfflineQuery:
    """
    One question about pictures and videos; the model sees all pictures first, then the videos.

    - prompt: the question. images: PIL images or paths. videos: paths.
    - video_fps: frames a second to look at; None: the checkpoint's own rate.
    - video_min_frames, video_max_frames: per video; the checkpoint's own limit comes on top.
    - system_prompt_type ('video', 'text_image' or a type of the checkpoint's own) and
      thinking_mode (one of THINKING_MODES) choose the system prompt.
    - settings: sampling and the limit of tokens. seed: for random sampling.
    """

    prompt: str
    images: tuple[Image.Image | str | Path, ...]
    videos: tuple[str | Path, ...]
    video_fps: float | None
    video_min_frames: int
    video_max_frames: int
    system_prompt_type: str
    settings: GenerationSettings
    seed: int = 0
    thinking_mode: str = NO_THINKING

    @classmethod
    def from_dict(cls, query: Mapping, base: SamplingOptions) -> OfflineQuery:
        """
        Check a query of the protocol; base gives the sampling settings that it leaves out.

        Without do_sample in its generate_kwargs, the most likely tokens are taken. Raises
        ValueError that names the key, quotes the value and says what is possible.
        """
        if not isinstance(query, Mapping):
            raise ValueError(f'a query must be a dict with a prompt, not {query!r}')
        require_known('query key', query, _QUERY_KEYS)
        prompt = query.get('prompt')
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f'prompt is {prompt!r}; a question is needed')
        images, videos = _media(query, 'images'), _media(query, 'videos')
        if not images and not videos:
            raise ValueError('the query has neither images nor videos to look at')
        mode = query.get('thinking_mode') or NO_THINKING
        if mode not in THINKING_MODES:
            raise ValueError(f'thinking_mode is {mode!r}; known are {", ".join(THINKING_MODES)}')
        media = _mapping(query, 'media_kwargs')
        require_known('media_kwargs key', media, _MEDIA_KEYS)
        settings = GenerationSettings.from_keywords(
            _mapping(query, 'generate_kwargs'), replace(base, do_sample=False))
        if settings.max_new_tokens is None:
            settings = replace(settings, max_new_tokens=DEFAULT_MAX_NEW_TOKENS)
        default_type = 'video' if videos else 'text_image'
        min_frames, max_frames = _frame_bounds(media)
        return cls(
            prompt.lstrip('\n'), images, videos, video_fps=_fps(media.get('video_fps')),
            video_min_frames=min_frames, video_max_frames=max_frames,
            system_prompt_type=query.get('system_prompt_type') or default_type,
            settings=settings, thinking_mode=mode)


def is_stop(query: object) -> bool:
    """Return whether this query asks offline_generate to stop."""
    return isinstance(query, Mapping) and bool(query.get(STOP_KEY))


def require_known(what: str, given: Iterable, known: Sequence[str]) -> None:
    """Raise ValueError that lists the keys in given that are not known; what: their kind."""
    unknown = [key for key in given if key not in known]
    if unknown:
        names = ', '.join(repr(key) for key in unknown)
        raise ValueError(f'unknown {what} {names}; known are {", ".join(known)}')


def _mapping(query, key):
    value = query.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f'{key} must be a dict, not {value!r}')
    return value


def _media(query, key):
    value = query.get(key)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'{key} must be a list, not a {type(value).__name__}')
    return tuple(value)


def _fps(value):
    if value is None:
        return None
    require_number('video_fps', value, above=0)
    return float(value)


def _frame_bounds(media):
    """Return video_minlen and video_maxlen; a default is adapted to the value that is given."""
    minimum, maximum = media.get('video_minlen'), media.get('video_maxlen')
    for name, value in (('video_minlen', minimum), ('video_maxlen', maximum)):
        if value is not None:
            require_count(name, value)
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f'video_minlen is {minimum}, more than video_maxlen, which is {maximum}')
    if minimum is None:
        minimum = min(DEFAULT_MIN_FRAMES, maximum or DEFAULT_MAX_FRAMES)
    return minimum, maximum or max(DEFAULT_MAX_FRAMES, minimum)
