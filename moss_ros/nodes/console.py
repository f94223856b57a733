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
The operator's console: shows the narration as it comes, and sends typed lines as prompts.

Reads `narrator/events`, `narrator/silence` and `/diagnostics`, writes `prompt`. In a terminal it
takes the full screen; elsewhere, and in `make demo`, it prints lines.
"""

from collections import deque
from contextlib import contextmanager
import os
import re
import select
import signal
import sys
import threading
from typing import NoReturn

from diagnostic_msgs.msg import DiagnosticArray
from moss_ros.nodes.node_main import run_node
from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.nodes.prompt_listeners import PROMPT_QOS, reaches_narrator
from moss_ros.records import read_event
from moss_ros.settings import ConsoleSettings
from moss_ros.views.transcript import StreamPrinter
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, String

FIRST_LOOK_S = 20.0
SEND_PERIOD_S = 0.05
STDERR = 2
# How rclpy begins a line of its log: severity, time and name.
LOG_PREFIX = re.compile(r'^\[(\w+)\] \[[\d.]+\] \[[^\]]*\]: ')


class LineReader:
    """
    Reads lines from a file descriptor on a thread of its own, until its end or close().

    on_line is called on that thread with each line that is not blank, stripped of white space.
    The thread waits in select(), not in a read: a blocked read could not be ended and would delay
    the exit.
    """

    def __init__(self, descriptor: int, on_line):
        self._descriptor = descriptor
        self._on_line = on_line
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread = threading.Thread(target=self._run, name='moss-line-reader', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; blocks for a moment at most. May be called once."""
        os.write(self._wake_writer, b'x')
        self._thread.join(timeout=1.0)
        os.close(self._wake_writer)
        os.close(self._wake_reader)

    def _run(self):
        rest = b''
        while True:
            try:
                ready, _, _ = select.select([self._descriptor, self._wake_reader], [], [])
                if self._wake_reader in ready:
                    return
                data = os.read(self._descriptor, 4096)
            except OSError:
                return  # closed, or the terminal belongs to another program now
            *lines, rest = (rest + data).split(b'\n')
            if not data:
                lines, rest = [rest], b''
            for line in lines:
                text = line.decode('utf-8', 'replace').strip()
                if text:
                    self._on_line(text)
            if not data:
                return


