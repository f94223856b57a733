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
What the desk knows of all narrators, as plain data: what was said, the state, health, thumbnails.

Records of `~/events`, statuses, truth and small pictures go in; messages for the page come out, as
dicts that JSON can carry. A browser that was away is given what it has missed. Everything is
called on the server's thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
import secrets

from moss_ros.desk.marks import mark_of, Statuses

MAX_ENTRIES = 1000
MAX_NARRATORS = 32
MAX_TEXT = 20_000
MAX_STATUSES, MAX_VALUES = 10, 100
# At two a second these reach back for half a minute, as far as a slow model may.
MAX_SMALL_PICTURES = 60
# Pictures farther from a narration's first stamp than this show something else.
NEAR_NS = 1_000_000_000
_ENTRY_KINDS = ('prompt', 'narration', 'error', 'camera')


@dataclass
class _Stream:
    """What is known of one narrator; times of hearing by time.monotonic()."""

    name: str
    found_s: float
    heard_s: float | None = None
    is_there: bool = True
    state: str | None = None
    seq: int | None = None
    running: dict | None = None
    statuses: Statuses = ()
    # What a service has answered, until the next statuses tell it.
    is_paused: bool | None = None
    mark: tuple[str, str] = ('waiting', '')
    entries: deque[dict] = field(default_factory=deque)
    small_pictures: deque[tuple[int, bytes]] = field(
        default_factory=lambda: deque(maxlen=MAX_SMALL_PICTURES))


