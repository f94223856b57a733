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
Fine-tuning samples: a window of a stream as the token sequence a session would see.

A stream of one of the two worlds and a seeded generator go in; token ids, targets and what is true
at each frame come out. The layout is that of DialogueLayout, as in a live stream: frames
interleaved with silence and sentences, frames in mid-sentence, prompts at any time with answers
that are true when they are given. Some samples are offline: a whole clip, or a single picture, and
then a question. frame_truth.py makes tensors of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import random

from moss_ros.stream.chat import ChatFormat
from moss_ros.stream.dialogue import DialogueLayout, Last
from moss_ros.training.misread import misread
from moss_ros.training.questions import other_question
from moss_ros.training.scenes import (
    COLOURS, EventKind, MOTIONS, Question, random_question, SceneEvent, SHAPES, tell_events,
    WHAT_HAPPENS_WORDINGS,
)
from moss_ros.training.scenes.language import NOTHING_IS_MOVING
from moss_ros.training.scenes.wordings import random_wording
from moss_ros.training.streams import Stream
from moss_ros.training.unknown import GOING_ON, Happening, UnknownEvent, UnknownStream
from moss_ros.training.vocabulary import OFFLINE_SYSTEM_PROMPT, SYSTEM_PROMPT

IGNORED = -100
SILENCE_WEIGHT = 0.3
# Probabilities of what happens in a live stream: the first three for each sentence, the others for
# each sample.
P_SLOW_SPEECH = 0.25
P_PROMPT_IN_SENTENCE = 0.08
# What was not told at its frame, when it was not sure yet, is to be told at one of the next: some
# sentences come late, and the silence before them is no target.
P_LATE, MAX_LATE_FRAMES = 0.3, 2
P_QUESTION_OPENS = 0.2
P_OLD_QUESTION_OPENS = 0.25
# Which part of the offline samples is a single picture; and of the clips, which part has half the
# rate, and which part is asked what happens.
P_OFFLINE_PICTURE = 0.3
P_OFFLINE_HALF_RATE = 0.4
P_OFFLINE_WHAT_HAPPENS = 0.4
EVENT_KINDS = tuple(EventKind)
HAPPENINGS = tuple(Happening)


@dataclass
class FrameTruth:
    """
    What the auxiliary losses ask of a frame token; the lists have one entry for each of COLOURS.

    position: index of the frame token in the sample. is_painted: whether the sample's frames up to
    it tell that this is the painted world. Of a frame of the unknown world no colour is present;
    of a painted one going_on and happening are IGNORED.
    """

    position: int
    is_painted: bool
    shapes: list[int]          # index in SHAPES, IGNORED where the colour is absent
    motions: list[int]         # index in MOTIONS, IGNORED where absent and at the first frame
    places: list[tuple[float, float]]  # (x, y) in picture widths, (0, 0) where absent
    events: list[int]          # 0 none, 1 + index in EVENT_KINDS; by the colour after the event
    going_on: int = IGNORED    # index in GOING_ON, IGNORED at the first frame
    happening: int = IGNORED   # 0 none, 1 + index in HAPPENINGS


@dataclass
class Sample:
    """
    One training sequence.

    token_ids and targets have the same length; targets[i] is what the model is to say after
    token i, IGNORED where the next token is not the model's to say. frame_indices: for each image
    token, in order, the index of its frame in the stream.
    """

    frame_indices: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    frames: list[FrameTruth] = field(default_factory=list)


@dataclass(frozen=True)
class SampleMix:
    """
    How often which questions are asked.

    p_prompt_at_frame: probability of a prompt at a frame. p_offline: part of the samples that are
    offline. p_other: part of the questions that nobody can answer. question_weights: how often a
    kind of the other questions is asked in relation to the rest, 1 for a kind that is not named.
    p_misread: probability that an event is told in the words of the other world, as a model does
    that takes it for that one: in the context, and not as a target.
    """

    p_prompt_at_frame: float = 0.05
    p_offline: float = 0.12
    p_other: float = 0.15
    question_weights: Mapping[str, float] = field(default_factory=dict)
    p_misread: float = 0.0


