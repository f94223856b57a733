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
Frames of rendered streams, each with the one before it, as the vision encoder is shown them.

Now and then a frame is the first one, or the one before it was dropped, as with real cameras.

Shapes: N streams of L frames, M frames that are drawn, S px.
"""

import numpy as np

P_FIRST, P_DROPPED = 0.06, 0.08


def draw_before(indices: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return by frame, i64 [M], which frame of its stream was seen before it; or itself."""
    draw = generator.random(len(indices))
    way = np.where(draw < P_FIRST, 0, np.where(draw < P_FIRST + P_DROPPED, 2, 1))
    return np.maximum(indices - way, 0)


def pairs_at(pictures: np.ndarray, rows: np.ndarray, indices: np.ndarray,
             before: np.ndarray) -> np.ndarray:
    """
    Return frames with those before them, u8 [M, 6, S, S].

    pictures: u8 [N, L, 3, S, S]. rows, indices, before: i64 [M], stream, frame, frame before it.
    """
    return np.concatenate((pictures[rows, indices], pictures[rows, before]), axis=1)


def random_pairs(pictures: np.ndarray, num: int, generator: np.random.Generator) -> np.ndarray:
    """Return num frames of pictures u8 [N, L, 3, S, S] at random, each with one before it."""
    rows, indices = (generator.integers(limit, size=num) for limit in pictures.shape[:2])
    return pairs_at(pictures, rows, indices, draw_before(indices, generator))
