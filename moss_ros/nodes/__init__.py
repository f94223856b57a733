"""The ROS 2 nodes; nothing else in the package imports rclpy."""

from pathlib import Path
import signal
import sys
import threading


def _is_started_as_a_module_here():
    """Whether this process was started by -m with a module of this folder, or by its command."""
    if '-m' in sys.orig_argv[:-1]:
        return sys.orig_argv[sys.orig_argv.index('-m') + 1].startswith(f'{__name__}.')
    command = Path(sys.argv[0] if sys.argv else '').name
    return Path(__file__).with_name(f'{command}.py').is_file()


# Until a node takes over the signals, Ctrl-C ends its process at once, as SIGTERM does: the
# imports that follow take seconds, and an interrupt in them would end in a traceback.
if _is_started_as_a_module_here() and threading.current_thread() is threading.main_thread() \
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
