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
How a scene looks: a wall, a floor, drifting light and coloured shapes, with sensor noise.

A Scene, a time and a size go in; a picture u8 [H, W, 3], RGB, comes out, the same for the same
arguments. Used by the demo camera at its own size and by training at twice the model's.
"""

import math

from moss_ros.training.scenes.world import ObjectState, PICTURE_HEIGHT, Scene
import numpy as np

RGB_BY_COLOUR = {
    'red': (0.82, 0.12, 0.10),
    'green': (0.10, 0.62, 0.16),
    'blue': (0.12, 0.25, 0.85),
    'yellow': (0.93, 0.82, 0.10),
    'purple': (0.60, 0.16, 0.68),
    'white': (0.95, 0.95, 0.93),
}
# Noise is set at the width the embedded model sees; finer pictures are noisier a pixel, as real
# sensors are, and average to the same.
NOISE_WIDTH_PX = 64
MAX_NOISE = 0.10
NUM_NOISE_TILES = 8
# In radii of what has a rim.
RIM_WIDTH = 0.15


class SceneRenderer:
    """
    Renders one scene at one size; what does not change is computed once. Not thread-safe.

    width_px and height_px: at least 16, else ValueError; the world is 4:3 and is stretched to
    other shapes.
    """

    def __init__(self, scene: Scene, width_px: int, height_px: int):
        if width_px < 16 or height_px < 16:
            raise ValueError(
                f'a picture of {width_px}x{height_px} px is too small: 16x16 is the least')
        self.scene = scene
        self._width_px, self._height_px = width_px, height_px
        high = scene.seed >> 32
        generator = np.random.default_rng(
            [scene.seed & 0xffffffff, 7, *([high] if high > 0 else [])])
        self._x = ((np.arange(width_px, dtype=np.float32) + 0.5) / width_px)[None, :]
        self._y = ((np.arange(height_px, dtype=np.float32) + 0.5)
                   * (PICTURE_HEIGHT / height_px))[:, None]
        self._pixel = 1.0 / width_px
        self._near, self._far = self._backgrounds(generator)
        self._gain_period_s, self._drift_period_s, self._spot_period_s = (
            generator.uniform(12, 40), generator.uniform(40, 90), generator.uniform(25, 60))
        self._gain = generator.uniform(0.03, 0.13)
        self._spot = generator.uniform(0.0, 0.10)
        self._phases = generator.uniform(0, 2 * math.pi, 3)
        self._paints = {name: np.asarray(rgb, np.float32)
                        * (1 + generator.uniform(-0.07, 0.07, 3).astype(np.float32))
                        for name, rgb in RGB_BY_COLOUR.items()}
        # How a varied look differs: lit from where, how dark shadows and rims are, and the colour
        # of light.
        self._shade_x, self._shade_y, self._shadow, self._rim = 0.16, 0.20, 0.35, 0.0
        self._white = np.ones(3, np.float32)
        noise = min(MAX_NOISE, generator.uniform(0.006, 0.022) * width_px / NOISE_WIDTH_PX)
        self._noise_tiles = generator.standard_normal(
            (NUM_NOISE_TILES, height_px, width_px, 1), dtype=np.float32) * np.float32(noise)

    def _backgrounds(self, generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the two pictures f32 [H, W, 3] between which the background drifts."""
        horizon = generator.uniform(0.24, 0.42)
        angle, pitch = generator.uniform(-0.5, 0.5), generator.uniform(0.06, 0.16)
        lines = np.sin((self._x + angle * self._y) * (2 * math.pi / pitch))
        lines = np.clip(lines * 6 - 5.2, 0, 1)[..., None] * generator.uniform(0.02, 0.08)
        pictures = []
        for _ in range(2):
            wall, floor = self._muted(generator), self._muted(generator)
            fade = (self._y / PICTURE_HEIGHT - 0.5)[..., None] * generator.uniform(-0.12, 0.12)
            is_floor = np.clip((self._y - horizon) / (2 * self._pixel) + 0.5, 0, 1)[..., None]
            picture = (wall + fade) * (1 - is_floor) + (floor - fade - lines) * is_floor
            pictures.append(np.broadcast_to(
                picture, (self._height_px, self._width_px, 3)).astype(np.float32))
        return pictures[0], pictures[1]

    @staticmethod
    def _muted(generator) -> np.ndarray:
        grey = generator.uniform(0.22, 0.56)
        return (grey + generator.uniform(-0.06, 0.06, 3)).astype(np.float32)

    def render(self, time_s: float) -> np.ndarray:
        """Return the picture u8 [H, W, 3], RGB, of the scene at time_s (seconds of the scene)."""
        drift, gain, spot = (
            math.sin(2 * math.pi * time_s / period_s + phase) for period_s, phase in zip(
                (self._drift_period_s, self._gain_period_s, self._spot_period_s), self._phases))
        part = np.float32(0.5 + 0.5 * drift)
        picture = self._near * part + self._far * (1 - part)
        spot_x = np.exp(-((self._x - 0.5 - 0.5 * spot) / 0.2) ** 2)
        spot_y = np.exp(-((self._y - 0.2) / 0.2) ** 2) * np.float32(self._spot)
        picture += (spot_y * spot_x)[..., None]
        for state in self.scene.objects_at(time_s):
            self._draw(picture, state)
        picture *= np.float32(1 + self._gain * gain) * self._white
        tick = int(round(time_s * 1000))
        picture += np.roll(self._noise_tiles[tick % NUM_NOISE_TILES],
                           (tick * 7919) % (self._width_px * self._height_px))
        np.clip(picture, 0, 1, out=picture)
        return (picture * 255 + 0.5).astype(np.uint8)

    def _draw(self, picture: np.ndarray, state: ObjectState) -> None:
        """Blend one object and its soft shadow into picture, inside its bounding box only."""
        radius = state.size / 2
        reach = radius * 1.5
        columns = _span(state.x - reach, state.x + reach, self._width_px, 1.0)
        rows = _span(state.y - reach, state.y + reach, self._height_px, PICTURE_HEIGHT)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return
        x = (self._x[:, columns] - state.x) / radius
        y = (self._y[rows] - state.y) / radius
        region = picture[rows, columns]
        shadow = np.clip(1.25 - np.hypot(x / 1.05, (y - 0.9) / 0.32), 0, 1)[..., None]
        region *= 1 - self._shadow * shadow
        edge = self._pixel / radius
        distance, factor = self._surface(state.shape, x, y)
        cover = np.clip(0.5 - distance / edge, 0, 1)[..., None]
        light = ((1.0 - self._shade_x * x - self._shade_y * y) * factor)[..., None]
        if self._rim:
            light = light * (1 - self._rim * np.clip(1 + distance / RIM_WIDTH, 0, 1)[..., None])
        colour = np.clip(self._paints[state.colour] * light, 0, 1)
        region += (colour - region) * cover

    def _surface(self, shape: str, x: np.ndarray, y: np.ndarray
                 ) -> tuple[np.ndarray, np.ndarray | float]:
        """
        Return the distance [H, W] to the outline, negative inside, and the factor of the light.

        x f32 [1, W], y f32 [H, 1]: from the centre, in radii. The factor is one, or one a pixel.
        """
        return signed_distance(shape, x, y), 1.0


def _span(low: float, high: float, size_px: int, extent: float) -> slice:
    start = max(0, math.floor(low / extent * size_px))
    return slice(start, min(size_px, math.ceil(high / extent * size_px)))


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance to the outline in radii, negative inside; y grows downward."""
    if shape == 'ball':
        return np.hypot(x, y) - 1.0
    if shape == 'box':
        return np.maximum(np.abs(x), np.abs(y)) - 0.88
    # A cone seen from the side: a triangle with its tip up.
    return np.maximum(cone_flank_distance(x, y), y - 0.95)


def cone_flank_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance in radii to the sides of a cone without end, negative inside."""
    return (np.abs(x) * 2.0 - y - 1.0) / math.sqrt(5.0)