class SampleMaker:
    """
    Turns windows of streams into samples; deterministic for a seeded generator.

    chat, generator, mix: what it was made with.
    """

    def __init__(self, chat: ChatFormat, generator: random.Random,
                 mix: SampleMix = SampleMix()):
        self.chat = chat
        self.generator = generator
        self.mix = mix
        self._ids_by_text: dict[str, list[int]] = {}

    def make(self, stream: Stream | UnknownStream, first_frame: int, num_frames: int) -> Sample:
        """Return the sample of (at most) num_frames frames of stream from first_frame on."""
        if self.generator.random() < self.mix.p_offline:
            return self._offline(stream, first_frame, num_frames)
        return _SampleWriter(self, stream, first_frame, first_frame + num_frames).write()

    def _offline(self, stream: Stream | UnknownStream, first_frame: int,
                 num_frames: int) -> Sample:
        """Return a sample that shows a clip (or one picture) and then asks about it."""
        generator, writer = self.generator, _SampleWriter(
            self, stream, first_frame, first_frame + num_frames)
        if generator.random() < P_OFFLINE_PICTURE:
            indices = [first_frame]
        else:
            step = 2 if generator.random() < P_OFFLINE_HALF_RATE else 1
            num_kept = generator.randint(min(4, num_frames), num_frames)
            indices = list(range(first_frame, len(stream.times_s), step))[:num_kept]
        if len(indices) > 1 and generator.random() < P_OFFLINE_WHAT_HAPPENS:
            text = generator.choice(WHAT_HAPPENS_WORDINGS)
            events = _visible_events(stream, first_frame, range(first_frame, indices[-1] + 1))
            answer = tell_events(events) if events else self._what_goes_on(stream, indices[-1])
        else:
            question = self.question(stream, indices[-1], of_one_frame=len(indices) == 1)
            text, answer = question.text, stream.answer(question, indices[-1], first_frame)
        return writer.write_offline(indices, text, answer)

    @staticmethod
    def _what_goes_on(stream: Stream | UnknownStream, index: int) -> str:
        """Return what happens in a clip in which nothing began or ended: what goes on at index."""
        answer = stream.answer(Question('moving', ''), index)
        return tell_events(()) if answer == NOTHING_IS_MOVING else answer

    def question(self, stream: Stream | UnknownStream, index: int,
                 of_one_frame: bool = False) -> Question:
        """Return a question asked at frame index of stream, drawn as the mix says."""
        if self.generator.random() < self.mix.p_other:
            return other_question(self.generator)
        objects = stream.objects[index] if isinstance(stream, Stream) else ()
        return random_question(self.generator, objects, of_one_frame=of_one_frame,
                               weights=self.mix.question_weights, draw_wording=random_wording)

    def encode(self, text: str) -> list[int]:
        """Return the ids of text, remembered: the scenes say few different sentences."""
        if text not in self._ids_by_text:
            self._ids_by_text[text] = self.chat.encode_text(text)
        return self._ids_by_text[text]


def _visible_events(stream, first_frame, frames):
    """Return the events that show at any of frames in a window that begins at first_frame."""
    return [event for at in frames for event in stream.observable[at]
            if stream.is_visible(event, at - first_frame)]


