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
The object with the published calls: live streams and offline questions through queues.

load_generator() makes one from a checkpoint. A Generator holds a model with its tokenizer and
hands each call to a live run (live.py) or to the offline answerer (offline.py). Used by scripts
and by the describe command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
import threading

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.checks import require_count, require_text
from moss_ros.generator.calls import DEFAULT_CHUNK_LENGTH, failures_told, LiveCall, OfflineCall
from moss_ros.generator.live import LiveRun
from moss_ros.generator.offline import OfflineAnswerer, OfflineOptions
from moss_ros.generator.query import is_stop, OfflineQuery
from moss_ros.generator.queue_strings import answer_strings, DONE, ROUND_END
from moss_ros.generator.turn_lock import TurnLock
from moss_ros.model import CheckpointError, SamplingOptions, VideoModel
from moss_ros.stream import ChatFormat, StreamCheckpoint, StreamOptions, StreamSession
from moss_ros.stream.system_prompts import require_prompts
import torch


@dataclass(frozen=True)
class Processor:
    """
    What scripts may pass where the published scripts pass a processor.

    The generator prepares texts and images itself; this only describes how. chat: the chat
    layout. image_size_px: side of the square that images are fitted into.
    """

    chat: ChatFormat
    image_size_px: int


class Generator:
    """
    A model with the calls of the published scripts.

    One live stream and one offline_generate can run at a time. Both may run at once, each in a
    thread of its own; they then take turns with the model. Each call generates in its caller's
    thread. If that is a daemon thread, the process waits at its end for the running pass through
    the model.
    """

    def __init__(self, model: VideoModel, chat: ChatFormat, stream_options: StreamOptions,
                 offline_options: OfflineOptions, checkpoint: Path | None = None):
        """Combine a model and its tokenizer; ValueError if they don't belong together."""
        chat.require_model(model.config.image_token_id, model.config.text.vocab_size)
        self.processor = Processor(chat, model.config.vision.image_size)
        self.checkpoint = checkpoint
        self._model = model
        self._chat = chat
        self._stream_options = stream_options
        model_lock = self._model_lock = TurnLock()
        self._answerer = OfflineAnswerer(model, chat, offline_options, model_lock)
        self._offline_lock = threading.Lock()  # held while queries are answered
        self._live_lock = threading.Lock()  # guards the three below
        self._live: LiveRun | None = None
        self._has_started = False
        self._is_stop_waiting = False

    @property
    def frame_rate_fps(self) -> float:
        """Images per second that the model expects on the image queue."""
        return self._stream_options.frame_rate_fps

    @property
    def sampling(self) -> SamplingOptions:
        """How tokens of a live stream are drawn, unless a call says otherwise."""
        return self._stream_options.sampling

    def real_time_generate(self, *arguments, **keywords) -> None:
        """
        Watch and answer until stopped by stop_real_time_generate; block the calling thread.

        In this order, or by name:

        - image_queue or new_video_frames: queue.Queue of PIL images of any mode and size, to be
          filled with frame_rate_fps images a second. Each counts as one step of that rate,
          whenever it arrives.
        - prompt_queue or new_prompts: queue.Queue of str. A new prompt interrupts the answer to
          the one before.
        - token_queue or output_text_queue: queue.Queue that gets the strings of the published
          protocol: '[DONE]' when stopped, '[ERROR] ...' for an item that can't be used (the
          stream goes on) and for a failure (then '[DONE]' follows).
        - processor: ignored.
        - max_tokens_per_turn: pace of speaking, in tokens a second; no limit if left out. A
          prompt does not wait for it.

        By name only: do_sample, temperature, top_k, top_p, repetition_penalty, and max_new_tokens,
        which limits each narration or answer, not the stream. Those that are left out are as the
        checkpoint has them.

        Failures are also raised: ValueError for bad arguments, RuntimeError if it is running
        already, and whatever the model or a queue raises.
        """
        run = None
        try:
            with failures_told(LiveCall.output_queues(arguments, keywords), DONE):
                call = LiveCall.from_arguments(arguments, keywords, self.sampling)
                options = replace(self._stream_options, sampling=call.settings.sampling)
                run = LiveRun(
                    lambda: StreamSession(self._model, self._chat, options), call.image_queue,
                    call.prompt_queue, call.token_queue, call.settings.max_new_tokens,
                    call.max_tokens_per_turn, self._model_lock)
                self._begin(run)
                run.run()
        finally:
            self._end(run)

    def stop_real_time_generate(self, timeout_s: float = 2.0) -> bool:
        """
        Stop the live stream and wait at most timeout_s for its end; return whether it has ended.

        Any thread may call, at any time. A stop before the very first start is remembered and
        ends that start at once, because the starting thread may be slower than the stopping one.
        Later, a stop does nothing when no stream runs.
        """
        with self._live_lock:
            run = self._live
            if run is None:
                self._is_stop_waiting = not self._has_started
                return True
        run.request_stop()
        return run.wait(timeout_s)

    def offline_generate(self, *arguments, **keywords) -> None:
        """
        Answer queries until one is {'stop_offline_generate': True}; block the calling thread.

        In this order, or by name:

        - processor: ignored.
        - new_queries: queue.Queue of dicts as OfflineQuery.from_dict takes them, answered in
          order.
        - output_text_queue: queue.Queue that gets each answer in pieces, then '<|round_end|>'. If
          a query fails, '[ERROR] ...' comes before it, and the next query is answered as usual.
        - vision_chunked_length: largest number of frames decoded and encoded at a time (64).

        Other failures are put on the output queue in the same way, and are also raised:
        ValueError for bad arguments, RuntimeError if it is running already.
        """
        with failures_told(OfflineCall.output_queues(arguments, keywords), ROUND_END):
            call = OfflineCall.from_arguments(arguments, keywords)
            if not self._offline_lock.acquire(blocking=False):
                raise RuntimeError(
                    'offline_generate is running already on this generator; stop it by a query '
                    '{"stop_offline_generate": True}, or queue on it')
            try:
                with self._model_lock:
                    torch.get_num_threads()  # as in a live run
                while not is_stop(query := call.new_queries.get()):
                    for string in answer_strings(self._answer(query, call.vision_chunked_length)):
                        call.output_text_queue.put(string)
            finally:
                self._offline_lock.release()

    def answer(self, query: Mapping | OfflineQuery,
               vision_chunked_length: int = DEFAULT_CHUNK_LENGTH,
               on_frames: Callable[[int, int], None] | None = None) -> Iterator[str]:
        """
        Yield the answer to one query in pieces of text, without queues, in the calling thread.

        on_frames(num_done, num_frames) is called as frames are encoded. Raises MediaError for
        media that can't be read, ValueError for a query that can't be answered.
        """
        require_count('vision_chunked_length', vision_chunked_length)
        return self._answer(query, vision_chunked_length, on_frames)

    def _answer(self, query, chunk_length, on_frames=None):
        if not isinstance(query, OfflineQuery):
            query = OfflineQuery.from_dict(query, self.sampling)
        yield from self._answerer.answer(query, chunk_length, on_frames)

    def _begin(self, run):
        with self._live_lock:
            if self._live is not None:
                raise RuntimeError('real_time_generate is running already on this generator; '
                                   'call stop_real_time_generate() first, or load another one')
            self._live, self._has_started = run, True
            if self._is_stop_waiting:
                self._is_stop_waiting = False
                run.request_stop()

    def _end(self, run):
        with self._live_lock:
            if self._live is run:
                self._live = None
        if run is not None:
            run.end()


