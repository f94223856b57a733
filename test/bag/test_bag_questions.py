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

"""Questions of a bag from beginning to end: a bag, the model's script, and what is told of it."""

from collections import Counter
import json

from bag_making import (
    IMAGE, image_message, IMAGE_TOPIC, PROMPT_TOPIC, START_NS, STRING, string_message, write_bag,
)
from moss_ros.bag import frame_chooser
from moss_ros.bag.frame_chooser import FrameChooser
from moss_ros.bag.outputs import write_vtt
from moss_ros.bag.paced_narration import BagNarration
from moss_ros.bag.reading import open_source
from moss_ros.records import event_json
from moss_ros.stream import ChatFormat, StreamOptions, StreamSession, StreamSnapshot
from moss_ros.views.timeline import timeline_of
import numpy as np
import pytest
from scripted_model import ScriptedModel, write_tokenizer

QUESTION = 'Is there a red ball?'
YES, NO, BALL = ' Yes.', ' No.', 'A red ball appears on the left.'


@pytest.fixture(scope='module')
def chat(tmp_path_factory):
    return ChatFormat(write_tokenizer(tmp_path_factory.mktemp('tokenizer') / 'tokenizer.json'))


@pytest.fixture
def bag(tmp_path):
    """Return a function that writes a bag of a 10 Hz camera, with (seconds, text) prompts."""
    def write(duration_s, *prompts, restart_s=None):
        messages = [(PROMPT_TOPIC, STRING, START_NS + round(time_s * 1e9), string_message(text))
                    for time_s, text in prompts]
        for index in range(round(duration_s * 10)):
            time_ns = START_NS + index * 10**8
            is_late = restart_s is not None and index >= restart_s * 10
            stamp_ns = time_ns - 3 * 10**9 if is_late else time_ns
            picture = np.full((8, 8, 3), 1 + index % 250, np.uint8)
            messages.append((IMAGE_TOPIC, IMAGE, time_ns, image_message(picture, stamp_ns)))
        messages.sort(key=lambda message: message[2])
        return write_bag(tmp_path / f'bag{len(list(tmp_path.iterdir()))}', messages)
    return write


class Script:
    """Says texts behind the frames of given numbers, counted over the whole run."""

    def __init__(self, chat, by_frame):
        self._silence_id = chat.silence_id
        self._ids_by_frame = {number: chat.encode_text(text) for number, text in by_frame.items()}
        self._image_id = chat.image_id
        self.num_frames = 0
        self.rest = []

    def __call__(self, model):
        if model.seen_ids[-1] == self._image_id:
            self.num_frames += 1
            if self.num_frames in self._ids_by_frame:
                self.rest = list(self._ids_by_frame[self.num_frames])
        return self.rest.pop(0) if self.rest else self._silence_id


class Narrator:
    """Narrates a bag as narrate_bag does, with a script for a model."""

    def __init__(self, chat, by_frame, rate=0, **options):
        self.script = Script(chat, by_frame)
        self.model = ScriptedModel(chat, self.script)
        self.options = StreamOptions(**{
            'system_prompt': 'Watch and tell.', 'frame_rate_fps': 2.0, 'max_context_frames': 50,
            'keep_context_frames': 20, 'max_context_tokens': 600, 'keep_context_tokens': 300,
            **options})
        self.session = StreamSession(self.model, chat, self.options)
        self.records, self.thumbnails, self.states = [], {}, []
        self.narration = BagNarration(
            self.session, rate, self.records.append, self._keep_thumbnail)

    def _keep_thumbnail(self, narration_id, thumbnail):
        self.thumbnails[narration_id] = None if thumbnail is None else int(thumbnail[0, 0, 0])

    def narrate(self, path, prompts_at=(), state=None):
        """Narrate the bag at path, from a state on; return the records."""
        with open_source(path, IMAGE_TOPIC, PROMPT_TOPIC if has_prompts(path) else '') as source:
            chooser = FrameChooser(source, self.model, 2.0, [
                (START_NS + round(time_s * 1e9), text) for time_s, text in prompts_at])
            if state is not None:
                self._restore(state, chooser)
            for group in chooser.encoded(chooser.groups()):
                self.narration.take(group.items)
                snapshot = self.narration.snapshot()
                self.states.append((
                    json.dumps([snapshot.state, group.chooser_state, len(self.records),
                                self.script.num_frames, self.script.rest]), snapshot.tensors))
        self.narration.finish()
        return self.records

    def _restore(self, state, chooser):
        text, tensors = state
        narration, chosen, _, self.script.num_frames, self.script.rest = json.loads(text)
        self.narration.restore(StreamSnapshot(narration, tensors))
        chooser.restore(chosen, None)


