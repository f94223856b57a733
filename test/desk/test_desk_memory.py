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

"""What the desk keeps: entries, thumbnails, marks, and what a browser has missed."""

from moss_ros.desk.marks import mark_of, MARKS
from moss_ros.desk.memory import DeskMemory, MAX_ENTRIES, MAX_NARRATORS, MAX_TEXT
import pytest

S_NS = 10 ** 9
NAME = '/front/narrator'


def record(kind, seq, second=1, **values):
    return {'type': kind, 'seq': seq, 'stamp_ns': second * S_NS, 'first_stamp_ns': None,
            'text': None, 'narration_id': None, 'prompt_id': None, 'reason': None, 'state': None,
            **values}


def narration(seq, text='The red ball moves.', second=1, **values):
    return record('narration', seq, second, text=text, narration_id=seq, reason='silence',
                  first_stamp_ns=second * S_NS, **values)


@pytest.fixture
def memory():
    """Return a memory that has found a narrator."""
    memory = DeskMemory()
    memory.take_presence(NAME, True, 0.0)
    return memory


def take(memory, *records):
    """Return the entries that records become."""
    return [message for each in records for message in memory.take_record(NAME, each, 1.0, 5)
            if message['type'] == 'entry']


def test_what_was_said_asked_and_went_wrong_is_kept_in_order(memory):
    take(memory, record('prompt', 0, text='Where?', prompt_id='p'), record('silence', 1),
         record('token', 2, text=' A', narration_id=1), narration(3, prompt_id='p'),
         record('error', 4, text='out of memory'), record('camera', 5, text='It is black.'))
    memory.take_truth(NAME, 'A red ball leaves.', 9 * S_NS, 5)
    welcome, pulse, *entries = memory.welcome('', 0, 1.0, 5)
    assert [(entry['n'], entry['kind'], entry['text']) for entry in entries] == [
        (1, 'prompt', 'Where?'), (2, 'narration', 'The red ball moves.'),
        (3, 'error', 'out of memory'), (4, 'camera', 'It is black.'),
        (5, 'truth', 'A red ball leaves.')]
    assert welcome['is_new'] and welcome['lost'] == 0 and welcome['after'] == 5
    assert [each['narrator'] for each in pulse['narrators']] == [NAME]


def test_a_browser_that_comes_back_gets_what_it_has_missed(memory):
    take(memory, narration(0), narration(1), narration(2))
    welcome, _, *entries = memory.welcome(memory.boot, 2, 1.0, 5)
    assert not welcome['is_new']
    assert [entry['n'] for entry in entries] == [3]
    # Of another start of the desk it knows nothing.
    welcome, _, *entries = memory.welcome('another', 2, 1.0, 5)
    assert welcome['is_new'] and [entry['n'] for entry in entries] == [1, 2, 3]


def test_the_last_thousand_are_kept_and_the_rest_is_counted(memory):
    take(memory, *(narration(seq) for seq in range(MAX_ENTRIES + 10)))
    welcome, _, *entries = memory.welcome(memory.boot, 4, 1.0, 5)
    assert len(entries) == MAX_ENTRIES and welcome['lost'] == 6


def test_what_is_being_said_is_told_to_who_comes_in(memory):
    take(memory, record('token', 0, text=' A red', narration_id=7),
         record('token', 1, text=' ball', narration_id=7))
    assert memory.welcome('', 0, 1.0, 5)[0]['running'][NAME]['text'] == ' A red ball'
    take(memory, narration(2))
    assert memory.welcome('', 0, 1.0, 5)[0]['running'] == {}


def test_records_that_were_lost_are_told(memory):
    take(memory, narration(4))
    assert [entry['text'] for entry in take(memory, narration(7))] == [
        '2 events were lost on the way to the desk.', 'The red ball moves.']
    assert take(memory, narration(0))[0]['text'] == 'The narrator was started again.'
    anew = record('state', 1, state='silent')
    anew['stamp_ns'] = None
    assert take(memory, anew)[0]['text'] == 'The stream begins anew.'


