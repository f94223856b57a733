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
Light that flickers on the mains, as rolling shutters show it: bands that differ in each frame.

The pictures of a training stream go in, u8 [L, 3, S, S] of L frames of S px; they come out as they
are, or, of some seeds, under such a lamp.
"""

import numpy as np

P_LAMP = 0.15
MOST_BANDS = 4.0
DEPTHS = 0.03, 0.3


def lit_by_chance(pictures: np.ndarray, seed: int) -> np.ndarray:
    """Return the pictures, of P_LAMP of the seeds under a lamp; less than a band: all flickers."""
    generator = np.random.default_rng([seed, 29])
    if generator.random() >= P_LAMP:
        return pictures
    num_frames, _, num_rows, _ = pictures.shape
    depth, num_bands = generator.uniform(*DEPTHS), generator.uniform(0, MOST_BANDS)
    # The camera's rate and the mains' have nothing to do with each other.
    phases = generator.random(num_frames)[:, None] + np.linspace(0, num_bands, num_rows)
    light = (1 + depth * np.sin(2 * np.pi * phases)).astype(np.float32)
    return np.clip(pictures * light[:, None, :, None], 0, 255).astype(np.uint8)
