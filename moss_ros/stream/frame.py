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
The input of a stream: stamped frames and prompts, and the encoding of frames.

Frame and Prompt are checked, immutable data that any thread may make. encode_frames() turns
pictures into states for the decoder. Sessions encode the frames that are added to them; for bags,
where the frames are known beforehand, they are encoded in batches.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from moss_ros.checks import require_filled_text, require_time_ns
from moss_ros.model import preprocess_frame, VideoModel
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


# Bounds the memory of the vision encoder when many frames wait.
MAX_FRAMES_AT_ONCE = 8


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


@torch.inference_mode()
def encode_frames(model: VideoModel, frames: Sequence[Frame]) -> list[EncodedFrame]:
    """
    Return the frames encoded by model, at most MAX_FRAMES_AT_ONCE in each pass.

    Any thread may call, even while another thread steps a session of the same model: weights are
    only read. The grouping of frames changes the last bits of their states. For results that must
    be reproducible, group the frames in the same way.
    """
    encoded = []
    for group in _groups(frames):
        encoded += _with_times(model.encode_frames(_pixel_values(model, group)), group)
    return encoded


@torch.inference_mode()
def encode_frames_in_blocks(
        model: VideoModel, frames: Sequence[Frame]) -> Generator[None, None, list[EncodedFrame]]:
    """Do the same as encode_frames(), but yield after each layer; return the frames at the end."""
    encoded = []
    for group in _groups(frames):
        states = yield from model.encode_frames_in_blocks(_pixel_values(model, group))
        encoded += _with_times(states, group)
    return encoded


def _groups(frames):
    for start in range(0, len(frames), MAX_FRAMES_AT_ONCE):
        yield frames[start:start + MAX_FRAMES_AT_ONCE]


def _pixel_values(model, frames):
    image_size = model.config.vision.image_size
    return torch.stack([
        preprocess_frame(frame.image, image_size, model.device) for frame in frames
    ]).to(model.dtype)


def _with_times(states, frames):
    return [EncodedFrame(frame_states, frame.stamp_ns, frame.received_ns)
            for frame_states, frame in zip(states, frames)]


def encode_waiting(model: VideoModel, waiting: deque[Frame | EncodedFrame],
                   num_frames: int) -> list[EncodedFrame]:
    """Encode the first num_frames of a queue where they are not, in the queue; return them."""
    frames = [waiting[index] for index in range(num_frames)]
    new = iter(encode_frames(model, [frame for frame in frames if isinstance(frame, Frame)]))
    for index, frame in enumerate(frames):
        if isinstance(frame, Frame):
            waiting[index] = next(new)
    return [waiting[index] for index in range(num_frames)]