def test_a_narration_has_the_picture_that_was_nearest_to_its_beginning(memory):
    for second in range(10):
        memory.take_small_picture(NAME, second * S_NS, bytes([second]))
    near, none = take(memory, narration(0, second=4), narration(1, second=20))
    assert memory.thumbnail(near['thumbnail']) == b'\x04'
    assert none['thumbnail'] == '' and memory.thumbnail('') is None
    take(memory, *(narration(seq, second=20) for seq in range(2, MAX_ENTRIES + 2)))
    assert memory.thumbnail(near['thumbnail']) is None


def test_records_with_wrong_values_do_no_harm(memory):
    entry, = take(memory, record('narration', 0, text=['a'], narration_id={}, prompt_id=[1],
                                 first_stamp_ns='now'))
    assert entry['text'] == "['a']" and entry['first_stamp_s'] is None
    long, = take(memory, narration(1, text='a' * 10 ** 6))
    assert len(long['text']) == MAX_TEXT + 1
    assert take(memory, {'type': 'narration', 'text': 'b', 'seq': 2})[0]['text'] == 'b'


def test_so_many_narrators_are_kept_and_those_that_are_gone_are_forgotten_first(memory):
    take(memory, narration(0))
    memory.take_presence(NAME, False, 1.0)
    for number in range(MAX_NARRATORS):
        memory.take_presence(f'/n{number}', True, 2.0)
    assert len(memory.names) == MAX_NARRATORS and NAME not in memory.names


def statuses(model=(0, ''), camera=(0, ''), **values):
    return [('front/narrator: camera', *camera, ()),
            ('front/narrator: model', *model, tuple(values.items()))]


@pytest.mark.parametrize(('arguments', 'mark'), [
    ((statuses(), 'silent', True, True, 1.0), ('silent', '')),
    ((statuses(lifecycle='active', paused='no'), 'speaking', True, True, 1.0), ('speaking', '')),
    ((statuses(lifecycle='active', paused='yes'), 'silent', True, True, 1.0), ('paused', '')),
    ((statuses(lifecycle='inactive'), None, True, True, 1.0), ('inactive', '')),
    ((statuses(model=(2, 'out of memory'), lifecycle='active'), 'silent', True, True, 1.0),
     ('failed', 'out of memory')),
    ((statuses(camera=(3, 'nobody publishes')), 'silent', True, True, 1.0),
     ('no_image', 'nobody publishes')),
    ((statuses(camera=(1, 'dropped')), 'silent', True, True, 1.0), ('silent', '')),
    (((), 'silent', True, True, 1.0), ('silent', '')),
    (((), None, True, False, 1.0), ('waiting', ''))])
def test_the_mark_says_what_a_narrator_does(arguments, mark):
    assert mark_of(*arguments) == mark
    assert mark[0] in MARKS


@pytest.mark.parametrize(('is_there', 'quiet_s'), [(False, 0.1), (True, 5.0)])
def test_a_narrator_that_is_gone_is_marked_with_the_reason(is_there, quiet_s):
    mark, reason = mark_of(statuses(), 'speaking', is_there, True, quiet_s)
    assert mark == 'gone' and reason


def test_a_change_of_the_mark_is_told_at_once(memory):
    silent = memory.take_silence(NAME, True, 1.0)
    assert silent == []  # nothing was heard of its health yet
    told = memory.take_statuses(NAME, statuses(lifecycle='active', paused='no'), 1.0)
    assert [each['mark'] for each in told] == ['silent']
    assert [each['mark'] for each in memory.take_pause(NAME, True, 1.0)] == ['paused']
    assert memory.take_pause(NAME, True, 1.0) == []
    assert [each['mark'] for each in memory.take_presence(NAME, False, 2.0)] == ['gone']
