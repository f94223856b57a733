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
Ends a process that cannot end by itself, because DDS hangs while a node is destroyed.

Fast DDS 3.2.3 did so at 2 of 1,350 ends, with other nodes ending at the same moment:
DomainParticipant::set_listener() waits for a callback of the discovery without giving back the
lock that this callback needs, since its time limit, the largest there is, overflows. By then the
peers have heard that the node is gone, and nothing is left to be closed.

The main thread hangs with Python's lock, so that no other Python can run. Hence a timer of the C
library, which runs _exit() in a thread of its own.
"""

import ctypes
import sys

_CLOCK_MONOTONIC, _SIGEV_THREAD = 1, 2


class _Event(ctypes.Structure):
    """The sigevent of Linux: 64 bytes, of which these are used."""

    _fields_ = (('value', ctypes.c_void_p), ('signal', ctypes.c_int), ('notify', ctypes.c_int),
                ('function', ctypes.c_void_p), ('attributes', ctypes.c_void_p),
                ('unused', ctypes.c_char * 32))


class _Times(ctypes.Structure):
    """The itimerspec of Linux."""

    _fields_ = (('again_s', ctypes.c_long), ('again_ns', ctypes.c_long),
                ('after_s', ctypes.c_long), ('after_ns', ctypes.c_long))


def end_process_after(seconds: float, status: int) -> None:
    """
    End the process with status (0 to 255) if it still runs after seconds, whatever hangs in it.

    Any thread may call; it cannot be called off. Does nothing where the system is not Linux, or
    gives no timer.
    """
    if not sys.platform.startswith('linux'):
        return
    libc = ctypes.CDLL(None)
    # The function gets a union of a number and a pointer, and reads the number.
    event = _Event(value=status, notify=_SIGEV_THREAD,
                   function=ctypes.cast(libc['_exit'], ctypes.c_void_p))
    timer = ctypes.c_void_p()
    times = _Times(after_s=int(seconds), after_ns=int(seconds % 1 * 1e9))
    if libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) == 0:
        libc.timer_settime(timer, 0, ctypes.byref(times), None)
