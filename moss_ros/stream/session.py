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
The state machine of one live stream: frames and prompts in, one token a step, events out.

Deterministic: it uses no threads, no wall time and no randomness besides options.seed, so the
same calls give the same events. Stepped by the worker when live, and directly by evaluation and
bags. StreamContext holds what the model sees, Conversation makes the events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import asdict, fields

from moss_ros.model import VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.stream.context import StreamContext, StreamSnapshot
from moss_ros.stream.contract import ContextFill, SessionFigures, StreamChange
from moss_ros.stream.conversation import Conversation
from moss_ros.stream.decoding import TextPieces, TokenChooser
from moss_ros.stream.dialogue import Last
from moss_ros.stream.events import EndReason, Event, SessionState
from moss_ros.stream.frame import EncodedFrame, Frame, Prompt
from moss_ros.stream.frame_encoder import FrameEncoder
from moss_ros.stream.options import StreamOptions
from moss_ros.stream.passes import pass_alone, PassGenerator
import torch

# These may change while a stream runs. The others determine its memory or its opening.
_LIVE_OPTIONS = frozenset({
    'frame_rate_fps', 'max_tokens_between_frames', 'silence_logit_bias', 'sampling',
    'answer_within_s', 'max_step_s'})


class StreamSession:
    """
    One stream. While SILENT it waits for a frame; while SPEAKING each step says a token.

    After each frame one token is sampled: silence, or the first token of a narration. A narration
    goes on, with at most one frame between two tokens, until the model samples silence. A prompt
    ends what is being said. If the model was speaking, it answers at once or keeps silent, else
    it decides at the next frame (see DialogueLayout). One thread at a time may call. Only step()
    and step_while_silent() take long: they encode frames that are not encoded yet, and make one
    pass through the decoder.
    """

    def __init__(self, model: VideoModel, chat: ChatFormat, options: StreamOptions):
        """
        Allocate the stream's cache. Other sessions may use the model in between.

        Raises ValueError if model and tokenizer do not belong together, or the options leave no
        room for the system prompt and an answer.
        """
        vocab_size = model.config.text.vocab_size
        chat.require_model(model.config.image_token_id, vocab_size)
        self._model = model
        self._chat = chat
        self._own_options = self._options = options
        self._encoder = FrameEncoder(model)
        self._context = StreamContext(model, chat, options)
        self._conversation = Conversation(options.answer_within_s)
        self._pieces = TextPieces(chat.decode)
        self._chooser = TokenChooser(chat, vocab_size, model.device)
        self._generator = torch.Generator()
        # The context can not hold more frames than this, so the oldest are dropped.
        self._frames: deque[Frame | EncodedFrame] = deque(
            maxlen=options.max_context_frames)
        self._prompts: deque[Prompt] = deque()
        self.reset()

    @property
    def model(self) -> VideoModel:
        """Return the model that the session runs."""
        return self._model

    @property
    def options(self) -> StreamOptions:
        """Return the settings that the session runs with now."""
        return self._options

    @property
    def frame_rate_fps(self) -> float:
        """Frames a second that the session was made for."""
        return self._own_options.frame_rate_fps

    @property
    def state(self) -> SessionState:
        """SPEAKING from the first text of a narration to its end, and on if a prompt cut it."""
        return self._conversation.state

    @property
    def context(self) -> StreamContext:
        """Return what the model sees; only for reading."""
        return self._context

    @property
    def newest_stamp_ns(self) -> int | None:
        """Header stamp in ns of the newest frame that was taken in; None before the first."""
        return self._conversation.newest_stamp_ns

    @property
    def newest_received_ns(self) -> int | None:
        """Monotonic time in ns at which that frame arrived; None before the first."""
        return self._conversation.newest_received_ns

    @property
    def num_waiting_frames(self) -> int:
        """Frames that were added, but not yet seen by the model."""
        return len(self._frames)

    @property
    def has_work(self) -> bool:
        """Whether a step would do something. A prompt alone is no work before the first frame."""
        return self.state is SessionState.SPEAKING or bool(self._frames) or (
            bool(self._prompts) and self._context.is_open)

    def reset(self) -> None:
        """Forget everything, including queued frames and prompts; the memory is reused."""
        self._encoder.reset()
        self._context.reset()
        self._pieces.reset()
        self._generator.manual_seed(self._options.seed)
        self._frames.clear()
        self._prompts.clear()
        self._conversation.reset()

    def require_options(self, options: StreamOptions) -> None:
        """
        Raise ValueError, with the reason, if set_options() can not take these options.

        They must leave room for an answer, and may only change what a running session allows. Any
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
        """Use these options from the next step on; ValueError as require_options()."""
        self.require_options(options)
        self._options = options
        self._context.set_options(options)
        self._conversation.answer_within_s = options.answer_within_s

    def require_change(self, change: StreamChange) -> None:
        """Raise ValueError, with the reason, if apply() can not take change; any thread."""
        self.require_options(change.applied_to(self._own_options))

    def apply(self, change: StreamChange) -> None:
        """Apply a change to the session's first options; ValueError as require_change()."""
        self.set_options(change.applied_to(self._own_options))

    def require_prompt(self, text: str) -> None:
        """Raise ValueError if text is too long to be asked and answered; any thread."""
        obstacle = self._length_obstacle(text)
        if obstacle:
            raise ValueError(f'prompt is {obstacle}')

    def figures(self) -> SessionFigures:
        """Return the device and how full the context is; any thread."""
        context, options = self._context, self._options
        return SessionFigures(self._model.device, ContextFill(
            context.num_tokens, options.max_context_tokens, context.num_frames,
            options.max_context_frames, context.num_rollovers))

    def give_up(self) -> None:
        """Do nothing: this session ends without delay anyway."""

    def close(self) -> None:
        """Do nothing: the memory is freed with the last reference to the session."""

    def add_frame(self, frame: Frame | EncodedFrame) -> None:
        """
        Queue a frame for the next steps. ValueError if it is no frame.

        With options.max_context_frames in the queue, the oldest is dropped. An EncodedFrame must
        come from a FrameEncoder with this session's model.
        """
        if not isinstance(frame, (Frame, EncodedFrame)):
            raise ValueError(f'a Frame is needed, not {frame!r}')
        self._frames.append(frame)

    def encode_in_blocks(
            self, frames: Sequence[Frame]) -> Generator[None, None, list[EncodedFrame]]:
        """
        Encode frames in a generator, which yields after each layer and returns them at its end.

        While it is suspended, the session may be stepped, stopped and reset.
        """
        return self._encoder.encode_in_blocks(frames)

    def add_prompt(self, prompt: Prompt) -> None:
        """Queue a prompt for the next step that has work. ValueError if it is no Prompt."""
        if not isinstance(prompt, Prompt):
            raise ValueError(f'a Prompt is needed, not {prompt!r}')
        self._prompts.append(prompt)

    def forget_frames(self) -> None:
        """Forget the frames that are queued."""
        self._frames.clear()

    def step(self) -> list[Event]:
        """
        Take in what is queued, say at most one token, and return the events, in order.

        While SPEAKING, at most one waiting frame is taken in. While SILENT, the waiting frames are
        taken in up to the first one at which the model speaks, as far as they fit into the
        context. Either way there is at most one pass through the decoder. After an exception only
        end() and reset() may be called: end() returns the events of the failed step.
        """
        return pass_alone(self.step_shared())

    @torch.inference_mode()
    def step_shared(self) -> PassGenerator[list[Event]]:
        """
        Do as step(), but yield the pass of a token that needs nothing else, see passes.py.

        Between begin and end nothing else of the session may be called.
        """
        self._conversation.tell_state()
        if self.has_work:
            self._take_in_prompts()
            if self._context.last is not Last.SILENCE:
                yield from self._go_on()
            elif self._frames:
                return [event for events in self._watch(len(self._frames)) for event in events]
        return self._conversation.take_events()

    @torch.inference_mode()
    def step_while_silent(self, following: Sequence[EncodedFrame]) -> list[list[Event]]:
        """
        Do step(), then add_frame() and step() for each of following, until the model speaks.

        Returns a list of events for each step, so one less than its length were taken in from
        following; it may stop early. All these steps share one pass through the decoder, so
        silence costs little when the frames are known beforehand. None of following is taken in
        if a prompt waits, something is being said, or the queue does not hold exactly one frame.
        """
        if self.state is SessionState.SPEAKING or self._prompts or len(self._frames) != 1:
            return [self.step()]
        self._conversation.tell_state()
        # If more were added than the queue holds, the first frame would be dropped.
        self._frames.extend(following[:self._frames.maxlen - 1])
        steps = self._watch(len(self._frames))
        self._frames.clear()
        return steps

    def stop(self) -> list[Event]:
        """
        End what is being said and return the events; does not block.

        Frames and prompts stay queued, and an open question stays open.
        """
        # If the model was due to go on, end its text with silence for it.
        if self.state is SessionState.SPEAKING and self._context.is_open:
            self._context.add_silence()
        self._conversation.end(EndReason.STOPPED)
        return self._conversation.take_events()

    def end(self, waiting: Iterable[Prompt] = ()) -> list[Event]:
        """Do as stop() and close an open question; queued prompts and waiting become errors."""
        events = self.stop()
        self._conversation.close([*self._prompts, *waiting])
        self._prompts.clear()
        return events + self._conversation.take_events()

    def snapshot(self) -> StreamSnapshot:
        """
        Return a copy of the whole stream; a session that restores it goes on bit for bit the same.

        Call it between two steps. Raises ValueError if frames wait that are not encoded.
        """
        if not all(isinstance(frame, EncodedFrame) for frame in self._frames):
            raise ValueError('frames wait that are not encoded; step() first, or add '
                             'EncodedFrames')
        context = self._context.snapshot()
        tensors = {**context.tensors, 'generator': self._generator.get_state()}
        if self._frames:
            tensors['waiting_states'] = torch.stack([frame.states for frame in self._frames])
        if self._encoder.frame_before is not None:
            tensors['frame_before'] = self._encoder.frame_before
        return StreamSnapshot({
            'context': context.state,
            'pieces': self._pieces.snapshot(),
            'waiting_frames': [[frame.stamp_ns, frame.received_ns] for frame in self._frames],
            'waiting_prompts': [asdict(prompt) for prompt in self._prompts],
            'conversation': self._conversation.snapshot(),
        }, tensors)

    def restore(self, snapshot: StreamSnapshot) -> None:
        """
        Take over a snapshot() of a session with the same model and options.

        Raises KeyError, TypeError, ValueError or RuntimeError if it is none.
        """
        state, tensors = snapshot.state, snapshot.tensors
        self.reset()
        self._encoder.reset(tensors.get('frame_before'))
        self._context.restore(StreamSnapshot(state['context'], tensors))
        self._pieces.restore(state['pieces'])
        self._generator.set_state(tensors['generator'])
        for index, (stamp_ns, received_ns) in enumerate(state['waiting_frames']):
            states = tensors['waiting_states'][index].to(self._model.device)
            self._frames.append(EncodedFrame(states, stamp_ns, received_ns))
        self._prompts.extend(Prompt(**prompt) for prompt in state['waiting_prompts'])
        self._conversation.restore(state['conversation'])

    def _take_in_prompts(self):
        while self._prompts:
            prompt = self._prompts.popleft()
            obstacle = self._length_obstacle(prompt.text)
            if obstacle:
                self._conversation.report_error(
                    f'prompt {prompt.prompt_id!r} is refused: it is {obstacle} (it begins '
                    f'{prompt.text.strip()[:40]!r})', prompt)
                continue
            if self._context.is_open:
                self._context.add_question(prompt.text)
            else:
                self._context.open(prompt.text)
            self._conversation.ask(prompt)

    def _length_obstacle(self, text):
        num_too_many = self._context.num_tokens_too_many(text)
        return num_too_many and (
            f'{num_too_many} tokens too long for a context of '
            f'{self._options.max_context_tokens} tokens; ask it in fewer words')

    def _go_on(self):
        """Go on with a sentence, after taking in a frame if one waits, or answer a question."""
        if self._context.last is Last.TEXT and self._frames:
            [frame] = self._encoder.encode_waiting(self._frames, 1)
            self._context.add_frames([frame.states])
            self._frames.popleft()
            self._conversation.take_frame(frame.stamp_ns, frame.received_ns)
        token_id = self._sample((yield from self._context.forward_shared()))
        # The token is known by now: on a GPU, what is done ahead does not hold it up.
        self._context.work_ahead()
        self._conversation.count_rollovers(self._context.num_rollovers)
        self._say(token_id)

    def _watch(self, num_frames):
        """
        Show the first num_frames of the queue to the model, until it speaks.

        Returns a list of events for each frame that was shown.
        """
        if not self._context.is_open:
            self._context.open()
        frames = self._encoder.encode_waiting(self._frames, num_frames)
        self._context.add_frames([frames[0].states])
        logits = self._context.forward_silently([frame.states for frame in frames[1:]])
        token_ids = []
        for row in logits:
            token_ids.append(self._sample(row))
            if not self._is_silence(token_ids[-1]):
                break
        self._context.take_back_frames(len(logits) - len(token_ids))
        self._context.work_ahead(len(token_ids))
        steps = []
        for frame, token_id in zip(frames, token_ids):
            self._frames.popleft()
            self._conversation.take_frame(frame.stamp_ns, frame.received_ns)
            self._conversation.count_rollovers(self._context.num_rollovers)
            # The context already holds the silence after all frames but the last.
            if len(steps) + 1 < len(token_ids):
                self._conversation.fall_silent()
            else:
                self._say(token_id)
            steps.append(self._conversation.take_events())
        return steps

    def _sample(self, logits):
        options = self._options
        # Gathered only where it is asked for: that takes time.
        said_ids = self._context.said_ids if options.sampling.repetition_penalty != 1.0 else ()
        return self._chooser.choose(
            logits, options.sampling, said_ids, self._generator, options.silence_logit_bias)

    def _say(self, token_id):
        if self._is_silence(token_id):
            self._context.add_silence()
            self._conversation.fall_silent()
            return
        self._context.add_said(token_id)
        if not self._conversation.is_saying:
            self._pieces.reset()
        self._conversation.say(self._pieces.push(token_id), token_id)
        limit = min(self._options.max_tokens_between_frames, self._context.max_answer_tokens)
        if self._conversation.is_at_limit(limit, self._options.max_narration_tokens):
            self._context.add_silence()
            self._conversation.end(EndReason.LIMIT)

    def _is_silence(self, token_id):
        return token_id in (self._chat.silence_id, self._chat.eot_id)