class _SampleWriter:
    """The state of one sample being written: the next frame and the events not yet told."""

    def __init__(self, maker: SampleMaker, stream: Stream | UnknownStream, first_frame: int,
                 end_frame: int):
        self._maker = maker
        self._chat = maker.chat
        self._layout = DialogueLayout(maker.chat)
        self._last = Last.SILENCE
        self._random = maker.generator
        self._stream = stream
        self._frame = first_frame
        self._end = end_frame
        self._pending: list[SceneEvent | UnknownEvent] = []
        self._first = first_frame
        self._sample = Sample()
        self._num_late_frames = 0
        # Frames a spoken token, drawn anew for each narration.
        self._frames_per_token = 0.0

    def write(self) -> Sample:
        kind = self._random.random()
        if kind < P_QUESTION_OPENS:
            question = self._ask_of_frame(of_one_frame=True)
            self._open(question.text)
            self._take_frame()
            self._answer(question)
        elif kind < P_QUESTION_OPENS + P_OLD_QUESTION_OPENS:
            # It was answered, or not, in a part of the stream that has left the context.
            self._open(self._ask_of_frame().text)
            self._take_frame()
            self._pending.clear()
            self._put([self._chat.silence_id], Last.SILENCE)
        else:
            self._open('')
        while self._frame < self._end:
            self._frame_step()
        return self._sample

    def write_offline(self, indices: list[int], question: str, answer: str) -> Sample:
        """Write frames in the user's turn, the question and the answer to the end of its turn."""
        before, after = self._chat.media_opening(OFFLINE_SYSTEM_PROMPT, question)
        self._put(before, Last.TEXT)  # pictures stand side by side in a user's turn
        for self._frame in indices:
            self._note_frame()
            self._put([self._chat.image_id], Last.TEXT)
        self._put(after, Last.HEADER)
        for token_id in (*self._maker.encode(answer), self._chat.eot_id):
            self._speak_token(token_id, Last.TEXT)
        return self._sample

    def _open(self, question: str) -> None:
        self._put(self._layout.opening(SYSTEM_PROMPT, question), Last.SILENCE)

    def _frame_step(self) -> None:
        """Take in a frame, perhaps after a question, and say what there is to say about it."""
        if self._random.random() < self._maker.mix.p_prompt_at_frame:
            question = self._ask_of_frame(of_one_frame=self._frame == self._first)
            self._ask(question)
            self._take_frame()
            self._answer(question)
            return
        self._take_frame()
        if not self._pending:
            self._fall_silent()
        elif self._num_late_frames < MAX_LATE_FRAMES and self._random.random() < P_LATE:
            self._num_late_frames += 1
            self._put([self._chat.silence_id], Last.SILENCE)
        else:
            self._num_late_frames = 0
            self._tell(self._pending.pop(0))

    def _tell(self, event: SceneEvent | UnknownEvent) -> None:
        """Say what has happened, or, as no target, what is said of it by one who errs."""
        is_misread = self._random.random() < self._maker.mix.p_misread
        wrong = misread(event, self._random) if is_misread else None
        if wrong is None:
            self._say(event.sentence)
            return
        self._put(self._maker.encode(wrong), Last.TEXT)
        self._fall_silent()

    def _ask(self, question: Question) -> None:
        self._put(*self._layout.question(question.text, self._last))

    def _ask_of_frame(self, of_one_frame: bool = False) -> Question:
        """Return a question about the frame that comes next."""
        return self._maker.question(self._stream, self._frame, of_one_frame)

    def _answer(self, question: Question) -> None:
        self._say(self._stream.answer(question, self._frame - 1, self._first))

    def _say(self, text: str) -> None:
        """Speak text and the silence after it; frames and prompts may come in between."""
        self._frames_per_token = 0.0
        if self._random.random() < P_SLOW_SPEECH:
            self._frames_per_token = self._random.choice((0.15, 0.3, 0.5))
        prompt_after = -1
        token_ids = self._maker.encode(text)
        if self._random.random() < P_PROMPT_IN_SENTENCE:
            prompt_after = self._random.randrange(len(token_ids))
        for index, token_id in enumerate(token_ids):
            self._speak_token(token_id, Last.TEXT)
            if index == prompt_after:
                is_first = self._frame - 1 == self._first
                question = self._maker.question(self._stream, self._frame - 1, is_first)
                self._ask(question)
                self._answer(question)
                return
            if self._random.random() < self._frames_per_token and self._frame < self._end:
                self._take_frame()
        self._fall_silent()

    def _put(self, token_ids: list[int], last: Last) -> None:
        """Append tokens that the model does not say, so without targets; they end with last."""
        self._sample.token_ids += token_ids
        self._sample.targets += [IGNORED] * len(token_ids)
        self._last = last

    def _speak_token(self, token_id: int, last: Last) -> None:
        """Append a token the model is to say: the target of the token before it."""
        self._sample.targets[-1] = token_id
        self._put([token_id], last)

    def _fall_silent(self) -> None:
        self._speak_token(self._chat.silence_id, Last.SILENCE)

    def _take_frame(self) -> None:
        *between, image_id = self._layout.frame(self._last)
        assert not between, 'the model decides after each frame'
        self._note_frame()
        self._put([image_id], Last.FRAME)
        self._frame += 1

    def _note_frame(self) -> None:
        """Note what is true at the frame whose token comes next, also of frames left out."""
        index, first = self._frame, self._first
        before = self._sample.frame_indices[-1] if self._sample.frame_indices else index - 1
        events = _visible_events(self._stream, first, range(before + 1, index + 1))
        self._pending += events
        is_painted = isinstance(self._stream, Stream) and self._stream.is_known(first, index)
        truth = self._painted_truth if is_painted else self._unknown_truth
        self._sample.frames.append(truth(index, index - first, events))
        self._sample.frame_indices.append(index)

    def _painted_truth(self, index: int, num_before: int, happened) -> FrameTruth:
        shapes, motions = [IGNORED] * len(COLOURS), [IGNORED] * len(COLOURS)
        places, events = [(0.0, 0.0)] * len(COLOURS), [0] * len(COLOURS)
        for state in self._stream.objects[index]:
            if state.in_picture:
                slot = COLOURS.index(state.colour)
                shapes[slot] = SHAPES.index(state.shape)
                motions[slot] = MOTIONS.index(state.motion) if num_before else IGNORED
                places[slot] = (state.x, state.y)
        for event in happened:
            colour = event.colour
            if event.kind is EventKind.TURNS:
                colour = event.sentence.rstrip('.').split()[-1]
            events[COLOURS.index(colour)] = 1 + EVENT_KINDS.index(event.kind)
        return FrameTruth(len(self._sample.token_ids), True, shapes, motions, places, events)

    def _unknown_truth(self, index: int, num_before: int, happened) -> FrameTruth:
        num = len(COLOURS)
        happening = 1 + HAPPENINGS.index(happened[-1].kind) if happened else 0
        # Of a painted stream nothing has been seen yet, so nothing goes on. One frame shows no
        # movement.
        now = None if isinstance(self._stream, Stream) else self._stream.going_on[index]
        going_on = GOING_ON.index(now) if num_before else IGNORED
        return FrameTruth(
            len(self._sample.token_ids), False, [IGNORED] * num, [IGNORED] * num,
            [(0.0, 0.0)] * num, [0] * num, going_on, happening)
