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
The painted world in other looks than the demo camera's, so that training sees more than that one.

A Scene, a size and a seed go in; pictures come out as from SceneRenderer, but with other
backgrounds (plain, shaded, cloudy, or made-up pictures of the unknown world with less contrast),
paints, rims, shading, noise and light, and in many looks solids in place of flat shapes.
"""

import random

import cv2
from moss_ros.training.scenes import Scene, SceneRenderer
from moss_ros.training.solids import Solids
from moss_ros.training.unknown.textures import random_picture
import numpy as np

# Shares of the backgrounds.
P_PLAIN, P_SHADED, P_CLOUDY = 0.1, 0.1, 0.1
# Of the made-up pictures, which part is out of focus and pale, as what is far behind things.
P_OUT_OF_FOCUS = 0.5
# Of the looks, which part shows solids.
P_SOLID = 0.65
# Of a paint's hue, in degrees; a white one has hardly any.
MOST_TURN = 12.0
# By so much of the range noise changes a pixel at most.
MOST_NOISE = 0.2


def has_picture_behind(seed: int) -> bool:
    """Return whether Scene(seed) is before a made-up picture in its VariedRenderer's look."""
    return _kind_of_background(seed) >= P_PLAIN + P_SHADED + P_CLOUDY


def _kind_of_background(seed):
    return random.Random(f'background {seed}').random()


class VariedRenderer(SceneRenderer):
    """Renders one scene in a look drawn from its seed. Not thread-safe."""

    def __init__(self, scene: Scene, width_px: int, height_px: int):
        # Before all else, which begins with the background.
        draw = self._look = np.random.default_rng([scene.seed, 23])
        self._background_kind = _kind_of_background(scene.seed)
        super().__init__(scene, width_px, height_px)
        self._shade_x, self._shade_y = draw.uniform(-0.35, 0.35), draw.uniform(-0.05, 0.35)
        self._shadow = draw.choice((0.0, draw.uniform(0, 0.5)))
        self._rim = draw.choice((0.0, 0.0, draw.uniform(0.1, 0.5)))
        self._paints = {name: self._varied_paint(draw, rgb) for name, rgb in self._paints.items()}
        self._white = (draw.uniform(0.65, 1.25)
                       * draw.normal(1, 0.06, 3).clip(0.85, 1.15)).astype(np.float32)
        self._noise_tiles *= np.float32(draw.uniform(0.3, 2.0))
        np.clip(self._noise_tiles, -MOST_NOISE, MOST_NOISE, out=self._noise_tiles)
        self._solids = Solids(draw) if draw.random() < P_SOLID else None

    def _surface(self, shape, x, y):
        if self._solids is None:
            return super()._surface(shape, x, y)
        return self._solids.surface(shape, x, y)

    def _backgrounds(self, _generator) -> tuple[np.ndarray, np.ndarray]:
        background = self._varied_background(self._look).astype(np.float32)
        return background, background

    def _varied_background(self, draw):
        """Return the background [H, W, 3]."""
        size = self._height_px, self._width_px
        low, high = (self._varied_grey(draw) for _ in range(2))
        kind = self._background_kind
        if kind < P_PLAIN:
            return np.broadcast_to(low, (*size, 3)).copy()
        if kind < P_PLAIN + P_SHADED:
            way = np.broadcast_to(self._x if draw.random() < 0.5 else self._y, size)
            part = ((way - way.min()) / (way.max() - way.min()))[..., None]
            return low + (high - low) * part
        if kind < P_PLAIN + P_SHADED + P_CLOUDY:
            clouds = draw.standard_normal(size).astype(np.float32)
            clouds = cv2.GaussianBlur(clouds, (0, 0), self._width_px * draw.uniform(0.03, 0.15))
            part = np.clip(0.5 + clouds / (4 * clouds.std()), 0, 1)[..., None]
            return low + (high - low) * part
        picture = random_picture(draw, *size).astype(np.float32) / 255
        if draw.random() < P_OUT_OF_FOCUS:
            picture = cv2.GaussianBlur(picture, (0, 0), self._width_px * draw.uniform(0.003, 0.02))
            greys = picture.mean(-1, keepdims=True)
            picture = greys + (picture - greys) * draw.uniform(0.2, 1.0)
        contrast = draw.uniform(0.25, 0.9)
        return np.clip((picture - picture.mean((0, 1))) * contrast + low, 0, 1)

    @staticmethod
    def _varied_paint(draw, rgb):
        """Return a paint f32 [3] of the same name as rgb."""
        hue, saturation, value = cv2.cvtColor(rgb[None, None], cv2.COLOR_RGB2HSV)[0, 0]
        hue += draw.uniform(-MOST_TURN, MOST_TURN)
        saturation *= draw.uniform(0.75, 1.08)
        value *= draw.uniform(0.75, 1.12)
        hsv = np.array([[[hue % 360, min(saturation, 1.0), value]]], np.float32)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]

    @staticmethod
    def _varied_grey(draw):
        return (draw.uniform(0.12, 0.72) + draw.normal(0, 0.05, 3)).clip(0.05, 0.85)
