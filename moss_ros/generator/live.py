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
One call of real_time_generate: images and prompts in, strings of the queue API out, until stopped.

The session runs in the caller's thread. For each incoming queue, a small feeder thread moves the
items to a mailbox, so the caller's thread can sleep on one condition. The strings themselves are
made by queue_strings.py. Made and run by the generator.
"""

from __future__ import annotations

from collections.abc import Callable
import logging
import queue
import threading
import time

from moss_ros.generator.queue_strings import DONE, error_string, LiveStrings
from moss_ros.generator.turn_lock import TurnLock
from moss_ros.media import rgb_array
from moss_ros.stream import (
    Frame, Mailbox, NarrationEvent, Prompt, PromptEvent, SessionState, StreamSession,
)
from moss_ros.stream.feed import SessionFeed
from moss_ros.stream.pace import Pace
import torch

# How often, in seconds, a thread that sleeps on a queue checks whether to end. An item in the
# queue wakes it at once.
_STOP_CHECK_S = 0.1
# At most this many different error messages about incoming items are reported, each once.
_MAX_REPORTS = 20
# Longest wait for a feeder thread, in case its queue's get() ignores the timeout.
_MAX_JOIN_S = 2.0

_LOGGER = logging.getLogger(__name__)


class LiveRun:
    """
    One call of real_time_generate; run() blocks until request_stop() or an error.

    Any thread may call request_stop() and wait(): before, during and after run().
    """

    def __init__(self, make_session: Callable[[], StreamSession], image_queue: queue.Queue,
                 prompt_queue: queue.Queue, token_queue: queue.Queue,
                 max_new_tokens: int | None, max_tokens_per_second: float | None,
                 model_lock: TurnLock):
        """
        Prepare; nothing is taken from the queues yet.

        - max_new_tokens: a narration ends after so many tokens; None: only the session's limits.
        - max_tokens_per_second: pace of speaking; None: as fast as the model can.
        - model_lock: held while the model, or anything else in torch, computes.
        """
        self._make_session = make_session
        self._image_queue = image_queue
        self._prompt_queue = prompt_queue
        self._token_queue = token_queue
        self._max_new_tokens = max_new_tokens
        self._pace = Pace(max_tokens_per_second or 0.0)
        self._model_lock = model_lock
        self._strings = LiveStrings()
        self._condition = threading.Condition()
        self._is_stopped = False  # guarded by the condition
        self._feed_error: Exception | None = None
        self._reported: set[str] = set()
        self._num_frames = 0
        self._num_prompts = 0
        self._num_tokens = 0  # of the current narration
        self._thread: threading.Thread | None = None
        self._has_ended = threading.Event()

    def run(self) -> None:
        """
        Generate until stopped, then put the end marker on the token queue.

        An exception of the model or of a queue is raised; then this method puts no end marker.
        """
        self._thread = threading.current_thread()
        feeders = []
        try:
            with self._model_lock:
                # The call sets up torch's number of threads for this thread. Without it torch may
                # use more threads than there are cores.
                torch.get_num_threads()
                session = None if self._is_stopped else self._make_session()
            if session is not None:
                # The context can not hold more frames than this.
                mailbox = Mailbox(session.options.max_context_frames)
                mailbox.attach(self._condition)
                feeders = self._start_feeders(mailbox, session.options.frame_rate_fps)
                self._generate(session, mailbox)
            self._put_last(DONE)
        finally:
            self.request_stop()
            for feeder in feeders:
                feeder.join(_MAX_JOIN_S)

    def request_stop(self) -> None:
        """Make run() end after its current step; does not block."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most timeout_s for end(); return whether it came. In run()'s thread: False."""
        if self._thread is threading.current_thread():
            return False
        return self._has_ended.wait(timeout_s)

    def end(self) -> None:
        """Let wait() return. The caller of run() calls it when everything is cleaned up."""
        self._has_ended.set()

    def _generate(self, session, mailbox):
        feed = SessionFeed(session, mailbox)

        def has_something():
            return self._is_stopped or self._feed_error is not None or feed.has_work

        def must_not_wait():
            return self._is_stopped or self._feed_error is not None or mailbox.has_prompts

        while True:
            with self._condition:
                self._condition.wait_for(has_something)
                self._condition.wait_for(must_not_wait, self._pace.wait_s(time.monotonic()))
            if self._feed_error is not None:
                raise self._feed_error
            if self._is_stopped:
                break
            begin_s = time.monotonic()
            with self._model_lock:
                events = feed.step(should_yield=lambda: self._is_stopped)
                events += self._stop_at_limit(session, events)
            if session.state is SessionState.SPEAKING:
                self._pace.token_said(begin_s)
            else:
                self._pace.begin_anew()
            for event in events:
                for string in self._strings.of(event):
                    self._put(string)
        if mailbox.num_dropped_frames:
            _LOGGER.warning(
                '%d images came faster than the model could see them and were dropped: it takes '
                '%.2f s for each', mailbox.num_dropped_frames, feed.encode_s_per_frame)

    def _stop_at_limit(self, session, events):
        """Count the narration's tokens; at the limit, end it and return the events of that."""
        if self._max_new_tokens is None:
            return []
        if any(isinstance(event, (NarrationEvent, PromptEvent)) for event in events):
            self._num_tokens = 0
        if session.state is not SessionState.SPEAKING:
            return []
        self._num_tokens += 1
        if self._num_tokens < self._max_new_tokens:
            return []
        self._num_tokens = 0
        return session.stop()

    def _put(self, string):
        """Put string on the token queue; while that is full, wait, unless stopped."""
        while not self._is_stopped:
            try:
                return self._token_queue.put(string, timeout=_STOP_CHECK_S)
            except queue.Full:
                pass

    def _put_last(self, string):
        try:
            self._token_queue.put_nowait(string)
        except queue.Full:
            _LOGGER.warning('the token queue is full: %r was not put', string)

    def _start_feeders(self, mailbox, frame_rate_fps):
        def feed_image(image):
            # Images carry no time. Each counts as one step of the model's frame rate.
            stamp_ns = round(self._num_frames * 1e9 / frame_rate_fps)
            mailbox.submit_frame(Frame(rgb_array(image), stamp_ns, time.monotonic_ns()))
            self._num_frames += 1

        def feed_prompt(text):
            self._num_prompts += 1
            mailbox.submit_prompt(
                Prompt(text, f'prompt-{self._num_prompts}', time.monotonic_ns()))

        # Prompts first, so that a prompt that already waits is asked before the first image.
        feeders = [
            threading.Thread(target=self._feed, args=(name, source, feed), daemon=True,
                             name=f'moss-{name}-feeder')
            for name, source, feed in (('prompt', self._prompt_queue, feed_prompt),
                                       ('image', self._image_queue, feed_image))]
        for feeder in feeders:
            feeder.start()
        return feeders

    def _feed(self, name, source, feed):
        """Move the items of a queue to the mailbox, until stopped."""
        try:
            while not self._is_stopped:
                try:
                    item = source.get(timeout=_STOP_CHECK_S)
                except queue.Empty:
                    continue
                try:
                    feed(item)
                except Exception as error:
                    self._report(f'{name} queue: {str(error) or repr(error)}')
        except Exception as error:  # the queue itself failed: nothing more can come from it
            with self._condition:
                self._feed_error = error
                self._condition.notify_all()

    def _report(self, message):
        """Put an error string on the token queue, each message once: it may repeat for hours."""
        if message in self._reported:
            return
        if len(self._reported) < _MAX_REPORTS:
            self._reported.add(message)
            self._put(error_string(message))
