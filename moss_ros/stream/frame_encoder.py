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
Turns the pictures of a stream into states for the decoder.

Sessions encode the frames that are added to them; for bags, where the frames are known
beforehand, they are encoded in batches. A checkpoint may be shown each frame with the one before
it (VisionConfig.sees_frame_before): hence an encoder belongs to one stream, whose frames it gets
in their order.

Letters: F frames, C channels, S side of the encoder's input in pixels, N states a frame, D text
channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence

from moss_ros.model import fit_frame, normalise_frames, pair_frames, VideoModel
from moss_ros.stream.frame import EncodedFrame, Frame
import torch

# Bounds the memory of the vision encoder when many frames wait.
MAX_FRAMES_AT_ONCE = 8


class FrameEncoder:
    """
    Encodes the frames of one stream, at most MAX_FRAMES_AT_ONCE in each pass.

    One thread at a time may call, also while others use the model: weights are only read. The
    grouping of frames changes the last bits of their states. For results that must be
    reproducible, group the frames in the same way.
    """

    def __init__(self, model: VideoModel):
        """Begin with a stream that has shown nothing."""
        self._model = model
        # Fitted, uint8 [3, S, S]; None before the first frame, and where the model sees none.
        self._before: torch.Tensor | None = None

    @property
    def frame_before(self) -> torch.Tensor | None:
        """Return the latest frame, uint8 [3, S, S], if the model is to see it with the next."""
        return self._before

    def reset(self, frame_before: torch.Tensor | None = None) -> None:
        """Go on behind frame_before, uint8 [3, S, S]; None: begin anew."""
        self._before = None if frame_before is None else frame_before.to(self._model.device)

    @torch.inference_mode()
    def encode(self, frames: Sequence[Frame]) -> list[EncodedFrame]:
        """Return the frames encoded; those of earlier calls came before them."""
        encoded = []
        for group in _groups(frames):
            encoded += _with_times(self._model.encode_frames(self._pixel_values(group)), group)
        return encoded

    @torch.inference_mode()
    def encode_in_blocks(
            self, frames: Sequence[Frame]) -> Generator[None, None, list[EncodedFrame]]:
        """Do the same as encode(), but yield after each layer; return the frames at the end."""
        encoded = []
        for group in _groups(frames):
            states = yield from self._model.encode_frames_in_blocks(self._pixel_values(group))
            encoded += _with_times(states, group)
        return encoded

    def encode_waiting(self, waiting: deque[Frame | EncodedFrame],
                       num_frames: int) -> list[EncodedFrame]:
        """Encode the first num_frames of a queue where they are not, in the queue; return them."""
        frames = [waiting[index] for index in range(num_frames)]
        new = iter(self.encode([frame for frame in frames if isinstance(frame, Frame)]))
        for index, frame in enumerate(frames):
            if isinstance(frame, Frame):
                waiting[index] = next(new)
        return [waiting[index] for index in range(num_frames)]

    def _pixel_values(self, frames):
        """Return what the model sees of frames, [F, C, S, S]."""
        vision = self._model.config.vision
        fitted = torch.stack([
            fit_frame(frame.image, vision.image_size, self._model.device) for frame in frames])
        if vision.sees_frame_before:
            before, self._before = self._before, fitted[-1].clone()
            fitted = pair_frames(fitted, before)
        return normalise_frames(fitted).to(self._model.dtype)


def encode_frames(model: VideoModel, frames: Sequence[Frame]) -> list[EncodedFrame]:
    """Return the frames of a stream that begins with the first of them, encoded by model."""
    return FrameEncoder(model).encode(frames)


def _groups(frames):
    for start in range(0, len(frames), MAX_FRAMES_AT_ONCE):
        yield frames[start:start + MAX_FRAMES_AT_ONCE]


def _with_times(states, frames):
    return [EncodedFrame(frame_states, frame.stamp_ns, frame.received_ns)
            for frame_states, frame in zip(states, frames)]
