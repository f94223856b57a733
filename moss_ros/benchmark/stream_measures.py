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
How fast a stream is: a session that has watched frames, served by a worker as in the narrator.

Subject and sizes go in; milliseconds and rates come out, by the times at which the worker delivers
events. The model is made to speak or to keep silent by the bias of silence, whatever its weights.
Called by the command on its main thread, which waits on a condition while the worker works.

Letters: N states a frame, D text channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import threading
import time

from moss_ros.benchmark.decode_measures import camera_frame
from moss_ros.benchmark.presets import Subject
from moss_ros.stream import (
    EncodedFrame, EngineWorker, ErrorEvent, Event, Frame, Mailbox, Prompt,
    SilenceEvent, StreamOptions, StreamSession, TokenEvent,
)
import torch

QUESTION = 'What do you see?'
# As the narrator's mailbox_size is, unless somebody sets it.
_MAILBOX_SIZE = 8
# Enough to be beyond any other logit.
_BIAS = 1e6
_TIMEOUT_S = 600.0
_FRAMES_AT_ONCE = 16
# So many are said before one is cut off, and so many give a rate.
FEW_TOKENS = 3
# A picture is made once: making noise takes longer than some models need to see it.
_NUM_PICTURES = 8


class StreamError(Exception):
    """The stream failed while it was measured, or said nothing; the message says which."""


@dataclass(frozen=True)
class Ingest:
    """
    What happened while frames arrived.

    - fps: frames a second that arrived. tokens_per_s: rate at which the model spoke.
    - num_arrived, num_seen, num_dropped: frames that arrived, that a token saw as the newest, and
      that the mailbox dropped; the others were still on their way at the end.
    - latencies_ms: from the arrival of each frame that was seen to the first token that saw it.
    - num_rollovers: how often the context was full; 0, or the rate is too low.
    """

    fps: float
    tokens_per_s: float
    num_arrived: int
    num_seen: int
    num_dropped: int
    latencies_ms: list[float]
    num_rollovers: int


