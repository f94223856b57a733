"""
What goes into a stream: stamped frames and prompts.

Plain checked data, made by whoever receives images and questions. Knows nothing of messages,
encodings or the model. Immutable: any thread may make and read them, nothing blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from moss_ros.checks import require_filled_text, require_time_ns
import numpy as np


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
