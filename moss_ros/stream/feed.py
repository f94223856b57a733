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
Moves prompts and frames from a mailbox to a session, and steps the session.

A mailbox and a session go in, the session's events come out, one step at a time. Frames are
encoded in parts, so that a slow model does not keep prompts and requests waiting. Used by the
worker's channels and by the queue API's live runs, on the thread that steps the session. On a
GPU they are encoded beside the decoder, and become visible at the step after they are ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from statistics import median
import time

from moss_ros.stream.events import Event, SessionState
from moss_ros.stream.frame import EncodedFrame, Frame, Prompt
from moss_ros.stream.mailbox import Mailbox
from moss_ros.stream.passes import pass_alone, PassGenerator
from moss_ros.stream.session import StreamSession
from moss_ros.stream.side_stream import Mark, SideStream

_NUM_COSTS = 5


class SessionFeed:
    """
    Steps a session with the prompts and frames of its mailbox.

    Of the waiting frames it takes the newest ones: as many as can probably be encoded within
    options.max_step_s, at least one. The mailbox drops and counts the older ones. Until the cost
    of a frame is known, one frame is taken at a time. One thread at a time may call. step() blocks
    for one step of the session, and before that for encoding: max_step_s plus one block of the
    vision encoder at most.
    """

    def __init__(self, session: StreamSession, mailbox: Mailbox,
                 side_stream: SideStream | None = None):
        """Encode in side_stream; None: in one of the model's device."""
        self._session = session
        self._mailbox = mailbox
        self._side_stream = side_stream or SideStream(session.model.device)
        self._encoded: list[EncodedFrame] = []  # the device may still be at them
        self._mark: Mark | None = None
        self._costs_s: deque[float] = deque(maxlen=_NUM_COSTS)
        self._encoding: Generator | None = None
        self._num_encoding = 0
        self._spent_s = 0.0

    @property
    def has_work(self) -> bool:
        """Whether step() would do something."""
        return self._encoding is not None or bool(self._encoded) or self._session.has_work \
            or self._mailbox.has_prompts or self._mailbox.has_frames

    @property
    def encode_s_per_frame(self) -> float | None:
        """Median seconds to encode a frame, lately; None before the first. Any thread may call."""
        costs_s = list(self._costs_s)
        return median(costs_s) if costs_s else None

    def step(self, should_yield: Callable[[], bool] = lambda: False) -> list[Event]:
        """
        Take in what waits, encode a part of it, and step the session; return its events.

        should_yield() is called between the blocks of the vision encoder. If it returns True, the
        rest of the encoding is left to the next call.
        """
        return pass_alone(self.step_shared(should_yield))

    def step_shared(
            self, should_yield: Callable[[], bool] = lambda: False) -> PassGenerator[list[Event]]:
        """Do the same as step(), but yield the passes of tokens as a session does."""
        prompts, _ = self._mailbox.drain(max_frames=0)
        self.add_prompts(prompts)
        self._begin_encoding()
        self._go_on_encoding(should_yield)
        self._take_over()
        return (yield from self._session.step_shared())

    def add_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Give prompts to the session, for its next step."""
        for prompt in prompts:
            self._session.add_prompt(prompt)

    def drop_frames(self) -> int:
        """Forget frames that are being encoded; return how many there were."""
        num_frames = len(self._encoded) if self._encoding is None else self._num_encoding
        self._encoding, self._encoded = None, []
        return num_frames

    def _begin_encoding(self):
        if self._encoding is not None or self._encoded or self._session.num_waiting_frames:
            return
        frames = self._take_frames()
        if frames:
            self._encoding = self._session.encode_in_blocks(frames)
            self._num_encoding, self._spent_s = len(frames), 0.0

    def _take_frames(self) -> list[Frame]:
        cost_s = self.encode_s_per_frame
        if cost_s is None:
            return self._mailbox.drain(max_frames=1)[1]
        options = self._session.options
        # More than the context holds would be encoded for nothing, and dropped uncounted.
        return self._mailbox.take_newest(min(options.max_context_frames, max(
            1, int(options.max_step_s / max(cost_s, 1e-9)))))

    def _go_on_encoding(self, should_yield):
        begin_s = time.monotonic()
        while self._encoding is not None:
            try:
                with self._side_stream.use():
                    next(self._encoding)
            except StopIteration as end:
                self._encoding, self._encoded = None, end.value
                self._mark = self._side_stream.mark()
            now_s = time.monotonic()
            if self._encoding is None or now_s - begin_s >= self._session.options.max_step_s \
                    or self._mailbox.has_prompts or should_yield():
                self._spent_s += now_s - begin_s
                return

    def _take_over(self):
        """Give frames to the session once they are encoded; wait for it only in silence."""
        if not self._encoded:
            return
        if self._mark is not None:
            begin_s = time.monotonic()
            if not self._mark.is_passed():
                if self._session.state is SessionState.SPEAKING:
                    return
                self._mark.wait()
                self._spent_s += time.monotonic() - begin_s
        self._costs_s.append(self._spent_s / self._num_encoding)
        for frame in self._encoded:
            if self._mark is not None:
                self._mark.hand_over(frame.states)
            self._session.add_frame(frame)
        self._encoded = []
