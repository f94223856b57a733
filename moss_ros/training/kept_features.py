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
What a training keeps in front of its last stage: the weights then, and the features of all frames.

A later run loads them where they were made in the same way, and refuses them where they were not.
Called by the training program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
import json
from pathlib import Path
import shutil

from moss_ros.model import VideoModel
import numpy as np
from safetensors.torch import load_file, save_file

_WORLDS = ('painted', 'unknown')
_WEIGHTS, _MADE = 'model.safetensors', 'made.json'


def first_stages(recipe) -> dict:
    """Return the numbers of a Recipe that all stages but the last depend on, as JSON has them."""
    numbers = asdict(recipe)
    del numbers['course']
    return json.loads(json.dumps(numbers))


class KeptFeatures:
    """A folder in work_dir for one seed and one number of streams of each world."""

    def __init__(self, work_dir: Path, seed: int, made: Mapping):
        """
        Name the folder; made: plain data that tells how its contents are made.

        Raises ValueError where the folder is there and was made otherwise.
        """
        num_painted, num_unknown = (made[world][0] for world in _WORLDS)
        self._folder = work_dir / f'seed_{seed}_streams_{num_painted}_{num_unknown}'
        self._made = dict(made)
        if self.exists:
            try:
                found = json.loads((self._folder / _MADE).read_text(encoding='utf-8'))
            except (OSError, ValueError):
                found = None
            if found != self._made:
                raise ValueError(f'{self._folder} was made otherwise: {found}, and wanted is '
                                 f'{self._made}; remove it, or take another work-dir')

    @property
    def exists(self) -> bool:
        """Whether there is something to load."""
        return self._folder.is_dir()

    def load(self, model: VideoModel) -> list[np.ndarray]:
        """Give model the weights; return the features f16 [N, L, P, Dv] of each world."""
        model.load_state_dict(load_file(self._folder / _WEIGHTS))
        return [np.load(self._folder / f'{world}.npy', allow_pickle=False) for world in _WORLDS]

    def save(self, model: VideoModel, features: Sequence[np.ndarray]) -> None:
        """Keep all of it, or, where that is broken off, nothing that would be loaded."""
        half = self._folder.with_suffix('.half')
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        save_file(model.state_dict(), half / _WEIGHTS)
        for world, array in zip(_WORLDS, features):
            np.save(half / f'{world}.npy', array)
        (half / _MADE).write_text(json.dumps(self._made), encoding='utf-8')
        half.rename(self._folder)
