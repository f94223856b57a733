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

"""Conversion of camera pictures to RGB: raw, compressed or coded as video; needs no ROS."""

from .coded_video import (
    codec_of, CODECS, CodedPicture, DecodedPacket, PacketDecoder, PacketStream, unknown_codec,
)
from .compressed import check_compressed, compressed_to_rgb
from .raw import (
    BadImageError, check_image, DEFAULT_DEPTH_RANGE_M, ENCODINGS, image_to_rgb, MAX_NUM_PIXELS,
    row_bytes,
)

__all__ = [
    'BadImageError', 'check_compressed', 'check_image', 'codec_of', 'CodedPicture', 'CODECS',
    'compressed_to_rgb', 'DecodedPacket', 'DEFAULT_DEPTH_RANGE_M', 'ENCODINGS', 'image_to_rgb',
    'MAX_NUM_PIXELS', 'PacketDecoder', 'PacketStream', 'row_bytes', 'unknown_codec',
]
