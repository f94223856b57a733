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
The process of a remote model, seen from the node: start it, talk to it, kill it.

Orders go out and reports come in as JSON; pictures go through a ring of slots in shared memory.
What the process prints is logged. Two threads read: one the reports, one the printed lines. The
RemoteSession owns it; remote_main.py is the other end.
"""

from __future__ import annotations

from collections import deque
import contextlib
import fcntl
import json
import logging
import mmap
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import threading
import time

from moss_ros.remote.remote_options import RemoteError, RemoteOptions
import numpy as np


class FrameRing:
    """
    Shared memory of num_slots slots of slot_nbytes each; only what is written takes up memory.

    It has no name, so it is freed when the last process that has it ends, however it ends. It is
    sealed, so the other process can't shrink it, which would crash this one.
    """

    def __init__(self, num_slots: int, slot_nbytes: int):
        """Raise OSError where the system has no such memory."""
        self.num_slots = num_slots
        self.slot_nbytes = slot_nbytes
        self._fd = os.memfd_create('moss-frames', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._fd, num_slots * slot_nbytes)
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS,
                        fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(self._fd, num_slots * slot_nbytes)
        except BaseException:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the file descriptor to hand to the other process."""
        return self._fd

    def fits(self, image: np.ndarray) -> bool:
        """Whether image, uint8 [H, W, 3], is small enough for a slot."""
        return image.nbytes <= self.slot_nbytes

    def write(self, slot: int, image: np.ndarray) -> None:
        """Copy image, uint8 [H, W, 3] RGB, into a slot, row by row."""
        np.ndarray(image.shape, np.uint8, self._map, slot * self.slot_nbytes)[...] = image

    def close(self) -> None:
        """Give this process's share back."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1


_LOGGER = logging.getLogger(__name__)

# Reports that may wait here. remote_main.py stays far below; more is against the protocol.
_MAX_REPORTS = 4096
_MAX_LINE_BYTES = 1 << 20
_SEND_TIMEOUT_S = 1.0
# For what the process prints: lines kept for error messages, characters kept of a line, lines
# logged a second, and how long to rest after each 64 KiB, so that a flood costs next to nothing.
_NUM_KEPT_LINES = 20
_MAX_LINE_CHARS = 400
_MAX_LOGGED_PER_S = 10
_REST_S = 0.05
_END_TIMEOUT_S = 1.0
_JOIN_TIMEOUT_S = 0.2


class RemoteProcess:
    """
    One process, from its start to its end.

    All methods may be called from any thread. Whenever a report comes, or the process ends,
    condition is notified.
    """

    def __init__(self, options: RemoteOptions, ring: FrameRing, condition: threading.Condition):
        """Start it, loading; RemoteError where its interpreter can't be started."""
        self._condition = condition
        self._reports: deque[dict] = deque()
        self._trouble = ''
        self._is_over = False
        self._kept_lines: deque[str] = deque(maxlen=_NUM_KEPT_LINES)
        self._popen, self._socket, self._lifeline_fd = _start(options, ring)
        self._readers = [
            threading.Thread(target=target, name=f'moss-remote-{name}', daemon=True)
            for name, target in (('reports', self._read_reports), ('output', self._read_output))]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._popen.pid

    @property
    def num_reports(self) -> int:
        """Return the number of reports that were not taken out."""
        return len(self._reports)

    @property
    def has_reports(self) -> bool:
        """Whether a report waits."""
        return bool(self._reports)

    @property
    def is_over(self) -> bool:
        """Whether nothing comes after the reports that wait: it ended or broke the protocol."""
        return self._is_over

    def look(self) -> None:
        """Check whether it has ended; to be called now and then."""
        # Processes that it started may keep its socket open; then no end of file is read here.
        if not self._is_over and self._has_died():
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def next_report(self) -> dict | None:
        """Return the report that came first, without taking it out; None if there is none."""
        return self._reports[0] if self._reports else None

    def take_report(self) -> dict:
        """Take the first report out."""
        return self._reports.popleft()

    def send(self, kind: str, **fields) -> None:
        """Send an order; RemoteError if the process reads nothing for _SEND_TIMEOUT_S."""
        line = json.dumps({'type': kind, **fields}).encode() + b'\n'
        try:
            self._socket.sendall(line)
        except TimeoutError as error:
            raise RemoteError(self.described('takes nothing in any more')) from error
        except OSError:
            pass  # it has ended: is_over says so, and its last reports can still be taken out

    def end_message(self) -> str:
        """Return why it is over; may wait a moment for it to be known."""
        if self._trouble:
            return self.described(self._trouble)
        end_s = time.monotonic() + _END_TIMEOUT_S
        while not self._has_died() and time.monotonic() < end_s:
            time.sleep(0.01)
        if not self._has_died():
            return self.described('closed its connection')
        # Its exit status was not collected yet, so its number can't be another process's.
        self.kill()
        status = self._popen.returncode
        if status is not None and status < 0:
            return self.described(f'was killed by {signal.Signals(-status).name}')
        return self.described(f'ended with exit status {status}')

    def described(self, what: str) -> str:
        """Return an error message: the process, what (it did), and the lines it printed last."""
        lines = '\n  '.join(self._kept_lines)
        return f"the remote model's process {what}" + (
            f'; it printed last:\n  {lines}' if lines else '')

    def kill(self) -> None:
        """Kill it, and what it started, and wait for that; may be called twice."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            try:
                self._popen.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                _LOGGER.error('process %d does not end when killed', self._popen.pid)
        # Processes that it started and that left its group may still hold its ends.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for reader in self._readers:
            reader.join(_JOIN_TIMEOUT_S)
        self._socket.close()
        if self._lifeline_fd >= 0:
            os.close(self._lifeline_fd)
            self._lifeline_fd = -1

    def _has_died(self):
        # WNOWAIT: the exit status is left for kill() to collect.
        if self._popen.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._popen.pid, flags) is not None
        except ChildProcessError:  # waited for by another thread
            return True

    def _read_reports(self):
        try:
            rest = b''
            # The socket's timeout is meant for send(); _receive() just tries again after it.
            while data := self._receive():
                *lines, rest = (rest + data).split(b'\n')
                reports = [json.loads(line) for line in lines]
                if not all(isinstance(report, dict) for report in reports):
                    raise ValueError('a report is no object')
                with self._condition:
                    self._reports.extend(reports)
                    self._condition.notify_all()
                if len(self._reports) > _MAX_REPORTS or len(rest) > _MAX_LINE_BYTES:
                    raise ValueError('there is too much of it')
        except ValueError as error:
            self._trouble = f'reports what is not understood ({error})'
        except OSError:
            pass  # closed here, or lost: is_over says so
        with self._condition:
            self._is_over = True
            self._condition.notify_all()

    def _receive(self):
        while True:
            try:
                return self._socket.recv(65536)
            except TimeoutError:
                pass

    def _read_output(self):
        rest, num_logged, num_left_out, second = '', 0, 0, 0
        with self._popen.stdout as output:
            while data := os.read(output.fileno(), 65536):
                *lines, rest = (rest + data.decode('utf-8', 'replace')).splitlines() or ['']
                if data.endswith(b'\n'):
                    lines, rest = [*lines, rest], ''
                rest = rest[-_MAX_LINE_CHARS:]
                self._kept_lines.extend(line[:_MAX_LINE_CHARS] for line in lines if line.strip())
                if int(time.monotonic()) != second:
                    if num_left_out:
                        _LOGGER.info('remote: (%d more lines)', num_left_out)
                    num_logged, num_left_out, second = 0, 0, int(time.monotonic())
                for line in lines[:_MAX_LOGGED_PER_S - num_logged]:
                    _LOGGER.info('remote: %s', line[:_MAX_LINE_CHARS])
                num_left_out += max(0, len(lines) - (_MAX_LOGGED_PER_S - num_logged))
                num_logged = min(_MAX_LOGGED_PER_S, num_logged + len(lines))
                time.sleep(_REST_S)
        if rest.strip():
            self._kept_lines.append(rest)


def _start(options, ring):
    """Return the process, the socket to it, and a descriptor whose closing ends it."""
    ours, theirs = socket.socketpair()
    lifeline_fd, our_lifeline_fd = os.pipe()
    ours.settimeout(_SEND_TIMEOUT_S)
    settings = {
        'checkpoint': str(options.checkpoint), 'device': options.device, 'dtype': options.dtype,
        'attention': options.attention, 'num_threads': options.num_threads, 'seed': options.seed,
        'slot_nbytes': ring.slot_nbytes, 'control_fd': theirs.fileno(),
        'frames_fd': ring.fileno(), 'lifeline_fd': lifeline_fd,
    }
    program = str(Path(__file__).with_name('remote_main.py'))
    try:
        # In a session of its own, it gets no Ctrl-C from the terminal: the node does and ends it.
        popen = subprocess.Popen(
            [options.python, program, json.dumps(settings)], env=_environment(options),
            pass_fds=(theirs.fileno(), ring.fileno(), lifeline_fd), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        ours.close()
        os.close(our_lifeline_fd)
        raise RemoteError(
            f'{options.python!r} cannot be started ({error.strerror}); name the Python of the '
            "environment that the checkpoint's code was written for") from error
    finally:
        theirs.close()
        os.close(lifeline_fd)
    return popen, ours, our_lifeline_fd


def _environment(options):
    environment = {**os.environ, 'OMP_NUM_THREADS': str(options.num_threads),
                   'PYTHONUNBUFFERED': '1'}
    if options.python != sys.executable:
        # Another environment has packages of its own, and none of this one's.
        for name in ('PYTHONPATH', 'PYTHONHOME', '_ROS_WHEELS_BOOTSTRAP_COMPLETE'):
            environment.pop(name, None)
    return environment
