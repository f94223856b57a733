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
One picture that dissolves into another, or is cut to it, as in films: nothing moves by that.

The pictures of a training stream go in, u8 [L, 3, S, S] of L frames of S px; they come out as they
are, or, of some seeds, from some frame on as another world before the same camera, in which the
same things move.
"""

from collections.abc import Callable

from moss_ros.training.unknown.filming import made_up_world
import numpy as np

P_DISSOLVE = 0.12
MOST_DISSOLVES = 3
# Frames from one picture to the other; below one it is cut.
DISSOLVE_FRAMES = 0.3, 5.0


def dissolved_by_chance(pictures: np.ndarray, seed: int,
                        film_of: Callable[[list[np.ndarray]], np.ndarray]) -> np.ndarray:
    """
    Return the pictures, of P_DISSOLVE of the seeds with dissolves.

    film_of: gives the pictures of the same stream before a photograph u8 [H, W, 3].
    """
    generator = np.random.default_rng([seed, 41])
    if generator.random() >= P_DISSOLVE:
        return pictures
    other = made_up_world(generator)
    part = np.zeros(len(pictures), np.float32)
    frames = np.arange(len(pictures), dtype=np.float32)
    num = int(generator.integers(1, MOST_DISSOLVES + 1))
    # Back and forth, one after the other.
    for index, begin in enumerate(np.sort(generator.uniform(0, len(pictures), num))):
        length = generator.uniform(*DISSOLVE_FRAMES)
        way = np.clip((frames - np.float32(begin)) / np.float32(length), 0, 1)
        part += way if index % 2 == 0 else -way
    part = np.clip(part, 0, 1)[:, None, None, None]
    mixed = pictures * (1 - part) + film_of([other]) * part
    return (mixed + 0.5).astype(np.uint8)
