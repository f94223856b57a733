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

"""The trained model, a camera and a narrator in processes of their own, over DDS."""

import json
from statistics import mean

from moss_ros.training.scenes import answer_question, question_by_text, Scene
from moss_ros.training.scoring import split_sentences, Tally
from rclpy.qos import QoSProfile
from std_msgs.msg import String

# In it at least ten things happen in any 24 s of the first 45.
SCENE_SEED = 64
NUM_FRAMES = 50
STATIC_SEED = 3
LONG_QUESTION = 'What do you see?'
SHORT_QUESTION = 'How many objects are there?'


def start(start_process, checkpoint, seed, scene, *narrator_arguments):
    start_process('demo_camera', '-p', f'seed:={seed}', '-p', f'scene:={scene}')
    return start_process(
        'narrator', '-r', 'image:=image_raw', '-p', f'checkpoint:={checkpoint}',
        *narrator_arguments)


def test_scene_events_come_out_as_the_right_sentences(
        host, listener, start_process, trained_checkpoint):
    tally = Tally()
    listener.create_subscription(
        String, 'demo_camera/truth',
        lambda message: tally.add_truth(json.loads(message.data)), QoSProfile(depth=1000))
    start(start_process, trained_checkpoint, SCENE_SEED, 'random')

    def has_seen_enough():
        while listener.events:
            tally.add_event(listener.events.pop(0))
        return tally.num_frames >= NUM_FRAMES

    host.until(has_seen_enough, 120.0, f'{NUM_FRAMES} frames')
    score = tally.score()
    facts = f'{tally.line()}\ntruth: {tally.truth}\nsaid: {tally.said}'
    assert score.num_events >= 8, facts
    assert score.event_recall >= 0.7, facts
    assert score.sentence_precision >= 0.7, facts
    num_kept, num_quiet = tally.silence_kept()
    assert num_kept >= 0.9 * num_quiet, facts
    # What the events tell is what ~/narration said.
    said = [sentence for text in listener.narration for sentence in split_sentences(text)]
    assert said[:score.num_said] == [sentence for _, sentence in tally.said][:score.num_said]


def test_a_still_scene_is_watched_in_silence(host, listener, start_process, trained_checkpoint):
    start(start_process, trained_checkpoint, STATIC_SEED, 'static')
    host.until(lambda: len(listener.of_type('silence')) >= 16, 60.0, '16 silent frames')
    assert listener.silence == [True]
    assert listener.tokens == []
    assert listener.narration == []
    # A frame each, at the model's two a second.
    stamps = [record['stamp_ns'] for record in listener.of_type('silence')]
    steps_s = [(after - before) / 1e9 for before, after in zip(stamps, stamps[1:])]
    assert 0.45 < mean(steps_s) < 0.75


def test_a_prompt_in_mid_sentence_is_answered_at_once(
        host, listener, start_process, trained_checkpoint):
    # At 4 tokens a second an answer takes seconds.
    start(start_process, trained_checkpoint, STATIC_SEED, 'static',
          '-p', 'max_tokens_per_second:=4.0')
    host.until(lambda: len(listener.of_type('silence')) >= 4, 60.0, '4 silent frames')
    listener.ask(LONG_QUESTION)
    host.until(lambda: len(listener.of_type('token')) >= 2, what='the begin of an answer')
    listener.ask(SHORT_QUESTION)
    host.until(lambda: len(listener.of_type('narration')) == 2, what='two answers')
    cut, answer = listener.of_type('narration')
    assert (cut['prompt_id'], cut['reason']) == ('prompt-1', 'interrupted')
    assert (answer['prompt_id'], answer['reason']) == ('prompt-2', 'silence')
    objects = Scene(STATIC_SEED, static=True).objects_at(0.0)
    whole, short = (answer_question(question_by_text(text), objects)
                    for text in (LONG_QUESTION, SHORT_QUESTION))
    assert answer['text'].strip() == short
    assert whole.startswith(cut['text'].strip())
    assert cut['text'].strip() != whole
    assert listener.narration == [cut['text'].strip(), answer['text'].strip()]
    # Nothing of the first answer comes after the second question.
    tokens = listener.of_type('token')
    prompts = [record['prompt_id'] for record in tokens]
    assert prompts == sorted(prompts)
    host.until(lambda: listener.silence == [True, False, True], what='silence again')
