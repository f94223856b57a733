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
A CUDA stream of its own for the encoding of frames, so that no word waits for it.

What is encoded is only enqueued. The states of the frames may be used once the device has passed a
mark behind them. On other devices encoding is done when its calls return, and there is no mark.
Used by SessionFeed.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


class Mark:
    """A place in a CUDA stream that the device has passed, or not yet."""

    def __init__(self, stream: torch.cuda.Stream):
        """Put the mark behind all that was enqueued in stream."""
        self._event = torch.cuda.Event()
        self._event.record(stream)

    def is_passed(self) -> bool:
        """Return at once whether the device has passed the mark."""
        return self._event.query()

    def wait(self) -> None:
        """Block until the device has passed the mark."""
        self._event.synchronize()

    def hand_over(self, states: torch.Tensor) -> None:
        """Let the current stream use states [N, D], which are in memory of the other one."""
        current = torch.cuda.current_stream(states.device)
        current.wait_event(self._event)
        states.record_stream(current)


class SideStream:
    """Runs work beside the current stream of a device. One thread at a time may call."""

    def __init__(self, device: torch.device):
        self._stream = torch.cuda.Stream(device) if device.type == 'cuda' else None

    def use(self) -> AbstractContextManager:
        """Return a context in which work is enqueued in this stream."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def mark(self) -> Mark | None:
        """Return a mark behind all work so far; None: it is done."""
        return None if self._stream is None else Mark(self._stream)
