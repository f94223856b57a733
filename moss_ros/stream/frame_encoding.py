"""
From pictures to what the model sees of them: frames in, their states in the decoder out.

The session encodes what was added to it; who knows the frames beforehand, as a bag's reader does,
encodes them in batches and adds the result. Knows nothing of tokens, contexts or threads.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from moss_ros.model import preprocess_frame, VideoModel
from moss_ros.stream.frame import Frame
import torch

# Bounds the memory of the vision encoder when many frames wait.
MAX_FRAMES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """
    A frame after the vision encoder.

    - states: [N, D], of the model's dtype and on its device.
    - stamp_ns, received_ns: those of the Frame.
    """

    states: torch.Tensor
    stamp_ns: int
    received_ns: int = 0


@torch.inference_mode()
def encode_frames(model: VideoModel, frames: Sequence[Frame]) -> list[EncodedFrame]:
    """
    Return the frames encoded by model, MAX_FRAMES_AT_ONCE in each pass.

    Any thread may call it, also while another one steps a session of the same model: weights are
    only read. How frames are grouped shows in the last bits of their states, so what must come
    out the same twice is to be grouped the same way.
    """
    encoded = []
    for group in _groups(frames):
        encoded += _with_times(model.encode_frames(_pixel_values(model, group)), group)
    return encoded


@torch.inference_mode()
def encode_frames_in_blocks(
        model: VideoModel, frames: Sequence[Frame]) -> Generator[None, None, list[EncodedFrame]]:
    """Do as encode_frames(), yield now and then, and return the frames at the end."""
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
