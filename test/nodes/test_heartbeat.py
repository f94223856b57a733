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

"""The heartbeat for systemd's watchdog, over a real socket: it stops when the model hangs."""

import os
import signal
import socket
import threading

from moss_ros import systemd
from moss_ros.nodes.heartbeat import Heartbeat
from moss_ros.stream import StreamSession
import pytest
from rclpy.node import Node

WATCHDOG_S = 0.4


class Manager:
    """As much of systemd as a service sees: its socket, and what it was told."""

    def __init__(self, address):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace('@', '\0', 1))
        self._socket.setblocking(False)
        self.lines = []
        self.environment = {
            'NOTIFY_SOCKET': address, 'WATCHDOG_USEC': str(round(WATCHDOG_S * 1e6))}

    def told(self, line):
        """Return whether this was said so far."""
        while True:
            try:
                self.lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return line in self.lines

    def forget(self):
        self.told('')
        self.lines.clear()

    def close(self):
        self._socket.close()


@pytest.fixture(params=['file', 'abstract'])
def address(request, tmp_path):
    """Return the address of a socket, of both kinds that systemd uses."""
    return str(tmp_path / 'notify') if request.param == 'file' else f'@moss_ros_{os.getpid()}'


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """Return a Manager that this process and its children are told of."""
    manager = Manager(str(tmp_path / 'notify'))
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    yield manager
    manager.close()


class StuckNode(Node):
    """A node whose model has been stuck for as long as the test says."""

    stuck_s = 0.0


def test_a_message_arrives_as_it_is(address):
    manager = Manager(address)
    try:
        assert systemd.notify('READY=1\nSTATUS=å', manager.environment)
        assert manager.told('STATUS=å') and manager.lines == ['READY=1', 'STATUS=å']
    finally:
        manager.close()


@pytest.mark.parametrize('address', ['', 'vsock:2:1', '/nowhere/notify', '@nobody_is_there'])
def test_where_nobody_listens_nothing_is_said(address):
    assert not systemd.notify('READY=1', {'NOTIFY_SOCKET': address})
    assert not systemd.notify('READY=1', {})


@pytest.mark.parametrize(('environment', 'expected'), [
    ({}, None), ({'WATCHDOG_USEC': ''}, None), ({'WATCHDOG_USEC': '0'}, None),
    ({'WATCHDOG_USEC': '2500000'}, 2.5),
    ({'WATCHDOG_USEC': '2500000', 'WATCHDOG_PID': str(os.getpid())}, 2.5),
    ({'WATCHDOG_USEC': '2500000', 'WATCHDOG_PID': '1'}, None)])
def test_the_watchdogs_time_is_that_of_this_process(environment, expected):
    assert systemd.watchdog_s(environment) == expected


def test_a_long_step_asks_for_patience_and_gives_it_back(manager):
    with systemd.patience(60.0):
        assert manager.told('WATCHDOG_USEC=60000000')
        # For the start there is another limit.
        assert manager.told('EXTEND_TIMEOUT_USEC=60000000')
    assert manager.told(f'WATCHDOG_USEC={round(WATCHDOG_S * 1e6)}')
    manager.forget()
    with systemd.patience(WATCHDOG_S / 2):
        pass  # the watchdog waits for that long anyway
    assert not manager.told('WATCHDOG=1')


def test_it_beats_until_a_model_is_stuck_and_again_after_that(host, manager, capfd):
    front, rear = host.add(StuckNode('front')), StuckNode('rear')
    front.companions = [host.add(rear)]
    Heartbeat(front)
    host.until(lambda: manager.told('WATCHDOG=1'), what='a beat')
    assert manager.lines.index('READY=1') < manager.lines.index('WATCHDOG=1')
    rear.stuck_s = WATCHDOG_S
    host.until(lambda: manager.told('STATUS=the model hangs'), what='no beat')
    manager.forget()
    # Of as many looks as a second has, none is followed by a beat.
    looks = []
    front.create_timer(WATCHDOG_S / 4, lambda: looks.append(manager.told('WATCHDOG=1')))
    host.until(lambda: len(looks) > 5, what='six looks')
    assert not any(looks)
    assert capfd.readouterr().err.count('the model has taken no step') == 1
    rear.stuck_s = WATCHDOG_S / 4
    host.until(lambda: manager.told('WATCHDOG=1'), what='a beat')
    host.until(lambda: manager.told('STATUS=running'), what='that it runs again')


def test_the_status_of_the_service_says_how_the_narrator_is(host, robot, manager):
    robot = robot()
    Heartbeat(robot.narrator)
    robot.wait_active()
    host.until(lambda: manager.told('STATUS=narrating'), what='that it narrates')


def test_the_status_of_the_service_says_why_a_narrator_does_not_start(host, robot, manager):
    Heartbeat(robot(checkpoint='/nowhere').narrator)
    host.until(lambda: manager.told('') or any(
        line.startswith('STATUS=cannot be configured: ') and '/nowhere' in line
        for line in manager.lines), what='the reason')
    assert 'READY=1' in manager.lines


def test_a_narrator_that_hangs_in_a_step_stops_it(host, robot, manager, monkeypatch):
    robot = robot()
    is_free = threading.Event()
    Heartbeat(robot.narrator)
    robot.wait_active()
    # Without frames nothing has to be done, however long that lasts.
    host.until(lambda: manager.told('WATCHDOG=1'), what='a beat')
    assert robot.narrator.stuck_s == 0.0
    step = StreamSession.step_shared

    def hang(session):
        is_free.wait()
        return step(session)

    monkeypatch.setattr(StreamSession, 'step_shared', hang)
    robot.show()
    try:
        host.until(lambda: robot.show() or manager.told('STATUS=the model hangs'), what='no beat')
    finally:
        is_free.set()
    manager.forget()
    host.until(lambda: manager.told('WATCHDOG=1'), what='a beat')


def test_the_process_of_a_node_tells_how_it_is(host, listener, start_process, manager):
    process = start_process('demo_camera')
    host.until(lambda: manager.told('WATCHDOG=1'), what='a beat')
    assert manager.lines[0] == 'STATUS=starting' and 'READY=1' in manager.lines
    process.end(signal.SIGTERM)
    assert manager.told('STOPPING=1')


def test_loading_has_all_the_time_it_needs(robot, manager):
    robot = robot()
    robot.wait_active()
    assert manager.told('WATCHDOG_USEC=3600000000')
    assert manager.lines[-2:] == [f'WATCHDOG_USEC={round(WATCHDOG_S * 1e6)}', 'WATCHDOG=1']
