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
The console on a full screen: narration with times, state, figures and a line to type in.

Records of `~/events` and statuses of `/diagnostics` go in, typed lines come out. Run by the
console in a terminal; `make pictures` draws it without one.
"""

from collections import deque
import signal
from statistics import median

from moss_ros.views.times import time_text
from moss_ros.views.transcript import END_NOTES, no_answer_text
from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Input, RichLog, Static

MAX_ENTRIES = 400
MAX_LINES = 2000
MAX_RUNNING_LETTERS = 2000
NUM_LATENCIES = 200
NUM_INTERVALS = 10
REFRESH_PERIOD_S = 0.5
WIDE_COLUMNS = 84
LEVEL_NAMES = ('OK', 'WARN', 'ERROR', 'STALE')
LEVEL_STYLES = ('bold #46e178', 'bold #ffd666', 'bold #ff6b6b', 'bold #c792ea')
SPEAKING_STYLE, PROMPT_STYLE, ERROR_STYLE, NOTICE_STYLE = (
    'bold #46e178', 'bold #ffd666', 'bold #ff6b6b', '#c792ea')
HINT = 'Ask, such as: What do you see?'


class EventHeard(Message):
    """A record of `~/events` has come."""

    def __init__(self, record: dict):
        super().__init__()
        self.record = record


class StatusesHeard(Message):
    """The narrator's statuses have come, as tell_statuses() has them."""

    def __init__(self, statuses: list[tuple]):
        super().__init__()
        self.statuses = statuses


