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
What other cameras do to a picture: one disturbance for each row of the table of robustness.

A camera's pictures go in, u8 [H, W, 3] RGB, as they are before the model's size is made of them;
the same pictures come out as another camera would send them. Some change the size of the camera,
or which of its frames arrive. Strengths are in picture widths, or at the width that the model
sees, so that they are the same for cameras of all sizes. Used by the evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass
import random

import cv2
from moss_ros.images import image_to_rgb
import numpy as np

# The width that the embedded model sees.
SEEN_WIDTH_PX = 64
BLUR_SIGMA = 0.011       # picture widths: 0.7 of 64 pixels
NOISE_AS_SEEN = 8.0      # grey levels, of the picture at SEEN_WIDTH_PX
MAINS_FREQUENCY_HZ = 50.0
FLICKER_DEPTH = 0.2
READOUT_S = 0.025        # from the first row of a rolling shutter to the last
P_DROP = 0.25
DEPTH_M = (0.6, 9.4)
P_NOT_MEASURED = 0.03

# Gives the picture of a frame: (picture, seconds of the scene, generator of the frame).
Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _unchanged(picture, time_s, generator):
    return picture


@dataclass(frozen=True)
class Disturbance:
    """
    One row of the table.

    - name: as on the command line. title: in the table.
    - size_px: width and height of the camera's pictures, None for the usual one.
    - change: what is done to each picture. p_drop: part of the frames that do not arrive.
    - step: of the frames every one (1), every second one (2) and so on arrives.
    - has_colours: whether the colours of things can be told from its pictures.
    """

    name: str
    title: str
    size_px: tuple[int, int] | None = None
    change: Change = _unchanged
    p_drop: float = 0.0
    step: int = 1
    has_colours: bool = True

    def num_frames_needed(self, num_frames: int) -> int:
        """Return of how many frames num_frames are likely to be left."""
        return round(num_frames * self.step / (1 - self.p_drop) * (1.3 if self.p_drop else 1))

    def kept_times_s(self, times_s: tuple[float, ...], seed: int) -> tuple[float, ...]:
        """Return the times of the frames that arrive."""
        generator = random.Random(f'drops {seed}')
        return tuple(time_s for index, time_s in enumerate(times_s[::self.step])
                     if index == 0 or generator.random() >= self.p_drop)

    def disturbed(self, picture_at: Callable[[float], np.ndarray],
                  seed: int) -> Callable[[float], np.ndarray]:
        """Return what gives the disturbed picture of a time, the same for the same seed."""
        def disturbed_at(time_s: float) -> np.ndarray:
            generator = np.random.default_rng([seed, 19, max(0, round(time_s * 1000))])
            return self.change(picture_at(time_s), time_s, generator)
        return picture_at if self.change is _unchanged else disturbed_at


