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
One live stream of a remote model; takes the place of StreamSession.

Frames and prompts go to the process; its strings go through the interpreter and come out as
events. Has no thread of its own. Made for a narrator, driven by RemoteWorker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
import math
import threading
import time

from moss_ros.remote.interpreter import StringInterpreter
from moss_ros.remote.process import FrameRing, RemoteProcess
from moss_ros.remote.remote_options import RemoteError, RemoteOptions
from moss_ros.stream import (
    ErrorEvent, Event, Frame, Prompt, SessionFigures, SessionState, StreamChange,
)

# Frames that the model has not taken yet. More wait in the mailbox, which drops the oldest.
_NUM_SLOTS = 4
# A picture of 4096 x 4096 and more; unused memory is not taken up.
_SLOT_NBYTES = 64 << 20
# How many strings the model may be ahead of what was heard; one when speech is paced.
_MAX_AHEAD = 32
# How often a process that says nothing is checked, in seconds.
_LOOK_PERIOD_S = 1.0


@dataclass(frozen=True)
class _Sent:
    """A frame that the model has not taken yet."""

    stamp_ns: int
    received_ns: int
    sent_s: float


class RemoteSession:
    """
    Owns the process with the model, and at most one stream in it.

    The owner may call load(), apply(), reset() and close() while no worker runs. Any thread may
    read state and call figures(), require_change(), require_prompt() and give_up(). All else is
    for the worker's thread. condition is notified when there is something to do.
    """

    def __init__(self, options: RemoteOptions):
        """Set up, without starting anything; OSError where there is no shared memory."""
        self.condition = threading.Condition()
        self._options = options
        self._ring = FrameRing(_NUM_SLOTS, _SLOT_NBYTES)
        self._interpreter = StringInterpreter(options)
        self._process: RemoteProcess | None = None
        self._run_id = 0
        self._is_running = False
        self._is_given_up = False
        self._begin_run()

    @property
    def options(self) -> RemoteOptions:
        """Return the settings that the session was made with."""
        return self._options

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that it was made for."""
        return self._options.frame_rate_fps

    def figures(self) -> SessionFigures:
        """Return figures that are None: the queue API tells neither device nor context."""
        return SessionFigures(device=None, context=None)

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError for changes that it takes only when it is configured."""
        options = self._options
        if dict(change.sampling) != dict(options.generate_kwargs) \
                or change.max_tokens_between_frames != options.max_tokens_between_frames \
                or change.answer_within_s not in (0, options.answer_within_s):
            raise ValueError(
                "the backend 'remote_code' takes sampling, max_tokens_between_frames and "
                'answer_within_s when it is configured: clean up, change them, and configure '
                'again')

    def apply(self, change: StreamChange) -> None:
        """Do nothing: what it can take needs nothing done. ValueError as above."""
        self.require_change(change)

    def require_prompt(self, text: str) -> None:
        """Refuse nothing: only the model can say what is too long for it."""

    @property
    def state(self) -> SessionState:
        """Whether something is being said."""
        return self._interpreter.state

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header time of the newest frame that the model took, None before the first."""
        return self._interpreter.newest_stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time of arrival of that frame, None before the first."""
        return self._interpreter.newest_received_ns

    @property
    def pid(self) -> int | None:
        """Return the number of the process with the model, None where there is none."""
        return None if self._process is None else self._process.pid

    @property
    def num_waiting_reports(self) -> int:
        """Return the number of reports of the process that were not taken out."""
        return 0 if self._process is None else self._process.num_reports

    @property
    def num_free_slots(self) -> int:
        """How many frames may be added now."""
        return _NUM_SLOTS - len(self._sent)

    @property
    def has_prompts(self) -> bool:
        """Whether a prompt was handed over whose round has not begun."""
        return self._interpreter.has_prompts

    def load(self, is_cancelled: Callable[[], bool] = lambda: False) -> bool:
        """
        Start the process where there is none; block until the model is loaded.

        Returns True if it is loaded, False if is_cancelled() became true, which is checked
        whenever condition is notified. Raises RemoteError if loading fails or takes longer than
        load_timeout_s.
        """
        if self._process is not None:
            return True
        end_s = time.monotonic() + self._options.load_timeout_s
        process = RemoteProcess(self._options, self._ring, self.condition)
        try:
            with self.condition:
                while not (process.has_reports or process.is_over or is_cancelled()):
                    if time.monotonic() > end_s:
                        raise RemoteError(process.described(
                            f'has not loaded {self._options.checkpoint} within '
                            f'{self._options.load_timeout_s:g} s'))
                    self.condition.wait(_LOOK_PERIOD_S)
                    process.look()
            if not process.has_reports:
                if is_cancelled():
                    return False
                raise RemoteError(process.end_message())
            report = process.take_report()
            if report['type'] != 'loaded':
                raise RemoteError(
                    f'the code of {self._options.checkpoint} cannot be loaded by '
                    f'{self._options.python}: {report.get("message")}', report.get('details', ''))
            self._process, process = process, None
            return True
        finally:
            if process is not None:
                process.kill()

    def open(self, max_tokens_per_s: float, is_paused: bool = False) -> list[Event]:
        """Begin a stream, perhaps paused, in a process that is loaded; return the first events."""
        self.reset()
        self._begin_run()
        options = self._options
        self._process.send(
            'start', run_id=self._run_id, has_seconds=options.frames == 'image_seconds',
            max_ahead=1 if max_tokens_per_s else _MAX_AHEAD, kwargs=dict(options.generate_kwargs))
        self._is_running = True
        return [*self._interpreter.open(),
                *self._interpreter.pause(is_paused, time.monotonic())]

    def add_frame(self, frame: Frame) -> list[Event]:
        """
        Hand a frame to the model, into a free slot.

        A frame that is too large is not shown; the first such frame of a stream returns an error.
        """
        if not self._ring.fits(frame.image):
            height, width = frame.image.shape[:2]
            is_first, self._has_large_frame = not self._has_large_frame, True
            return [] if not is_first else [ErrorEvent(
                stamp_ns=frame.stamp_ns, received_ns=frame.received_ns,
                message=f'images of {width} x {height} px are not shown to the remote model: '
                f'they take more than {_SLOT_NBYTES} bytes; have the camera resize them')]
        if self._first_stamp_ns is None:
            self._first_stamp_ns = frame.stamp_ns
        slot = self._num_sent % _NUM_SLOTS
        self._ring.write(slot, frame.image)
        height, width = frame.image.shape[:2]
        self._process.send('frame', slot=slot, width=width, height=height,
                           seconds=(frame.stamp_ns - self._first_stamp_ns) / 1e9)
        self._num_sent += 1
        self._sent.append(_Sent(frame.stamp_ns, frame.received_ns, time.monotonic()))
        return []

    def add_prompt(self, prompt: Prompt) -> None:
        """Hand a prompt to the model, without control tokens: '<|' goes as '< |'."""
        self._process.send('prompt', text=prompt.text.replace('<|', '< |'))
        self._interpreter.add_prompt(prompt, time.monotonic())

    @property
    def has_string(self) -> bool:
        """Whether the next thing to hear is a string of the model."""
        report = self._process.next_report()
        return report is not None and report.get('type') == 'string'

    def wait_s(self, now_s: float) -> float:
        """Seconds until hear() has something to do if nothing comes in."""
        self._process.look()
        if self._process.has_reports or self._process.is_over:
            return 0.0
        deadline_s = self._interpreter.deadline_s
        if self._sent:
            deadline_s = min(deadline_s, self._frame_deadline_s)
        return min(max(0.0, deadline_s - now_s), _LOOK_PERIOD_S)

    def hear(self, now_s: float) -> list[Event]:
        """
        Take in one report, or if none waits check what has timed out; return the events.

        Raises RemoteError if the process has ended, hangs, or breaks the protocol.
        """
        if not self._process.has_reports:
            if self._process.is_over:
                raise RemoteError(self._process.end_message())
            if self._sent and now_s >= self._frame_deadline_s:
                raise RemoteError(self._process.described(
                    f'has left a frame for {self._options.frame_timeout_s:g} s'))
            return self._interpreter.check(now_s)
        report = self._process.take_report()
        try:
            return self._hear_report(report, now_s)
        except (KeyError, TypeError, AttributeError) as error:
            raise RemoteError(self._process.described(
                f'reports what is not understood ({error!r} in {str(report)[:200]})')) from error

    def interrupt(self) -> list[Event]:
        """
        End what is being said, as far as events tell; the model itself can't be told.

        A question without any answer yet stays open.
        """
        return self._interpreter.stop(time.monotonic())

    def pause(self, is_paused: bool) -> list[Event]:
        """Do as interrupt() and leave out all that the model says from now on, or go on."""
        return self._interpreter.pause(is_paused, time.monotonic())

    def end(self, waiting: Iterable[Prompt] = ()) -> list[Event]:
        """
        End the stream, what is being said and an open question; the model stays loaded.

        Prompts that were handed over and not asked are reported as errors, and those of waiting.
        A process that has not ended its stream within stop_grace_s is killed: the model is loaded
        anew when the next stream begins.
        """
        events = self._interpreter.end(waiting)
        if self._process is not None and self._is_running and not self._has_ended_run():
            self.kill()
        self._is_running = False
        return events

    def reset(self) -> None:
        """Forget the stream that has ended."""
        self._interpreter.reset()

    def kill(self) -> None:
        """Kill the process; the next stream loads the model anew."""
        process, self._process = self._process, None
        self._is_running = False
        if process is not None:
            process.kill()

    def give_up(self) -> None:
        """Have end() kill the process at once, for no stream will follow. Any thread may call."""
        self._is_given_up = True

    def close(self) -> None:
        """Kill the process and free the memory."""
        self.kill()
        self._ring.close()

    def _begin_run(self):
        self._run_id += 1
        self._sent: deque[_Sent] = deque()
        self._num_sent = 0
        self._first_stamp_ns: int | None = None
        self._taken_s = -math.inf
        self._has_large_frame = False

    @property
    def _frame_deadline_s(self):
        """Time by which the model must take the next frame; only while one waits."""
        return max(self._taken_s, self._sent[0].sent_s) + self._options.frame_timeout_s

    def _hear_report(self, report, now_s):
        if report['run_id'] != self._run_id:
            return []
        kind = report['type']
        if kind == 'ended':
            raise RemoteError(self._process.described(
                f'has ended the stream: {report["message"]}'), report['details'])
        self._take_frames(report['num_taken'], now_s)
        self._interpreter.take_prompts(report['num_prompts_taken'])
        if kind != 'string':
            return self._interpreter.take_events()
        self._process.send('allow', count=1)
        return self._interpreter.hear(report['text'], now_s)

    def _take_frames(self, num_taken, now_s):
        while self._sent and self._num_sent - len(self._sent) < num_taken:
            sent = self._sent.popleft()
            self._taken_s = now_s
            self._interpreter.take_frame(sent.stamp_ns, sent.received_ns)

    def _has_ended_run(self):
        """Stop the stream in the process; return whether it followed in time."""
        if self._is_given_up:
            return False
        end_s = time.monotonic() + self._options.stop_grace_s
        try:
            self._process.send('stop')
        except RemoteError:
            return False
        while True:
            with self.condition:
                while not self._process.has_reports:
                    left_s = end_s - time.monotonic()
                    if left_s <= 0 or self._process.is_over:
                        return False
                    self.condition.wait(left_s)
            report = self._process.take_report()
            if report.get('type') == 'ended' and report.get('run_id') == self._run_id:
                return True
