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

"""What tests of a session do with one, and how they look at its events."""

from moss_ros.stream import NarrationEvent, SessionState, StateEvent

SILENT, SPEAKING = SessionState.SILENT, SessionState.SPEAKING


def run(session, max_steps=500):
    """Step until there is no work; return all events."""
    events = []
    for _ in range(max_steps):
        if not session.has_work:
            return events
        events += session.step()
    raise AssertionError(f'the session still has work after {max_steps} steps')


def of_class(events, event_class):
    return [event for event in events if isinstance(event, event_class)]


def narrations(events):
    return [(event.text, event.reason, event.prompt_id)
            for event in of_class(events, NarrationEvent)]


def states(events):
    return [event.state for event in of_class(events, StateEvent)]


def text_ids(chat, text):
    ids = chat.encode_text(text)
    assert len(ids) > 1
    return ids
