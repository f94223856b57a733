"""
From pictures to what the model sees of them: frames in, their states in the decoder out.

The session encodes what was added to it; who knows the frames beforehand, as a bag's reader does,
encodes them in batches and adds the result. Knows nothing of tokens, contexts or threads.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    image_size = model.config.vision.image_size
    encoded = []
    for start in range(0, len(frames), MAX_FRAMES_AT_ONCE):
        group = frames[start:start + MAX_FRAMES_AT_ONCE]
        pixel_values = torch.stack([
            preprocess_frame(frame.image, image_size, model.device) for frame in group])
        encoded += [
            EncodedFrame(states, frame.stamp_ns, frame.received_ns)
            for states, frame in zip(model.encode_frames(pixel_values.to(model.dtype)), group)]
    return encoded
