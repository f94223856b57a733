"""
How a node's process runs and ends: spin until Ctrl-C or SIGTERM, then close within 2 s.

A node class goes in; the process ends with an exit status. Called by the main() of each node.
"""

import gc
import os
import signal
import sys
import threading
from typing import NoReturn
import warnings

import rclpy
from rclpy.exceptions import (
    InvalidHandle, InvalidParameterTypeException, InvalidParameterValueException,
    ROSInterruptException,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.signals import uninstall_signal_handlers


def run_node(node_class, args=None) -> NoReturn:
    """
    Make a node_class(), spin it until the process is asked to end, close it and end the process.

    The exit status is 0 after Ctrl-C, SIGTERM or a shutdown of the context; 1 if the node cannot
    be made with the parameters given or a callback raised. If the node has a run(executor), that
    is called on the main thread and does the spinning; the process ends when it returns. If the
    node has a close(), that is called before it is destroyed and must take less than 2 s. If it
    has companions (other nodes), they are spun with it and destroyed before it.
    """
    is_asked_to_end = threading.Event()

    def interrupt(_number, _frame):
        is_asked_to_end.set()
        raise KeyboardInterrupt

    # rclpy passes a signal on to the handler that was there before: so SIGTERM too breaks off
    # what runs in the main thread, be it the loading of weights.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    node, executor, status = None, None, 1
    try:
        rclpy.init(args=args)
        node = node_class()
        executor = SingleThreadedExecutor()
        _add(executor, node)
        if hasattr(node, 'run'):
            node.run(executor)
            status = 0
        else:
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException, ROSInterruptException):
        status = 0
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f'{node_class.__name__}: {error}', file=sys.stderr)
    except Exception as error:
        # A signal may come while a node is made or publishes: its context is gone then. Or while
        # a message is converted: rclpy then raises another error in place of the interrupt.
        is_end = is_asked_to_end.is_set() or (
            isinstance(error, rclpy_implementation.RCLError) and not rclpy.ok())
        status = int(not is_end)
        if status:
            sys.excepthook(*sys.exc_info())
    finally:
        # A second signal, such as Ctrl-C sent to the whole group, must not break the closing.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # rclpy's own thread for signals may still be on its way through the list of what to wake,
        # which shutting down an executor frees: a crash now and then. This waits for it to end.
        uninstall_signal_handlers()
        # A callback that the signal overtook is never run; Python would warn of that.
        warnings.filterwarnings('ignore', message='coroutine .* was never awaited')
        _close(node, executor)
        # Peers hear of the end when the last reference to the node is gone.
        del node, executor
        gc.collect()
    # Everything is closed: taking torch apart would cost a second or two on top, and crashes
    # where a thread is still in it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _add(executor, node):
    # In a function of its own, so that no variable keeps a node beyond its end.
    for each in [node, *getattr(node, 'companions', ())]:
        executor.add_node(each)


def _close(node, executor):
    if executor is not None:
        executor.shutdown(timeout_sec=0.1)
    if node is not None:
        if hasattr(node, 'close'):
            node.close()
        for each in [*getattr(node, 'companions', ()), node]:
            try:
                each.destroy_node()
            except InvalidHandle:
                pass  # the signal had it destroyed already
    rclpy.try_shutdown()
