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
The narration as lines of text for people.

Records of `~/events` go in, text comes out. Used by both views of the console.
"""

from moss_ros.views.times import time_text

OBSERVING = '[observing]'
END_NOTES = {'interrupted': ' ... (interrupted)', 'limit': ' ... (cut: too long)',
             'stopped': ' ... (stopped)'}


class StreamPrinter:
    """
    Turns event records into text: a line for each narration, one '[observing]' for a silence.

    write: called with each piece of text, at once.
    """

    def __init__(self, write):
        self._write = write
        self._speaking_id = None
        self._is_observing = False

    def show_silence(self) -> None:
        """Write '[observing]', unless that was written last or something is being said."""
        if not self._is_observing and self._speaking_id is None:
            self._line(OBSERVING)
            self._is_observing = True

    def show(self, record: dict) -> None:
        """Write what a record of `~/events` means to a reader, if anything."""
        kind = record['type']
        if kind == 'token':
            self._show_token(record)
        elif kind == 'narration':
            self._show_end(record)
        elif kind == 'prompt':
            self._line(f'> {record["text"]}')
        elif kind == 'error':
            self._line(f'[error] {record["text"]}')
        elif kind == 'camera':
            self._line(f'[camera] {record["text"]}')
        elif kind == 'silence' or record['state'] == 'silent':
            self.show_silence()

    def _show_token(self, record):
        if self._speaking_id != record['narration_id']:
            self._end_line()
            self._speaking_id = record['narration_id']
            self._is_observing = False
            self._write(f'{time_text(record["stamp_ns"])}  {record["text"].lstrip()}')
        else:
            self._write(record['text'])

    def _show_end(self, record):
        note = END_NOTES.get(record['reason'], '')
        if self._speaking_id == record['narration_id']:
            self._write(note)
            self._end_line()
        elif record['prompt_id']:
            self._line(no_answer_text(record))

    def _line(self, text):
        self._end_line()
        self._is_observing = False
        self._write(text + '\n')

    def _end_line(self):
        if self._speaking_id is not None:
            self._write('\n')
            self._speaking_id = None


def no_answer_text(record: dict) -> str:
    """Return the text for a narration record without words: why a question has no answer."""
    reason = record['reason']
    return '(not answered)' if reason == 'unanswered' else f'(no answer: {reason})'
