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
Titles and drawings that fade in over what a camera sees, as in films: nothing moves by them.

The pictures of a training stream go in, u8 [L, 3, S, S] of L frames of S px; they come out as they
are, or, of some seeds, with overlays for a while. What is behind a large drawing shows through it:
what moves there is told. Not for streams in which the picture is spoilt: an overlay would show
there as well.
"""

import cv2
from moss_ros.training.unknown.textures import random_cut_out, random_title
import numpy as np

P_OVERLAYS = 0.35
MOST_OVERLAYS = 4
# Of a drawing, in heights or widths of the picture, whichever is less.
SMALL_SIDES, LARGE_SIDES = (0.15, 0.35), (0.35, 1.3)
LARGE_OPACITIES = 0.3, 0.7
# Drawn finer than they are seen.
FINENESS = 3


def overlaid_by_chance(pictures: np.ndarray, content_px: tuple[int, int],
                       seed: int) -> np.ndarray:
    """
    Return the pictures, of P_OVERLAYS of the seeds with overlays.

    content_px: height and width of the camera's picture in the square, at the top left.
    """
    generator = np.random.default_rng([seed, 31])
    if generator.random() >= P_OVERLAYS:
        return pictures
    shown = pictures.astype(np.float32)
    content = shown[:, :, :content_px[0], :content_px[1]]
    for num_before in range(int(generator.integers(1, MOST_OVERLAYS + 1))):
        # Several large ones, one over the other, would hide what is behind.
        overlay = _random_overlay(generator, *content_px, may_be_large=num_before == 0)
        colour, alpha = np.moveaxis(overlay[..., :3], -1, 0), overlay[..., 3] / np.float32(255)
        for index, part in enumerate(_strengths(generator, len(pictures))):
            content[index] += (colour - content[index]) * (alpha * part)
    return np.clip(shown, 0, 255).astype(np.uint8)


def _strengths(generator, num_frames):
    """Return f32 [L], from 0 where it is not there to 1: it comes, stays and goes."""
    fade_frames = generator.uniform(1.0, 5.0)
    begin = generator.uniform(0, num_frames)
    end = begin + 2 * fade_frames + generator.uniform(2, 24)
    frames = np.arange(num_frames, dtype=np.float32)
    ways = np.minimum(frames - np.float32(begin), np.float32(end) - frames)
    return np.clip(ways / np.float32(fade_frames), 0, 1)


def _random_overlay(generator, height_px, width_px, may_be_large):
    """Return a title or a drawing f32 [H, W, 4], of which most is not covered."""
    size_px = FINENESS * height_px, FINENESS * width_px
    if generator.random() < (0.35 if may_be_large else 0.6):
        fine = random_title(generator, *size_px)
    else:
        is_large = may_be_large and generator.random() < 0.85
        side = int(min(size_px) * generator.uniform(*(LARGE_SIDES if is_large else SMALL_SIDES)))
        thing = random_cut_out(generator, side)
        if is_large:
            thing[..., 3] = thing[..., 3] * generator.uniform(*LARGE_OPACITIES)
        # A large one may be cut off at the edges.
        top, left = (int(generator.integers(min(0, size - side), max(0, size - side) + 1))
                     for size in size_px)
        place = np.array([[1, 0, left], [0, 1, top]], np.float32)
        fine = cv2.warpAffine(thing, place, size_px[::-1], flags=cv2.INTER_NEAREST)
    return cv2.resize(fine, (width_px, height_px), interpolation=cv2.INTER_AREA).astype(np.float32)
