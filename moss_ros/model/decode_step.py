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
(step_graphs.py). VideoModel.decode() calls it.

Letters: S streams, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moss_ros.model.cache import DecoderCache
from moss_ros.model.decoder import TextDecoder
from moss_ros.model.kernels import LayerWeights, Memory, PlainKernels, RowKernels
from moss_ros.model.large_matrices import is_large
from moss_ros.model.step_graphs import StepGraphs
import torch
from torch import nn

if TYPE_CHECKING:  # it makes torch import its compiler, which takes seconds
    from moss_ros.model.fused_kernels import FusedKernels


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
        text = decoder.config.text
        self._embedding = decoder.embed_tokens.weight
        self._layers = [LayerWeights.of(layer) for layer in decoder.layers]
        self._norm, self._head = decoder.norm.weight, lm_head.weight
        self._fused, self._graphs = fused, graphs
        self._plain = self._single = PlainKernels(text)
        if all(type(weight) is nn.Parameter and weight.dtype == torch.float32
               and weight.device.type == 'cpu' and not is_large(weight)
               for weight in (*decoder.layers.parameters(), self._embedding)):
            self._single = RowKernels(text)

    @torch.inference_mode()
    def run(self, caches: Sequence[DecoderCache], token_ids: Sequence[int]) -> torch.Tensor:
        """
        Append a text token to each of the caches and return the logits [S, V] after them.

        Each cache must have room for it. One that is given several times takes its tokens in their
        order.
        """
        if len(caches) > 1 and not self._is_shared(caches):
            return self._run_in_turn(caches, token_ids)
        if len(caches) == 1 and self._fused is not None:
            logits = self._run_fused(caches, token_ids)
        else:
            logits = self._compute(self._single if len(caches) == 1 else self._plain, caches,
                                   token_ids)
        for cache in caches:
            cache.num_tokens += 1
        return logits

    def _is_shared(self, caches):
        """
        Return whether one pass serves all of them.

        A small model spends its time on calls, of which several rows need more; and without a
        frame the layers that look at frames are skipped.
        """
        return not isinstance(self._single, RowKernels) and len(
            {cache.num_frames > 0 for cache in caches}) == 1

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
