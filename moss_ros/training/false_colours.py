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
Cameras without true colours: grey ones, depth in greys, and greys painted in false colours.

The pictures of a training stream go in, u8 [L, 3, S, S] of L frames of S px; they come out as they
are, or, of some seeds, as such a camera would send them.
"""

import cv2
import numpy as np

P_FALSE_COLOURS, P_DEPTH = 0.35, 0.3
GAMMAS = 0.6, 1.6
MOST_NOISE = 10.0
COLOUR_MAPS = (cv2.COLORMAP_JET, cv2.COLORMAP_JET, cv2.COLORMAP_TURBO, cv2.COLORMAP_VIRIDIS,
               cv2.COLORMAP_HOT, cv2.COLORMAP_BONE, cv2.COLORMAP_RAINBOW, cv2.COLORMAP_PLASMA)


def colourless_by_chance(pictures: np.ndarray, content_px: tuple[int, int], seed: int,
                         share: float) -> np.ndarray:
    """
    Return the pictures, of a share of the seeds without their colours.

    content_px: height and width of the camera's picture in the square, at the top left.
    """
    generator = np.random.default_rng([seed, 37])
    if generator.random() >= share:
        return pictures
    height_px, width_px = content_px
    found = pictures.copy()
    content = found[:, :, :height_px, :width_px]
    # As BT.601 weighs them, which mono8 cameras are nearest to.
    greys = np.einsum('lchw,c->lhw', content.astype(np.float32), np.float32((0.299, 0.587, 0.114)))
    greys = 255 * (greys / 255) ** np.float32(generator.uniform(*GAMMAS))
    kind = generator.random()
    is_coloured, is_depth = kind < P_FALSE_COLOURS, kind < P_FALSE_COLOURS + P_DEPTH
    if is_depth:
        # What is not measured is black; at this size such holes are noise.
        noise = generator.standard_normal(greys.shape, dtype=np.float32)
        greys += noise * np.float32(generator.uniform(0, MOST_NOISE))
        if generator.random() < 0.5:
            greys = 255 - greys
    greys = np.clip(greys, 0, 255).astype(np.uint8)
    if is_coloured:
        colour_map = int(generator.choice(COLOUR_MAPS))
        for picture, grey in zip(content, greys):
            picture[:] = cv2.applyColorMap(grey, colour_map)[..., ::-1].transpose(2, 0, 1)
    else:
        content[:] = greys[:, None]
    return found