def load_generator(checkpoint: str | Path | None = None, device: str = 'auto',
                   dtype: str = 'auto', attention: str = 'auto',
                   quantization: str | None = None, system_prompt: str | None = None,
                   system_prompts: Mapping | None = None) -> Generator:
    """
    Load a checkpoint and return the object with the published calls.

    - checkpoint: a folder or a Hugging Face id; None: the embedded model.
    - device: 'auto' (a GPU if there is one), 'cpu', 'cuda', 'cuda:1'.
    - dtype: 'auto', 'float32', 'bfloat16' or 'float16'.
    - attention: 'auto', 'sdpa' or 'flash'. quantization: None, 'int8' or 'int4'.
    - system_prompt: for live streams.
    - system_prompts: for offline queries, a dict by system_prompt_type. Each value is a text, or
      a dict of texts by thinking_mode.

    Prompts that are None or left out are the checkpoint's own, from its config.json or its code,
    or else this package's; the log says which. Raises CheckpointError for a checkpoint that can't
    be used, ValueError for the other arguments; the message names the cause and the way out.
    """
    if system_prompt is not None:
        require_text('system_prompt', system_prompt)
    if system_prompts is not None:
        require_prompts(system_prompts)
    opened = StreamCheckpoint.open(
        DEMO_CHECKPOINT if checkpoint is None else checkpoint, system_prompt=system_prompt)
    try:
        offline_options = OfflineOptions.from_checkpoint(opened.folder, system_prompts)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    # The weights come last, so that all other errors show early.
    model = opened.load_model(device, dtype, attention, quantization)
    return Generator(model, opened.chat, opened.options, offline_options, opened.folder)
