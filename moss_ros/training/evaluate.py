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
How well a checkpoint narrates fresh scenes: `python -m moss_ros.training.evaluate`.

A checkpoint and a seed go in; one JSON line of figures comes out. Scenes that training never saw
run through StreamSession, and what the model says stays in its context. A sentence must have the
exact wording of an event at about that time; an answer must be true of the frame at which the
question was asked, or of the one before it.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, field
import json
from pathlib import Path
import random
import sys
import time

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import CheckpointError
from moss_ros.stream import (
    Frame, NarrationEvent, Prompt, StreamCheckpoint, StreamSession, TokenEvent,
)
from moss_ros.training.scenes import answer_question, Question, random_question, SceneRenderer
from moss_ros.training.scoring import (
    match_narration, NarrationScore, split_sentences, TOLERANCE_FRAMES,
)
from moss_ros.training.streams import FIRST_TRAINING_SEED, make_stream, Stream
import torch

# The demo camera's picture size.
PICTURE_SIZE_PX = (320, 240)
P_QUESTION = 0.04
SCENES_PER_SEED = 10_000


@dataclass
class Evaluation:
    """Counts over all scenes so far."""

    score: NarrationScore = field(default_factory=NarrationScore)
    num_quiet_steps: int = 0
    num_kept_silent: int = 0
    num_questions: int = 0
    num_answered_right: int = 0
    num_frames: int = 0
    missed: Counter = field(default_factory=Counter)
    happened: Counter = field(default_factory=Counter)
    wrong_answers: Counter = field(default_factory=Counter)

    def figures(self) -> dict:
        """Return the figures of the JSON line; fractions, 1 where nothing was asked for."""
        return {
            'event_recall': round(self.score.event_recall, 4),
            'sentence_precision': round(self.score.sentence_precision, 4),
            'silence_kept': _part(self.num_kept_silent, self.num_quiet_steps),
            'question_accuracy': _part(self.num_answered_right, self.num_questions),
            'num_events': self.score.num_events,
            'num_questions': self.num_questions,
            'num_frames': self.num_frames,
            'recall_by_kind': {
                kind: round(1 - self.missed[kind] / count, 3)
                for kind, count in sorted(self.happened.items())},
            'wrong_answers_by_kind': dict(sorted(self.wrong_answers.items())),
        }


def _part(num: int, num_all: int) -> float:
    return round(num / num_all, 4) if num_all else 1.0


class SceneRun:
    """One scene streamed through a session: what was said and answered, at which frame."""

    def __init__(self, session: StreamSession, stream: Stream, generator: random.Random):
        self.stream = stream
        self.said: list[tuple[int, str]] = []
        self.spoke_at: set[int] = set()
        self.asked: dict[str, tuple[int, Question]] = {}
        self.answers: dict[str, str] = {}
        self._session = session
        self._random = generator

    def run(self) -> None:
        """Feed every frame; each is followed by as many tokens as the model wants to say."""
        renderer = SceneRenderer(self.stream.scene, *PICTURE_SIZE_PX)
        for index, time_s in enumerate(self.stream.times_s):
            self._maybe_ask(index)
            image = renderer.render(time_s)
            self._session.add_frame(Frame(image, round(time_s * 1e9), 0))
            while self._session.has_work:
                self._take(index, self._session.step())
        self._take(len(self.stream.times_s) - 1, self._session.stop())

    def _maybe_ask(self, index: int) -> None:
        # A frame or two must have been seen: nothing can be said of movement before.
        if index < 2 or self._random.random() >= P_QUESTION:
            return
        question = random_question(self._random, self.stream.objects[index])
        prompt_id = f'question {index}'
        self.asked[prompt_id] = index, question
        self._session.add_prompt(Prompt(question.text, prompt_id, 0))

    def _take(self, index: int, events: list) -> None:
        for event in events:
            if isinstance(event, TokenEvent):
                self.spoke_at.add(index)
            elif isinstance(event, NarrationEvent) and event.prompt_id is not None:
                self.answers[event.prompt_id] = event.text.strip()
            elif isinstance(event, NarrationEvent):
                self.said += [(index, sentence) for sentence in split_sentences(event.text)]

    def count_into(self, evaluation: Evaluation) -> None:
        """Add the counts of this run."""
        # What happens at the very end has no frames left in which it could be told.
        num_frames = len(self.stream.times_s)
        truth = [(index, event) for index, event in self.stream.truth
                 if 0 < index < num_frames - TOLERANCE_FRAMES]
        said = [(index, sentence) for index, sentence in self.said
                if not self._is_of_cut_event(index, sentence, num_frames)]
        evaluation.score += match_narration(
            [(index, event.sentence) for index, event in truth], said, TOLERANCE_FRAMES)
        for index, event in truth:
            kind = event.kind.value
            evaluation.happened[kind] += 1
            told = match_narration([(index, event.sentence)], said, TOLERANCE_FRAMES)
            evaluation.missed[kind] += min(1, told.num_missed)
        busy = {index + delay for index, _ in self.stream.truth
                for delay in range(-1, TOLERANCE_FRAMES + 1)}
        busy |= {index for index, _ in self.asked.values()}
        quiet = set(range(num_frames)) - busy
        evaluation.num_quiet_steps += len(quiet)
        evaluation.num_kept_silent += len(quiet - self.spoke_at)
        evaluation.num_frames += num_frames
        self._count_answers(evaluation)

    def _is_of_cut_event(self, index: int, sentence: str, num_frames: int) -> bool:
        """Return whether the sentence tells one of the events that are not counted."""
        return any(event.sentence == sentence and abs(index - event_index) <= TOLERANCE_FRAMES
                   for event_index, event in self.stream.truth
                   if not 0 < event_index < num_frames - TOLERANCE_FRAMES)

    def _count_answers(self, evaluation: Evaluation) -> None:
        for prompt_id, (index, question) in self.asked.items():
            # True when asked, or one frame before: what is seen is that old.
            accepted = {answer_question(question, self.stream.objects[at])
                        for at in (index - 1, index)}
            evaluation.num_questions += 1
            if self.answers.get(prompt_id) in accepted:
                evaluation.num_answered_right += 1
            else:
                evaluation.wrong_answers[question.kind] += 1


