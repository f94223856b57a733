"""
Preprocessing of one camera frame: uint8 RGB of any size in, normalised square pixels out.

Equal to Mllama's image processor with one tile: fit, pad, rescale, normalise. It does not know
cameras, messages or the encoder; sessions and training call it.

Letters: H, W height and width of the image, S side of the encoder's input, all in pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

# Mean and standard deviation of RGB in CLIP's training images, for values in 0 to 1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


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
