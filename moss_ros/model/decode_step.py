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
One more token of each of some streams: token ids and caches in, next-token logits out.

TextDecoder.extend() is the reference: any number of tokens and frames, written to be read. This is
the same arithmetic for what is done most of the time, a text token a stream, and nothing is done
in it that does not depend on the token. Weights are read once for all streams, and a layer is a
few calls (kernels.py). On CUDA the step of one stream is recorded as a graph and replayed
(step_graphs.py); that of a small model on a CPU is compiled (compiled_step.py). Called by
VideoModel's decode() and append().

Letters: S streams, T tokens, k frames, N states a frame, D channels, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from importlib import import_module
import logging
from types import ModuleType
from typing import TYPE_CHECKING

from moss_ros.model.cache import DecoderCache
from moss_ros.model.decoder import TextDecoder
from moss_ros.model.kernels import LayerWeights, Memory, PlainKernels
from moss_ros.model.large_matrices import is_large
from moss_ros.model.step_graphs import StepGraphs
import torch
from torch import nn

if TYPE_CHECKING:  # it makes torch import its compiler, which takes seconds
    from moss_ros.model.fused_kernels import FusedKernels

# More tokens of one stream are faster together, by TextDecoder.extend().
_MOST_IN_TURN = 32


_LOGGER = logging.getLogger(__name__)


def can_compile(decoder: TextDecoder) -> bool:
    """Return whether a stream of this decoder is a case for CompiledStep: small, float32, CPU."""
    return decoder.config.text.hidden_act == 'silu' and decoder.layers[0].flash is None and all(
        type(weight) is nn.Parameter and weight.dtype == torch.float32
        and weight.device.type == 'cpu' and not is_large(weight)
        for weight in (*decoder.layers.parameters(), decoder.embed_tokens.weight)
    ) and _compiled_step() is not None


@lru_cache(1)
def _compiled_step() -> ModuleType | None:
    """Import the compiled step, and Numba with it, which takes a moment; None without Numba."""
    try:
        return import_module('moss_ros.model.compiled_step')
    except (ImportError, OSError) as error:
        _LOGGER.warning(
            'Numba cannot be imported (%s): this small model is several times slower than it '
            'could be; install it as requirements/runtime.txt says', error)
        return None


class DecodeStep:
    """
    The step of one decoder, whose weights and gates must stay as they are.

    One thread at a time may call.
    """

    @torch.inference_mode()
    def __init__(self, decoder: TextDecoder, lm_head: nn.Linear,
                 graphs: StepGraphs | None = None, fused: FusedKernels | None = None):
        """
        Prepare.

        fused: kernels for one stream at a time, whose steps graphs repeat if they are given.
        """
        self._embedding = decoder.embed_tokens.weight
        self._layers = [LayerWeights.of(layer) for layer in decoder.layers]
        self._norm, self._head = decoder.norm.weight, lm_head.weight
        self._fused, self._graphs = fused, graphs
        # Triton and graphs run on the current device, which need not be the model's.
        self._device = nullcontext()
        if torch.cuda.is_available():
            self._device = torch.cuda.device_of(self._embedding)
        self._plain = PlainKernels(decoder.config.text)
        self._compiled = None
        if can_compile(decoder):
            self._compiled = _compiled_step().CompiledStep(decoder, lm_head)

    @torch.inference_mode()
    def run(self, caches: Sequence[DecoderCache], token_ids: Sequence[int]) -> torch.Tensor:
        """
        Append a text token to each of the caches and return the logits [S, V] after them.

        Each cache must have room for it. One that is given several times takes its tokens in their
        order.
        """
        if len(caches) > 1 and not self._is_shared(caches):
            return self._run_in_turn(caches, token_ids)
        if self._is_compiled_for(caches[0]):
            return self._compiled.run(caches[0], token_ids)
        if len(caches) == 1 and self._fused is not None:
            logits = self._run_fused(caches, token_ids)
        else:
            logits = self._compute(self._plain, caches, token_ids)
        for cache in caches:
            cache.num_tokens += 1
        return logits

    def _is_shared(self, caches):
        """
        Return whether one pass serves all of them.

        What is compiled takes one stream at a time; and without a frame the layers that look at
        frames are skipped.
        """
        return self._compiled is None and len({cache.num_frames > 0 for cache in caches}) == 1

    def takes(self, cache: DecoderCache, num_tokens: int) -> bool:
        """Return whether append() of so many tokens is faster than TextDecoder.extend()."""
        return self._is_compiled_for(cache) and num_tokens <= _MOST_IN_TURN

    @torch.inference_mode()
    def append(self, cache: DecoderCache, token_ids: list[int],
               frame_states: torch.Tensor | None) -> torch.Tensor:
        """
        Append what it takes() to a cache with room for it; return the logits [T, V] after each.

        frame_states [k, N, D] belong to the k image tokens among token_ids, in order.
        """
        return self._compiled.run(cache, token_ids, frame_states)

    def _is_compiled_for(self, cache):
        return self._compiled is not None and cache.arrays is not None

    def _run_in_turn(self, caches, token_ids):
        before = [cache.num_tokens for cache in caches]
        try:
            return torch.cat([self.run([cache], [token_id])
                              for cache, token_id in zip(caches, token_ids)])
        except BaseException:
            for cache, num_tokens in zip(caches, before):
                cache.num_tokens = num_tokens
            raise

    def _run_fused(self, caches, token_ids):
        [cache] = caches
        with self._device:
            self._fused.begin(cache, token_ids[0])
            if self._graphs is None:
                return self._compute(self._fused, caches, token_ids)
            return self._graphs.run(cache, cache.num_frames > 0, lambda: self._compute(
                self._fused, caches, token_ids))

    def _compute(self, kernels, caches, token_ids):
        positions = _positions(caches)
        x = kernels.embed(token_ids, self._embedding)
        rotations = kernels.rotations(caches, positions)
        for index, layer in enumerate(self._layers):
            if layer.query_norm is None:
                x = kernels.remember(x, layer, rotations, [
                    Memory(*cache.buffers[index].row, position + 1)
                    for cache, position in zip(caches, positions)])
            elif caches[0].num_frames:
                x = kernels.look(x, layer, rotations, [
                    Memory(*cache.buffers[index].row, cache.num_states) for cache in caches])
            else:
                continue
            x = kernels.mlp(x, layer)
        return kernels.logits(x, self._norm, self._head)


def _positions(caches):
    """Return where each token goes: behind those that its cache has, and those given before it."""
    if len(caches) == 1:
        return [caches[0].num_tokens]
    num_before: Counter = Counter()
    positions = []
    for cache in caches:
        positions.append(cache.num_tokens + num_before[cache])
        num_before[cache] += 1
    return positions
