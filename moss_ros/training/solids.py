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
The shapes of the painted world as solids, as another look shows them.

They lean a little and are not quite as tall as wide; boxes show a flank and their top, cones stand
on a round foot, balls shine. Lengths are in radii of the object; x grows to the right and y
downward, from its centre.
"""

from dataclasses import dataclass

from moss_ros.training.scenes.rendering import cone_flank_distance, signed_distance
import numpy as np

LEAN_RAD = 0.07
MOST_STRETCH = 0.14
# Half the front of a box of no depth, as of a flat one; a deep one is drawn smaller.
FLAT_HALF = 0.88
SMALLER_BY_DEPTH = 0.2
# Where the foot of a cone is for a flat one, and which part of its bulge lies below that.
FOOT_Y = 0.95
PART_BELOW = 0.3


class Solids:
    """The solids of one look; draw: gives what is drawn of it."""

    def __init__(self, draw: np.random.Generator):
        self._lean_rad = draw.normal(0, LEAN_RAD)
        # Of the width; the height is its inverse, so that the area stays.
        self._stretch = np.exp(draw.uniform(-MOST_STRETCH, MOST_STRETCH) / 2)
        self._box = _Box(draw.choice((-1, 1)) * draw.uniform(0.1, 0.5), draw.uniform(0.1, 0.5),
                         draw.uniform(0.55, 1.0), draw.uniform(0.85, 1.3))
        self._bulge = draw.uniform(0, 0.28)
        self._cone_shade = draw.uniform(-0.4, 0.4)
        self._shine = draw.uniform(0, 0.5)
        self._shine_x, self._shine_y = draw.uniform(-0.5, 0.5), draw.uniform(-0.6, 0)

    def surface(self, shape: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distance to the outline, negative inside, and the factor of the light."""
        cos, sin = np.cos(self._lean_rad), np.sin(self._lean_rad)
        x, y = (cos * x + sin * y) / self._stretch, (cos * y - sin * x) * self._stretch
        if shape == 'box':
            return self._box.surface(x, y)
        if shape == 'cone':
            return self._cone_surface(x, y)
        light = 1 + self._shine * (0.6 - np.hypot(x - self._shine_x, y - self._shine_y))
        return signed_distance(shape, x, y), light

    def _cone_surface(self, x, y):
        """Below the foot's widest line the sides go straight down to its round edge."""
        sides = cone_flank_distance(x, np.minimum(y, FOOT_Y))
        edge = FOOT_Y + self._bulge * (np.sqrt(np.clip(1 - x ** 2, 0, 1)) - 1 + PART_BELOW)
        return np.maximum(sides, y - edge), 1 - self._cone_shade * np.clip(2 * x, -1, 1)


@dataclass(frozen=True)
class _Box:
    """How far a box reaches back, and in what light its flank and its top are; the front is 1."""

    depth_x: float
    depth_y: float
    flank_light: float
    top_light: float

    def surface(self, x, y):
        """Return distance and factor of the light; x and y from the middle of all that is seen."""
        depth_x = abs(self.depth_x)
        half = FLAT_HALF - SMALLER_BY_DEPTH * (depth_x + self.depth_y)
        # The front, the same square behind it, and what lies between their corners.
        around = np.maximum(abs(x) - depth_x / 2, abs(y) - self.depth_y / 2) - half
        beside = abs(self.depth_y * x + self.depth_x * y) - half * (depth_x + self.depth_y)
        distance = np.maximum(around, beside / np.hypot(depth_x, self.depth_y))
        front_x, front_y = abs(x + self.depth_x / 2), abs(y - self.depth_y / 2)
        behind = np.where(front_x > front_y, self.flank_light, self.top_light)
        return distance, np.where(np.maximum(front_x, front_y) < half, 1.0, behind)