def _filled_upright(picture, time_s, generator):
    """Add to a picture above and below, until it is as upright as a phone's."""
    height_px, width_px = picture.shape[:2]
    missing_px = max(0, width_px * 4 // 3 - height_px)
    num_rows, sigma = max(1, height_px // 25), width_px / 20
    above, below = (
        cv2.GaussianBlur(rows.mean(0, keepdims=True), (0, 0), sigma).astype(np.uint8)
        for rows in (picture[:num_rows], picture[-num_rows:]))
    num_above = missing_px // 2
    return np.concatenate([np.repeat(above, num_above, 0), picture,
                           np.repeat(below, missing_px - num_above, 0)])


def _jpeg(picture, time_s, generator):
    _, data = cv2.imencode('.jpg', picture, (cv2.IMWRITE_JPEG_QUALITY, 20))
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _blurred(picture, time_s, generator):
    return cv2.GaussianBlur(picture, (0, 0), BLUR_SIGMA * picture.shape[1])


def _noisy(picture, time_s, generator):
    sigma = NOISE_AS_SEEN * picture.shape[1] / SEEN_WIDTH_PX
    noise = generator.standard_normal(picture.shape, dtype=np.float32) * np.float32(sigma)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _gain(*gains: float) -> Change:
    """Multiply all colours by one gain, or red, green and blue by one each; too bright is cut."""
    table = np.arange(256, dtype=np.float32)[:, None] * np.array(gains, np.float32)
    table = np.broadcast_to(np.clip(table, 0, 255).astype(np.uint8), (256, 3))[None].copy()

    def change(picture, time_s, generator):
        return cv2.LUT(picture, table)
    return change


def _flickering(picture, time_s, generator):
    """Light by a lamp, twice as often as the mains' frequency, as a rolling shutter sees it."""
    row_s = np.arange(picture.shape[0], dtype=np.float64) * (READOUT_S / picture.shape[0])
    light = 1 + FLICKER_DEPTH * np.sin(4 * np.pi * MAINS_FREQUENCY_HZ * (time_s + row_s))
    return np.clip(picture * light[:, None, None], 0, 255).astype(np.uint8)


def _grey(picture, time_s, generator):
    return _shown('mono8', cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def _depth(picture, time_s, generator):
    """Take what is brighter for farther away, with holes where nothing is measured."""
    near_m, far_m = DEPTH_M
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    millimetres = (1000 * (near_m + grey * ((far_m - near_m) / 255))).astype('<u2')
    millimetres[generator.random(grey.shape, dtype=np.float32) < P_NOT_MEASURED] = 0
    return _shown('16UC1', millimetres)


def _depth_in_colours(picture, time_s, generator):
    """Paint the same depth in the colours in which drivers of depth cameras show it."""
    grey = _depth(picture, time_s, generator)[..., 0]
    return cv2.applyColorMap(grey, cv2.COLORMAP_JET)[..., ::-1].copy()


def _shown(encoding, values):
    """Return an image of one value a pixel as the package's camera input shows it."""
    height_px, width_px = values.shape
    return image_to_rgb(encoding, height_px, width_px, values.strides[0], False, values.tobytes())


CLEAN = 'clean'
_ROWS = (
    Disturbance(CLEAN, 'clean'),
    Disturbance('size_96x72', 'camera of 96x72 px', (96, 72)),
    Disturbance('size_640x480', 'camera of 640x480 px', (640, 480)),
    Disturbance('wide', 'wide camera, 640x360 px', (640, 360)),
    Disturbance('square', 'square camera, 400x400 px', (400, 400)),
    Disturbance('portrait', 'upright camera, 300x400 px, what is seen stretched', (300, 400)),
    Disturbance('portrait_filled', 'upright camera, more above and below', None,
                _filled_upright),
    Disturbance('jpeg_20', 'JPEG of quality 20', None, _jpeg),
    Disturbance('blur', f'blur, sigma {BLUR_SIGMA * 100:.1f} % of the width', None, _blurred),
    Disturbance('noise', f'noise of {NOISE_AS_SEEN:.0f} grey levels as the model sees it', None,
                _noisy),
    Disturbance('dim', 'gain 0.6', None, _gain(0.6)),
    Disturbance('overexposed', 'gain 1.5, cut off at white', None, _gain(1.5)),
    Disturbance('warm_light', 'warm light: red 1.2, blue 0.7', None, _gain(1.2, 1.0, 0.7)),
    Disturbance('cold_light', 'cold light: red 0.75, blue 1.2', None, _gain(0.75, 1.0, 1.2)),
    Disturbance('flicker_50hz', 'lamp at 50 Hz, rolling shutter', None, _flickering),
    Disturbance('dropped_frames', f'{P_DROP:.0%} of the frames lost at random', p_drop=P_DROP),
    Disturbance('half_rate', 'half the frame rate', step=2),
    Disturbance('mono8', 'mono8 camera', None, _grey, has_colours=False),
    Disturbance('depth', 'depth camera (16UC1), brighter is farther', None, _depth,
                has_colours=False),
    Disturbance('depth_in_colours', 'depth camera, colour-mapped', None, _depth_in_colours,
                has_colours=False),
)
DISTURBANCES = {row.name: row for row in _ROWS}
