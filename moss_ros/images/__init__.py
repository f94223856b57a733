"""Conversion of raw and compressed camera pictures to RGB; needs neither ROS nor torch."""

from .compressed import check_compressed, compressed_to_rgb, MAX_NUM_PIXELS
from .raw import (
    BadImageError, check_image, DEFAULT_DEPTH_RANGE_M, ENCODINGS, image_to_rgb, row_bytes,
)

__all__ = [
    'BadImageError', 'check_compressed', 'check_image', 'compressed_to_rgb',
    'DEFAULT_DEPTH_RANGE_M', 'ENCODINGS', 'image_to_rgb', 'MAX_NUM_PIXELS',
    'row_bytes',
]
