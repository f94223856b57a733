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
The input of a stream: stamped frames and prompts.

They are checked, immutable data that any thread may make. frame_encoder.py makes EncodedFrames of
Frames.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from moss_ros.checks import require_filled_text, require_time_ns
import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Frame:
    """
    One picture of the camera.

    - image: uint8 [H, W, 3] RGB, 0 to 255; not copied, so nobody may change it afterwards.
    - stamp_ns: when it was taken, by the camera's clock (the message header's).
    - received_ns: time.monotonic_ns() of its arrival, for latencies only; 0 offline.

    Raises ValueError that quotes a wrong value.
    """

    image: np.ndarray
    stamp_ns: int
    received_ns: int = 0

    def __post_init__(self):
        image = self.image
        if not isinstance(image, np.ndarray):
            raise ValueError(
                f'image of a frame must be a numpy array, not a {type(image).__name__}')
        if image.dtype != np.uint8:
            raise ValueError(f'image of a frame must be uint8, not {image.dtype}')
        if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(
                'image of a frame must have the shape [height, width, 3], height and width at '
                f'least 1, not {list(image.shape)}')
        for name in ('stamp_ns', 'received_ns'):
            require_time_ns(name, getattr(self, name))


@dataclass(frozen=True)
class Prompt:
    """
    A question or request of the user.

    - text: what was asked; ValueError where it is empty or only whitespace.
    - prompt_id: names the prompt in every event that belongs to it.
    - received_ns: time.monotonic_ns() of its arrival, for latencies only; 0 offline.
    """

    text: str
    prompt_id: str
    received_ns: int = 0

    def __post_init__(self):
        require_filled_text('text of a prompt', self.text)
        require_filled_text('prompt_id', self.prompt_id)
        require_time_ns('received_ns', self.received_ns)


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """
    A frame after the vision encoder.

    - states: [N, D], in the model's dtype and on its device.
    - stamp_ns, received_ns: those of the Frame.
    """

    states: torch.Tensor
    stamp_ns: int
    received_ns: int = 0
