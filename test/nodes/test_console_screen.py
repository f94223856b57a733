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

"""The console's full screen: what it shows, and how it gets on with a real terminal and DDS."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import threading

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from moss_ros.nodes.console import is_status_of
from moss_ros.records import EVENTS_SCHEMA
from moss_ros.views.screen import ConsoleScreen, MAX_ENTRIES
import pytest
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from textual.widgets import Input, RichLog, Static

SIZE = (100, 30)
S_NS = 10 ** 9


def record(kind, second=None, **fields):
    empty = dict.fromkeys(
        ('first_stamp_ns', 'text', 'narration_id', 'prompt_id', 'state', 'reason', 'latency_ms'))
    return {'schema': EVENTS_SCHEMA, **empty, 'type': kind,
            'stamp_ns': None if second is None else second * S_NS, **fields}


def token(text, second=1, narration_id=1, **fields):
    return record('token', second, text=text, narration_id=narration_id, **fields)


def end(text, second=1, narration_id=1, reason='silence', **fields):
    return record('narration', second, text=text, narration_id=narration_id, reason=reason,
                  first_stamp_ns=second * S_NS, **fields)


class Shown:
    """A screen without a terminal, as a context of asyncio, and what is to be read on it."""

    def __init__(self, **options):
        self.typed = []
        self.screen = ConsoleScreen('/narrator', self.typed.append, **options)

    async def __aenter__(self):
        self._test = self.screen.run_test(size=SIZE)
        self.pilot = await self._test.__aenter__()
        return self

    async def __aexit__(self, *details):
        await self._test.__aexit__(*details)

    async def tell(self, *records):
        for item in records:
            self.screen.tell_event(item)
        await self.pilot.pause()

    @property
    def narration(self):
        lines = self.screen.query_one('#narration', RichLog).lines
        return [line.text.rstrip() for line in lines]

    @property
    def running(self):
        widget = self.screen.query_one('#running', Static)
        return str(widget.content) if widget.display else ''

    def text(self, name):
        return str(self.screen.query_one(f'#{name}', Static).content)


def shown(check, **options):
    """Run the coroutine function check with a Shown."""
    async def run():
        async with Shown(**options) as view:
            await check(view)
    asyncio.run(run())


def test_words_come_as_they_are_said_and_stay_with_their_time():
    async def check(view):
        assert 'waiting' in view.text('state')
        await view.tell(record('state', state='silent'))
        assert 'silent' in view.text('state')
        await view.tell(record('state', 1, state='speaking'), token('A red'))
        assert 'speaking' in view.text('state') and 'silent' not in view.text('state')
        assert view.running.startswith('A red') and view.narration == []
        await view.tell(token(' ball.'))
        assert view.running.startswith('A red ball.')
        await view.tell(end('A red ball.'), record('state', 2, state='silent'))
        assert view.running == ''
        assert [line[8:] for line in view.narration] == ['  A red ball.']
        assert view.narration[0][2] == view.narration[0][5] == ':'
    shown(check)


def test_prompts_errors_and_what_was_cut_are_told():
    async def check(view):
        await view.tell(
            token('A'), end('A', reason='interrupted'),
            record('prompt', 1, text='[b]Where?[/b]', prompt_id='p'),
            end('', prompt_id='p', reason='stopped'), record('error', 1, text='out of memory'),
            record('camera', 1, text='The picture is almost black.'))
        view.screen.tell_notice('late')
        await view.pilot.pause()
        assert [line[10:] for line in view.narration] == [
            'A ... (interrupted)', '> [b]Where?[/b]', '(no answer: stopped)', 'out of memory',
            'The picture is almost black.', 'late']
    shown(check)


def test_figures_come_from_events_and_diagnostics():
    async def check(view):
        await view.tell(*(record('silence', second, latency_ms=latency_ms)
                          for second, latency_ms in ((1, 50.0), (2, 70.0), (3, 90.4))))
        await view.tell(token('A', 3, latency_ms=400.0))
        figures = view.text('figures')
        assert '90 ms' in figures and '70 ms' in figures and '400' not in figures
        assert '1.0 /s' in figures
        view.screen.tell_statuses([('narrator: input', 1, 'no camera', (('input fps', '9.9'),))])
        await view.pilot.pause()
        figures = view.text('figures')
        for part in ('narrator: input  WARN', 'no camera', 'input fps', '9.9'):
            assert part in figures
        view.screen.tell_statuses([('narrator: input', 0, '', ())])
        await view.pilot.pause()
        assert 'no camera' not in view.text('figures')
    shown(check)


def test_lines_are_typed_while_the_stream_goes_on():
    async def check(view):
        await view.pilot.press(*'Where ')
        await view.tell(token('A red'), end('A red'))
        await view.pilot.press(*'is it?', 'enter')
        assert view.typed == ['Where is it?']
        assert view.screen.query_one('#line', Input).value == ''
        await view.pilot.press('space', 'enter')
        assert view.typed == ['Where is it?']
    shown(check)


def test_lines_that_wait_are_counted():
    async def check(view):
        await view.tell(record('state', state='silent'))
        assert '2 typed' in view.text('state')
    shown(check, count_waiting=lambda: 2)


def test_a_long_session_is_bounded():
    async def check(view):
        await view.tell(*(end(f'Number {number}.') for number in range(MAX_ENTRIES + 50)))
        assert view.narration[-1].endswith(f'Number {MAX_ENTRIES + 49}.')
        # Those that are kept, broken anew for a narrower screen: neither more nor all of them.
        await view.pilot.resize_terminal(40, 20)
        await view.pilot.pause()
        assert len(view.narration) == MAX_ENTRIES
        assert view.narration[0].endswith('Number 50.')
        await view.tell(*(token('word ' * 100) for _ in range(50)))
        assert len(view.running) < 5000
        await view.pilot.press('ctrl+l')
        assert view.narration == []
    shown(check)


def test_lines_break_anew_with_the_width():
    async def check(view):
        await view.tell(end('One of the boxes, the green one, moves right and stops there.'))
        num_lines = len(view.narration)
        await view.pilot.resize_terminal(40, 20)
        await view.pilot.pause()
        assert not view.screen.query_one('#side').display
        assert len(view.narration) > num_lines
    shown(check)


@pytest.mark.parametrize('key', ['ctrl+c', 'ctrl+q'])
def test_keys_end_it(key):
    async def check(view):
        await view.pilot.press(key)
        # The stream does not stop for it.
        view.screen.tell_event(token('late'))
        await view.pilot.pause()
        assert not view.screen.is_running and view.screen.return_code == 0
    shown(check)


def test_whose_status_it_is():
    assert is_status_of('narrator: input', '/narrator')
    assert is_status_of('front/narrator: input', '/front/narrator')
    assert not is_status_of('narrator: input', '/front/narrator')
    assert not is_status_of('motor: heat', '/narrator')


class Terminal:
    """A console in a terminal of its own; all that it draws is kept."""

    def __init__(self, start_process, *arguments):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', SIZE[1], SIZE[0], 0, 0))
        self.drawn = b''
        environment = {**os.environ, 'TERM': 'xterm-256color'}
        # The processes of pytest-xdist have them, and they count more than the terminal's size.
        for name in ('COLUMNS', 'LINES'):
            environment.pop(name, None)
        self.process = start_process(
            'console', *arguments, stdin=slave, terminal=slave, env=environment)
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return  # the console has ended
            self.drawn += data

    def type(self, text):
        os.write(self._master, text.encode())


@pytest.fixture
def terminal(start_process, monkeypatch):
    """Return a function that starts a console in a terminal."""
    popen = subprocess.Popen

    def open_in_terminal(command, stdout, stderr, terminal=None, **options):
        if terminal is not None:
            stdout = stderr = terminal
        return popen(command, stdout=stdout, stderr=stderr, **options)

    monkeypatch.setattr(subprocess, 'Popen', open_in_terminal)
    return lambda *arguments: Terminal(start_process, *arguments)


def test_in_a_terminal_it_shows_the_stream_and_sends_what_is_typed(host, terminal):
    robot = host.add(Node('robot'))
    events = robot.create_publisher(String, 'narrator/events', QoSProfile(depth=10))
    diagnostics = robot.create_publisher(DiagnosticArray, '/diagnostics', QoSProfile(depth=1))
    asked = []
    console = terminal()
    host.until(lambda: events.get_subscription_count()
               and diagnostics.get_subscription_count(), what='the console')
    host.until(lambda: b'waiting' in console.drawn, what='the screen')
    console.type('What do you see?\r')
    host.until(lambda: b'1 typed' in console.drawn, what='what waits')
    robot.create_subscription(
        String, 'prompt', lambda message: asked.append(message.data), QoSProfile(depth=10))
    host.until(lambda: asked == ['What do you see?'], what='the prompt')
    for item in (record('state', 1, state='speaking'), token('Purple'), end('Purple boxes.')):
        events.publish(String(data=json.dumps(item)))
    host.until(lambda: b'Purple boxes.' in console.drawn, what='the narration')
    diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(
        name='narrator: input', level=DiagnosticStatus.WARN, message='camera gone',
        values=[KeyValue(key='input fps', value='9.87')])]))
    host.until(lambda: b'9.87' in console.drawn and b'camera gone' in console.drawn,
               what='the figures')
    # What DDS or the log write to stderr is told on the screen, and does not spoil it.
    events.publish(String(data=json.dumps({**record('error'), 'schema': 99})))
    host.until(lambda: b'[WARN] an event of schema 99' in console.drawn, what='a warning')
    assert b'\x1b[?1049h' in console.drawn and b'\x1b[?1049l' not in console.drawn
    console.type('\x03')
    assert console.process.popen.wait(5.0) == 0
    # The terminal is handed back as it was.
    host.until(lambda: b'\x1b[?1049l' in console.drawn, what='the end of the screen')
    assert b'Traceback' not in console.drawn


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_screen(host, listener, terminal, number):
    console = terminal('-p', 'view:=screen')
    host.until(lambda: b'waiting' in console.drawn, what='the screen')
    host.until(lambda: listener.count_publishers('prompt') == 2, what='the console')
    console.process.end(number, timeout_s=2.0)
    assert console.process.popen.returncode == 0
    host.until(lambda: b'\x1b[?1049l' in console.drawn, what='the end of the screen')
    assert b'Traceback' not in console.drawn


def test_a_screen_without_a_terminal_is_refused(start_process):
    console = start_process('console', '-p', 'view:=screen', stdin=subprocess.DEVNULL)
    assert console.popen.wait(60.0) == 1
    assert "'plain'" in console.output and 'Traceback' not in console.output
