"""
What a node may ask of whatever runs a model: a session, a worker and a channel, as protocols.

This package's own engine, one that several narrators share, and a remote model all keep to them,
so that a node never asks which it has. A new engine is one that passes the tests of the contract
(test/contract).
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
    What may be asked of a stream that is loaded; 0 and {} stand for the checkpoint's own.

    - frame_rate_fps: frames a second that it is shown.
    - sampling: fields of SamplingOptions by name.
    - max_tokens_between_frames, answer_within_s, max_step_s: as in StreamOptions.
    - max_tokens_per_s: pace of speaking; here 0 is as fast as the model can.
    """

    frame_rate_fps: float = 0.0
    sampling: Mapping[str, float | int | bool] = field(default_factory=dict)
    max_tokens_between_frames: int = 0
    answer_within_s: float = 0.0
    max_step_s: float = 0.0
    max_tokens_per_s: float = 0.0

    def applied_to(self, own: StreamOptions) -> StreamOptions:
        """Return the options own with this change; ValueError for what can't be."""
        given = {name: getattr(self, name) for name in (
            'frame_rate_fps', 'max_tokens_between_frames', 'answer_within_s', 'max_step_s')}
        return replace(
            own, sampling=replace(own.sampling, **self.sampling),
            **{name: value for name, value in given.items() if value})


@dataclass(frozen=True)
class ContextFill:
    """How much of its context a stream uses."""

    num_tokens: int
    max_tokens: int
    num_frames: int
    max_frames: int


@dataclass(frozen=True)
class SessionFigures:
    """What a session tells of itself; None where it can't know."""

    device: torch.device | None
    context: ContextFill | None


class Session(Protocol):
    """
    One stream of a loaded model.

    Its worker's thread has it while a channel is open. What else may be called then, by any
    thread, is state, figures(), require_change(), require_prompt() and give_up().
    """

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that it was made for."""

    @property
    def state(self) -> SessionState:
        """Whether something is being said."""

    def figures(self) -> SessionFigures:
        """Return what it can tell of itself now."""

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError, with the reason, where the loaded stream can't take the change."""

    def apply(self, change: StreamChange) -> None:
        """Go on with the change; ValueError as above."""

    def require_prompt(self, text: str) -> None:
        """Raise ValueError, with the reason, for a prompt that could never be answered."""

    def reset(self) -> None:
        """Forget the stream; what is loaded stays loaded."""

    def give_up(self) -> None:
        """Lose no time over ending well: no stream will follow."""

    def close(self) -> None:
        """Free what it has; may be called twice."""


class Channel(Protocol):
    """A stream as it is served. Any thread may call; nothing blocks but restart()."""

    @property
    def mailbox(self) -> Mailbox:
        """Where frames and prompts go in."""

    @property
    def state(self) -> WorkerState:
        """Whether it is served; FAILED until it is started again."""

    @property
    def is_paused(self) -> bool:
        """Whether it is paused: nothing is taken in, nothing is said."""

    @property
    def encode_s_per_frame(self) -> float | None:
        """Seconds that the model takes to encode a frame; None where that is not known."""

    def request_interrupt(self) -> Future:
        """
        End what is being said; the stream goes on.

        The future is done once it has taken effect and its events are out; it is cancelled where
        the worker stops first. RuntimeError where the worker doesn't run, or the stream failed.
        """

    def request_reset(self) -> Future:
        """Forget the stream and what waits in the mailbox now; else as request_interrupt."""

    def request_pause(self, is_paused: bool) -> Future:
        """End what is being said and take nothing in, or go on; else as request_interrupt."""

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError, with the reason, where the stream can't take the change now."""

    def apply(self, change: StreamChange) -> None:
        """Go on with the change from the next step on, in any state; ValueError as above."""

    def restart(self) -> None:
        """Serve a failed stream again, from its beginning; as Worker.start() otherwise."""

    def close(self) -> None:
        """Serve it no more. A step that is running is finished, without events."""


class Worker(Protocol):
    """Owns, or has a share of, the thread that runs a model. Any thread may call."""

    @property
    def state(self) -> WorkerState:
        """RUNNING from the start until the thread ends; FAILED where it can't go on."""

    def open_channel(self, session: Session, mailbox: Mailbox,
                     on_event: Callable[[Event], None], max_tokens_per_s: float = 0.0) -> Channel:
        """
        Serve session with what comes into mailbox, once the worker runs.

        on_event is called with each event on the worker's thread and must not block. ValueError
        for a session or mailbox that can't be served, and for a negative pace.
        """

    def start(self) -> None:
        """
        Serve what is open; nothing happens where it is served already.

        RuntimeError where a thread is still in its last step, or on_event calls it.
        """

    def close(self, timeout_s: float = 2.0) -> bool:
        """
        End the streams and close the channels; block until then, at most timeout_s.

        Returns whether no step runs any more. What was being said, and what was asked and not
        answered, is reported as STOPPED. May be called in any state.
        """


class ChannelHost(Protocol):
    """What a channel needs of the worker that serves it."""

    @property
    def state(self) -> WorkerState:
        """As of the worker."""

    @property
    def has_requests(self) -> bool:
        """Whether somebody waits for the step that runs to end."""

    def call(self, function: Callable[[], object]) -> Future:
        """Run function on the worker's thread, between two steps."""

    def start_thread(self) -> None:
        """Start the thread where it doesn't run."""

    def remove(self, channel: Channel) -> None:
        """Serve this channel no more."""