def has_prompts(path):
    return PROMPT_TOPIC in (path / 'metadata.yaml').read_text()


def of_type(records, *kinds):
    return [record for record in records if record['type'] in kinds]


def time_s(record, key='bag_time_ns'):
    return round((record[key] - START_NS) / 1e9, 3)


@pytest.mark.parametrize('is_recorded', [True, False])
def test_a_question_is_answered_in_one_step_from_the_newest_picture(bag, chat, is_recorded):
    asked = [(3.27, QUESTION)]
    # Of the frames at 0, 0.5 ... 3.0 s the model sees 7; then that of 3.2 s, out of turn.
    narrator = Narrator(chat, {8: YES}, rate=40)
    records = narrator.narrate(
        bag(8, *asked) if is_recorded else bag(8), () if is_recorded else asked)
    prompt, answer = of_type(records, 'prompt', 'narration')
    assert prompt['text'] == QUESTION and prompt['prompt_id'] == 'prompt-1'
    assert time_s(prompt) == time_s(prompt, 'first_bag_time_ns') == 3.27
    assert answer['text'] == YES and answer['reason'] == 'silence'
    assert answer['prompt_id'] == answer['standing_prompt_id'] == 'prompt-1'
    # Within the token's time that it takes in any case, not an interval of frames.
    assert time_s(answer, 'first_bag_time_ns') == 3.27
    assert time_s(answer, 'first_stamp_ns') == 3.2
    assert narrator.thumbnails == {1: 33}
    # The sampler goes on from there: 3.7, 4.2 ... 7.7.
    assert narrator.script.num_frames == 17
    silences = of_type(records, 'silence')
    assert [time_s(record, 'stamp_ns') for record in silences if
            record['stamp_ns'] > answer['stamp_ns']][:2] == [3.7, 4.2]
    # The question's own silence is no decision; each frame but the answered one has one.
    assert len(silences) == 17


def test_the_first_text_answers_however_late_and_what_follows_is_an_update(bag, chat):
    narrator = Narrator(chat, {11: YES, 14: NO})
    records = narrator.narrate(bag(10, (3.27, QUESTION)))
    assert [(record['text'], record['prompt_id'], record['standing_prompt_id'],
             time_s(record, 'first_bag_time_ns')) for record in of_type(records, 'narration')] == [
        (YES, 'prompt-1', 'prompt-1', 4.7), (NO, None, 'prompt-1', 6.2)]
    tokens = of_type(records, 'token')
    assert {(record['prompt_id'], record['standing_prompt_id']) for record in tokens} == {
        ('prompt-1', 'prompt-1'), (None, 'prompt-1')}
    timeline = timeline_of(records)
    assert [(narration.prompt, narration.text) for narration in timeline.narrations] == [
        (QUESTION, YES), (None, NO)]
    assert timeline.narrations[0].begin_ns - timeline.narrations[0].asked_ns == 1_430_000_000


def test_what_nothing_is_said_to_is_unanswered(bag, chat, tmp_path):
    narrator = Narrator(chat, {20: BALL}, answer_within_s=4.0)
    records = narrator.narrate(bag(12, (3.27, QUESTION)))
    unanswered, said = of_type(records, 'narration')
    assert unanswered['text'] == '' and unanswered['reason'] == 'unanswered'
    assert unanswered['prompt_id'] == 'prompt-1'
    assert time_s(unanswered) == time_s(unanswered, 'first_bag_time_ns') == 7.2
    assert (said['prompt_id'], said['standing_prompt_id']) == (None, 'prompt-1')
    assert timeline_of(records).num_answers == 0
    # No caption has no words, and what is said later is no answer.
    write_vtt(tmp_path / 'x.vtt', records, START_NS)
    captions = (tmp_path / 'x.vtt').read_text()
    assert captions.count('-->') == 1 and QUESTION not in captions
    event = json.loads(event_json(unanswered))
    assert event['reason'] == 'unanswered' and event['standing_prompt_id'] == 'prompt-1'


