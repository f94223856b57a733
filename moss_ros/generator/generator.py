"""
The object that the published scripts drive: live streams and offline questions by queues.

Holds a model with its tokenizer and hands each call to a live run or to the offline answerer.
Knows nothing of ROS. Made by load_generator().
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
import queue
import threading

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.generator.live import LiveRun
from moss_ros.generator.offline import OfflineAnswerer, OfflineOptions
from moss_ros.generator.query import GenerationSettings, is_stop, OfflineQuery
from moss_ros.generator.queue_strings import answer_strings
from moss_ros.generator.turn_lock import TurnLock
from moss_ros.model import (
    CheckpointError, load_model, ModelConfig, resolve_checkpoint, SamplingOptions, VideoModel,
)
from moss_ros.stream import ChatFormat, StreamOptions, StreamSession
import torch

DEFAULT_CHUNK_LENGTH = 64


@dataclass(frozen=True)
class Processor:
    """
    What to pass where the published scripts pass a processor.

    The generator prepares texts and images by itself; this tells how. chat: the chat layout.
    image_size_px: side of the square that images are fitted into.
    """

    chat: ChatFormat
    image_size_px: int


class Generator:
    """
    A model with the calls of the published scripts.

    One live stream and one offline_generate at a time; they may run side by side, in threads of
    their own, and take turns at the model. Each call generates in its caller's thread.
    """

    def __init__(self, model: VideoModel, chat: ChatFormat, stream_options: StreamOptions,
                 offline_options: OfflineOptions, checkpoint: Path | None = None):
        """Put a model and its tokenizer together; ValueError where they don't belong together."""
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
        """Images a second that the model expects on the image queue."""
        return self._stream_options.frame_rate_fps

    @property
    def sampling(self) -> SamplingOptions:
        """How tokens are drawn where a call does not say."""
        return self._stream_options.sampling

    def real_time_generate(self, image_queue: queue.Queue, prompt_queue: queue.Queue,
                           token_queue: queue.Queue, processor: object = None,
                           **kwargs) -> None:
        """
        Watch and answer until stopped by stop_real_time_generate; block the calling thread.

        - image_queue: PIL images of any mode and size, frame_rate_fps a second. All of them are
          shown, each as one step of that rate, whenever it comes; what comes while the model is
          busy is shown together, the newest max_context_frames of it.
        - prompt_queue: str. The one being answered is interrupted by the next.
        - token_queue: gets the strings of the published protocol, '[DONE]' when stopped, and
          '[ERROR] ...' for what can't be used (the stream goes on) or a failure (it ends).
        - processor: not needed, whatever it is.
        - kwargs: do_sample, temperature, top_k, top_p, repetition_penalty; max_new_tokens limits
          each narration or answer, not the stream. What is left out is the checkpoint's own.

        Raises ValueError for other kwargs, RuntimeError where it is running already.
        """
        settings = GenerationSettings.from_keywords(kwargs, self.sampling)
        options = replace(self._stream_options, sampling=settings.sampling)
        run = LiveRun(
            lambda: StreamSession(self._model, self._chat, options), image_queue, prompt_queue,
            token_queue, settings.max_new_tokens, self._model_lock)
        with self._live_lock:
            if self._live is not None:
                raise RuntimeError('real_time_generate is running already on this generator; '
                                   'call stop_real_time_generate() first, or load another one')
            self._live, self._has_started = run, True
            if self._is_stop_waiting:
                self._is_stop_waiting = False
                run.request_stop()
        try:
            run.run()
        finally:
            with self._live_lock:
                self._live = None
            run.end()

    def stop_real_time_generate(self, timeout_s: float = 2.0) -> bool:
        """
        Stop the live stream and wait until it has ended, at most timeout_s; whether it has.

        Any thread may call, at any time. A stop that comes before the first start is kept, and
        ends that start at once: the thread that starts may be slower than the one that stops.
        After that, a stop where nothing runs does nothing.
        """
        with self._live_lock:
            run = self._live
            if run is None:
                self._is_stop_waiting = not self._has_started
                return True
        run.request_stop()
        return run.wait(timeout_s)

    def offline_generate(self, processor: object, new_queries: queue.Queue,
                         output_text_queue: queue.Queue,
                         vision_chunked_length: int = DEFAULT_CHUNK_LENGTH) -> None:
        """
        Answer queries until one is {'stop_offline_generate': True}; block the calling thread.

        - processor: not needed, whatever it is.
        - new_queries: dicts as OfflineQuery.from_dict takes them, answered in their order.
        - output_text_queue: gets each answer in pieces and '<|round_end|>' after it; before that
          '[ERROR] ...' where a query fails, which does not concern the others.
        - vision_chunked_length: frames that are decoded and encoded at a time, at most.

        Raises ValueError for a chunk length that is none, RuntimeError where it is running
        already.
        """
        _require_chunk_length(vision_chunked_length)
        if not self._offline_lock.acquire(blocking=False):
            raise RuntimeError('offline_generate is running already on this generator; stop it '
                               'by a query {"stop_offline_generate": True}, or queue on it')
        try:
            torch.get_num_threads()  # as in a live run
            while not is_stop(query := new_queries.get()):
                for string in answer_strings(self._answer(query, vision_chunked_length)):
                    output_text_queue.put(string)
        finally:
            self._offline_lock.release()

    def answer(self, query: Mapping | OfflineQuery,
               vision_chunked_length: int = DEFAULT_CHUNK_LENGTH,
               on_frames: Callable[[int, int], None] | None = None) -> Iterator[str]:
        """
        Yield the answer to one query in pieces, without queues, in the calling thread.

        on_frames is called with the numbers of frames encoded so far and in all. Raises
        MediaError for media that can't be read, ValueError for a query that can't be answered.
        """
        _require_chunk_length(vision_chunked_length)
        return self._answer(query, vision_chunked_length, on_frames)

    def _answer(self, query, chunk_length, on_frames=None):
        if not isinstance(query, OfflineQuery):
            query = OfflineQuery.from_dict(query, self.sampling)
        yield from self._answerer.answer(query, chunk_length, on_frames)


def load_generator(checkpoint: str | Path | None = None, device: str = 'auto',
                   dtype: str = 'auto', attention: str = 'auto',
                   quantization: str | None = None) -> Generator:
    """
    Load a checkpoint and return the object with the published calls.

    - checkpoint: a folder or a Hugging Face id; None: the embedded model.
    - device: 'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1'.
    - dtype: 'auto', 'float32', 'bfloat16' or 'float16'.
    - attention: 'auto', 'sdpa' or 'flash'. quantization: None, 'int8' or 'int4'.

    Raises CheckpointError for a checkpoint that can't be used, ValueError for the other
    arguments; the message names the cause and the way out.
    """
    folder = DEMO_CHECKPOINT if checkpoint is None else resolve_checkpoint(checkpoint)
    # The weights last: what else may be wrong shows in less time.
    config = ModelConfig.from_folder(folder)
    try:
        chat = ChatFormat(folder / 'tokenizer.json')
        chat.require_model(config.image_token_id, config.text.vocab_size)
        stream_options = StreamOptions.from_checkpoint(folder)
        offline_options = OfflineOptions.from_checkpoint(folder)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    model = load_model(folder, device=device, dtype=dtype, attention=attention,
                       quantization=quantization)
    return Generator(model, chat, stream_options, offline_options, folder)


def _require_chunk_length(length):
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ValueError(f'vision_chunked_length is {length!r}; a whole number of at least 1 is '
                         f'needed')
