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
The doctor: a command that checks a machine and its camera for the narrator, one line for each.

Takes the narrator's parameters and remappings, prints findings, and ends with status 1 where one
of them is a failure. It runs without ROS too, and says then that ROS is missing.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
import json
import os
import signal
import sys

from moss_ros.engines.machine_checks import Finding, findings, Verdict
from moss_ros.nodes.node_process import profile_path
from moss_ros.settings import NarratorSettings

# Discovery takes a moment, and a camera may be slow.
WAIT_S = 5.0
INTERRUPTED = 130
# What a sourced ROS brings.
_ROS_MODULES = ('rclpy', 'sensor_msgs.msg', 'std_msgs.msg', 'std_srvs.srv', 'diagnostic_msgs.msg',
                'lifecycle_msgs.msg', 'builtin_interfaces.msg')


def diagnose(arguments: list[str], wait_s: float) -> Iterator[Finding]:
    """
    Yield what is found, each finding as soon as it is known.

    arguments: those of ROS, as a node gets them. wait_s: how long to wait for the camera.
    """
    try:
        for name in _ROS_MODULES:
            import_module(name)
    except Exception as error:  # what is not built for this Python raises anything
        yield from _without_ros(Finding(
            Verdict.FAIL, 'ROS', f'rclpy and its messages cannot be imported ({error})',
            'source /opt/ros/$ROS_DISTRO/setup.sh and install/setup.sh'))
        return
    try:
        from moss_ros.nodes import node_main, ros_checks
    except Exception as error:
        yield from _without_ros(Finding(
            Verdict.FAIL, 'narrator', f'its programs cannot be imported ({error})',
            'see the packages below'))
        return
    yield from _with_ros(arguments, wait_s, node_main, ros_checks)


def _without_ros(obstacle):
    """Yield why there is no node, and what can be checked without one."""
    yield obstacle
    yield from findings(NarratorSettings(), os.environ, str(profile_path()))


def _with_ros(arguments, wait_s, node_main, ros_checks):
    """Yield what is found where all can be imported."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    try:
        # Not rclpy's handlers: Ctrl-C is to end this as it ends any command.
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = ros_checks.Doctor()
        converter = ros_checks.ImageConverter(
            (node.settings.depth_min_m, node.settings.depth_max_m))
    except Exception as error:
        rclpy.try_shutdown()
        yield from _without_ros(Finding(
            Verdict.FAIL, 'parameters', node_main.reason_of(error),
            'start it with the arguments of the narrator, behind --ros-args'))
        return
    try:
        yield ros_checks.check_ros()
        yield from findings(node.settings, os.environ, str(profile_path()))
        yield ros_checks.check_cv_bridge(converter)
        yield from ros_checks.check_camera(node, node.settings, converter, wait_s)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def main(args=None) -> int:
    """Run the command line; return the exit status: 0, or 1 where there is a failure."""
    parser = argparse.ArgumentParser(
        prog='doctor', description='Check this machine and its camera for the narrator.',
        epilog="Takes the narrator's ROS arguments as well: --ros-args -r image:=TOPIC "
               '-p NAME:=VALUE --params-file FILE')
    parser.add_argument('--image', metavar='TOPIC', help="the camera's topic (default: image)")
    parser.add_argument('--checkpoint', metavar='FOLDER', help='default: the embedded model')
    parser.add_argument('--wait', metavar='S', type=float, default=WAIT_S,
                        help=f'seconds to wait for the camera (default {WAIT_S:g})')
    given = list(sys.argv[1:] if args is None else args)
    begin = given.index('--ros-args') if '--ros-args' in given else len(given)
    options = parser.parse_args(given[:begin])
    ros = [*given[begin:], '--ros-args']
    if options.image:
        ros += ['-r', f'image:={options.image}']
    if options.checkpoint:
        ros += ['-p', f'checkpoint:={json.dumps(options.checkpoint)}']
    count = Counter()
    is_interrupted = False

    def interrupt(_number, _frame):
        nonlocal is_interrupted
        is_interrupted = True
        # An object of rclpy that was only half made complains as it is deleted.
        sys.unraisablehook = lambda _: None
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        for finding in diagnose([parser.prog, *ros], options.wait):
            print(finding.line(), flush=True)
            count[finding.verdict] += 1
    except BaseException:  # rclpy may raise another error in place of the interrupt
        if is_interrupted:
            return INTERRUPTED
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f'{count[Verdict.OK]} well, {count[Verdict.WARN]} to be looked at, '
          f'{count[Verdict.FAIL]} to be mended')
    return int(count[Verdict.FAIL] > 0)


if __name__ == '__main__':
    sys.exit(main())
