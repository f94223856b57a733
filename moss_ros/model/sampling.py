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
Choice of the next token: logits in, one token id out.

Greedy, or sampled with temperature, top-k and top-p from a seeded generator. The repetition
penalty can exempt given ids. Called by TokenChooser (stream/decoding.py), for live streams and
offline answers.

Letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
import math
from pathlib import Path

from moss_ros.checks import require_count, require_number
from moss_ros.model.config import CheckpointError, read_json_object
import torch

# The top_k that transformers uses if generation_config.json has none.
_UNWRITTEN_TOP_K = 50


@dataclass(frozen=True)
class SamplingOptions:
    """
    How to choose a token. The default is greedy, without a penalty.

    temperature, top_k (0: all tokens) and top_p are used only with do_sample. A repetition_penalty
    above 1 makes tokens that occurred before less likely.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not isinstance(self.do_sample, bool):
            raise ValueError(f'do_sample is {self.do_sample!r}; true or false is needed')
        require_count('top_k', self.top_k, minimum=0)
        for name in ('temperature', 'top_p', 'repetition_penalty'):
            require_number(name, getattr(self, name), above=0)
        if self.top_p > 1:
            raise ValueError(f'top_p is {self.top_p!r}; it is a probability, at most 1')

    @classmethod
    def from_folder(cls, folder: str | Path) -> SamplingOptions:
        """
        Read the sampling options from a checkpoint's generation_config.json.

        If the file or do_sample is missing, tokens are sampled, as in the published clients; but
        temperature 0 without do_sample means greedy. Other settings that are missing or null have
        the meaning that transformers gives them. Raises CheckpointError that names the file and
        the value.
        """
        file = Path(folder) / 'generation_config.json'
        values = read_json_object(file) if file.is_file() else {}
        chosen = {name: values[name] for name in (
            'do_sample', 'temperature', 'top_k', 'top_p', 'repetition_penalty')
            if values.get(name) is not None}
        chosen.setdefault('top_k', 0 if 'top_k' in values else _UNWRITTEN_TOP_K)
        if not values.get('do_sample') and chosen.get('temperature') == 0:
            del chosen['temperature']  # some files write 0 for greedy
            chosen['do_sample'] = False
        chosen.setdefault('do_sample', True)
        try:
            return cls(**chosen)
        except ValueError as error:
            raise CheckpointError(f'{file}: {error}') from error


def sample_token(logits: torch.Tensor, options: SamplingOptions,
                 previous_ids: Iterable[int] = (), exempt_ids: Collection[int] = frozenset(),
                 generator: torch.Generator | None = None) -> int:
    """
    Return the id of the next token for logits [V], which are not changed.

    The repetition penalty applies to previous_ids, except those in exempt_ids; ids of V or more
    are ignored. The same generator state gives the same token. The generator is a CPU's, whatever
    device the logits are on. Raises ValueError if the logits hold nan or allow no token.
    """
    logits = logits.float()
    if options.repetition_penalty != 1.0:
        logits = _penalised(logits, options.repetition_penalty, previous_ids, exempt_ids)
    if not options.do_sample:
        best, choice = logits.max(dim=0)  # nan counts as the largest
    else:
        logits, ids = _candidates(logits / options.temperature, options)
        best = logits.max()
        choice = _drawn(logits, torch.rand(1, generator=generator).item())
        choice = choice if ids is None else ids.gather(0, choice)
    # Both numbers are read at once: on a GPU each reading waits for it.
    best, choice = torch.stack((best.double(), choice.double().squeeze())).tolist()
    if math.isnan(best) or best == -math.inf:
        raise ValueError(f'no token can be chosen: the largest logit is {best}')
    return int(choice)


def _drawn(logits, number):
    """Return the index, int64 [1], whose share of the probabilities a number in [0, 1) hits."""
    summed = logits.softmax(dim=0, dtype=torch.float64).cumsum(dim=0)
    hit = torch.searchsorted(summed, number * summed[-1:], right=True)
    return hit.clamp(max=logits.shape[0] - 1)


def _penalised(logits, penalty, previous_ids, exempt_ids):
    """Penalise each previous id once: divide positive logits, multiply negative ones."""
    num_ids = logits.shape[0]
    ids = [index for index in set(previous_ids) if index < num_ids and index not in exempt_ids]
    if not ids:
        return logits
    index = torch.tensor(ids, device=logits.device)
    chosen = logits[index]
    return logits.index_copy(
        0, index, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def _candidates(logits, options):
    """Return the logits that top-k and top-p keep, and their ids (None: all ids, in order)."""
    num_ids = logits.shape[0]
    num_kept = min(options.top_k or num_ids, num_ids)
    if num_kept == num_ids and options.top_p >= 1:
        return logits, None
    logits, ids = logits.topk(num_kept)  # in descending order
    if options.top_p < 1:
        probabilities = logits.softmax(dim=0)
        # Keep a token if those before it sum to less than top_p. So at least one is kept.
        reached = probabilities.cumsum(dim=0) - probabilities >= options.top_p
        logits = logits.masked_fill(reached, -math.inf)
    return logits, ids
