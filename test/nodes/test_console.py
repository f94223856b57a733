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

"""What the operator reads, and lines that are typed."""

from datetime import datetime
import os
import threading

from moss_ros.nodes.console import LineReader
from moss_ros.views.times import time_text
from moss_ros.views.transcript import StreamPrinter
import pytest


def shown(*records):
    """Return what a StreamPrinter writes for records, times of day replaced by 'T'."""
    written = []
    printer = StreamPrinter(written.append)
    for changes in records:
        if changes is None:
            printer.show_silence()
        else:
            printer.show({'stamp_ns': 0, 'text': None, 'narration_id': None, 'prompt_id': None,
                          'state': None, 'reason': None, **changes})
    lines = ''.join(written).split('\n')
    return [('T' + line[8:]) if line[2:3] == ':' else line for line in lines]


def token(text, narration_id=1):
    return {'type': 'token', 'text': text, 'narration_id': narration_id}


def end(reason, narration_id=1, prompt_id=None):
    return {'type': 'narration', 'reason': reason, 'narration_id': narration_id,
            'prompt_id': prompt_id}


SILENT = {'type': 'state', 'state': 'silent'}
SPEAKING = {'type': 'state', 'state': 'speaking'}
SILENCE = {'type': 'silence'}
TRANSCRIPTS = {
    'one observing line a stretch': (
        [None, SILENT, SILENCE, SILENCE, None], ['[observing]', '']),
    'a sentence in one line': (
        [SILENT, SPEAKING, token('A red'), token(' ball.'), end('silence'), SILENCE, SILENT],
        ['[observing]', 'T  A red ball.', '[observing]', '']),
    'a sentence that is not over has no line end': (
        [SPEAKING, token('A red')], ['T  A red']),
    'an interrupted sentence says so': (
        [token('A red'), end('interrupted'), {'type': 'prompt', 'text': 'Where?'},
         token(' Left.', 2), end('silence', 2)],
        ['T  A red ... (interrupted)', '> Where?', 'T  Left.', '']),
    'two sentences without silence between': (
        [token('A'), end('limit'), token('B', 2), end('stopped', 2)],
        ['T  A ... (cut: too long)', 'T  B ... (stopped)', '']),
    'a console that comes in mid-sentence': (
        [token(' ball.'), end('silence')], ['T  ball.', '']),
    'a lost end does not join two sentences': (
        [token('A'), token('B', 2)], ['T  A', 'T  B']),
    'an answer that was never begun': (
        [{'type': 'prompt', 'text': 'Where?'}, end('interrupted', prompt_id='p')],
        ['> Where?', '(no answer: interrupted)', '']),
    'an error has its line': (
        [token('A'), {'type': 'error', 'text': 'it broke'}], ['T  A', '[error] it broke', '']),
    'what the picture is has its line': (
        [token('A'), {'type': 'camera', 'text': 'It is black.'}],
        ['T  A', '[camera] It is black.', '']),
}


@pytest.mark.parametrize('name', TRANSCRIPTS)
def test_transcript(name):
    records, expected = TRANSCRIPTS[name]
    assert shown(*records) == expected


class Lines:
    """Lines from a LineReader on a pipe."""

    def __init__(self):
        self.lines = []
        self._arrived = threading.Condition()
        read_end, self.write_end = os.pipe()
        self.reader = LineReader(read_end, self._keep)

    def _keep(self, line):
        with self._arrived:
            self.lines.append(line)
            self._arrived.notify()

    def wait_for(self, num_lines):
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.lines) >= num_lines, 5.0)
        return self.lines


@pytest.mark.parametrize(('stamp_ns', 'text'), [
    (None, '--:--:--'), (12_900_000_000, '00:00:12'), (3_723 * 10 ** 9, '01:02:03'),
    (1_800_000_000 * 10 ** 9, datetime.fromtimestamp(1_800_000_000).strftime('%H:%M:%S'))])
def test_stamps_of_a_simulator_are_no_times_of_day(stamp_ns, text):
    assert time_text(stamp_ns) == text


def test_lines_come_whole_stripped_and_not_blank():
    typed = Lines()
    os.write(typed.write_end, b'What do')
    os.write(typed.write_end, ' you see?\r\n\n   \nWo ist é?\nand'.encode())
    assert typed.wait_for(2) == ['What do you see?', 'Wo ist é?']
    os.close(typed.write_end)
    # The end of the input ends the last line.
    assert typed.wait_for(3)[2] == 'and'
    typed.reader.close()


def test_a_reader_that_waits_can_be_closed():
    num_threads = threading.active_count()
    typed = Lines()
    typed.reader.close()
    assert threading.active_count() == num_threads
    os.close(typed.write_end)
