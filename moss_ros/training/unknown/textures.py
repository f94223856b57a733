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
Pictures of an unknown world, as rich as photographs: dead leaves, noise, fronts, floors, marks.

A numpy generator goes in, pictures u8 [H, W, 3], RGB, and cut-outs u8 [H, W, 4] come out. They
show nothing that has a name. Called by the filming of unknown scenes.
"""

import cv2
import numpy as np

MAX_LEAVES = 220


def random_picture(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """Return a picture u8 [H, W, 3] of one of the kinds, its colours set at random."""
    kind = generator.choice(len(_KINDS), p=_WEIGHTS)
    picture = _KINDS[kind](generator, height_px, width_px)
    if generator.random() < 0.35:
        picture = _with_leaves(generator, picture, int(generator.integers(2, 24)), 0.5)
    if generator.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), generator.uniform(1, 4))
    return _toned(generator, picture)


def random_cut_out(generator: np.random.Generator, size_px: int,
                   picture: np.ndarray | None = None) -> np.ndarray:
    """Return a thing of any outline u8 [S, S, 4]; its surface is from picture where given."""
    is_plain = False
    if picture is None:
        picture = random_picture(generator, size_px, size_px)
        is_plain = generator.random() < 0.4
        draw = generator.random()
        if draw < 0.2:  # of nearly one colour
            picture = cv2.addWeighted(
                picture, 0.2, np.full_like(picture, _colour(generator)), 0.8, 0)
        elif draw < 0.4:  # in all shades of a bright one, as clothes and cars
            picture = _dyed(generator, picture)
        elif draw < 0.55:  # of two or three bright ones, as balls, flags and toys
            picture = _motley(generator, picture)
        elif draw < 0.8:
            picture = _glowing(generator, picture)
    else:
        height_px, width_px = picture.shape[:2]
        side = int(min(height_px, width_px) * generator.uniform(0.4, 0.9))
        top = int(generator.integers(0, height_px - side + 1))
        left = int(generator.integers(0, width_px - side + 1))
        picture = cv2.resize(picture[top:top + side, left:left + side], (size_px, size_px),
                             interpolation=cv2.INTER_AREA)
    alpha = np.zeros((size_px, size_px), np.uint8)
    draw_outline = _draw_plain_outline if is_plain else _draw_outline
    draw_outline(generator, alpha, (size_px / 2, size_px / 2), size_px * 0.46, 255)
    alpha = cv2.GaussianBlur(alpha, (0, 0), size_px / 60)
    return np.dstack((picture, alpha))


def _dyed(generator, picture):
    """Return the light and shade of a picture in one bright colour."""
    hue = np.full(picture.shape[:2], generator.integers(180), np.uint8)
    depth = np.full_like(hue, generator.integers(150, 256))
    light = cv2.convertScaleAbs(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY),
                                alpha=generator.uniform(0.6, 1.0), beta=generator.uniform(30, 100))
    return cv2.cvtColor(np.dstack((hue, depth, light)), cv2.COLOR_HSV2RGB)


def _motley(generator, picture):
    """Return a picture dyed in two or three bright colours, each in a region of its own."""
    height_px, width_px = picture.shape[:2]
    regions = _noise(generator, height_px, width_px, generator.uniform(0.1, 0.7))
    motley = _dyed(generator, picture)
    for _ in range(int(generator.integers(1, 3))):
        border = generator.uniform(-0.4, 0.4)
        motley = np.where(regions > border, _dyed(generator, picture), motley)
        regions = np.roll(regions, width_px // 3, 1)
    return motley


def _glowing(generator, picture):
    """Return a picture in bright hues that run into each other, as those of flowers and fruit."""
    height_px, width_px = picture.shape[:2]
    field = _noise(generator, height_px, width_px, generator.uniform(0.2, 0.8))[..., 0]
    if generator.random() < 0.5:  # with edges
        field = np.tanh(field * generator.uniform(2, 8))
    # Of 180; red, yellow and green lie at 0, 30 and 60, and are as frequent as in gardens.
    hue = generator.uniform(-10, 70) if generator.random() < 0.6 else generator.uniform(0, 180)
    hues = np.mod(hue + generator.uniform(8, 30) * field, 180)
    depth = np.clip(generator.uniform(170, 255) + 40 * _noise(
        generator, height_px, width_px, 0.6)[..., 0], 0, 255)
    shade = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    light = np.clip(generator.uniform(90, 220) + generator.uniform(0.2, 0.9) * (
        shade - shade.mean()), 0, 255)
    return cv2.cvtColor(np.dstack((hues, depth, light)).astype(np.uint8), cv2.COLOR_HSV2RGB)


def _colour(generator):
    """Return a colour as three ints; greyish ones are as frequent as in the world."""
    grey = generator.uniform(10, 245)
    spread = generator.choice((6, 20, 60))
    return tuple(int(value) for value in np.clip(generator.normal(grey, spread, 3), 0, 255))


def _draw_outline(generator, image, centre, radius, colour):
    """Fill a random shape: an ellipse, a rectangle, a polygon or a rounded blob."""
    kind = generator.random()
    centre = np.asarray(centre, np.float64)
    angle = generator.uniform(0, 360)
    aspect = generator.uniform(0.35, 1.0)
    if kind < 0.3:
        cv2.ellipse(image, (tuple(centre), (2 * radius, 2 * radius * aspect), angle), colour, -1)
        return
    if kind < 0.5:
        corners = cv2.boxPoints((tuple(centre), (1.6 * radius, 1.6 * radius * aspect), angle))
    else:
        num = int(generator.integers(3, 8)) if kind < 0.75 else 24
        turns = np.sort(generator.uniform(0, 2 * np.pi, num)) if num < 24 else np.linspace(
            0, 2 * np.pi, num, endpoint=False)
        reach = generator.uniform(0.5, 1.0, num)
        if num == 24:
            waves = generator.normal(0, 0.2, 4)
            reach = 0.75 + sum(wave * np.cos((index + 2) * turns + 6 * wave)
                               for index, wave in enumerate(waves))
            reach = np.clip(reach, 0.3, 1.0)
        corners = centre + radius * reach[:, None] * np.stack((np.cos(turns), np.sin(turns)), 1)
    cv2.fillPoly(image, [np.round(corners * 8).astype(np.int32)], colour, cv2.LINE_AA, 3)


def _draw_plain_outline(generator, image, centre, radius, colour):
    """Fill a disc, a square or a triangle, all of them nearly upright."""
    num, turn = generator.choice((3, 4, 48)), generator.normal(0, 0.1)
    turns = np.pi / num * (num != 3) - np.pi / 2 + turn + np.arange(num) * 2 * np.pi / num
    corners = np.asarray(centre) + radius * np.stack((np.cos(turns), np.sin(turns)), 1)
    cv2.fillPoly(image, [np.round(corners * 8).astype(np.int32)], colour, cv2.LINE_AA, 3)


def _noise(generator, height_px, width_px, roughness, channels=1):
    """Return fractal noise f32 [H, W, channels], about -1 to 1."""
    total = np.zeros((height_px, width_px, channels), np.float32)
    side, strength = 2, 1.0
    while side < max(height_px, width_px):
        grid = generator.standard_normal(
            (max(2, side * height_px // width_px), side, channels), dtype=np.float32)
        layer = cv2.resize(grid, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
        total += np.float32(strength) * layer.reshape(total.shape)
        side, strength = side * 2, strength * roughness
    return total / max(1e-3, 2 * float(total.std()))


def _fractal(generator, height_px, width_px):
    noise = _noise(generator, height_px, width_px, generator.uniform(0.45, 0.95))
    part = np.clip(0.5 + 0.5 * noise, 0, 1)
    first, second = (np.array(_colour(generator), np.float32) for _ in range(2))
    picture = first + part * (second - first)
    if generator.random() < 0.4:
        picture += _noise(generator, height_px, width_px, 0.6, 3) * generator.uniform(5, 40)
    if generator.random() < 0.25:  # like marble or water: folded
        picture = picture[::-1] * 0.5 + 255 * np.abs(np.sin(noise * generator.uniform(2, 8))) * 0.5
    return np.clip(picture, 0, 255).astype(np.uint8)


def _gradient(generator, height_px, width_px):
    corners = np.array([_colour(generator) for _ in range(4)], np.float32).reshape(2, 2, 3)
    picture = cv2.resize(corners, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    picture += _noise(generator, height_px, width_px, 0.7) * generator.uniform(2, 14)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _leaves(generator, height_px, width_px):
    base = _gradient(generator, height_px, width_px)
    return _with_leaves(generator, base, int(generator.integers(40, MAX_LEAVES)), 1.0)


def _with_leaves(generator, picture, num, largest):
    """Draw num shapes over picture, their sizes distributed as in photographs; some textured."""
    picture = np.ascontiguousarray(picture)
    height_px, width_px = picture.shape[:2]
    grain = _noise(generator, height_px, width_px, 0.85)
    grain = (np.clip(grain, -1, 1) * 127).astype(np.int16)
    mask = np.zeros((height_px, width_px), np.uint8)
    least = generator.uniform(0.012, 0.07)
    for radius in np.sort(least / np.sqrt(generator.uniform((least / 0.3) ** 2, 1, num)))[::-1]:
        radius_px = min(radius, largest) * width_px * 0.8
        centre = generator.uniform(0, width_px), generator.uniform(0, height_px)
        colour = _colour(generator)
        if generator.random() < 0.75 or radius_px < 6:
            _draw_outline(generator, picture, centre, radius_px, colour)
            continue
        left, top = (max(0, int(at - radius_px)) for at in centre)
        rows = slice(top, int(centre[1] + radius_px) + 1)
        columns = slice(left, int(centre[0] + radius_px) + 1)
        part = mask[rows, columns]
        if not part.size:
            continue
        part[:] = 0
        outline = np.zeros(part.shape, np.uint8)
        _draw_outline(generator, outline, (centre[0] - left, centre[1] - top), radius_px, 255)
        surface = np.array(colour, np.int16) + (
            grain[rows, columns] * generator.uniform(0.1, 0.6)).astype(np.int16)
        inside = outline > 127
        picture[rows, columns][inside] = np.clip(surface, 0, 255).astype(np.uint8)[inside]
    return picture


def _lines(generator, height_px, width_px):
    """Draw bars, wires, branches: lines of all widths, mostly in two directions."""
    picture = _gradient(generator, height_px, width_px)
    angles = generator.uniform(0, np.pi, 2)
    for _ in range(int(generator.integers(10, 70))):
        start = generator.uniform(0, 1, 2) * (width_px, height_px)
        angle = angles[generator.integers(2)] + generator.normal(0, 0.08)
        step = generator.uniform(0.1, 1.0) * width_px * np.array((np.cos(angle), np.sin(angle)))
        cv2.line(picture, tuple(int(at) for at in start), tuple(int(at) for at in start + step),
                 _colour(generator), int(generator.integers(1, max(2, width_px // 40))),
                 cv2.LINE_AA)
    return picture


def _front(generator, height_px, width_px):
    """Draw the front of a building or a floor: a grid of panes, in perspective."""
    num = int(generator.integers(5, 16))
    side = 32
    tile = np.empty((side, side, 3), np.uint8)
    tile[:] = _colour(generator)
    for _ in range(int(generator.integers(1, 4))):
        low = generator.integers(0, side // 2, 2)
        high = low + generator.integers(6, side, 2)
        cv2.rectangle(tile, tuple(map(int, low)), tuple(map(int, high)), _colour(generator), -1)
    wall = np.tile(tile, (num, num, 1)).astype(np.float32)
    light = generator.normal(1.0, generator.uniform(0, 0.35), (num, num)).astype(np.float32)
    wall *= cv2.resize(light, wall.shape[1::-1], interpolation=cv2.INTER_NEAREST)[..., None]
    size = wall.shape[0]
    corners = np.array([(0, 0), (size, 0), (size, size), (0, size)], np.float32)
    target = np.array([(0, 0), (width_px, 0), (width_px, height_px), (0, height_px)], np.float32)
    target += generator.uniform(-0.25, 0.25, (4, 2)).astype(np.float32) * width_px
    matrix = cv2.getPerspectiveTransform(corners, target)
    wall = np.clip(wall, 0, 255).astype(np.uint8)
    picture = cv2.warpPerspective(wall, matrix, (width_px, height_px), flags=cv2.INTER_LINEAR,
                                  borderMode=cv2.BORDER_REFLECT)
    return _shaded(generator, picture, 20)


def _halves(generator, height_px, width_px):
    """Put ground and sky, or floor and wall, together with a border between them."""
    kinds = (_fractal, _gradient, _leaves, _front)
    first, second = (kinds[generator.integers(len(kinds))](generator, height_px, width_px)
                     for _ in range(2))
    border = height_px * generator.uniform(0.3, 0.7) + np.cumsum(
        generator.normal(0, generator.choice((0.05, 0.8)), width_px)) \
        + generator.normal(0, 0.1) * np.arange(width_px)
    is_below = np.arange(height_px)[:, None] > border[None]
    return np.where(is_below[..., None], first, second)


def _in_front(generator, height_px, width_px):
    """Put a few large things before a background that is out of focus, as close-ups have it."""
    kinds = (_fractal, _gradient, _leaves, _halves)
    picture = kinds[generator.integers(len(kinds))](generator, height_px, width_px)
    picture = cv2.GaussianBlur(picture, (0, 0), generator.uniform(3, 20))
    surface = _fractal(generator, height_px, width_px)
    for _ in range(int(generator.integers(1, 9))):
        outline = np.zeros((height_px, width_px), np.uint8)
        centre = generator.uniform(0, width_px), generator.uniform(0, height_px)
        _draw_outline(generator, outline, centre, width_px * generator.uniform(0.04, 0.3), 255)
        outline = cv2.GaussianBlur(outline, (0, 0), generator.uniform(0.6, 6))
        tint = np.array(_colour(generator), np.float32)
        # Light from one side, so that things look round.
        light = np.linspace(*generator.uniform(0.6, 1.4, 2), width_px, dtype=np.float32)
        thing = (surface * generator.uniform(0.1, 0.7) + tint * 0.7) * light[None, :, None]
        alpha = outline[..., None] / np.float32(255)
        picture = picture + (np.clip(thing, 0, 255) - picture) * alpha
    return np.clip(picture, 0, 255).astype(np.uint8)


def _writing(generator, height_px, width_px):
    """Write pages, signs and labels: marks that look like text."""
    picture = _gradient(generator, height_px, width_px)
    for _ in range(int(generator.integers(4, 40))):
        _draw_marks(generator, picture)
    return picture


def random_title(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """Return a few lines of marks like text, u8 [H, W, 4]: of one colour, the rest is clear."""
    title = np.zeros((height_px, width_px, 4), np.uint8)
    title[..., :3] = colour = _colour(generator)
    size = generator.uniform(0.2, 1.0)
    for _ in range(int(generator.integers(1, 5))):
        _draw_marks(generator, title, size, (*colour, 255))
    return title


def _draw_marks(generator, picture, size=1.0, colour=None):
    height_px, width_px = picture.shape[:2]
    letters = [chr(code) for code in range(33, 127)]
    text = ''.join(generator.choice(letters, int(generator.integers(2, 16))))
    at = generator.uniform(0, 1, 2) * (width_px, height_px) - (width_px // 8, 0)
    cv2.putText(picture, text, tuple(int(value) for value in at),
                int(generator.integers(0, 8)), generator.uniform(0.3, 2.5) * size,
                colour or _colour(generator), int(generator.integers(1, 5)), cv2.LINE_AA)


def _shaded(generator, picture, strength):
    noise = _noise(generator, *picture.shape[:2], 0.6) * strength
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _toned(generator, picture):
    """Set contrast, brightness, colour and grain of the whole picture at random."""
    mean = picture.mean()
    contrast, level = generator.uniform(0.5, 1.6), generator.uniform(70, 180)
    gains = generator.normal(1.0, 0.12, 3)
    table = np.clip((np.arange(256)[:, None] - mean) * contrast * gains + level, 0, 255)
    picture = cv2.LUT(picture, table[None].astype(np.uint8))
    draw = generator.random()
    if draw < 0.25:  # glowing colours, as of flowers and signs
        middle = picture.mean(-1, keepdims=True)
        picture = middle + (picture - middle) * generator.uniform(1.3, 3.0)
        picture = np.clip(picture, 0, 255).astype(np.uint8)
    elif draw < 0.5:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        part = generator.uniform(0.3, 1.0)
        picture = cv2.addWeighted(picture, 1 - part, np.repeat(grey[..., None], 3, 2), part, 0)
    # No part is so dark, or so bright, that nothing could be seen in it.
    low, high = generator.uniform(18, 45), generator.uniform(215, 250)
    return cv2.convertScaleAbs(picture, alpha=(high - low) / 255, beta=low)


_KINDS = (_leaves, _fractal, _lines, _front, _halves, _writing, _gradient, _in_front)
_WEIGHTS = (0.26, 0.14, 0.07, 0.11, 0.15, 0.05, 0.02, 0.20)