class Console(Node):
    """
    Shows the stream and sends typed lines, which wait until there is a narrator.

    The full-screen view runs in the main thread; the node then spins in another thread.
    """

    def __init__(self, **node_options):
        """Raise what rclpy raises for parameters that are not allowed, view among them."""
        super().__init__('console', **node_options)
        declare_settings(self, ConsoleSettings)
        view = read_settings(self, ConsoleSettings).view
        self._is_full_screen = view != 'plain' and has_terminal()
        if view == 'screen' and not self._is_full_screen:
            raise InvalidParameterValueException(
                'view', view, 'standard input and output are no terminal; leave it at '
                "'auto', or take 'plain'")
        self._screen = None
        self._spin_error: Exception | None = None
        self._printer = StreamPrinter(_write_now)
        self._has_events = False
        self._typed: deque[str] = deque()
        self._prompt_publisher = self.create_publisher(String, 'prompt', PROMPT_QOS)
        self._events_subscription = self.create_subscription(
            String, 'narrator/events', self._on_event, QoSProfile(depth=1000))
        # Latched: tells a console that comes later that the narrator is there and watches.
        self.create_subscription(
            Bool, 'narrator/silence', self._on_silence,
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._look_timer = self.create_timer(FIRST_LOOK_S, self._look_for_narrator, clock=clock)
        self.create_timer(SEND_PERIOD_S, self._send_typed, clock=clock)
        self._reader = None

    def close(self) -> None:
        """Stop reading lines."""
        if self._reader is not None:
            self._reader.close()

    def run(self, executor) -> None:
        """Show the stream until the process is to end; called on the main thread."""
        if self._is_full_screen:
            self._run_screen(executor)
            return
        # A console in the background must not be stopped for looking at the terminal.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        if sys.stdin is not None and not sys.stdin.closed:
            self._reader = LineReader(sys.stdin.fileno(), self._typed.append)
        executor.spin()

    def _run_screen(self, executor):
        # Imported only here: plain lines need no extra library.
        from moss_ros.views.screen import ConsoleScreen
        spinner = threading.Thread(
            target=self._spin, args=(executor,), name='moss-console-spin', daemon=True)

        def begin():
            screen.end_on_signals()
            spinner.start()

        screen = self._screen = ConsoleScreen(
            self._events_subscription.topic_name.removesuffix('/events'), self._typed.append,
            begin, lambda: len(self._typed))
        self.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, QoSProfile(depth=10))
        with terminal_for_one(
                lambda line: screen.tell_notice(LOG_PREFIX.sub(r'[\1] ', line))):
            screen.run()
        executor.shutdown(timeout_sec=1.0)
        if spinner.ident is not None:
            spinner.join(timeout=1.0)
        if self._spin_error is not None:
            raise self._spin_error

    def _spin(self, executor):
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            self._spin_error = error
        self._screen.tell_end()

    def _on_event(self, message):
        try:
            record = read_event(message.data)
        except ValueError as error:
            self.get_logger().warning(f'{error}', once=True)
            return
        self._has_events = True
        self._show(record)

    def _show(self, record):
        if self._screen is not None:
            self._screen.tell_event(record)
        else:
            self._printer.show(record)

    def _on_silence(self, message):
        # Needed only before the first event: after that the events tell the state, in order.
        if self._has_events:
            return
        if self._screen is not None:
            state = 'silent' if message.data else 'speaking'
            self._show({'type': 'state', 'state': state, 'stamp_ns': None})
        elif message.data:
            self._printer.show_silence()

    def _on_diagnostics(self, message):
        narrator = self._events_subscription.topic_name.removesuffix('/events')
        statuses = [
            (status.name, int.from_bytes(status.level, 'little'), status.message,
             tuple((pair.key, pair.value) for pair in status.values))
            for status in message.status if is_status_of(status.name, narrator)]
        if statuses:
            self._screen.tell_statuses(statuses)

    def _look_for_narrator(self):
        self._look_timer.cancel()
        if self.count_publishers(self._events_subscription.topic_name) == 0:
            self.get_logger().warning(
                f'nothing publishes {self._events_subscription.topic_name} yet: start a '
                'narrator, or remap narrator/events')

    def _send_typed(self):
        # Lines wait until the narrator subscribes: published earlier, they would be lost. One at a
        # time: of a burst the narrator's queue keeps the newest only.
        if self._typed and reaches_narrator(
                self, self._prompt_publisher, self._events_subscription.topic_name):
            self._prompt_publisher.publish(String(data=self._typed.popleft()))


def is_status_of(status_name: str, node_name: str) -> bool:
    """Return whether a status ('front/narrator: camera') is of a node ('/front/narrator')."""
    return status_name.partition(':')[0].strip('/') == node_name.strip('/')


def has_terminal() -> bool:
    """Return whether a screen can be drawn: a terminal for input and output, not a dumb one."""
    return (os.environ.get('TERM', 'dumb') != 'dumb'
            and all(stream is not None and not stream.closed and stream.isatty()
                    for stream in (sys.stdin, sys.stdout)))


@contextmanager
def terminal_for_one(on_line):
    """
    Keep stderr off the terminal while the screen uses it: each line of it goes to on_line.

    This also catches what DDS writes, which bypasses Python's sys.stderr. on_line is called on a
    thread of its own. A stderr that is no terminal is left as it is.
    """
    # Textual draws on sys.__stderr__, so that must stay the terminal.
    drawn_on, sys.__stderr__ = sys.__stderr__, os.fdopen(
        os.dup(sys.stdout.fileno()), 'w', encoding='utf-8')
    reader, kept = None, os.dup(STDERR)
    if os.isatty(STDERR):
        read_end, write_end = os.pipe()
        os.dup2(write_end, STDERR)
        os.close(write_end)
        reader = LineReader(read_end, on_line)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        if reader is not None:
            reader.close()
            os.close(read_end)
        sys.__stderr__.close()
        sys.__stderr__ = drawn_on


def _write_now(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    run_node(Console, args)


if __name__ == '__main__':
    main()
