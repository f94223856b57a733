"""
How a node's process runs and ends: spin until Ctrl-C or SIGTERM, then close within 2 s.

A node class goes in, an exit status comes out. Knows nothing of what the node does. Called by the
main() of each node.
"""

import signal
import sys
import warnings

import rclpy
from rclpy.exceptions import (
    InvalidHandle, InvalidParameterTypeException, InvalidParameterValueException,
    ROSInterruptException,
)
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation


def run_node(node_class, args=None) -> int:
    """
    Make a node_class(), spin it until the process is asked to end, and close it.

    Returns 0 after Ctrl-C, SIGTERM or a shutdown of the context, 1 where the node cannot be made
    with the parameters given. The node's close(), where it has one, is called before it is
    destroyed and must take less than 2 s.
    """
    # rclpy passes a signal on to the handler that was there before: so SIGTERM too breaks off
    # what runs in the main thread, be it the loading of weights.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    node = None
    try:
        rclpy.init(args=args)
        node = node_class()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException, ROSInterruptException):
        pass
    except rclpy_implementation.RCLError:
        # A signal while a node is being made or publishes: its context is gone under it.
        if rclpy.ok():
            raise
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f'{node_class.__name__}: {error}', file=sys.stderr)
        return 1
    finally:
        # A second signal, such as Ctrl-C sent to the whole group, must not break the closing.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # A callback that the signal overtook is never run; Python would warn of that.
        warnings.filterwarnings('ignore', message='coroutine .* was never awaited')
        _close(node)
    return 0


def _close(node):
    if node is not None:
        if hasattr(node, 'close'):
            node.close()
        try:
            node.destroy_node()
        except InvalidHandle:
            pass  # the signal had it destroyed already
    rclpy.try_shutdown()
