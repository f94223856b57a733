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
The mark of a narrator, one word for what it does, from what the desk has heard of it.

The words are names of classes in desk.css and of texts in desk_text.js. Called by the memory.
"""

from __future__ import annotations

from collections.abc import Sequence

# (name, level, message, values): level 0 OK, 1 WARN, 2 ERROR, 3 STALE; values pairs of texts.
Statuses = Sequence[tuple[str, int, str, Sequence[tuple[str, str]]]]
MARKS = ('waiting', 'gone', 'failed', 'inactive', 'paused', 'no_image', 'speaking', 'silent')
ERROR, STALE = 2, 3
# A narrator tells of its health once a second.
QUIET_S = 4.0


def mark_of(statuses: Statuses, state: str | None, is_there: bool, was_heard: bool,
            quiet_s: float, is_paused: bool | None = None) -> tuple[str, str]:
    """
    Return one of MARKS and the reason for it, '' where it needs none.

    state: 'silent', 'speaking' or None. is_there: its topics are published. was_heard: anything
    came from it, the last time quiet_s ago. is_paused: what is known of it beside the statuses.
    """
    if not is_there:
        return 'gone', 'Nobody publishes its topics: it has ended. Start it again.'
    if quiet_s > QUIET_S:
        return 'gone', ('Nothing is heard of it: it is loading its model, has died, or the '
                        'network is cut.')
    if not was_heard:
        return 'waiting', ''
    model, camera = _status(statuses, 'model'), _status(statuses, 'camera')
    if model.level == ERROR:
        return 'failed', model.message
    if model.values.get('lifecycle', 'active') != 'active':
        return 'inactive', model.message
    if model.values.get('paused') == 'yes' if is_paused is None else is_paused:
        return 'paused', ''
    if camera.level in (ERROR, STALE):
        return 'no_image', camera.message
    return (state, '') if state in ('speaking', 'silent') else ('waiting', '')


class _Status:
    def __init__(self, level=0, message='', values=()):
        self.level, self.message, self.values = level, message, dict(values)


def _status(statuses, task):
    """Return the status whose name ends in ': task'; an empty one where there is none."""
    for name, *rest in statuses:
        if name.rpartition(': ')[2] == task:
            return _Status(*rest)
    return _Status()
