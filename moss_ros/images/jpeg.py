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
Pictures to JPEG, as wide as they may be: u8 [H, W, 3] RGB in, bytes out.

Called by the desk for what browsers show.
"""

import cv2
import numpy as np


def rgb_to_jpeg(picture: np.ndarray, max_width_px: int, quality: int) -> bytes:
    """Return a picture as JPEG of a quality of 1 to 100, scaled down to max_width_px."""
    height_px, width_px = picture.shape[:2]
    if width_px > max_width_px:
        size_px = (max_width_px, max(1, round(height_px * max_width_px / width_px)))
        picture = cv2.resize(picture, size_px, interpolation=cv2.INTER_AREA)
    is_done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not is_done:
        raise ValueError(f'no JPEG can be made of {picture.shape[1]}x{picture.shape[0]} px')
    return data.tobytes()
