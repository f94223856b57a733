"""
Preprocessing of one camera frame: uint8 RGB of any size in, normalised square pixels out.

Equal to Mllama's image processor with one tile: fit, pad, rescale, normalise; checkpoints that
want something else are refused. It does not know cameras, messages or the encoder; sessions,
training and load_model() call it.

Letters: H, W height and width of the image, S side of the encoder's input, all in pixels.
"""

from __future__ import annotations

from functools import lru_cache
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from moss_ros.model.config import CheckpointError, read_json_object

# Mean and standard deviation of RGB in CLIP's training images, for values in 0 to 1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_BILINEAR = 2  # as the files of image processors number the filters


def fitted_size(height_px: int, width_px: int, image_size: int) -> tuple[int, int]:
    """Return height and width, in pixels, of an image scaled so that its longer side fits."""
    # Scale first, floor after, as Mllama's processor does: other orders differ by a pixel.
    if width_px > height_px:
        return max(1, int(height_px * (image_size / width_px))), image_size
    return image_size, max(1, min(image_size, int(width_px * (image_size / height_px))))


def fit_frame(image: np.ndarray | torch.Tensor, image_size: int,
              device: str | torch.device = 'cpu') -> torch.Tensor:
    """
    Return uint8 [3, S, S], S = image_size, on device, of an RGB image uint8 [H, W, 3].

    Bilinear with antialiasing, aspect kept, padded with black at the right and the bottom.
    The image is only read. Raises ValueError that quotes a wrong shape or type.
    """
    if isinstance(image, np.ndarray):
        # torch can neither hold a read-only array without a warning nor a reversed one at all.
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
        # Whole numbers, as the reference resizes to an 8-bit image.
        pixels = pixels.round().to(torch.uint8)
    return F.pad(pixels[0], (0, image_size - width_px, 0, image_size - height_px))


def normalise_frames(frames: torch.Tensor) -> torch.Tensor:
    """Return fitted frames uint8 [..., 3, S, S] as float32 in units of CLIP's mean and spread."""
    scale, black = _normalisation(frames.device)
    return torch.addcmul(black, frames.float(), scale)


def preprocess_frame(image: np.ndarray | torch.Tensor, image_size: int,
                     device: str | torch.device = 'cpu') -> torch.Tensor:
    """Return float32 [3, S, S] of an RGB image uint8 [H, W, 3]: fit_frame, then normalised."""
    return normalise_frames(fit_frame(image, image_size, device))


@lru_cache(maxsize=8)
def _normalisation(device):
    """Return factors for values of 0 to 255 and what black becomes, float32 [3, 1, 1] each."""
    # Made outside inference mode, whose tensors could not serve anything else later.
    with torch.inference_mode(False):
        mean, std = (torch.tensor(numbers, dtype=torch.float64).view(3, 1, 1)
                     for numbers in (CLIP_MEAN, CLIP_STD))
        return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def check_processor_config(folder: Path, image_size: int) -> None:
    """
    Raise CheckpointError where a checkpoint's own processor prepares frames in another way.

    Reads preprocessor_config.json, or the image_processor in processor_config.json, which newer
    writers use. What they do not say is taken to agree; max_image_tiles is left alone, since a
    frame is always one tile here.
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
    # Written with fewer digits by some.
    return isinstance(theirs, (int, float)) and math.isclose(theirs, ours, rel_tol=1e-4)
