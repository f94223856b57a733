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
Windows of the unknown world in which a painted word was nearly said, to be shown again.

How near each sample of a batch came goes in; windows to draw next come out. One that was drawn is
forgotten, unless it comes near again: so each is shown until the model has learned it, and no
longer. Used by narration_training.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import random

import torch

# A window is kept from this probability of a painted word on, and no more windows than these.
MIN_NEARNESS = 0.03
MAX_WINDOWS = 1000


@dataclass(frozen=True)
class Window:
    """Frames of a stream: row is its index among the streams, first_frame where it begins."""

    row: int
    first_frame: int


class HardWindows:
    """Keeps the windows that came near, the newest MAX_WINDOWS of them. Not thread-safe."""

    def __init__(self, generator: random.Random, p_again: float):
        """p_again: the probability that draw() gives a window, where it has any."""
        self._generator, self._p_again = generator, p_again
        self._windows: list[Window] = []

    def __len__(self) -> int:
        """Return how many windows are kept."""
        return len(self._windows)

    def draw(self) -> Window | None:
        """Return a window to show again, which is forgotten then; None for a new one."""
        # Without the part there is no draw, so that a course without it stays as it was.
        if not self._p_again or self._generator.random() >= self._p_again or not self._windows:
            return None
        return self._windows.pop(self._generator.randrange(len(self._windows)))

    def note(self, windows: Sequence[Window | None], nearness: torch.Tensor) -> None:
        """Keep those of windows whose nearness, f32 [B], is MIN_NEARNESS or more; no None."""
        if self._p_again:
            self._windows += [window for window, near in zip(windows, nearness.tolist())
                              if near >= MIN_NEARNESS and window is not None]
            del self._windows[:-MAX_WINDOWS]
