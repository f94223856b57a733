"""Conversion of camera pictures to RGB: raw, compressed or coded as video; needs no ROS."""

from .coded_video import codec_of, CODECS, CodedPicture, DecodedPacket, PacketDecoder
from .compressed import check_compressed, compressed_to_rgb
from .raw import (
    BadImageError, check_image, DEFAULT_DEPTH_RANGE_M, ENCODINGS, image_to_rgb, MAX_NUM_PIXELS,
    row_bytes,
)

__all__ = [
    'BadImageError', 'check_compressed', 'check_image', 'codec_of', 'CodedPicture', 'CODECS',
    'compressed_to_rgb', 'DecodedPacket', 'DEFAULT_DEPTH_RANGE_M', 'ENCODINGS', 'image_to_rgb',
    'MAX_NUM_PIXELS', 'PacketDecoder', 'row_bytes',
]