class DeskMemory:
    """
    Keeps the last MAX_ENTRIES entries of each narrator.

    Methods that take something return the messages to send to every browser. boot tells one start
    of the desk from another.
    """

    def __init__(self):
        self.boot = secrets.token_hex(6)
        self._num_entries = 0
        self._streams: dict[str, _Stream] = {}
        self._thumbnails: dict[str, bytes] = {}

    @property
    def names(self) -> list[str]:
        """Names of the narrators that were found."""
        return list(self._streams)

    def thumbnail(self, name: str) -> bytes | None:
        """Return the JPEG of an entry by its 'thumbnail'; None where it is forgotten."""
        return self._thumbnails.get(name)

    # What goes in

    def take_presence(self, name: str, is_there: bool, now_s: float) -> list[dict]:
        """Take in whether a narrator's topics are published."""
        stream = self._streams.get(name)
        if stream is None:
            if not is_there:
                return []
            self._make_room()
            stream = self._streams[name] = _Stream(name, now_s)
        stream.is_there = is_there
        return self._marks(now_s)

    def take_record(self, name: str, record: dict, now_s: float, now_ms: int) -> list[dict]:
        """Take in a record of `~/events`; now_ms: by the calendar's clock, since 1970."""
        stream = self._streams.get(name)
        if stream is None:
            return []
        stream.heard_s = now_s
        messages = self._missed(stream, record, now_ms)
        kind = record.get('type')
        if kind == 'token':
            messages.append(self._go_on(stream, record))
        elif kind in _ENTRY_KINDS:
            if kind == 'narration':
                stream.running = None
            messages.append(self._entry(stream, kind, now_ms, **_entry_values(record)))
        elif kind == 'state':
            messages += self._follow_state(stream, record, now_ms)
        return messages + self._marks(now_s)

    def take_silence(self, name: str, is_silent: bool, now_s: float) -> list[dict]:
        """Take in the state that is latched on `~/silence`; events tell it later on."""
        stream = self._streams.get(name)
        if stream is None or stream.state is not None:
            return []
        stream.state = 'silent' if is_silent else 'speaking'
        return self._marks(now_s)

    def take_statuses(self, name: str, statuses: Statuses, now_s: float) -> list[dict]:
        """Take in the statuses of `/diagnostics`; they are sent with the next pulse."""
        stream = self._streams.get(name)
        if stream is None:
            return []
        stream.heard_s = now_s
        stream.statuses, stream.is_paused = statuses, None
        return self._marks(now_s)

    def take_pause(self, name: str, is_paused: bool, now_s: float) -> list[dict]:
        """Take in that a narrator was paused, or goes on."""
        stream = self._streams.get(name)
        if stream is None:
            return []
        stream.is_paused = is_paused
        return self._marks(now_s)

    def take_truth(self, name: str, sentence: str, stamp_ns: int, now_ms: int) -> list[dict]:
        """Take in what truly happened before a narrator's camera."""
        stream = self._streams.get(name)
        if stream is None:
            return []
        return [self._entry(stream, 'truth', now_ms, text=_short(sentence),
                            stamp_s=_seconds(stamp_ns))]

    def take_small_picture(self, name: str, stamp_ns: int, jpeg: bytes) -> None:
        """Keep a picture for the narrations that may begin with it."""
        stream = self._streams.get(name)
        if stream is not None:
            if stream.small_pictures and stamp_ns <= stream.small_pictures[-1][0]:
                stream.small_pictures.clear()  # the clock was set back
            stream.small_pictures.append((stamp_ns, jpeg))

    # What comes out

    def pulse(self, now_s: float, now_ms: int) -> dict:
        """Return the state and the statuses of all narrators, and the time."""
        self._marks(now_s)
        return {'type': 'pulse', 'now_ms': now_ms, 'narrators': [
            {**_marked(stream), 'statuses': [
                {'name': _short(status_name), 'level': level, 'message': _short(message),
                 'values': [[_short(key), _short(value)] for key, value in values[:MAX_VALUES]]}
                for status_name, level, message, values in stream.statuses[:MAX_STATUSES]]}
            for stream in self._streams.values()]}

    def welcome(self, boot: str, after: int, now_s: float, now_ms: int) -> list[dict]:
        """
        Return the first messages to a browser: all that it has missed.

        boot, after: the start of the desk that it knows, and the number of the newest entry that
        it has; '' and 0 for a new one. 'lost' of the first message counts the entries that it has
        missed and that are forgotten.
        """
        known = after if boot == self.boot and after <= self._num_entries else 0
        entries = sorted(
            (entry for stream in self._streams.values() for entry in stream.entries
             if entry['n'] > known), key=lambda entry: entry['n'])
        num_lost = self._num_entries - known - len(entries)
        # To a new browser what was before its time is not lost.
        hello = {'type': 'welcome', 'boot': self.boot, 'is_new': not known,
                 'lost': num_lost if known else 0, 'after': self._num_entries,
                 'running': {stream.name: stream.running for stream in self._streams.values()
                             if stream.running is not None}}
        return [hello, self.pulse(now_s, now_ms), *entries]

    # One narrator

    def _make_room(self):
        """Forget the narrator that was heard longest ago, where there are too many."""
        if len(self._streams) >= MAX_NARRATORS:
            oldest = min(self._streams.values(), key=lambda stream: (
                stream.is_there, stream.heard_s or stream.found_s))
            while oldest.entries:
                self._forget(oldest)
            del self._streams[oldest.name]

    def _missed(self, stream, record, now_ms):
        """Tell of records that were lost on the way, or that the narrator was started anew."""
        seq, before = record.get('seq'), stream.seq
        if not isinstance(seq, int):
            return []
        stream.seq = seq
        if before is None or seq == before + 1:
            return []
        stream.running = None
        if seq <= before:
            return [self._entry(stream, 'note', now_ms, text='The narrator was started again.')]
        num_lost = seq - before - 1
        events = 'An event was' if num_lost == 1 else f'{num_lost} events were'
        return [self._entry(stream, 'note', now_ms, text=f'{events} lost on the way to the desk.')]

    def _go_on(self, stream, record):
        running = stream.running
        if running is None or running['narration_id'] != _id(record.get('narration_id')):
            running = stream.running = {
                'narration_id': _id(record.get('narration_id')), 'text': '',
                'prompt_id': _id(record.get('prompt_id')),
                'stamp_s': _seconds(record.get('stamp_ns'))}
        piece = _short(record.get('text'))
        running['text'] = (running['text'] + piece)[:MAX_TEXT]
        return {'type': 'token', 'narrator': stream.name, **running, 'text': piece}

    def _follow_state(self, stream, record, now_ms):
        stream.state = _id(record.get('state'))
        if record.get('stamp_ns') is not None:
            return []
        stream.running = None
        if not stream.entries:
            return []
        return [self._entry(stream, 'note', now_ms, text='The stream begins anew.')]

    def _entry(self, stream, kind, now_ms, **values):
        self._num_entries += 1
        entry = {'type': 'entry', 'n': self._num_entries, 'narrator': stream.name, 'kind': kind,
                 'time_ms': now_ms, **values}
        if kind == 'narration' and entry['text']:
            entry['thumbnail'] = self._keep_thumbnail(stream, entry['n'], entry.pop('first_ns'))
        entry.pop('first_ns', None)
        stream.entries.append(entry)
        if len(stream.entries) > MAX_ENTRIES:
            self._forget(stream)
        return entry

    def _forget(self, stream):
        self._thumbnails.pop(stream.entries.popleft().get('thumbnail'), None)

    def _keep_thumbnail(self, stream, number, stamp_ns):
        """Keep the picture that is nearest to a stamp; return its name, '' where none is near."""
        if not isinstance(stamp_ns, int) or not stream.small_pictures:
            return ''
        stamps = [item[0] for item in stream.small_pictures]
        after = bisect_left(stamps, stamp_ns)
        nearest = min(stamps[max(0, after - 1):after + 1], key=lambda each: abs(each - stamp_ns))
        if abs(nearest - stamp_ns) > NEAR_NS:
            return ''
        name = f'{self.boot}-{number}'
        self._thumbnails[name] = stream.small_pictures[stamps.index(nearest)][1]
        return name

    def _marks(self, now_s):
        """Return a message for each narrator whose mark has changed."""
        messages = []
        for stream in self._streams.values():
            quiet_s = now_s - (stream.found_s if stream.heard_s is None else stream.heard_s)
            mark = mark_of(stream.statuses, stream.state, stream.is_there,
                           stream.heard_s is not None, quiet_s, stream.is_paused)
            if mark != stream.mark:
                stream.mark = mark
                messages.append({'type': 'mark', **_marked(stream)})
        return messages


def _marked(stream):
    return {'narrator': stream.name, 'mark': stream.mark[0], 'reason': _short(stream.mark[1])}


def _entry_values(record):
    """Return what the page shows of a record."""
    return {
        'text': _short(record.get('text')).strip(),
        'prompt_id': _id(record.get('prompt_id')),
        'prompt_text': _short(record.get('prompt_text') or '').strip(),
        'narration_id': _id(record.get('narration_id')),
        'reason': _id(record.get('reason')),
        'stamp_s': _seconds(record.get('stamp_ns')),
        'first_stamp_s': _seconds(record.get('first_stamp_ns')),
        'first_ns': record.get('first_stamp_ns')}


def _seconds(stamp_ns):
    """Return a stamp as a number that JavaScript has room for."""
    return round(stamp_ns / 1e9, 3) if isinstance(stamp_ns, int) else None


def _id(value):
    return value if value is None or isinstance(value, int) else _short(value)[:100]


def _short(text):
    text = '' if text is None else str(text)
    return text if len(text) <= MAX_TEXT else f'{text[:MAX_TEXT]}\u2026'
