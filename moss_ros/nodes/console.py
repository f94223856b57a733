"""
The operator's console: prints the narration as it comes, and sends typed lines as prompts.

Reads `narrator/events` and `narrator/silence`, writes `prompt` and standard output. Knows nothing
of the model. Run by `make demo` or by hand next to a narrator; works without a terminal too.
"""

from collections import deque
from datetime import datetime
import os
import select
import signal
import sys
import threading
from typing import NoReturn

from moss_ros.nodes.messages import read_event
from moss_ros.nodes.running import run_node
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, String

OBSERVING = '[observing]'
END_NOTES = {'interrupted': ' ... (interrupted)', 'limit': ' ... (cut: too long)',
             'stopped': ' ... (stopped)'}
FIRST_LOOK_S = 20.0
SEND_PERIOD_S = 0.05


class StreamPrinter:
    """
    Turns event records into text: a line a narration, one '[observing]' a silent stretch.

    write: called with each piece of text, at once. Knows neither ROS nor terminals.
    """

    def __init__(self, write):
        self._write = write
        self._speaking_id = None
        self._is_observing = False

    def show_silence(self) -> None:
        """Tell that the model watches and says nothing, unless that was told last."""
        if not self._is_observing and self._speaking_id is None:
            self._line(OBSERVING)
            self._is_observing = True

    def show(self, record: dict) -> None:
        """Write what a record of `~/events` means to a reader; nothing for most."""
        kind = record['type']
        if kind == 'token':
            self._show_token(record)
        elif kind == 'narration':
            self._show_end(record)
        elif kind == 'prompt':
            self._line(f'> {record["text"]}')
        elif kind == 'error':
            self._line(f'[error] {record["text"]}')
        elif kind == 'silence' or record['state'] == 'silent':
            self.show_silence()

    def _show_token(self, record):
        if self._speaking_id != record['narration_id']:
            self._end_line()
            self._speaking_id = record['narration_id']
            self._is_observing = False
            self._write(f'{_time_text(record["stamp_ns"])}  {record["text"].lstrip()}')
        else:
            self._write(record['text'])

    def _show_end(self, record):
        note = END_NOTES.get(record['reason'], '')
        if self._speaking_id == record['narration_id']:
            self._write(note)
            self._end_line()
        elif note and record['prompt_id']:
            self._line(f'(no answer: {record["reason"]})')

    def _line(self, text):
        self._end_line()
        self._is_observing = False
        self._write(text + '\n')

    def _end_line(self):
        if self._speaking_id is not None:
            self._write('\n')
            self._speaking_id = None


def _time_text(stamp_ns):
    """Return the time of day of a stamp on this machine's clock, as hh:mm:ss."""
    return datetime.fromtimestamp((stamp_ns or 0) / 1e9).strftime('%H:%M:%S')


class LineReader:
    """
    Reads lines of a file descriptor on a thread of its own; ends at its end, or when closed.

    on_line is called on that thread with each line, without its end and not blank. The thread
    never sits in a read: one that did could not be ended, and would hold up the exit.
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
    """Prints the stream and sends typed lines, which wait until there is a narrator."""

    def __init__(self, **node_options):
        super().__init__('console', **node_options)
        self._printer = StreamPrinter(_write_now)
        self._has_events = False
        self._typed: deque[str] = deque()
        self._prompt_publisher = self.create_publisher(String, 'prompt', QoSProfile(depth=10))
        self._events_subscription = self.create_subscription(
            String, 'narrator/events', self._on_event, QoSProfile(depth=1000))
        # Latched: tells a console that comes later that the narrator is there and watches.
        self.create_subscription(
            Bool, 'narrator/silence', self._on_silence,
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._look_timer = self.create_timer(FIRST_LOOK_S, self._look_for_narrator, clock=clock)
        self.create_timer(SEND_PERIOD_S, self._send_typed, clock=clock)
        # A console in the background must not be stopped for looking at the terminal.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        self._reader = None
        if sys.stdin is not None and not sys.stdin.closed:
            self._reader = LineReader(sys.stdin.fileno(), self._typed.append)

    def close(self) -> None:
        """Stop reading lines."""
        if self._reader is not None:
            self._reader.close()

    def _on_event(self, message):
        try:
            record = read_event(message.data)
        except ValueError as error:
            self.get_logger().warning(f'{error}', once=True)
            return
        self._has_events = True
        self._printer.show(record)

    def _on_silence(self, message):
        # Only the state before the first event: afterwards the events tell it, in their order.
        if message.data and not self._has_events:
            self._printer.show_silence()

    def _look_for_narrator(self):
        self._look_timer.cancel()
        if self.count_publishers(self._events_subscription.topic_name) == 0:
            self.get_logger().warning(
                f'nothing publishes {self._events_subscription.topic_name} yet: start a '
                'narrator, or remap narrator/events')

    def _send_typed(self):
        # What is published before a narrator was found would reach nobody: it waits.
        while self._typed and self._prompt_publisher.get_subscription_count():
            self._prompt_publisher.publish(String(data=self._typed.popleft()))


def _write_now(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    run_node(Console, args)


if __name__ == '__main__':
    main()
