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
A second renderer of the painted world, which shares no code with the package's own.

The scene's truth goes in (what is where, in which shape and colour), and pictures u8 [H, W, 3]
RGB come out that look otherwise: other backgrounds (flat, photographs, or cloudy ones that are
made up), paints, shading, outlines and noise, seen through a lens of slight perspective. Drawn by
OpenCV at twice the size and made smaller. For the tests, and for

    python -m moss_ros.training.evaluate --renderer test/training/other_renderer.py --photos DIR
"""

import math
import random

import cv2
import numpy as np

WIDTH_PX, HEIGHT_PX = 320, 240
SCALE = 2
P_PHOTOGRAPH = 0.5
P_FLAT = 0.5
# Paints of the six names, each between two hues (degrees), saturations and brightnesses.
PAINTS = {
    'red': ((352, 367), (0.78, 0.95), (0.70, 0.92)),
    'green': ((110, 145), (0.65, 0.92), (0.45, 0.72)),
    'blue': ((218, 240), (0.70, 0.92), (0.60, 0.95)),
    'yellow': ((48, 58), (0.75, 0.98), (0.85, 0.98)),
    'purple': ((280, 298), (0.55, 0.80), (0.50, 0.75)),
    'white': ((0, 360), (0.0, 0.04), (0.90, 0.99)),
}
# A phase of a sine in fixed steps, so that the light wanders slowly.
LIGHT_PERIOD_S = 31.0
LIGHT_SWING = 0.06


class Renderer:
    """
    Draws one scene; the same picture for the same time. Not thread-safe.

    photographs: u8 [H, W, 3] RGB, of which one may become the background; shows_photograph:
    whether one has.
    """

    def __init__(self, scene, photographs=()):
        self._scene = scene
        draw = self._draw = random.Random(f'another look {scene.seed}')
        self._size = WIDTH_PX * SCALE, HEIGHT_PX * SCALE
        self._paints = {name: self._paint(*ranges) for name, ranges in PAINTS.items()}
        self._background = self._make_background(photographs)
        # Where the light comes from, and how strong shading and rims are.
        self._light = draw.choice((-1, 1)) * draw.uniform(0.2, 0.6), draw.uniform(-0.7, -0.3)
        self._shade, self._rim = draw.uniform(0.15, 0.4), draw.choice((0, 0, 1))
        self._noise_sigma = draw.uniform(1.5, 7.0)
        self._lens = self._make_lens()

    def render(self, time_s):
        """Return the picture at a time, seconds of the scene."""
        canvas = self._background.copy()
        for state in sorted(self._scene.objects_at(time_s), key=lambda state: state.y):
            # Only in its surroundings, which need not lie in the picture as a whole.
            centre = np.array([state.x, state.y]) * self._size[0]
            radius = state.size / 2 * self._size[0]
            low = np.maximum(0, np.floor(centre - 1.5 * radius)).astype(int)
            high = np.ceil(centre + 1.5 * radius).astype(int)
            place = canvas[low[1]:max(0, high[1]), low[0]:max(0, high[0])]
            if place.size:
                self._draw_object(place, state, centre - low, radius)
        picture = cv2.warpPerspective(canvas, self._lens, self._size, flags=cv2.INTER_LINEAR,
                                      borderMode=cv2.BORDER_REPLICATE)
        picture = cv2.resize(picture, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        return self._sensed(picture, time_s)

    def _draw_object(self, canvas, state, centre, radius):
        self._draw_shadow(canvas, centre, radius)
        draw_shape = {'ball': self._ball, 'box': self._box, 'cone': self._cone}[state.shape]
        draw_shape(canvas, centre, radius, self._paints[state.colour])

    def _sensed(self, picture, time_s):
        """Return the picture with light that wanders and the grain of a sensor, u8."""
        dice = np.random.default_rng([self._scene.seed, 29, round(time_s * 1000)])
        normal = dice.standard_normal((HEIGHT_PX, WIDTH_PX, 1), dtype=np.float32)
        light = 1 + LIGHT_SWING * math.sin(2 * math.pi * time_s / LIGHT_PERIOD_S)
        values = picture * np.float32(light)
        # Grain of a Bayer sensor: coarser in colour than in brightness, stronger in the bright.
        colours = dice.standard_normal((HEIGHT_PX // 2, WIDTH_PX // 2, 3), dtype=np.float32)
        colours = cv2.resize(colours, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
        grain = (normal + 0.6 * colours) * np.float32(self._noise_sigma)
        values += grain * np.sqrt(0.25 + values / 255)
        return np.clip(values, 0, 255).astype(np.uint8)

    def _paint(self, hues, saturations, brightnesses):
        draw = self._draw
        hue, saturation, value = (
            draw.uniform(*hues) % 360, draw.uniform(*saturations), draw.uniform(*brightnesses))
        hsv = np.array([[[hue, saturation, value]]], np.float32)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255

    def _make_background(self, photographs):
        draw, (width, height) = self._draw, self._size
        self.shows_photograph = bool(photographs) and draw.random() < P_PHOTOGRAPH
        if self.shows_photograph:
            return self._of_photograph(draw.choice(photographs))
        grey = draw.uniform(65, 150)
        base = np.array([grey + draw.uniform(-20, 20) for _ in range(3)])
        if draw.random() < P_FLAT:
            return np.full((height, width, 3), base.astype(np.float32))
        # Clouds: coarse random pictures, made larger and laid over each other.
        dice = np.random.default_rng(draw.getrandbits(32))
        clouds = np.zeros((height, width), np.float32)
        for cells in (3, 6, 12, 24):
            rough = dice.normal(0, 24 / cells, (cells, cells)).astype(np.float32)
            clouds += cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(base + draw.uniform(0.5, 1.5) * clouds[..., None], 30, 190).astype(
            np.float32)

    def _of_photograph(self, photograph):
        """Cut a piece out of a photograph, out of focus and paler than what stands before it."""
        draw, (width, height) = self._draw, self._size
        part = draw.uniform(0.6, 1.0)
        rows, columns = photograph.shape[:2]
        tall, broad = int(part * min(rows, columns * 0.75)), int(part * min(columns, rows / 0.75))
        top, left = draw.randint(0, rows - tall), draw.randint(0, columns - broad)
        piece = photograph[top:top + tall, left:left + broad].astype(np.float32)
        piece = cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA)
        piece = cv2.GaussianBlur(piece, (0, 0), draw.uniform(2, 8))
        grey = piece.mean(-1, keepdims=True)
        piece = grey + (piece - grey) * draw.uniform(0.2, 0.7)
        return 110 + (piece - 110) * np.float32(draw.uniform(0.35, 0.7))

    def _make_lens(self):
        """Return a homography that moves the corners by up to 1.5 % of the width."""
        draw, (width, height) = self._draw, self._size
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        moved = corners + np.array([[draw.uniform(-0.015, 0.015) * width for _ in range(2)]
                                    for _ in range(4)], np.float32)
        return cv2.getPerspectiveTransform(corners, moved)

    @staticmethod
    def _draw_shadow(canvas, centre, radius):
        """Darken an ellipse on the ground, with a hard edge, a little to the side."""
        mask = np.zeros(canvas.shape[:2], np.uint8)
        at = int(centre[0] + 0.15 * radius), int(centre[1] + 0.92 * radius)
        cv2.ellipse(mask, at, (int(0.95 * radius), int(0.22 * radius)), 0, 0, 360, 255, -1,
                    cv2.LINE_AA)
        canvas -= canvas * (mask[..., None] * np.float32(0.3 / 255))

    def _fill(self, canvas, outline, paint):
        """Fill a polygon [N, 2] of pixels with a paint f32 [3] or a picture of paints."""
        mask = np.zeros(canvas.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        alpha = mask[..., None] * np.float32(1 / 255)
        canvas += (paint - canvas) * alpha
        if self._rim:
            edge = np.zeros(canvas.shape[:2], np.uint8)
            cv2.polylines(edge, [np.rint(outline * 16).astype(np.int32)], True, 255, 3,
                          cv2.LINE_AA, 4)
            canvas -= canvas * (edge[..., None] * np.float32(0.35 / 255))

    def _ball(self, canvas, centre, radius, paint):
        angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        outline = centre + radius * np.stack([np.cos(angles), np.sin(angles)], -1)
        y, x = np.indices(canvas.shape[:2], dtype=np.float32)
        light = 1 - self._shade * np.hypot(
            (x - centre[0]) / radius - self._light[0], (y - centre[1]) / radius - self._light[1])
        light = np.clip(light, 0.35, 1.0) + self._shade / 2
        self._fill(canvas, outline, np.clip(paint * light[..., None], 0, 255))

    def _box(self, canvas, centre, radius, paint):
        """Draw the front and, brighter or darker, the top and one side of a cube."""
        side, depth = 0.80 * radius, 0.28 * radius
        way = np.array([math.copysign(depth, self._light[0]), -depth])
        front = centre - way / 2 + side * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        corner = (1, 2) if way[0] > 0 else (0, 3)
        flank = np.array([front[corner[0]], front[corner[0]] + way, front[corner[1]] + way,
                          front[corner[1]]])
        top = np.array([front[0], front[0] + way, front[1] + way, front[1]])
        self._fill(canvas, flank, paint * (1 - self._shade))
        self._fill(canvas, top, np.minimum(paint * (1 + self._shade / 3), 255))
        self._fill(canvas, front, paint)

    def _cone(self, canvas, centre, radius, paint):
        """Draw a cone from a little above: a tip over a round base, one side in the shade."""
        tip = centre + radius * np.array([0, -1.0])
        angles = np.linspace(0, math.pi, 24)
        base = centre + radius * np.stack(
            [0.95 * np.cos(angles), 0.78 + 0.18 * np.sin(angles)], -1)
        outline = np.concatenate([[tip], base])
        x = np.arange(canvas.shape[1], dtype=np.float32)[None, :, None]
        slope = (x - centre[0]) / radius * math.copysign(1, -self._light[0])
        light = 1 - self._shade * np.clip(slope + 0.3, 0, 1)
        self._fill(canvas, outline, np.clip(
            np.broadcast_to(paint * light, canvas.shape), 0, 255))
