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
Tells systemd that a service is ready, alive and ending, as its protocol sd_notify says.

Each message is a datagram to the socket that NOTIFY_SOCKET names; without that nothing is sent.
Called by the nodes on the executor's thread; nothing blocks. See sd_notify(3).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import os
import socket

_SOCKET, _PERIOD, _PROCESS = 'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """
    Send a state, such as 'READY=1'; return whether it was taken.

    False where no service manager asked for it, or its socket takes nothing.
    """
    address = environment.get(_SOCKET, '')
    # A path, or the name of an abstract socket, which begins with a null byte.
    if address[:1] not in ('/', '@'):
        return False
    if address.startswith('@'):
        address = f'\0{address[1:]}'
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.connect(address)
            sender.send(state.encode())
    except OSError:
        return False
    return True


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """
    Return after how many seconds without 'WATCHDOG=1' the service is taken for dead.

    None where nobody watches this process: WATCHDOG_PID may name another one, whose child it is.
    """
    if environment.get(_PROCESS, str(os.getpid())) != str(os.getpid()):
        return None
    try:
        period_s = int(environment.get(_PERIOD, '')) / 1e6
    except ValueError:
        return None
    return period_s if period_s > 0 else None


@contextmanager
def patience(seconds: float, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """
    Have systemd wait for so long, while something runs that cannot be interrupted.

    So do its watchdog and its limit for the start, whatever the unit sets.
    """
    notify(f'EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}', environment)
    period_s = watchdog_s(environment)
    if period_s is None or period_s >= seconds:
        yield
        return
    notify(f'{_PERIOD}={round(seconds * 1e6)}\nWATCHDOG=1', environment)
    try:
        yield
    finally:
        notify(f'{_PERIOD}={round(period_s * 1e6)}\nWATCHDOG=1', environment)
