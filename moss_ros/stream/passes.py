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
Passes of a token through the decoder that streams of one model can share.

A step of a stream is a generator that yields when it needs one: most of the time, while words are
said. Whoever runs several such generators has the model decode() all of their tokens at once, so
its weights are read once and not once for each stream. Used by sessions, channels and the worker.

Letters: T tokens of a pass, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from moss_ros.model import DecoderCache, VideoModel
import torch

T = TypeVar('T')


class TokenPass(NamedTuple):
    """Text tokens, most of the time one, to be appended to a cache of a model by its decode()."""

    model: VideoModel
    cache: DecoderCache
    token_ids: Sequence[int]


# It yields its token passes, is sent the logits [T, V] after the T tokens of each, and returns a
# result.
PassGenerator: TypeAlias = Generator[TokenPass, torch.Tensor, T]


def pass_alone(generator: PassGenerator[T]) -> T:
    """Run a generator to its end, with passes of its own, and return its result."""
    try:
        wanted = next(generator)
        while True:
            wanted = generator.send(_decode([wanted])[0])
    except StopIteration as end:
        return end.value


def pass_together(generators: Sequence[PassGenerator[None]]) -> list[BaseException | None]:
    """
    Run generators to their ends, and let those of one model share passes.

    Returns for each what it raised, or None. If a shared pass fails, each has one of its own, so
    that only those fail which are to blame.
    """
    failures: list[BaseException | None] = [None] * len(generators)
    wanted: dict[int, TokenPass] = {}

    def go_on(index, resume):
        try:
            wanted[index] = resume()
        except StopIteration:
            pass
        except BaseException as error:
            failures[index] = error

    for index, generator in enumerate(generators):
        go_on(index, generator.__next__)
    while wanted:
        model = next(iter(wanted.values())).model
        indices = [index for index, one in wanted.items() if one.model is model]
        results = _decode_or_errors([wanted.pop(index) for index in indices])
        for index, logits in zip(indices, results):
            if isinstance(logits, BaseException):
                go_on(index, lambda: generators[index].throw(logits))
            else:
                go_on(index, lambda: generators[index].send(logits))
    return failures


def _decode(passes):
    logits = passes[0].model.decode(
        [wanted.cache for wanted in passes for _ in wanted.token_ids],
        [token_id for wanted in passes for token_id in wanted.token_ids])
    return logits.split([len(wanted.token_ids) for wanted in passes])


def _decode_or_errors(passes):
    """Return for each pass its logits [T, V], or what decode() raised."""
    try:
        return list(_decode(passes))
    except Exception as error:
        if len(passes) == 1:
            return [error]
    return [result for wanted in passes for result in _decode_or_errors([wanted])]
