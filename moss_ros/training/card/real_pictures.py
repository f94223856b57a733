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
Real pictures through a checkpoint: still photographs, questions about them, and video clips.

Files go in; what was said, at which times, comes out as plain data. Nobody knows the truth of
them but this: of a still photograph there is nothing to tell, and the painted words are false.
Called by the measures of the model card, in any of its processes.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from moss_ros.generator import Generator
from moss_ros.media import VideoFile
from moss_ros.stream import NarrationEvent, Prompt, StreamSession, TokenEvent
from moss_ros.training.evaluation_run import num_painted_words
from moss_ros.training.watching import watch
import numpy as np

NOISE_SIGMA = 3.0
SEE, MOVING = 'What do you see?', 'Is anything moving?'
# What is asked of a still photograph that has been watched; the last two nobody can answer.
QUESTIONS = (SEE, MOVING, 'How many objects are there?', 'How far is the wall?',
             'What is the weather like?')
# What `describe` is asked of it.
OFFLINE_QUESTIONS = (SEE, 'How many objects are there?', 'What happens?')


def watch_still(session: StreamSession, item: tuple[str, np.ndarray, int]) -> dict:
    """
    Return what is said of a photograph that is shown still, with a sensor's noise.

    item: name, picture u8 [H, W, 3] RGB and number of frames. Then questions are asked, each with
    one more frame.
    """
    name, photograph, num_frames = item
    session.reset()
    dice = np.random.default_rng([sum(name.encode()), num_frames])

    def noisy():
        noise = dice.standard_normal(photograph.shape, dtype=np.float32)
        return np.clip(photograph + NOISE_SIGMA * noise, 0, 255).astype(np.uint8)

    period_s = 1 / session.frame_rate_fps
    frames = ((index * period_s, noisy()) for index in range(num_frames + len(QUESTIONS)))
    said, answers, num_spoken = _watch(session, frames, {
        num_frames + index: Prompt(question, question, 0)
        for index, question in enumerate(QUESTIONS)})
    texts = [*(text for _, text in said), *answers.values()]
    return {'name': name, 'num_frames': num_frames, 'num_frames_with_words': num_spoken,
            'said': said, 'answers': answers,
            'num_painted_words': sum(map(num_painted_words, texts))}


def describe_stills(generator: Generator, files: Iterable[Path]) -> dict:
    """Return how `describe` answers OFFLINE_QUESTIONS of pictures: counts of the answers."""
    answers = {question: Counter() for question in OFFLINE_QUESTIONS}
    for file in files:
        for question in OFFLINE_QUESTIONS:
            answers[question][''.join(generator.answer(
                {'prompt': question, 'images': [str(file)]})).strip()] += 1
    return {'answers': {question: dict(counts.most_common())
                        for question, counts in answers.items()},
            'num_painted_words': sum(num_painted_words(text) * num for counts in answers.values()
                                     for text, num in counts.items())}


def narrate_clip(session: StreamSession, file: Path) -> dict:
    """
    Return what is said of a video clip, each with its time in seconds from its beginning.

    Before its last two frames it is asked whether anything moves, and what there is to see.
    """
    session.reset()
    with VideoFile(file) as video:
        num_frames = max(1, int(video.duration_s * session.frame_rate_fps))
        times_s = [index / session.frame_rate_fps for index in range(num_frames)]
        said, answers, num_spoken = _watch(
            session, zip(times_s, video.frames_at(times_s)), {
                num_frames - 1 - index: Prompt(question, question, 0)
                for index, question in enumerate((SEE, MOVING)) if index < num_frames - 2})
        duration_s = video.duration_s
    texts = [*(text for _, text in said), *answers.values()]
    return {'name': file.name, 'duration_s': round(duration_s, 1), 'num_frames': num_frames,
            'num_frames_with_words': num_spoken, 'said': said, 'answers': answers,
            'num_painted_words': sum(map(num_painted_words, texts))}


def _watch(session, frames, prompts):
    """
    Return what was said and answered.

    That is: (seconds, text) of each narration, answers by question, and the number of frames
    after which something was said unasked.
    """
    said, answers, spoke_at = [], dict.fromkeys(
        (prompt.prompt_id for prompt in prompts.values()), ''), set()
    for index, events in watch(session, frames, prompts):
        for event in events:
            if isinstance(event, TokenEvent) and event.prompt_id is None:
                spoke_at.add(index)
            elif isinstance(event, NarrationEvent) and event.prompt_id is not None:
                answers[event.prompt_id] = event.text.strip()
            elif isinstance(event, NarrationEvent):
                said.append((round(index / session.frame_rate_fps, 2), event.text.strip()))
    return said, answers, len(spoke_at)