def test_every_question_has_one_end(bag, chat):
    narrator = Narrator(chat, {})
    records = narrator.narrate(bag(9, (3.27, 'No.'), (5.0, 'Yes.'), (8.0, QUESTION)))
    assert [(record['type'], record['prompt_id'], record['reason'], time_s(record))
            for record in of_type(records, 'prompt', 'narration')] == [
        ('prompt', 'prompt-1', None, 3.27),
        ('narration', 'prompt-1', 'interrupted', 5.0), ('prompt', 'prompt-2', None, 5.0),
        ('narration', 'prompt-2', 'interrupted', 8.0), ('prompt', 'prompt-3', None, 8.0),
        # When the last frame came.
        ('narration', 'prompt-3', 'stopped', 8.5)]


def test_a_new_beginning_closes_the_question_before_it(bag, chat):
    narrator = Narrator(chat, {12: BALL})
    records = narrator.narrate(bag(8, (3.27, QUESTION), restart_s=4.0))
    told = [(record['type'], record['reason']) for record in of_type(
        records, 'prompt', 'narration', 'error')]
    assert told[:3] == [('prompt', None), ('narration', 'stopped'), ('error', None)]
    closed, said = of_type(records, 'narration')
    assert (closed['prompt_id'], closed['text'], time_s(closed)) == ('prompt-1', '', 4.0)
    assert said['text'] == BALL and said['prompt_id'] is said['standing_prompt_id'] is None
    assert len({record['narration_id'] for record in of_type(records, 'narration')}) == 2


def test_a_question_in_mid_sentence_is_answered_at_once(bag, chat):
    narrator = Narrator(chat, {2: BALL}, rate=4)
    # The model is asked while it speaks, and goes on with what it has to say.
    records = narrator.narrate(bag(6, (1.1, QUESTION)))
    first, second = of_type(records, 'narration')
    prompt, = of_type(records, 'prompt')
    assert first['reason'] == 'interrupted' and first['prompt_id'] is None
    assert second['prompt_id'] == 'prompt-1' and second['text']
    assert time_s(prompt, 'first_bag_time_ns') == 1.1
    assert prompt['bag_time_ns'] == second['first_bag_time_ns']
    assert 0 <= time_s(prompt) - 1.1 <= 0.25  # when the token is said that was being said
    assert timeline_of(records).prompt_times_ns == (prompt['first_bag_time_ns'],)


def test_prompts_of_the_options_and_of_the_bag_are_counted_in_its_order(bag, chat):
    narrator = Narrator(chat, {1: YES})
    records = narrator.narrate(bag(4, (1.0, 'Recorded.')), [(2.0, 'Late.'), (0, 'First.')])
    assert [(record['prompt_id'], record['text']) for record in of_type(records, 'prompt')] == [
        ('prompt-1', 'First.'), ('prompt-2', 'Recorded.'), ('prompt-3', 'Late.')]
    assert of_type(records, 'narration')[0]['prompt_id'] == 'prompt-1'
    assert [record['type'] for record in records[:2]] == ['state', 'prompt']


@pytest.mark.parametrize('rate', [0, 3, 40])
@pytest.mark.parametrize('frames_per_group', [1, 3])
def test_taken_up_at_every_group_all_is_the_same(bag, chat, monkeypatch, rate, frames_per_group):
    monkeypatch.setattr(frame_chooser, 'FRAMES_PER_GROUP', frames_per_group)
    path = bag(20, (2.27, QUESTION), (3.3, 'Yes.'), (9.95, QUESTION), restart_s=14.0)
    prompts_at = [(0.0, 'Watch and tell.'), (5.18, 'No.'), (19.99, QUESTION)]
    said = {3: BALL, 6: YES, 12: BALL, 24: NO, 30: BALL}

    def narrator():
        return Narrator(chat, said, rate, answer_within_s=2.0)

    whole = narrator()
    whole.narrate(path, prompts_at)
    num_held = 0
    for state in whole.states:
        _, chosen, num_records, _, _ = json.loads(state[0])
        num_held += chosen['held'] is not None
        again = narrator()
        again.narrate(path, prompts_at, state)
        assert again.records == whole.records[num_records:]
        assert {**whole.thumbnails, **again.thumbnails} == whole.thumbnails
    assert len(whole.states) > 10 and num_held >= (3 if frames_per_group == 1 else 1)
    ends = Counter(record['prompt_id'] for record in of_type(whole.records, 'narration')
                   if record['prompt_id'])
    assert ends == Counter({f'prompt-{number}': 1 for number in range(1, 7)})
