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

"""Records of `~/events`: every event becomes one, with all keys."""

import json

from moss_ros.records import event_json, EVENTS_SCHEMA, read_event, record_of
from moss_ros.stream import (
    CameraEvent, CameraReason, EndReason, ErrorEvent, NarrationEvent, PromptEvent, RolloverEvent,
    SessionState, SilenceEvent, StateEvent, TokenEvent,
)
import pytest

SEEN = {'stamp_ns': 5_000_000_000, 'received_ns': 1_000_000}
KEYS = {
    'schema', 'seq', 'type', 'stamp_ns', 'first_stamp_ns', 'text', 'narration_id', 'prompt_id',
    'prompt_text', 'standing_prompt_id', 'state', 'reason', 'num_tokens', 'latency_ms'}
EVENTS = [
    (TokenEvent(**SEEN, text=' rød', token_id=7, narration_id=2, prompt_id='p'),
     {'type': 'token', 'text': ' rød', 'narration_id': 2, 'prompt_id': 'p'}),
    (SilenceEvent(**SEEN), {'type': 'silence'}),
    (StateEvent(**SEEN, state=SessionState.SPEAKING), {'type': 'state', 'state': 'speaking'}),
    (PromptEvent(**SEEN, prompt_id='p', text='What?'),
     {'type': 'prompt', 'prompt_id': 'p', 'text': 'What?'}),
    (NarrationEvent(**SEEN, narration_id=2, text='Red.', first_stamp_ns=4, num_tokens=3,
                    standing_prompt_id='p', reason=EndReason.INTERRUPTED),
     {'type': 'narration', 'text': 'Red.', 'first_stamp_ns': 4, 'reason': 'interrupted',
      'narration_id': 2, 'num_tokens': 3, 'standing_prompt_id': 'p'}),
    (RolloverEvent(**SEEN), {'type': 'rollover'}),
    (ErrorEvent(**SEEN, message='out of memory', traceback='...'),
     {'type': 'error', 'text': 'out of memory'}),
    (ErrorEvent(**SEEN, message='too long', prompt_id='p', prompt_text='What?'),
     {'type': 'error', 'text': 'too long', 'prompt_id': 'p', 'prompt_text': 'What?'}),
    (CameraEvent(**SEEN, reason=CameraReason.FROZEN, text='The picture is frozen.'),
     {'type': 'camera', 'reason': 'frozen', 'text': 'The picture is frozen.'}),
]


@pytest.mark.parametrize(('event', 'expected'), EVENTS)
def test_an_event_becomes_a_record_with_all_keys(event, expected):
    record = read_event(event_json(record_of(event, seq=4, monotonic_ns=13_500_000)))
    assert set(record) == KEYS
    assert record['seq'] == 4
    assert record['stamp_ns'] == 5_000_000_000
    assert record['latency_ms'] == 12.5
    given = {'schema', 'seq', 'stamp_ns', 'latency_ms'}
    assert {key: value for key, value in record.items()
            if value is not None and key not in given} == expected


def test_before_the_first_frame_there_is_neither_stamp_nor_latency():
    event = StateEvent(stamp_ns=None, received_ns=None, state=SessionState.SILENT)
    record = read_event(event_json(record_of(event, 0, 99)))
    assert record['stamp_ns'] is None and record['latency_ms'] is None


@pytest.mark.parametrize('text', [
    'A red ball', '[]', '{}', json.dumps({'schema': EVENTS_SCHEMA + 1})])
def test_another_schema_is_refused(text):
    with pytest.raises(ValueError):
        read_event(text)