def evaluate(checkpoint: Path, num_scenes: int, num_frames: int, seed: int,
             quantization: str | None = None, trace=None) -> dict:
    """
    Stream num_scenes fresh scenes of num_frames frames each; return the figures.

    seed: 0 to 99999, none of which training uses. quantization: as of load_model(). trace: called
    with each SceneRun. Raises ValueError for a seed outside, CheckpointError for a folder that is
    no checkpoint.
    """
    if not 0 <= seed < FIRST_TRAINING_SEED // SCENES_PER_SEED:
        raise ValueError(f'seed is {seed}; take one from 0 to '
                         f'{FIRST_TRAINING_SEED // SCENES_PER_SEED - 1}')
    if not 1 <= num_scenes <= SCENES_PER_SEED:
        raise ValueError(f'num_scenes is {num_scenes}; take 1 to {SCENES_PER_SEED}')
    if num_frames < 8:
        raise ValueError(f'num_frames is {num_frames}; a scene needs at least 8')
    opened = StreamCheckpoint.open(checkpoint)
    session = opened.session(opened.load_model('cpu', 'float32', 'auto', quantization))
    evaluation = Evaluation()
    start_s = time.monotonic()
    for scene_seed in range(seed * SCENES_PER_SEED, seed * SCENES_PER_SEED + num_scenes):
        session.reset()
        stream = make_stream(scene_seed, num_frames)
        run = SceneRun(session, stream, random.Random(f'questions {scene_seed}'))
        run.run()
        run.count_into(evaluation)
        if trace is not None:
            trace(run)
    elapsed_s = time.monotonic() - start_s
    return {**evaluation.figures(), 'num_scenes': num_scenes, 'seed': seed,
            'frames_per_s': round(evaluation.num_frames / elapsed_s, 1)}


def print_trace(run: SceneRun) -> None:
    """Print what happened and what was said in one scene, frame by frame, to stderr."""
    print(f'scene {run.stream.scene.seed}', file=sys.stderr)
    lines = [(index, 0, f'      {event.sentence}') for index, event in run.stream.truth]
    lines += [(index, 1, f'              said: {sentence}') for index, sentence in run.said]
    lines += [(index, 2, f'              {question.text} {run.answers.get(prompt_id)}')
              for prompt_id, (index, question) in run.asked.items()]
    for index, _, text in sorted(lines):
        print(f'{index:5d} {text}', file=sys.stderr)


def main() -> int:
    """Run the command line; the exit status is 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.evaluate',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('--checkpoint', type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument('--num-scenes', type=int, default=200)
    parser.add_argument('--num-frames', type=int, default=60, help='frames a scene (default 60)')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--quantization', choices=('int8', 'int4'),
                        help="bits of the decoder's weights (default: as they are)")
    parser.add_argument('--num-threads', type=int, default=1)
    parser.add_argument('--trace', action='store_true',
                        help='show on stderr what happened and what was said')
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.num_threads)
    try:
        figures = evaluate(arguments.checkpoint, arguments.num_scenes, arguments.num_frames,
                           arguments.seed, arguments.quantization,
                           print_trace if arguments.trace else None)
    except (ValueError, CheckpointError) as error:
        parser.error(str(error))
    print(json.dumps(figures))
    return 0


if __name__ == '__main__':
    sys.exit(main())
