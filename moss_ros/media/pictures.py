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
Reads picture files and PIL images as frames, uint8 [H, W, 3] RGB.

Called by the offline answerer and by the queue API's live stream.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


class MediaError(Exception):
    """A picture or video can't be used; the message names the file, the reason and the way out."""


def rgb_array(image: Image.Image) -> np.ndarray:
    """
    Convert a PIL image of any mode to uint8 [H, W, 3] RGB, rotated as its EXIF data says.

    16 bits are reduced to 8, transparency is dropped. Raises ValueError if image is no PIL image
    or has no pixels, OSError if the file behind it is truncated.
    """
    if not isinstance(image, Image.Image):
        raise ValueError(f'a PIL image is needed, not a {type(image).__name__}')
    if not image.width or not image.height:
        raise ValueError(f'the image of {image.width}x{image.height} pixels is empty')
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16'):  # convert() would clip these at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == 'La':
        image = image.convert('LA')
    return np.array(image.convert('RGB'))


def read_image(source: Image.Image | str | Path) -> np.ndarray:
    """Read a PIL image or an image file as uint8 [H, W, 3] RGB; MediaError if that fails."""
    try:
        if isinstance(source, Image.Image):
            return rgb_array(source)
        path = existing_file(source, 'image')
        with Image.open(path) as image:
            return rgb_array(image)
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        # A broken PNG is a SyntaxError to Pillow.
        name = 'the image' if isinstance(source, Image.Image) else source
        reason = ('it is no picture of a format that Pillow reads'
                  if isinstance(error, Image.UnidentifiedImageError) else error)
        raise MediaError(f'{name} cannot be read as an image: {reason}') from error


def existing_file(path: str | Path, kind: str) -> Path:
    """Return path as a Path; MediaError if there is no such file. kind: 'image' or 'video'."""
    if not isinstance(path, (str, Path)):
        raise MediaError(f'a path of {"an image" if kind == "image" else "a video"} is needed, '
                         f'not a {type(path).__name__}')
    if not Path(path).is_file():
        reason = 'is a folder' if Path(path).is_dir() else 'does not exist'
        raise MediaError(f'the {kind} {path} {reason}; name a file')
    return Path(path)
