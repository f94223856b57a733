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
How a node's process runs and ends: spin until Ctrl-C or SIGTERM, then close within 2 s.

A node class goes in; the process ends with an exit status. What keeps it from starting is said in
one line on stderr. Called by the main() of each node.
"""

from enum import IntEnum
import gc
import os
import re
import signal
import sys
import threading
from typing import NoReturn
import warnings

from moss_ros import systemd
from moss_ros.nodes.heartbeat import Heartbeat
from moss_ros.nodes.last_resort import end_process_after
import rclpy
from rclpy.exceptions import (
    InvalidHandle, NameValidationException, ParameterException, ROSInterruptException,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.signals import uninstall_signal_handlers
from rclpy.utilities import remove_ros_args

# Destroying a node takes about 0.3 s on a busy machine, where it does not hang.
DESTROY_TIMEOUT_S = 1.5
# What rcl says besides the reason, of no use to whoever started the node.
_USELESS = re.compile(
    r'^failed to initialize (rcl|logging): |, at \S+:\d+|\. Error: error not set')
# What to do about an argument, by how rcl calls it.
_WAY_OUT_BY_KIND = {
    'log level': 'write  --log-level LEVEL  with debug, info, warn, error or fatal',
    'params file': 'look whether the file is there and reads  /**: {ros__parameters: {NAME: '
                   'VALUE}}  with a value for every key',
    'remap rule': 'write  -r FROM:=TO, a namespace as  -r __ns:=/NAME, and a name of letters, '
                  'digits and _',
    'parameter override rule': 'write  -p NAME:=VALUE  with a value in YAML',
    '': 'ROS arguments come behind --ros-args, such as  --ros-args -p NAME:=VALUE -r FROM:=TO '
        '--params-file FILE',
}


class ExitStatus(IntEnum):
    """How the process of a node ends; one that a signal ends while it is loaded has no such."""

    ASKED_TO_END = 0
    FAILED = 1
    WRONG_ARGUMENTS = 2


class _WrongArguments(Exception):
    """Arguments that cannot be used; the text says which and why."""


def run_node(node_class, args=None) -> NoReturn:
    """
    Make a node_class(), spin it until the process is asked to end, close it and end the process.

    The process ends with an ExitStatus: ASKED_TO_END after Ctrl-C, SIGTERM or a shutdown of the
    context; FAILED if the node cannot be made, as with a parameter that is not allowed, or if a
    callback raised; WRONG_ARGUMENTS if the arguments cannot be used, with the reason in one line
    on stderr. args are the arguments with the program's name before them; None: those of the
    process.

    If the node has a run(executor), that is called on the main thread and does the spinning; the
    process ends when it returns. If the node has a close(), that is called before it is destroyed
    and must take less than 2 s. If it has companions (other nodes), they are spun with it and
    destroyed before it. Where destroying them hangs in DDS, the process ends all the same.
    """
    is_asked_to_end = threading.Event()
    is_running = True

    def interrupt(_number, _frame):
        is_asked_to_end.set()
        # Once the run is over, whatever ended it, nothing would catch the interrupt.
        if is_running:
            raise KeyboardInterrupt

    def tell_unraisable(unraisable, tell=sys.unraisablehook):
        # While an object is deleted Python cannot raise the interrupt, and would only print it;
        # the shutdown of the context then ends the spinning.
        if unraisable.exc_type is not KeyboardInterrupt:
            tell(unraisable)

    sys.unraisablehook = tell_unraisable
    # rclpy passes a signal on to the handler that was there before: so SIGTERM too breaks off
    # what runs in the main thread, be it the loading of weights.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    node, executor, status = None, None, ExitStatus.FAILED
    # Holds a node that was interrupted while it was made, until that is destroyed in its turn.
    ended_by = None
    is_initialised = False
    try:
        _init(sys.argv if args is None else args)
        is_initialised = True
        node = node_class()
        executor = SingleThreadedExecutor()
        _add(executor, node)
        Heartbeat(node)
        if hasattr(node, 'run'):
            node.run(executor)
            status = ExitStatus.ASKED_TO_END
        else:
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException, ROSInterruptException) as error:
        ended_by = error
        status = ExitStatus.ASKED_TO_END
    except Exception as error:
        is_running, ended_by = False, error
        # A signal may come while a node is made or publishes: its context is gone then, before
        # Python hears of it. Or while a message is converted: rclpy then raises another error in
        # place of the interrupt.
        is_context_gone = (isinstance(error, rclpy_implementation.RCLError) and is_initialised
                           and not rclpy.ok())
        if is_context_gone or is_asked_to_end.is_set():
            status = ExitStatus.ASKED_TO_END
        elif isinstance(error, _WrongArguments):
            status = ExitStatus.WRONG_ARGUMENTS
            _tell(node_class, error)
        elif executor is None and isinstance(error, (
                ParameterException, NameValidationException, rclpy_implementation.RCLError)):
            _tell(node_class, reason_of(error))
        else:
            sys.excepthook(*sys.exc_info())
    finally:
        is_running = False
        # A second signal, such as Ctrl-C sent to the whole group, must not break the closing.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # rclpy's own thread for signals may still be on its way through the list of what to wake,
        # which shutting down an executor frees: a crash now and then. This waits for it to end.
        uninstall_signal_handlers()
        # A callback that the signal overtook is never run; Python would warn of that.
        warnings.filterwarnings('ignore', message='coroutine .* was never awaited')
        systemd.notify('STOPPING=1')
        _close(node, executor, status)
        # Peers hear of the end when the last reference to the node is gone.
        del node, executor, ended_by
        gc.collect()
    # Everything is closed: taking torch apart would cost a second or two on top, and crashes
    # where a thread is still in it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _init(arguments):
    """Initialise rclpy; raise _WrongArguments for what it can't use, RCLError for all else."""
    try:
        rclpy.init(args=arguments)
    except rclpy_implementation.UnknownROSArgsError as error:
        raise _WrongArguments(f'unknown arguments {error}; {_WAY_OUT_BY_KIND[""]}') from error
    except rclpy_implementation.RCLError as error:
        reason = reason_of(error)
        if "Couldn't parse" not in reason:
            raise
        way_out = next(way_out for kind, way_out in _WAY_OUT_BY_KIND.items() if kind in reason)
        raise _WrongArguments(f'{reason}; {way_out}') from error
    # ROS would ignore them, and the node would not do what was meant.
    others = remove_ros_args(arguments)[1:]
    if others:
        raise _WrongArguments(f'unknown arguments {others}; {_WAY_OUT_BY_KIND[""]}')


def reason_of(error: Exception) -> str:
    """Return the text of an error of rclpy as one line, without what is of no use to the user."""
    text = _USELESS.sub('', str(error))
    return ' '.join(text.split()) or type(error).__name__


def _tell(node_class, text):
    print(f'{node_class.__name__} cannot start: {text}', file=sys.stderr)


def _add(executor, node):
    # In a function of its own, so that no variable keeps a node beyond its end.
    for each in [node, *getattr(node, 'companions', ())]:
        executor.add_node(each)


def _close(node, executor, status):
    if executor is not None:
        executor.shutdown(timeout_sec=0.1)
    if hasattr(node, 'close'):
        node.close()
    end_process_after(DESTROY_TIMEOUT_S, status)
    if node is not None:
        for each in [*getattr(node, 'companions', ()), node]:
            try:
                each.destroy_node()
            except InvalidHandle:
                pass  # the signal had it destroyed already
    rclpy.try_shutdown()
