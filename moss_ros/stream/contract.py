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
The protocols between a node and whatever runs a model: Session, Worker and Channel.

This package's own engine, one that several narrators share, and a remote model all implement
them, so a node need not know which it has. A new engine must pass the tests in test/contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from moss_ros.stream.events import Event, SessionState
from moss_ros.stream.mailbox import Mailbox
from moss_ros.stream.options import StreamOptions
from moss_ros.stream.worker_thread import WorkerState
import torch


@dataclass(frozen=True)
class StreamChange:
    """
    New settings for a stream that is loaded; 0 and {} mean the checkpoint's own.

    - frame_rate_fps: frames a second that the stream is shown.
    - sampling: fields of SamplingOptions by name.
    - max_tokens_between_frames, answer_within_s, max_step_s: as in StreamOptions.
    - max_tokens_per_s: pace of speaking; here 0 means as fast as the model can.
    """

    frame_rate_fps: float = 0.0
    sampling: Mapping[str, float | int | bool] = field(default_factory=dict)
    max_tokens_between_frames: int = 0
    answer_within_s: float = 0.0
    max_step_s: float = 0.0
    max_tokens_per_s: float = 0.0

    def applied_to(self, own: StreamOptions) -> StreamOptions:
        """Return the options own with this change applied; ValueError for a bad value."""
        given = {name: getattr(self, name) for name in (
            'frame_rate_fps', 'max_tokens_between_frames', 'answer_within_s', 'max_step_s')}
        return replace(
            own, sampling=replace(own.sampling, **self.sampling),
            **{name: value for name, value in given.items() if value})


@dataclass(frozen=True)
class ContextFill:
    """How much of its context a stream uses, and how often it forgot the oldest part so far."""

    num_tokens: int
    max_tokens: int
    num_frames: int
    max_frames: int
    num_rollovers: int


@dataclass(frozen=True)
class SessionFigures:
    """What a session reports about itself; None if it does not know."""

    device: torch.device | None
    context: ContextFill | None


class Session(Protocol):
    """
    One stream of a loaded model.

    While a channel is open, the session belongs to the worker's thread. Other threads may then
    only call state, figures(), require_change(), require_prompt() and give_up().
    """

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that the session was made for."""

    @property
    def state(self) -> SessionState:
        """Whether something is being said."""

    def figures(self) -> SessionFigures:
        """Return what the session reports about itself now."""

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError, with the reason, if the loaded stream can't take the change."""

    def apply(self, change: StreamChange) -> None:
        """Apply the change from now on; ValueError as require_change()."""

    def require_prompt(self, text: str) -> None:
        """Raise ValueError, with the reason, for a prompt that could never be answered."""

    def reset(self) -> None:
        """Forget the stream; the model stays loaded."""

    def give_up(self) -> None:
        """Prepare to end as fast as possible: the session will not be used again."""

    def close(self) -> None:
        """Free what the session holds; may be called twice."""


class Channel(Protocol):
    """A stream served by a worker. Any thread may call; only restart() may block."""

    @property
    def mailbox(self) -> Mailbox:
        """Where frames and prompts go in."""

    @property
    def state(self) -> WorkerState:
        """Whether the stream is served; FAILED after a failure, until it is started again."""

    @property
    def is_paused(self) -> bool:
        """Whether the stream is paused: nothing is taken in, nothing is said."""

    @property
    def encode_s_per_frame(self) -> float | None:
        """Seconds that the model takes to encode a frame; None if that is not known."""

    def request_interrupt(self) -> Future:
        """
        End what is being said; the stream goes on.

        The future is done when this has taken effect and its events were delivered; it is
        cancelled if the worker stops first. Raises RuntimeError if the worker doesn't run or the
        stream has failed.
        """

    def request_reset(self) -> Future:
        """
        Forget the stream and all that waits in the mailbox; future as request_interrupt().

        Each prompt that is forgotten is reported as an error.
        """

    def request_pause(self, is_paused: bool) -> Future:
        """Pause (end what is being said, take nothing in) or go on; as request_interrupt()."""

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError, with the reason, if the stream can't take the change now."""

    def apply(self, change: StreamChange) -> None:
        """Apply the change from the next step on, in any state; ValueError as require_change()."""

    def restart(self) -> None:
        """Serve a failed stream again, from its beginning; otherwise as Worker.start()."""

    def close(self) -> None:
        """Stop serving the stream. A running step is finished, but its events are dropped."""


class Worker(Protocol):
    """Owns, or shares, the thread that runs a model. Any thread may call."""

    @property
    def state(self) -> WorkerState:
        """Return RUNNING from start() until the thread ends; FAILED if it can't go on."""

    def open_channel(self, session: Session, mailbox: Mailbox,
                     on_event: Callable[[Event], None], max_tokens_per_s: float = 0.0) -> Channel:
        """
        Serve session with the items of mailbox, as soon as the worker runs.

        on_event is called with each event, on the worker's thread, and must not block.
        max_tokens_per_s: pace of speaking; 0: as fast as the model can. Raises ValueError for a
        session or mailbox that can't be served, and for a negative pace.
        """

    def start(self) -> None:
        """
        Start serving the open channels, if that does not happen already.

        Raises RuntimeError if an earlier thread is still in its last step, or on_event calls it.
        """

    def close(self, timeout_s: float = 2.0) -> bool:
        """
        End the streams and close the channels; wait for that at most timeout_s.

        Returns whether all steps have ended. What was being said, and questions that are not
        answered, are reported as STOPPED. May be called in any state.
        """


class ChannelHost(Protocol):
    """What a channel needs from the worker that serves it."""

    @property
    def state(self) -> WorkerState:
        """State of the worker."""

    @property
    def has_requests(self) -> bool:
        """Whether a call or a stop waits for the running step to end."""

    def call(self, function: Callable[[], object]) -> Future:
        """Run function on the worker's thread, between two steps."""

    def start_thread(self) -> None:
        """Start the thread if it does not run."""

    def remove(self, channel: Channel) -> None:
        """Stop serving this channel."""
