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
Preprocessing of one camera frame: uint8 RGB of any size in, normalised square pixels out.

Does the same as Mllama's image processor with one tile: fit, pad, rescale, normalise. Checkpoints
that ask for something else are refused. Called by live streams, offline answers, training and
load_model().

Letters: H, W height and width of the image, S side of the encoder's input, all in pixels; F
frames; C channels: 3, or 6 where a frame is shown with the one before it.
"""

from __future__ import annotations

from functools import lru_cache
import math
from pathlib import Path

from moss_ros.model.config import CheckpointError, read_json_object
import numpy as np
import torch
from torch.nn import functional as F

# Mean and standard deviation of RGB in CLIP's training images, for values in 0 to 1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_BILINEAR = 2  # number of the filter in the files of image processors


def fitted_size(height_px: int, width_px: int, image_size: int) -> tuple[int, int]:
    """Return height and width, in pixels, of an image scaled so that its longer side fits."""
    # Compute the scale first and floor last, as Mllama's processor does; else a pixel may differ.
    if width_px > height_px:
        return max(1, int(height_px * (image_size / width_px))), image_size
    return image_size, max(1, min(image_size, int(width_px * (image_size / height_px))))


def fit_frame(image: np.ndarray | torch.Tensor, image_size: int,
              device: str | torch.device = 'cpu') -> torch.Tensor:
    """
    Fit an RGB image uint8 [H, W, 3] into uint8 [3, S, S] on device, S = image_size.

    Bilinear with antialiasing; the aspect ratio is kept, and black is added at the right and the
    bottom. The image is not changed. Raises ValueError that quotes a wrong shape or type.
    """
    if isinstance(image, np.ndarray):
        # torch warns of read-only arrays and can not take arrays with negative strides.
        tidy = image.flags.writeable and all(stride >= 0 for stride in image.strides)
        image = torch.from_numpy(image if tidy else image.copy())
    if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[2] != 3 \
            or not image.numel():
        raise ValueError(f'image is {image.dtype} {list(image.shape)}; uint8 [H, W, 3] with '
                         f'H and W of at least 1 is needed')
    height_px, width_px = fitted_size(image.shape[0], image.shape[1], image_size)
    pixels = image.to(device).permute(2, 0, 1).unsqueeze(0)  # [1, 3, H, W]
    if pixels.shape[2:] != (height_px, width_px):
        if pixels.device.type != 'cpu':
            pixels = pixels.float()  # only the CPU resizes integers
        pixels = F.interpolate(pixels, (height_px, width_px), mode='bilinear', antialias=True)
        # Round to whole numbers, because the reference resizes to an 8-bit image.
        pixels = pixels.round().to(torch.uint8)
    return F.pad(pixels[0], (0, image_size - width_px, 0, image_size - height_px))


def pair_frames(frames: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
    """
    Put behind the channels of each fitted frame those of the one before it.

    frames: uint8 [F, 3, S, S], consecutive ones of a stream. before: uint8 [3, S, S], what was
    shown before the first of them; None: nothing, and then it is taken to have stood still.
    Returns uint8 [F, 6, S, S].
    """
    first = frames[:1] if before is None else before[None]
    return torch.cat((frames, torch.cat((first, frames[:-1]))), dim=1)


def normalise_frames(frames: torch.Tensor) -> torch.Tensor:
    """Normalise fitted frames uint8 [..., C, S, S] by CLIP's mean and deviation, to float32."""
    scale, black = _normalisation(frames.device)
    pictures = frames.unflatten(-3, (-1, 3)).float()
    return torch.addcmul(black, pictures, scale).flatten(-4, -3)


@lru_cache(maxsize=8)
def _normalisation(device):
    """Return the scale for values of 0 to 255, and the value of black, float32 [3, 1, 1] each."""
    # Tensors made inside inference mode could not be used outside it later.
    with torch.inference_mode(False):
        mean, std = (torch.tensor(numbers, dtype=torch.float64).view(3, 1, 1)
                     for numbers in (CLIP_MEAN, CLIP_STD))
        return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def check_processor_config(folder: Path, image_size: int) -> None:
    """
    Raise CheckpointError if the checkpoint's processor settings differ from this preprocessing.

    Reads preprocessor_config.json, or else image_processor in the processor_config.json of newer
    transformers versions. Settings that are missing are taken to agree. max_image_tiles is
    ignored, since a frame is always one tile here.
    """
    file = folder / 'preprocessor_config.json'
    values = read_json_object(file) if file.is_file() else None
    if values is None:
        file = folder / 'processor_config.json'
        values = read_json_object(file).get('image_processor') if file.is_file() else None
    if not isinstance(values, dict):
        return
    needed = {'size': {'height': image_size, 'width': image_size},
              'image_mean': list(CLIP_MEAN), 'image_std': list(CLIP_STD),
              'rescale_factor': 1 / 255, 'resample': _BILINEAR, 'do_resize': True, 'do_pad': True,
              'do_rescale': True, 'do_normalize': True}
    for name, ours in needed.items():
        theirs = values.get(name)
        if theirs is not None and not _agree(theirs, ours):
            raise CheckpointError(f'{file}: {name} is {theirs!r}, but frames are prepared with '
                                  f'{ours!r} for this config.json; take the files of one '
                                  f'checkpoint, or correct the value')


def _agree(theirs, ours):
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(
            _agree(theirs.get(key), value) for key, value in ours.items())
    if isinstance(ours, list):
        return isinstance(theirs, (list, tuple)) and len(theirs) == len(ours) and all(
            map(_agree, theirs, ours))
    # Some files hold fewer digits.
    return isinstance(theirs, (int, float)) and math.isclose(theirs, ours, rel_tol=1e-4)
