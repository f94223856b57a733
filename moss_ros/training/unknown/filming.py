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
How an unknown scene looks: its layers seen by its camera, with light, noise, blur and compression.

An UnknownScene and, if wanted, photographs go in; pictures u8 [H, W, 3], RGB, come out, the same
for the same arguments. Made for speed: a picture is two or three warps and a few sums.

Letters: H, W height and width in pixels.
"""

from collections.abc import Sequence
import math

import cv2
from moss_ros.training.unknown.happenings import Pose, UnknownScene
from moss_ros.training.unknown.statements import Happening
from moss_ros.training.unknown.textures import random_cut_out, random_picture
import numpy as np

WIDTH_PX = 128
# Widths and heights of what there is to see beyond the picture, in pixels of the picture.
WORLD_PX = (288, 416)
CUT_OUT_PX = 80
NUM_NOISE_TILES = 6
# Shares of the scenes whose camera has the fault.
P_JPEG, P_FLICKER, P_UNSTEADY, P_VIGNETTE, P_BANDS = 0.3, 0.15, 0.3, 0.4, 0.06


def made_up_world(generator: np.random.Generator) -> np.ndarray:
    """Return what there is to see, u8 [*WORLD_PX, 3], in things from near and far."""
    height_px, width_px = WORLD_PX
    near = int(generator.choice((1, 1, 2, 3)))
    picture = random_picture(generator, height_px // near, width_px // near)
    return cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_CUBIC)


def film_size_px(scene: UnknownScene) -> tuple[int, int]:
    """Return the height and width of the pictures of a scene."""
    return round(WIDTH_PX * scene.aspect), WIDTH_PX


class Film:
    """
    Renders one scene at one size. Not thread-safe.

    photographs: u8 [H, W, 3] each, of which the first is the world and the others are what moves;
    none: all is made up.
    """

    def __init__(self, scene: UnknownScene, photographs: Sequence[np.ndarray] = ()):
        self.scene = scene
        self._height_px, self._width_px = film_size_px(scene)
        generator = self._generator = np.random.default_rng([scene.seed, 11])
        self._world = self._make_world(photographs)
        self._near = self._make_near() if scene.has_near_layer and not photographs else None
        self._base = self._make_base(generator.uniform(0.6, 2.5))
        self._cut_outs = [random_cut_out(
            np.random.default_rng(mover.look), CUT_OUT_PX,
            photographs[1 + mover.look % (len(photographs) - 1)] if len(photographs) > 1 else None)
            for mover in scene.movers]
        self._mover_poses = [scene.pose_at(phase.start_s) for phase in scene.phases
                             if phase.mover >= 0]
        self._set_camera(generator)
        self._cover = self._make_cover(generator)

    def _make_world(self, photographs):
        if not photographs:
            return made_up_world(self._generator)
        # At zoom 0 the picture shows between a third and two thirds of the photograph.
        photograph = photographs[0]
        scale = WIDTH_PX / (self._generator.uniform(0.35, 0.65) * photograph.shape[1])
        return cv2.resize(photograph, None, fx=scale, fy=scale,
                          interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)

    def _make_near(self):
        generator = self._generator
        near = np.zeros((*WORLD_PX, 4), np.uint8)
        for _ in range(int(generator.integers(2, 8))):
            thing = random_cut_out(generator, CUT_OUT_PX)
            side = int(CUT_OUT_PX * generator.uniform(0.4, 1.4))
            thing = cv2.resize(thing, (side, side), interpolation=cv2.INTER_AREA)
            top = int(generator.integers(0, WORLD_PX[0] - side))
            left = int(generator.integers(0, WORLD_PX[1] - side))
            place = near[top:top + side, left:left + side]
            place[:] = np.where(thing[..., 3:] > 60, thing, place)
        return near

    def _make_base(self, focal):
        """Return where the pixels look to, f32 [H, W] x and y on a cylinder, in widths."""
        x = (np.arange(self._width_px, dtype=np.float32) + 0.5) / self._width_px - 0.5
        y = (np.arange(self._height_px, dtype=np.float32) + 0.5
             - self._height_px / 2) / self._width_px
        x, y = np.meshgrid(x, y)
        return np.float32(focal) * np.arctan(x / np.float32(focal)), \
            y / np.sqrt(1 + (x / np.float32(focal)) ** 2)

    def _set_camera(self, generator):
        """Draw what is particular to this camera."""
        shape = (NUM_NOISE_TILES, self._height_px, self._width_px)
        noise = generator.uniform(0.5, 9.0) * generator.choice((1, 1, 1, 2))
        channels = 3 if generator.random() < 0.5 else 1
        self._noise = generator.standard_normal((*shape, channels), dtype=np.float32)
        self._noise *= np.float32(noise)
        self._drift = generator.uniform(0, 0.1), generator.uniform(8, 50)
        self._flicker = generator.uniform(0.01, 0.06) * (generator.random() < P_FLICKER)
        self._unsteady = generator.uniform(0.0005, 0.003) * (generator.random() < P_UNSTEADY)
        self._jpeg = int(generator.integers(12, 90)) if generator.random() < P_JPEG else None
        self._bands = generator.uniform(2, 10) * (generator.random() < P_BANDS)
        self._softness = generator.uniform(0.6, 1.5) if generator.random() < 0.3 else 0.0
        self._is_grey = generator.random() < 0.1
        self._near_zoom = generator.uniform(1.0, 1.8)
        x, y = self._base
        gain = np.ones((self._height_px, self._width_px, 1), np.float32)
        if generator.random() < P_VIGNETTE:
            gain -= np.float32(generator.uniform(0.2, 0.9)) * (x ** 2 + y ** 2)[..., None]
        self._gain = gain * np.clip(generator.normal(1, 0.08, 3), 0.7, 1.3).astype(np.float32) \
            * np.float32(generator.uniform(0.75, 1.2))

    def _make_cover(self, generator):
        """Return what covers the camera, u8 [H, W, 3], without sharp edges."""
        colour = generator.uniform(40, 215) + generator.normal(0, 18, 3)
        size = self._height_px, self._width_px
        cover = random_picture(generator, *size).astype(np.float32)
        cover = cv2.GaussianBlur(cover, (0, 0), generator.uniform(6, 14))
        contrast = generator.uniform(0.03, 0.25)
        cover = (cover - cover.mean()) * contrast + colour
        return np.clip(cover, 30, 235).astype(np.float32)

    def picture(self, time_s: float) -> np.ndarray:
        """Return the picture u8 [H, W, 3], RGB, at time_s."""
        scene = self.scene
        tick = max(0, round(time_s * 1000))
        generator = np.random.default_rng([scene.seed, 13, tick])
        phase = scene.phase_at(time_s)
        pose = self.pose_at(time_s)
        picture = self._view(self._world, pose, pose.lateral * 0.3)
        if self._near is not None:
            near = self._view(self._near, Pose(
                pose.x, pose.y, pose.zoom * self._near_zoom, pose.roll), pose.lateral)
            _blend(picture, near)
        for index, mover in enumerate(scene.movers):
            self._draw_mover(picture, index, mover, pose, time_s)
        return self._developed(picture, phase, time_s, tick, generator)

    def pose_at(self, time_s: float) -> Pose:
        """Return the camera's pose with the shaking of its phase and the play of its stand."""
        scene = self.scene
        pose, phase = scene.pose_at(time_s), scene.phase_at(time_s)
        generator = np.random.default_rng([
            scene.seed, 17, max(0, round(time_s * 1000))])
        x, y = generator.normal(0, self._unsteady, 2) if self._unsteady else (0.0, 0.0)
        if phase is not None and phase.shake:
            swing = phase.shake * phase.part_at(time_s) * generator.uniform(0.7, 1.3)
            angle = generator.uniform(0, 2 * math.pi)
            x, y = x + swing * math.cos(angle), y + swing * math.sin(angle)
        return Pose(pose.x + x, pose.y + y, pose.zoom, pose.roll, pose.lateral)

    def _view(self, layer, pose, lateral):
        """Return what of a layer is seen."""
        x, y = self._base
        height_px, width_px = layer.shape[:2]
        scale = WIDTH_PX * math.exp(-pose.zoom)
        cosine, sine = scale * math.cos(pose.roll), scale * math.sin(pose.roll)
        map_x = x * np.float32(cosine) - y * np.float32(sine)
        map_x += np.float32(width_px / 2 + WIDTH_PX * (pose.x + lateral))
        map_y = x * np.float32(sine) + y * np.float32(cosine)
        map_y += np.float32(height_px / 2 + WIDTH_PX * pose.y)
        return cv2.remap(layer, map_x, map_y, cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_REFLECT_101)

    def _draw_mover(self, picture, index, mover, pose, time_s):
        place = mover.place_at(time_s)
        if place is None:
            return
        # Where it is in the picture of the camera as it stood when it moved; then as it stands.
        then = self._mover_poses[index]
        zoom = math.exp(pose.zoom - then.zoom)
        way_x, way_y = _turned(place[0] - 0.5, place[1] - self.scene.aspect / 2, then.roll)
        way_x = way_x * zoom + (then.x - pose.x) * math.exp(pose.zoom)
        way_y = way_y * zoom + (then.y - pose.y) * math.exp(pose.zoom)
        x, y = _turned(way_x, way_y, -pose.roll)
        side = mover.size * zoom * self._width_px
        centre = (0.5 + x) * self._width_px, y * self._width_px + self._height_px / 2
        left, top = (math.floor(at - 0.71 * side) for at in centre)
        right, bottom = (math.ceil(at + 0.71 * side) for at in centre)
        left, top = max(0, left), max(0, top)
        right, bottom = min(self._width_px, right), min(self._height_px, bottom)
        if left >= right or top >= bottom:
            return
        first_s = mover.corners[0][0]
        angle = mover.spin_per_s * max(0.0, min(time_s, mover.corners[-1][0]) - first_s)
        cosine, sine = (f(angle - pose.roll) * side / CUT_OUT_PX for f in (math.cos, math.sin))
        half = CUT_OUT_PX / 2
        matrix = np.array([
            [cosine, -sine, centre[0] - left - half * (cosine - sine)],
            [sine, cosine, centre[1] - top - half * (sine + cosine)]])
        thing = cv2.warpAffine(self._cut_outs[index], matrix, (right - left, bottom - top),
                               flags=cv2.INTER_AREA if side < CUT_OUT_PX else cv2.INTER_LINEAR)
        _blend(picture[top:bottom, left:right], thing)

    def _developed(self, picture, phase, time_s, tick, generator):
        """Return the picture as this camera makes it, spoilt as the phase says."""
        softness, picture = self._softness, picture.astype(np.float32)
        part = phase.part_at(time_s) if phase is not None else 0.0
        kind = phase.kind if phase is not None else None
        strength = self._strength(phase) if part else 0.0
        if kind is Happening.COVERED:
            picture = self._covered(picture, part, strength, time_s)
        elif kind is Happening.BLURRED:
            softness = max(softness, part * (4.5 + 6.5 * strength))
        picture *= self._gain
        if softness > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), softness)
        drift, period_s = self._drift
        gain = 1 + drift * math.sin(2 * math.pi * time_s / period_s)
        gain *= 1 + self._flicker * generator.uniform(-1, 1)
        if kind is Happening.DARK:
            gain *= (1 - part) + part * min(0.07, 10 * strength / max(1.0, float(picture.mean())))
        picture *= np.float32(gain)
        if kind is Happening.BRIGHT:
            picture *= np.float32(1 + part * 3 * strength)
            picture += (np.float32(252) - picture) * np.float32(part * (0.88 + 0.12 * strength))
        if self._bands:
            rows = np.arange(self._height_px, dtype=np.float32)[:, None, None]
            picture += np.float32(self._bands) * np.sin(rows / 9 + generator.uniform(0, 6))
        picture += np.roll(self._noise[tick % NUM_NOISE_TILES],
                           (tick * 7919) % (self._width_px * self._height_px))
        picture = np.clip(picture, 0, 255).astype(np.uint8)
        if self._is_grey:
            picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        if self._jpeg is not None:
            _, data = cv2.imencode('.jpg', picture, (cv2.IMWRITE_JPEG_QUALITY, self._jpeg))
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return picture

    @staticmethod
    def _strength(phase):
        """Return how badly the picture is spoilt in the phase, 0 to 1."""
        return (phase.start_s * 997.0) % 1.0

    def _covered(self, picture, part, strength, time_s):
        """Slide the cover in over an edge, until little or nothing is left free."""
        edge = 1.3 * part - 0.3 * strength * part
        slant = np.float32(0.4 * (strength - 0.5))
        x, y = self._base
        ways = (x, -x, y / np.float32(self.scene.aspect), -y / np.float32(self.scene.aspect))
        way = ways[int(strength * 40) % 4] + slant * (x + y) + np.float32(0.5)
        sway = np.float32(0.012 * math.sin(3 * time_s) + edge)
        alpha = np.clip((sway - way) * 8, 0, 1)[..., None]
        return picture + (self._cover - picture) * alpha


def _turned(x, y, angle):
    return (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle))


def _blend(picture, layer):
    """Lay u8 [h, w, 4] over u8 [h, w, 3], in place."""
    alpha = layer[..., 3:].astype(np.uint16)
    mixed = picture * (255 - alpha) + layer[..., :3] * alpha
    picture[:] = (mixed // 255).astype(np.uint8)
