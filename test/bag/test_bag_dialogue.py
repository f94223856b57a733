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
Real conversations, replayed through bags: the model sees the samples that it was trained on.

A bag has an image a second and the questions between them; the pace of the model is as many
tokens a second as the text between two frames has. So a question that cuts a sentence, or a frame
in the middle of one, comes between two tokens by its time in the bag alone. Every skeleton can be
put into a bag in this way, and none is left out.
"""

import json

from bag_making import (
    IMAGE, image_message, IMAGE_TOPIC, PROMPT_TOPIC, START_NS, STRING, string_message, write_bag,
)
from dialogue_rule import assert_layout
from moss_ros.bag import BagError, ExitCode, narrate_bag, NarrateOptions
from moss_ros.stream import ChatFormat
import numpy as np
import pytest
from scripted_model import IMAGE_SIZE_PX, tiny_config, write_tokenizer
from skeletons import Dialogue, load_skeletons, ReadingModel, SYSTEM_PROMPT

SKELETONS = load_skeletons()
SECOND = 1_000_000_000
RECORDED_AFTER_NS = 5_000_000


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return a folder with all of a checkpoint but its model."""
    folder = tmp_path_factory.mktemp('checkpoint')
    chat = ChatFormat(write_tokenizer(folder / 'tokenizer.json'))
    (folder / 'config.json').write_text(json.dumps({
        **tiny_config(chat.image_id), 'stream_config': {
            'frame_rate_fps': 1.0, 'system_prompt': SYSTEM_PROMPT, 'max_context_frames': 600,
            'keep_context_frames': 500, 'max_context_tokens': 60_000,
            'keep_context_tokens': 50_000, 'max_tokens_between_frames': 2000,
            'sampling': {'do_sample': False}}}))
    return folder


@pytest.fixture(scope='module')
def chat(checkpoint):
    return ChatFormat(checkpoint / 'tokenizer.json')


@pytest.fixture(params=SKELETONS, ids=[name for name, _ in SKELETONS])
def dialogue(request, chat):
    name, skeleton = request.param
    return Dialogue(chat, skeleton, seed=name)


def messages_of(dialogue):
    """Yield what is recorded of a dialogue; each decision takes a token's time."""
    frame_ns, num_steps = START_NS - SECOND, 0
    for item, next_item in zip(dialogue.items, [*dialogue.items[1:], None]):
        if item.kind == 'frame':
            assert num_steps <= dialogue.tokens_per_frame, 'it must be done when the frame comes'
            stamp_ns = START_NS + item.number * SECOND
            picture = np.full((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), item.number % 256, np.uint8)
            frame_ns, num_steps = stamp_ns + RECORDED_AFTER_NS, 0
            yield IMAGE_TOPIC, IMAGE, frame_ns, image_message(picture, stamp_ns)
        elif item.kind == 'question':
            # Half a token's time before the step that takes it in.
            wait_ns = SECOND * (2 * num_steps - 1) // (2 * dialogue.tokens_per_frame)
            yield (PROMPT_TOPIC, STRING, frame_ns + max(0, wait_ns),
                   string_message(item.text))
            # That step says something only where it cut a sentence.
            num_steps += next_item.kind in ('frame', 'question')
        else:
            num_steps += 1


def narrate(dialogue, checkpoint, folder, **options):
    narrate_bag(folder / 'bag', folder / 'out', NarrateOptions(
        image_topic=IMAGE_TOPIC, prompt_topic=PROMPT_TOPIC if dialogue.questions else '',
        checkpoint=str(checkpoint),
        device='cpu', dtype='float32', tokens_per_second=float(dialogue.tokens_per_frame),
        answer_within_s=3600.0), **options)


def check_records(dialogue, folder):
    """Check that each answer has its question's id, and what is said later none."""
    records = [json.loads(line) for line in (
        folder / 'out' / 'narration.jsonl').read_text().splitlines()]
    assert not [record for record in records if record['type'] == 'error']
    ids = [f'prompt-{number + 1}' for number in range(len(dialogue.questions))]
    asked = [record for record in records if record['type'] == 'prompt']
    assert [(record['prompt_id'], record['text']) for record in asked] == list(
        zip(ids, dialogue.questions))
    narrations = [record for record in records if record['type'] == 'narration']
    assert [(record['text'], record['prompt_id'], record['standing_prompt_id'])
            for record in narrations if record['text']] == [
        (said.text, None if said.question is None else ids[said.question],
         None if said.standing is None else ids[said.standing]) for said in dialogue.narrations]
    assert [record['prompt_id'] for record in narrations if record['prompt_id']] == ids
    assert sum(record['type'] == 'token' for record in records) == sum(
        item.kind == 'token' for item in dialogue.items)
    assert sum(record['type'] == 'silence' for record in records) == sum(
        item.kind == 'silence' for item in dialogue.items)


def test_in_a_bag_the_model_sees_the_sample_too(dialogue, chat, checkpoint, tmp_path, monkeypatch):
    write_bag(tmp_path / 'bag', messages_of(dialogue))
    model = ReadingModel(chat, dialogue)
    monkeypatch.setattr('moss_ros.stream.stream_checkpoint.load_model', lambda *_, **__: model)
    narrate(dialogue, checkpoint, tmp_path)
    assert_layout(chat, dialogue.ids)
    # All but what was decided last went through the model.
    assert model.caches[0].ids == dialogue.ids[:len(model.caches[0].ids)]
    assert len(model.caches[0].ids) == max(dialogue.decisions)
    model.check_all_is_said()
    check_records(dialogue, tmp_path)


def test_in_a_bag_that_is_taken_up_again_the_model_sees_the_sample_too(
        dialogue, chat, checkpoint, tmp_path, monkeypatch):
    write_bag(tmp_path / 'bag', messages_of(dialogue))
    decided, runs = set(), 0
    while True:
        model = ReadingModel(chat, dialogue)
        monkeypatch.setattr('moss_ros.stream.stream_checkpoint.load_model', lambda *_, **__: model)
        groups = iter(range(5))
        try:
            narrate(dialogue, checkpoint, tmp_path, resume=True,
                    should_stop=lambda: next(groups, None) is None)
        except BagError as error:
            assert error.exit_code is ExitCode.INTERRUPTED
        decided.update(model.decided)
        runs += 1
        if (tmp_path / 'out' / 'run.json').exists():
            break
    assert runs > 1 or dialogue.num_frames < 40
    assert decided == dialogue.decisions
    check_records(dialogue, tmp_path)
