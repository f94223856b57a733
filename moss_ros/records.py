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
Events of a stream as JSON records, and the table of the topics on which records are published.

Events go in, records (dicts) and topic messages come out. Events are recognised by their class
names, so programs that only read records need not load the model's libraries. The narrator and
the MCAP writer publish by OUTPUT_TOPICS, and tests compare the docs and the Foxglove layout with
it. To add a topic, add a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
import json

EVENTS_SCHEMA = BAG_RECORD_SCHEMA = 1
STRING_TYPE, BOOL_TYPE = 'std_msgs/msg/String', 'std_msgs/msg/Bool'
EVENT_KEYS = (
    'schema', 'seq', 'type', 'stamp_ns', 'first_stamp_ns', 'text', 'narration_id', 'prompt_id',
    'prompt_text', 'standing_prompt_id', 'state', 'reason', 'num_tokens', 'latency_ms')


def record_of(event, seq: int, monotonic_ns: int | None = None) -> dict:
    """
    Return the record of an event: a dict with all EVENT_KEYS, None for those that do not apply.

    - type comes from the name of the class: 'token' for TokenEvent.
    - seq: counts the records of a narrator.
    - monotonic_ns: the time now, to compute the latency since the newest frame arrived; None
      offline.
    """
    kind = type(event).__name__.removesuffix('Event').lower()
    values = {key: getattr(event, key, None) for key in EVENT_KEYS}
    values.update(schema=EVENTS_SCHEMA, seq=seq, type=kind)
    for name in ('state', 'reason'):
        values[name] = values[name].value if values[name] else None
    if kind == 'error':
        values['text'] = event.message
    latency_ms = None if monotonic_ns is None else event.frame_latency_ms(monotonic_ns)
    values['latency_ms'] = None if latency_ms is None else round(latency_ms, 3)
    return values


def bag_record_of(event, seq: int, *, bag_time_ns: int, first_bag_time_ns: int | None,
                  narration_id: int | None, state: str) -> dict:
    """
    Return the record of an event for narration.jsonl: record_of(), with the times of the bag.

    - bag_time_ns, first_bag_time_ns: when it happened and when it began, in the time of the bag.
    - narration_id: counted over the whole bag.
    - state: of the stream at that moment; always set, unlike in record_of().
    """
    record = record_of(event, seq)
    del record['latency_ms']  # a bag has no latencies
    record.update(schema=BAG_RECORD_SCHEMA, bag_time_ns=bag_time_ns,
                  first_bag_time_ns=first_bag_time_ns, narration_id=narration_id, state=state)
    return record


def event_json(record: dict) -> str:
    """Return a record, of record_of() or bag_record_of(), as one line of JSON for `~/events`."""
    event = {**{key: record.get(key) for key in EVENT_KEYS}, 'schema': EVENTS_SCHEMA}
    if record['type'] != 'state':
        event['state'] = None  # records of a bag always have one
    return json.dumps(event, ensure_ascii=False)


def read_event(text: str) -> dict:
    """Return the record in a message of `~/events`; ValueError if it is none or schema differs."""
    record = json.loads(text)
    schema = record.get('schema') if isinstance(record, dict) else None
    if schema != EVENTS_SCHEMA:
        raise ValueError(f'an event of schema {schema!r}; this program reads {EVENTS_SCHEMA}')
    return record


@dataclass(frozen=True)
class OutputTopic:
    """
    A topic on which the narrator publishes records.

    - name: below the node's own. message_type: STRING_TYPE or BOOL_TYPE. depth: of its queue.
    - is_latched: whether late subscribers get the newest message.
    - data_of: turns a record into the message's data; None: the record is not published here.
    """

    name: str
    message_type: str
    depth: int
    is_latched: bool
    data_of: Callable[[dict], str | bool | None]


OUTPUT_TOPICS = (
    OutputTopic('tokens', STRING_TYPE, 100, False,
                lambda record: record['text'] if record['type'] == 'token' else None),
    OutputTopic('silence', BOOL_TYPE, 1, True,
                lambda record: record['state'] == 'silent' if record['type'] == 'state' else None),
    OutputTopic('narration', STRING_TYPE, 100, False,
                lambda record: record['text'].strip() or None
                if record['type'] == 'narration' else None),
    OutputTopic('events', STRING_TYPE, 100, False, event_json),
)
