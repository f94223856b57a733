"""
The state machine of one live stream: frames and prompts in, one token a step, events out.

Deterministic: knows no threads, no wall time and no randomness beyond options.seed, so the same
calls give the same events. Driven by the worker when live, and directly by evaluation and
offline tools. What the model sees is kept by StreamContext.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
import math

from moss_ros.model import sample_token, VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.stream.context import StreamContext
from moss_ros.stream.events import (
    EndReason, ErrorEvent, Event, NarrationEvent, PromptEvent, SessionState, SilenceEvent,
    StateEvent, TokenEvent,
)
from moss_ros.stream.frame import Frame, Prompt
from moss_ros.stream.frame_encoding import encode_frames, EncodedFrame
from moss_ros.stream.options import StreamOptions
from moss_ros.stream.snapshot import StreamSnapshot
from moss_ros.stream.text_pieces import TextPieces
import torch

# What may change while a stream runs; all else is built into its memory or its beginning.
_LIVE_OPTIONS = frozenset({
    'frame_rate_fps', 'max_tokens_between_frames', 'silence_logit_bias', 'sampling'})


@dataclass
class _Narration:
    """What is being said, or about to be said in answer to a prompt."""

    narration_id: int
    prompt_id: str | None
    first_stamp_ns: int | None = None
    text: str = ''
    num_tokens: int = 0


class StreamSession:
    """
    One stream: SILENT it waits for a frame or a prompt, SPEAKING each step says a token.

    A frame is followed by one sampled token: silence, or the beginning of a narration, which goes
    on, taking in frames between its tokens, until the model says silence. A prompt ends what is
    being said and is answered at once. One thread at a time may call; only step() takes time,
    that of one pass through the model.
    """

    def __init__(self, model: VideoModel, chat: ChatFormat, options: StreamOptions):
        """
        Allocate the stream's cache. The model may serve other sessions in turn.

        Raises ValueError where model and tokenizer do not belong together, or the options leave
        no room for a system prompt and an answer.
        """
        vocab_size = model.config.text.vocab_size
        chat.require_model(model.config.image_token_id, vocab_size)
        self._model = model
        self._chat = chat
        self._options = options
        self._context = StreamContext(model, chat, options)
        self._pieces = TextPieces(chat.decode)
        self._never_said = torch.tensor(
            chat.never_said_ids(vocab_size), dtype=torch.int64, device=model.device)
        self._generator = torch.Generator()
        # More frames than the context holds could never be seen together: the oldest go.
        self._frames: deque[Frame | EncodedFrame] = deque(
            maxlen=options.max_context_frames)
        self._prompts: deque[Prompt] = deque()
        self.reset()

    @property
    def options(self) -> StreamOptions:
        """Settings that the session runs with."""
        return self._options

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self._model.device

    @property
    def state(self) -> SessionState:
        """Whether the last sampled token was text (SPEAKING) or not."""
        return self._state

    @property
    def context(self) -> StreamContext:
        """What the model sees, for reading only."""
        return self._context

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header time of the newest frame that was taken in, None before the first."""
        return self._stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time of arrival of that frame, None before the first."""
        return self._received_ns

    @property
    def has_work(self) -> bool:
        """Whether a step would do something: a prompt waits for the first frame."""
        return self._state is SessionState.SPEAKING or bool(self._frames) or (
            bool(self._prompts) and self._context.is_open)

    def reset(self) -> None:
        """Forget everything, also what is queued; as new, but the memory is used again."""
        self._context.reset()
        self._pieces.reset()
        self._generator.manual_seed(self._options.seed)
        self._frames.clear()
        self._prompts.clear()
        self._events: list[Event] = []
        self._state = SessionState.SILENT
        self._is_state_known = False
        self._narration: _Narration | None = None
        self._num_narrations = 0
        self._num_tokens_since_input = 0
        self._stamp_ns: int | None = None
        self._received_ns: int | None = None

    def require_options(self, options: StreamOptions) -> None:
        """
        Raise ValueError, with the reason, where set_options() could not take these.

        That is where they leave no room to speak, or change what needs another session. Any
        thread may call.
        """
        for field in fields(StreamOptions):
            old, new = getattr(self._options, field.name), getattr(options, field.name)
            if new != old and field.name not in _LIVE_OPTIONS:
                raise ValueError(
                    f'{field.name} cannot become {new!r} while a stream runs with {old!r}; make '
                    'another session')
        self._context.require_options(options)

    def set_options(self, options: StreamOptions) -> None:
        """Go on with these from the next step on; ValueError as require_options() has it."""
        self.require_options(options)
        self._options = options
        self._context.set_options(options)

    def add_frame(self, frame: Frame | EncodedFrame) -> None:
        """
        Queue a frame; the next step shows it to the model. ValueError if it is no frame.

        An EncodedFrame is one of encode_frames() with this session's model.
        """
        if not isinstance(frame, (Frame, EncodedFrame)):
            raise ValueError(f'a Frame is needed, not {frame!r}')
        self._frames.append(frame)

    def add_prompt(self, prompt: Prompt) -> None:
        """Queue a prompt; the next step with a frame seen answers it. ValueError if it is none."""
        if not isinstance(prompt, Prompt):
            raise ValueError(f'a Prompt is needed, not {prompt!r}')
        self._prompts.append(prompt)

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """
        Take in what is queued, then say one token; return what happened, in order.

        One pass through the decoder and one sampled token; none where there is no work. After
        an exception, which is the model's, only stop() and reset() may be called: stop() returns
        the events of the broken step.
        """
        self._tell_state(self._state)
        if self.has_work:
            num_taken = self._take_in_prompts() + self._take_in_frames()
            if num_taken:
                self._num_tokens_since_input = 0
            if num_taken or self._state is SessionState.SPEAKING:
                self._say(self._sample(self._context.forward()))
        return self._take_events()

    @torch.inference_mode()
    def step_while_silent(self, following: Sequence[EncodedFrame]) -> list[list[Event]]:
        """
        Do as step(), and then as add_frame() and step() for each of following, until it speaks.

        Returns the events of each step; so many of following, less one, were taken in. All these
        steps share one pass through the decoder: for who knows the frames beforehand, silence is
        nearly free. It takes none of following where a prompt waits, something is being said or
        no frame is queued.
        """
        if self._state is SessionState.SPEAKING or self._prompts or not self._frames:
            return [self.step()]
        self._tell_state(self._state)
        self._take_in_frames()
        logits = self._context.forward_silently([frame.states for frame in following])
        token_ids = []
        for row in logits:
            token_ids.append(self._sample(row))
            if not self._is_silence(token_ids[-1]):
                break
        self._context.take_back_frames(len(logits) - len(token_ids))
        self._num_tokens_since_input = 0
        steps = []
        for frame in following[:len(token_ids) - 1]:
            self._fall_silent()
            steps.append(self._take_events())
            self._stamp_ns, self._received_ns = frame.stamp_ns, frame.received_ns
        self._say(token_ids[-1])
        return [*steps, self._take_events()]

    def stop(self) -> list[Event]:
        """End what is being said, keep watching; does not block. What is queued stays queued."""
        if self._narration is not None:
            self._end_narration(EndReason.STOPPED)
        if self._state is SessionState.SPEAKING:
            self._context.add_silence()
            self._tell_state(SessionState.SILENT)
        return self._take_events()

    def snapshot(self) -> StreamSnapshot:
        """
        Return a copy of the whole stream: a session with it goes on to the last bit as this one.

        For between two steps. Raises ValueError where frames wait that are not encoded.
        """
        if not all(isinstance(frame, EncodedFrame) for frame in self._frames):
            raise ValueError('frames wait that are not encoded; step() first, or add '
                             'EncodedFrames')
        context = self._context.snapshot()
        tensors = {**context.tensors, 'generator': self._generator.get_state()}
        if self._frames:
            tensors['waiting_states'] = torch.stack([frame.states for frame in self._frames])
        return StreamSnapshot({
            'context': context.state,
            'pieces': self._pieces.snapshot(),
            'waiting_frames': [[frame.stamp_ns, frame.received_ns] for frame in self._frames],
            'waiting_prompts': [asdict(prompt) for prompt in self._prompts],
            'state': self._state.value,
            'is_state_known': self._is_state_known,
            'narration': asdict(self._narration) if self._narration else None,
            'num_narrations': self._num_narrations,
            'num_tokens_since_input': self._num_tokens_since_input,
            'stamp_ns': self._stamp_ns,
            'received_ns': self._received_ns,
        }, tensors)

    def restore(self, snapshot: StreamSnapshot) -> None:
        """
        Go on as the session of the same model and options whose snapshot() this is.

        Raises KeyError, TypeError, ValueError or RuntimeError where it is none.
        """
        state, tensors = snapshot.state, snapshot.tensors
        self.reset()
        self._context.restore(StreamSnapshot(state['context'], tensors))
        self._pieces.restore(state['pieces'])
        self._generator.set_state(tensors['generator'])
        for index, (stamp_ns, received_ns) in enumerate(state['waiting_frames']):
            states = tensors['waiting_states'][index].to(self._model.device)
            self._frames.append(EncodedFrame(states, stamp_ns, received_ns))
        self._prompts.extend(Prompt(**prompt) for prompt in state['waiting_prompts'])
        self._state = SessionState(state['state'])
        self._is_state_known = state['is_state_known']
        self._narration = _Narration(**state['narration']) if state['narration'] else None
        self._num_narrations = state['num_narrations']
        self._num_tokens_since_input = state['num_tokens_since_input']
        self._stamp_ns, self._received_ns = state['stamp_ns'], state['received_ns']

    def _take_in_prompts(self):
        num_taken = 0
        while self._prompts:
            prompt = self._prompts.popleft()
            num_too_many = self._context.num_tokens_too_many(prompt.text)
            if num_too_many:
                self._refuse(prompt, num_too_many)
                continue
            if self._narration is not None:
                self._end_narration(EndReason.INTERRUPTED)
            if self._context.is_open:
                self._context.add_question(prompt.text)
            else:
                self._context.open(prompt.text)
            self._emit(PromptEvent, prompt_id=prompt.prompt_id, text=prompt.text)
            self._begin_narration(prompt.prompt_id)
            num_taken += 1
        return num_taken

    def _refuse(self, prompt, num_too_many):
        self._emit(
            ErrorEvent, prompt_id=prompt.prompt_id,
            message=f'prompt {prompt.prompt_id!r} is refused: it is {num_too_many} tokens too '
            f'long for a context of {self._options.max_context_tokens} tokens; ask it in fewer '
            f'words (it begins {prompt.text.strip()[:40]!r})')

    def _take_in_frames(self):
        if not self._frames:
            return 0
        frames = list(self._frames)
        if not self._context.is_open:
            self._context.open()
        new = iter(encode_frames(self._model, [
            frame for frame in frames if isinstance(frame, Frame)]))
        encoded = [next(new) if isinstance(frame, Frame) else frame for frame in frames]
        self._context.add_frames([frame.states for frame in encoded])
        self._frames.clear()
        self._stamp_ns, self._received_ns = frames[-1].stamp_ns, frames[-1].received_ns
        return len(frames)

    def _sample(self, logits):
        logits = logits.float().index_fill(0, self._never_said, -math.inf)  # a copy
        logits[self._chat.silence_id] += self._options.silence_logit_bias
        return sample_token(
            logits, self._options.sampling, self._context.said_ids, self._chat.control_ids,
            self._generator)

    def _say(self, token_id):
        if self._is_silence(token_id):
            self._context.add_silence()
            self._fall_silent()
            return
        self._context.add_said(token_id)
        if self._narration is None:
            self._begin_narration(None)
        self._tell_state(SessionState.SPEAKING)
        self._go_on_with(token_id)
        if self._num_tokens_since_input >= min(
                self._options.max_tokens_between_frames, self._context.max_answer_tokens):
            self._context.add_silence()
            self._end_narration(EndReason.LIMIT)
            self._tell_state(SessionState.SILENT)

    def _is_silence(self, token_id):
        return token_id in (self._chat.silence_id, self._chat.eot_id)

    def _fall_silent(self):
        if self._narration is not None:
            self._end_narration(EndReason.SILENCE)
        self._emit(SilenceEvent)
        self._tell_state(SessionState.SILENT)

    def _begin_narration(self, prompt_id):
        self._num_narrations += 1
        self._narration = _Narration(self._num_narrations, prompt_id)
        self._pieces.reset()

    def _go_on_with(self, token_id):
        narration = self._narration
        if narration.num_tokens == 0:
            narration.first_stamp_ns = self._stamp_ns
        narration.num_tokens += 1
        self._num_tokens_since_input += 1
        piece = self._pieces.push(token_id)
        narration.text += piece
        if piece:
            self._emit(
                TokenEvent, text=piece, token_id=token_id, narration_id=narration.narration_id,
                prompt_id=narration.prompt_id)

    def _end_narration(self, reason):
        narration, self._narration = self._narration, None
        # Half a character is nothing that was said. An answer is reported in any case, so that
        # whoever asked knows that nothing more will come.
        if narration.text or narration.prompt_id is not None:
            first_stamp_ns = narration.first_stamp_ns if narration.num_tokens else self._stamp_ns
            self._emit(
                NarrationEvent, narration_id=narration.narration_id, text=narration.text,
                first_stamp_ns=first_stamp_ns, reason=reason, prompt_id=narration.prompt_id,
                num_tokens=narration.num_tokens)

    def _tell_state(self, state):
        if state is not self._state or not self._is_state_known:
            self._state = state
            self._is_state_known = True
            self._emit(StateEvent, state=state)

    def _emit(self, event_class, **fields):
        self._events.append(event_class(
            stamp_ns=self._stamp_ns, received_ns=self._received_ns, **fields))

    def _take_events(self):
        events, self._events = self._events, []
        return events
