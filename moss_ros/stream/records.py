"""
Events as JSON records, for `~/events`: stream events in, one line of text out, and back.

Every record has all keys; what does not apply is null. Knows neither rclpy nor topics, and the
events by their class names only: programs that just read records need not load the model's
libraries. Used by the narrator to write, by the console, the demo and the tests to read.
"""

import json

EVENTS_SCHEMA = 1


def event_json(event, seq: int, monotonic_ns: int) -> str:
    """
    Return the record of a moss_ros.stream Event as one line of JSON.

    Its type is the name of the class: 'token' for TokenEvent. seq counts the records of a
    narrator. monotonic_ns is now, for the latency since the newest frame arrived.
    """
    kind = type(event).__name__.removesuffix('Event').lower()
    state = getattr(event, 'state', None)
    reason = getattr(event, 'reason', None)
    latency_ms = None
    if event.received_ns:
        latency_ms = round((monotonic_ns - event.received_ns) / 1e6, 3)
    return json.dumps({
        'schema': EVENTS_SCHEMA,
        'seq': seq,
        'type': kind,
        'stamp_ns': event.stamp_ns,
        'first_stamp_ns': getattr(event, 'first_stamp_ns', None),
        'text': event.message if kind == 'error' else getattr(event, 'text', None),
        'narration_id': getattr(event, 'narration_id', None),
        'prompt_id': getattr(event, 'prompt_id', None),
        'standing_prompt_id': getattr(event, 'standing_prompt_id', None),
        'state': state.value if state else None,
        'reason': reason.value if reason else None,
        'num_tokens': getattr(event, 'num_tokens', None),
        'latency_ms': latency_ms,
    }, ensure_ascii=False)


def read_event(text: str) -> dict:
    """Return the record in a message of `~/events`; ValueError for another schema or no record."""
    record = json.loads(text)
    schema = record.get('schema') if isinstance(record, dict) else None
    if schema != EVENTS_SCHEMA:
        raise ValueError(f'an event of schema {schema!r}; this program reads {EVENTS_SCHEMA}')
    return record