class NoticeHeard(Message):
    """A line for the operator that is not part of the stream, such as a warning."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text


class EndWanted(Message):
    """The process is to end."""


class EventFigures:
    """Latencies and frames a second, computed from the events alone; one thread."""

    def __init__(self):
        self._latencies_ms: deque[float] = deque(maxlen=NUM_LATENCIES)
        self._stamps_ns: deque[int] = deque(maxlen=NUM_INTERVALS + 1)

    def add(self, record: dict) -> None:
        """Take in a record of `~/events`."""
        stamp_ns = record['stamp_ns']
        if stamp_ns is None:
            self._stamps_ns.clear()
        # Only the first word or silence after a frame: what is said later about it is not late.
        elif record['type'] in ('token', 'silence') and (
                not self._stamps_ns or self._stamps_ns[-1] != stamp_ns):
            if self._stamps_ns and stamp_ns < self._stamps_ns[-1]:
                self._stamps_ns.clear()
            self._stamps_ns.append(stamp_ns)
            if record['latency_ms'] is not None:
                self._latencies_ms.append(record['latency_ms'])

    def rows(self) -> list[tuple[str, str]]:
        """Return (name, value) pairs, a dash for what is not known yet."""
        last = middle = rate = '-'
        if self._latencies_ms:
            last = f'{self._latencies_ms[-1]:.0f} ms'
            middle = f'{median(self._latencies_ms):.0f} ms'
        if len(self._stamps_ns) > 1:
            span_s = (self._stamps_ns[-1] - self._stamps_ns[0]) / 1e9
            rate = f'{(len(self._stamps_ns) - 1) / span_s:.1f} /s'
        return [('latency', last), ('latency, median', middle), ('frames shown', rate)]


class NarrationLog(RichLog):
    """The newest narrations: a column of times and a column of texts."""

    def __init__(self, **options):
        super().__init__(wrap=True, max_lines=MAX_LINES, min_width=10, **options)
        self._entries: deque[Table] = deque(maxlen=MAX_ENTRIES)
        self._entry_width = 0

    def add(self, time: str, text: str, style: str) -> None:
        """Add an entry; style is Rich's."""
        entry = Table.grid(padding=(0, 2, 0, 0), expand=True)
        entry.add_column(width=8)
        entry.add_column(ratio=1)
        entry.add_row(Text(time, style='dim'), Text(text, style=style))
        self._entries.append(entry)
        self.write(entry, expand=True)

    def forget(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self.clear()

    def on_resize(self) -> None:
        """Break the lines anew where the width has changed."""
        if self._entry_width not in (0, self.size.width):
            self.clear()
            for entry in self._entries:
                self.write(entry, expand=True)
        self._entry_width = self.size.width


class ConsoleScreen(App):
    """
    The screen; run() blocks until ctrl-c or ctrl-q.

    Other threads may call the tell methods, once on_ready was called. None of them waits.
    """

    CSS = """
    Screen { background: $background; }
    #state { dock: top; height: 1; padding: 0 1; background: $panel; }
    #narration { padding: 0 0 0 1; background: $background; scrollbar-size-vertical: 1; }
    #running { height: auto; max-height: 8; padding: 0 1 0 11; background: $panel; }
    #side { width: 40; display: none; border-left: solid $panel-lighten-2; }
    .-wide #side { display: block; }
    #figures { padding: 0 1; width: 1fr; }
    #line { dock: bottom; margin: 0 0 1 0; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, '-narrow'), (WIDE_COLUMNS, '-wide')]
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding('ctrl+l', 'clear', 'Clear', priority=True),
        Binding('pageup', 'scroll(-1)', 'Back', priority=True),
        Binding('pagedown', 'scroll(1)', 'Forward', priority=True),
        Binding('ctrl+c,ctrl+q', 'quit', 'Quit', priority=True, key_display='^c'),
    ]

    def __init__(self, source: str, on_line, on_ready=None, count_waiting=lambda: 0):
        """
        Make the screen for a narrator.

        source: its name, as shown. on_line: called with each typed line, not blank. on_ready:
        called once when messages may be posted. count_waiting: typed lines not sent yet. All are
        called on the screen's thread and must not block.
        """
        super().__init__()
        self.title = source
        self._source = source
        self._on_line = on_line
        self._on_ready = on_ready
        self._count_waiting = count_waiting
        self._figures = EventFigures()
        self._statuses: list[tuple] = []
        self._state: str | None = None
        self._state_stamp_ns: int | None = None
        self._running_id: int | None = None
        self._running_text = ''
        self._open_prompt_id: str | None = None
        # Kept, not looked up: a message may come when the screen has just been taken apart.
        self._state_line = Static(id='state')
        self._narration = NarrationLog(id='narration')
        self._running_line = Static(id='running')
        self._side = VerticalScroll(id='side')
        self._figures_table = Static(id='figures')
        self._line = Input(placeholder=HINT, id='line')

    def tell_event(self, record: dict) -> None:
        """Show a record of `~/events`."""
        self._tell(EventHeard(record))

    def tell_statuses(self, statuses: list[tuple]) -> None:
        """
        Show the narrator's statuses in place of those told before.

        Each is (name, level, message, values): level 0 OK, 1 WARN, 2 ERROR, 3 STALE; values a
        sequence of (key, value) pairs.
        """
        self._tell(StatusesHeard(statuses))

    def tell_notice(self, text: str) -> None:
        """Show a line that is not part of the stream, such as a warning."""
        self._tell(NoticeHeard(text))

    def tell_end(self) -> None:
        """End the screen."""
        self._tell(EndWanted())

    def _tell(self, message):
        try:
            self.post_message(message)
        except RuntimeError:
            pass  # the screen has just ended

    def compose(self) -> ComposeResult:
        """Lay out the widgets."""
        yield self._state_line
        with Horizontal():
            with Vertical():
                yield self._narration
                yield self._running_line
            with self._side:
                yield self._figures_table
        yield self._line
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin: the line takes what is typed from now on."""
        self._narration.can_focus = False
        self._side.can_focus = False
        self._line.focus()
        self._show_all()
        self.set_interval(REFRESH_PERIOD_S, self._show_state)
        if self._on_ready is not None:
            self._on_ready()

    def end_on_signals(self) -> None:
        """Let SIGINT and SIGTERM end the screen as ctrl-c does; call it in on_ready."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self.exit)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand on what was typed."""
        text = event.value.strip()
        event.input.clear()
        if text:
            self._on_line(text)
            self._show_state()

    def action_clear(self) -> None:
        """Forget what was said so far."""
        self._narration.forget()

    def action_scroll(self, direction: int) -> None:
        """Go back or on by a page of the narration."""
        if direction < 0:
            self._narration.scroll_page_up(animate=False)
        else:
            self._narration.scroll_page_down(animate=False)

    def on_event_heard(self, message: EventHeard) -> None:
        """Show what a record means."""
        record = message.record
        self._figures.add(record)
        kind = record['type']
        self._follow_question(record)
        if kind == 'token':
            self._go_on(record)
        elif kind == 'narration':
            self._end_narration(record)
        elif kind == 'prompt':
            self._write(record['stamp_ns'], f'> {record["text"]}', PROMPT_STYLE)
        elif kind == 'error':
            self._write(record['stamp_ns'], record['text'], ERROR_STYLE)
        elif kind == 'camera':
            self._write(record['stamp_ns'], record['text'], NOTICE_STYLE)
        elif kind == 'state':
            self._state, self._state_stamp_ns = record['state'], record['stamp_ns']
            self._show_state()
        if kind in ('token', 'silence'):
            self._show_figures()

    def on_statuses_heard(self, message: StatusesHeard) -> None:
        """Show the statuses in place of the earlier ones."""
        self._statuses = message.statuses
        self._show_figures()

    def on_notice_heard(self, message: NoticeHeard) -> None:
        """Show a line that is not of the stream."""
        self._write(None, message.text, NOTICE_STYLE)

    def on_end_wanted(self) -> None:
        """End."""
        self.exit()

    def _follow_question(self, record):
        open_prompt_id = self._open_prompt_id
        if record['type'] == 'prompt':
            open_prompt_id = record['prompt_id']
        elif record['type'] in ('token', 'narration') and record['prompt_id'] == open_prompt_id:
            open_prompt_id = None
        if open_prompt_id != self._open_prompt_id:
            self._open_prompt_id = open_prompt_id
            self._show_state()

    def _go_on(self, record):
        if record['narration_id'] != self._running_id:
            self._running_id = record['narration_id']
            self._running_text = record['text'].lstrip()
        else:
            self._running_text = (self._running_text + record['text'])[-MAX_RUNNING_LETTERS:]
        self._show_running()

    def _end_narration(self, record):
        note = END_NOTES.get(record['reason'], '')
        text = (record['text'] or '').strip()
        if text:
            self._write(record['first_stamp_ns'], text + note)
        elif record['prompt_id']:
            self._write(record['stamp_ns'], no_answer_text(record), 'dim')
        self._running_id, self._running_text = None, ''
        self._show_running()

    def _write(self, stamp_ns, text, style=''):
        self._narration.add(time_text(stamp_ns) if stamp_ns else '', text, style)

    def _show_all(self):
        self._show_state()
        self._show_running()
        self._show_figures()

    def _show_running(self):
        self._running_line.display = bool(self._running_text)
        if self._running_text:
            text = Text(self._running_text, style='bold')
            text.append('\u258c', style=SPEAKING_STYLE)
            self._running_line.update(text)

    def _show_state(self):
        line = Text(no_wrap=True, overflow='ellipsis')
        if self._state is None:
            line.append('\u25cc waiting for a narrator', style=PROMPT_STYLE)
        elif self._state == 'speaking':
            line.append('\u25cf speaking', style=SPEAKING_STYLE)
        else:
            line.append('\u25cb silent', style='bold')
        if self._state and self._state_stamp_ns:
            line.append(f' since {time_text(self._state_stamp_ns)}', style='dim')
        if self._open_prompt_id is not None:
            line.append('   a question waits for its answer', style=PROMPT_STYLE)
        line.append(f'   {self._source}', style='dim')
        num_waiting = self._count_waiting()
        if num_waiting:
            line.append(
                f'   {num_waiting} typed, not sent: no narrator listens', style=PROMPT_STYLE)
        self._state_line.update(line)

    def _show_figures(self):
        width = max(20, self._side.size.width - 4 or 34)
        text = Text()
        _add_rows(text, self._figures.rows(), width)
        for name, level, message, values in self._statuses:
            level = min(level, len(LEVEL_NAMES) - 1)
            text.append(f'\n{name}  ', style='bold')
            text.append(LEVEL_NAMES[level], style=LEVEL_STYLES[level])
            if message:
                text.append(f'\n{message}', style='' if level == 0 else LEVEL_STYLES[level])
            text.append('\n')
            _add_rows(text, values, width)
        self._figures_table.update(text)


def _add_rows(text, rows, width):
    """Append name and value to text, a line each, values at the right where there is room."""
    for name, value in rows:
        gap = max(2, width - len(name) - len(value))
        text.append(name, style='dim')
        text.append(f'{" " * gap}{value}\n')