class EventLog:
    """
    What is noted of a stream's events, each at the monotonic time at which it was delivered.

    take() is for the worker's thread. It wakes the one that waits only for news, not for each
    token: otherwise the measuring would slow down what is measured.
    """

    def __init__(self):
        self._condition = threading.Condition()
        self.clear()

    def clear(self) -> None:
        """Forget all events."""
        with self._condition:
            self.first_token_ns: dict[str, int] = {}  # by the id of the prompt that is answered
            # By the stamp of the newest frame seen: from its arrival to the first token after it.
            self.latencies_ms: dict[int, float] = {}
            self.error: str | None = None
            self._tokens: list[tuple[int, int]] = []  # (time in ns, id of the narration)

    @property
    def num_tokens(self) -> int:
        """Return how many pieces of text were said."""
        return len(self._tokens)

    def take(self, event: Event) -> None:
        """Note an event that is delivered now."""
        now_ns = time.monotonic_ns()
        with self._condition:
            is_news = self._note(event, now_ns)
            if is_news:
                self._condition.notify_all()

    def _note(self, event, now_ns):
        is_news = False
        if isinstance(event, ErrorEvent):
            self.error, is_news = event.message, True
        elif isinstance(event, (TokenEvent, SilenceEvent)):
            latency_ms = event.frame_latency_ms(now_ns)
            if latency_ms is not None and event.stamp_ns not in self.latencies_ms:
                self.latencies_ms[event.stamp_ns] = latency_ms
                is_news = True
        if isinstance(event, TokenEvent):
            self._tokens.append((now_ns, event.narration_id))
            if event.prompt_id is not None and event.prompt_id not in self.first_token_ns:
                self.first_token_ns[event.prompt_id] = now_ns
                is_news = True
            is_news = is_news or len(self._tokens) <= FEW_TOKENS
        return is_news

    def wait_for(self, has_come: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until has_come() after some news; return whether. StreamError after an error."""
        with self._condition:
            found = self._condition.wait_for(
                lambda: self.error is not None or has_come(), max(0.0, timeout_s))
            if self.error is not None:
                raise StreamError(f'the stream failed: {self.error}')
            return found

    def tokens_per_s(self) -> float:
        """Return the rate of speaking, without the time between two narrations."""
        with self._condition:
            tokens = list(self._tokens)
        intervals_ns = [later_ns - before_ns for (before_ns, before_id), (later_ns, later_id)
                        in zip(tokens, tokens[1:]) if before_id == later_id]
        if not sum(intervals_ns):
            raise StreamError('fewer than two tokens were said in the time: measure for longer')
        return 1e9 * len(intervals_ns) / sum(intervals_ns)


class WatchedStream:
    """
    A stream that has watched num_frames frames, and can begin from there again and again.

    Use it as a context manager: leaving it ends the worker. One thread at a time may call; all
    methods block, and raise StreamError where the stream fails.
    """

    def __init__(self, subject: Subject, num_frames: int, num_tokens: int, num_more_frames: int,
                 num_threads: int):
        """
        Watch frames, and leave room for num_tokens that are said and num_more_frames.

        num_threads: of the CPU, for the worker.
        """
        options = _options(subject, num_frames, num_tokens, num_more_frames)
        self.session = StreamSession(subject.model, subject.chat, options)
        self._options = options
        self._stamp_ns = 0
        self._pictures = [camera_frame(seed, 0).image for seed in range(_NUM_PICTURES)]
        self._num_prompts = 0
        self._watch(subject, num_frames)
        self._watched = self.session.snapshot()
        self._watched_until_ns = self._stamp_ns
        self._log = EventLog()
        self._mailbox = Mailbox(_MAILBOX_SIZE)
        self._worker = EngineWorker(num_threads)
        self._channel = None

    def __enter__(self) -> WatchedStream:
        self._channel = self._worker.open_channel(self.session, self._mailbox, self._log.take)
        self._worker.start()
        return self

    def __exit__(self, *error) -> None:
        self._worker.close(_TIMEOUT_S)

    def speaking_step(self) -> Callable[[], object]:
        """Have the session speak, before the worker has it; return a step of it that says more."""
        self._let_speak(True)
        self.session.add_prompt(self._prompt())
        self.session.add_frame(self._frame())
        self.session.step()
        return self.session.step

    def forget_steps(self) -> None:
        """Take the session back to where it has watched, before the worker has it."""
        self.session.restore(self._watched)
        self._stamp_ns = self._watched_until_ns

    def first_token_ms(self, is_speaking: bool, num_times: int) -> list[float]:
        """
        Return the ms from the arrival of a question to the first text of its answer.

        Asked in silence, the newest picture comes right behind it, as from the narrator; that is
        encoded within the time. Asked while something is said, it cuts that off.
        """
        log, times_ms = self._log, []
        for _ in range(num_times):
            self._begin_anew(is_speaking=True)
            if is_speaking:
                self._ask(self._prompt())
                self._wait_for(lambda: log.num_tokens >= FEW_TOKENS)
            prompt = self._prompt()
            if is_speaking:
                self._mailbox.submit_prompt(prompt)
            else:
                self._ask(prompt)
            self._wait_for(lambda prompt_id=prompt.prompt_id: prompt_id in log.first_token_ns)
            times_ms.append((log.first_token_ns[prompt.prompt_id] - prompt.received_ns) / 1e6)
        return times_ms

    def frame_to_token_ms(self, num_times: int) -> list[float]:
        """
        Return the ms from the arrival of a frame to the first token that saw it, in silence.

        That token is the model's silence. The frame is encoded within the time.
        """
        self._begin_anew(is_speaking=False)
        log, times_ms = self._log, []
        for _ in range(num_times):
            frame = self._frame()
            self._mailbox.submit_frame(frame)
            self._wait_for(lambda stamp_ns=frame.stamp_ns: stamp_ns in log.latencies_ms)
            times_ms.append(log.latencies_ms[frame.stamp_ns])
        return times_ms

    def ingest(self, fps: float, seconds: float) -> Ingest:
        """
        Have the model speak while fps frames a second arrive, for seconds.

        It goes on until a few tokens were said, where that takes longer.
        """
        self._begin_anew(is_speaking=True)
        log, prompt = self._log, self._prompt()
        self._ask(prompt)
        self._wait_for(lambda: prompt.prompt_id in log.first_token_ns)
        log.clear()
        dropped_before = self._mailbox.num_dropped_frames
        begin_s = time.monotonic()
        stamps: set[int] = set()
        while (now_s := time.monotonic()) < begin_s + seconds or (
                log.num_tokens < FEW_TOKENS and now_s < begin_s + _TIMEOUT_S):
            while fps and len(stamps) <= fps * (now_s - begin_s):
                frame = self._frame()
                stamps.add(frame.stamp_ns)
                self._mailbox.submit_frame(frame)
            has_few = log.num_tokens >= FEW_TOKENS
            end_s = begin_s + (seconds if has_few else _TIMEOUT_S)
            next_s = min(end_s, begin_s + len(stamps) / fps) if fps else end_s
            log.wait_for(lambda had_few=has_few: not had_few and log.num_tokens >= FEW_TOKENS,
                         next_s - now_s)
        seen = {stamp_ns: latency_ms for stamp_ns, latency_ms in dict(log.latencies_ms).items()
                if stamp_ns in stamps}
        return Ingest(fps, log.tokens_per_s(), len(stamps), len(seen),
                      self._mailbox.num_dropped_frames - dropped_before, list(seen.values()),
                      self.session.context.num_rollovers)

    def _watch(self, subject, num_frames):
        config = subject.model.config
        generator = torch.Generator().manual_seed(0)
        waiting = []
        for _ in range(num_frames):
            states = torch.randn(
                config.num_frame_tokens, config.text.hidden_size, generator=generator)
            self._stamp_ns += 10**9
            waiting.append(EncodedFrame(
                states.to(subject.model.device, subject.model.dtype), self._stamp_ns))
        self._let_speak(False)
        while waiting:
            self.session.add_frame(waiting[0])
            steps = self.session.step_while_silent(waiting[1:_FRAMES_AT_ONCE])
            del waiting[:len(steps)]

    def _let_speak(self, is_speaking):
        self.session.set_options(replace(
            self._options, silence_logit_bias=-_BIAS if is_speaking else _BIAS))

    def _begin_anew(self, is_speaking):
        def go_back():
            self.session.restore(self._watched)
            self._let_speak(is_speaking)

        self._channel.request_reset().result(_TIMEOUT_S)
        self._worker.call(go_back).result(_TIMEOUT_S)
        # The stream's own time goes back too: otherwise a question would soon be too old.
        self._stamp_ns = self._watched_until_ns
        self._log.clear()

    def _prompt(self):
        self._num_prompts += 1
        return Prompt(QUESTION, f'prompt-{self._num_prompts}', time.monotonic_ns())

    def _frame(self):
        self._stamp_ns += 10**9
        picture = self._pictures[self._stamp_ns // 10**9 % _NUM_PICTURES]
        return Frame(picture, self._stamp_ns, time.monotonic_ns())

    def _ask(self, prompt):
        self._mailbox.submit_prompt(prompt)
        self._mailbox.submit_frame(self._frame())

    def _wait_for(self, has_come):
        if not self._log.wait_for(has_come, _TIMEOUT_S):
            raise StreamError(f'the stream did not go on within {_TIMEOUT_S:.0f} s')


def _options(subject: Subject, num_frames: int, num_tokens: int,
             num_more_frames: int) -> StreamOptions:
    """Return options for a stream that forgets nothing, and does no work ahead for it."""
    own = subject.options
    num_opening = len(subject.chat.opening(own.system_prompt))
    num_question = len(subject.chat.question_turn(QUESTION))
    spare = 4 * (num_question + 2)
    max_frames = num_frames + num_more_frames + 8
    max_tokens = num_opening + 2 * max_frames + num_tokens + spare
    return replace(
        own, max_context_frames=max_frames, keep_context_frames=1,
        max_context_tokens=max_tokens, keep_context_tokens=1,
        max_tokens_between_frames=num_tokens, max_narration_tokens=num_tokens,
        silence_logit_bias=_BIAS)
