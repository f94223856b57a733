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

"""The embedded model answers truly about clips of its scenes, given as mp4 files."""

import random

import moss_ros
from moss_ros.training.scenes import (
    answer_question, random_question, Scene, SceneRenderer, tell_events, WHAT_HAPPENS_WORDINGS,
)
from moss_ros.training.streams import observable_frame
import numpy as np
from PIL import Image
import pytest

NUM_CLIPS = 10
FIRST_SEED = 4200
CLIP_S = 6.0
CLIP_FPS = 10
# Every fifth question is about what happened, the others about what is there in the end.
WHAT_HAPPENS_EVERY = 5


@pytest.fixture(scope='module')
def generator(trained_checkpoint):
    return moss_ros.load_generator(trained_checkpoint)


def question_and_answers(seed, start_s):
    """Return a question about CLIP_S seconds of Scene(seed), and the answers that are true."""
    scene = Scene(seed)
    if seed % WHAT_HAPPENS_EVERY == 0:
        times_s = start_s + np.arange(0.0, CLIP_S, 0.5)
        seen_at = {event: observable_frame(event, times_s)
                   for event in scene.events_between(times_s[0], times_s[-1])}
        told = sorted((event for event in seen_at if 0 < seen_at[event] < len(times_s)),
                      key=seen_at.get)
        # What shows in the last frame only may be told or not.
        sure = [event for event in told if seen_at[event] < len(times_s) - 1]
        return WHAT_HAPPENS_WORDINGS[0], {tell_events(told), tell_events(sure)}
    # The last frame that is looked at, and the last one of the clip.
    ends = [scene.objects_at(start_s + CLIP_S - before_s) for before_s in (0.5, 0.1)]
    question = random_question(random.Random(seed), ends[0], any_wording=False)
    return question.text, {answer_question(question, objects) for objects in ends}


def test_eight_of_ten_clips_are_answered_truly(generator, clips, tmp_path):
    wrong = []
    for seed in range(FIRST_SEED, FIRST_SEED + NUM_CLIPS):
        start_s = random.Random(seed).uniform(0.0, 20.0)
        clip = clips.write(tmp_path / f'scene {seed}.mp4', clips.scene_pictures(
            seed, start_s, CLIP_S, CLIP_FPS, size=(320, 240)), CLIP_FPS)
        question, answers = question_and_answers(seed, start_s)
        said = ''.join(generator.answer({'prompt': question, 'videos': [clip]}))
        if said.strip() not in answers:
            wrong.append(f'{seed}: {question} {said!r}, true is {sorted(answers)}')
    assert len(wrong) <= 2, '\n'.join(wrong)


def test_a_single_picture_is_answered_truly(generator):
    """Pictures of such scenes, as images: at least 8 of 10."""
    wrong = []
    for seed in range(FIRST_SEED + 100, FIRST_SEED + 110):
        time_s = random.Random(seed).uniform(0.0, 20.0)
        picture = Image.fromarray(SceneRenderer(Scene(seed), 320, 240).render(time_s))
        objects = Scene(seed).objects_at(time_s)
        question = random_question(
            random.Random(seed), objects, any_wording=False, of_one_frame=True)
        said = ''.join(generator.answer({'prompt': question.text, 'images': [picture]}))
        if said.strip() != answer_question(question, objects):
            wrong.append(f'{seed}: {question.text} {said!r}')
    assert len(wrong) <= 2, '\n'.join(wrong)
