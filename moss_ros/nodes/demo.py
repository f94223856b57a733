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
The demo: camera, narrator, console and desk as processes over DDS, and a closing line.

Starts them, and ends them all on Ctrl-C, after a given time, or when one of them ends. Meanwhile
an Observer records what happens in the scene and what the narrator says; the closing line compares
the two. Run by `make demo`.
"""

import argparse
import json
import math
import os
from pathlib import Path
import signal
import socket
import sys
import threading
import time

from moss_ros.media import CameraDevice, device_path, LoopedVideo, MediaError
from moss_ros.nodes.node_process import (
    Child, end_all, large_image_environment, START_TIMEOUT_S, stay_on_this_machine,
)
from moss_ros.one_line_parser import OneLineParser
from moss_ros.records import read_event
from moss_ros.settings import DeskSettings
from moss_ros.training.scoring import Tally
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String


class Observer(Node):
    """Keeps a tally of what happens and what is said; needs the camera's namespace."""

    def __init__(self, **node_options):
        super().__init__('observer', **node_options)
        self.tally = Tally()
        qos = QoSProfile(depth=1000)
        self.create_subscription(String, 'demo_camera/truth', self._on_truth, qos)
        self.create_subscription(String, 'narrator/events', self._on_event, qos)

    def _on_truth(self, message):
        self.tally.add_truth(json.loads(message.data))

    def _on_event(self, message):
        self.tally.add_event(read_event(message.data))


# Pictures of a video or of a camera of this machine are no larger.
REAL_SIZE_PX = 640
NUM_PORTS_TRIED = 20
DESK_TIMEOUT_S = 20.0


def _tell_link(desk, port, is_asked_to_end):
    """Print the link as soon as the desk serves; whoever watches it reports why it does not."""
    end_s = time.monotonic() + DESK_TIMEOUT_S
    while (desk.exit_status is None and time.monotonic() < end_s
           and not is_asked_to_end.is_set()):
        if not _is_free(port):
            print(f'Look at it in a browser: http://{DeskSettings.address}:{port}/', flush=True)
            return
        time.sleep(0.05)


def _is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex((DeskSettings.address, port)) != 0


def _start_children(arguments, is_asked_to_end):
    """Yield the children as they are started; the console is the last one."""
    is_quiet = not arguments.verbose
    if arguments.view == 'browser':
        ports = range(DeskSettings.port, DeskSettings.port + NUM_PORTS_TRIED)
        port = next(filter(_is_free, ports), DeskSettings.port)
        desk = Child('desk', 'moss_ros.nodes.desk', ['-p', f'port:={port}'], is_quiet)
        yield desk
        _tell_link(desk, port, is_asked_to_end)
        if is_asked_to_end.is_set():
            return
    shown, camera_arguments, narrator_arguments = _camera(arguments)
    print(f'{shown}, ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}. Ask '
          "by typing, such as 'What do you see?'; Ctrl-C ends.", flush=True)
    if not arguments.checkpoint and not _is_painted(arguments):
        print('The embedded model knows no such scenes: it tells that the camera or something '
              'moves, and what spoils the picture, and not all of it is true.', flush=True)
    yield Child('demo_camera', 'moss_ros.nodes.demo_camera', camera_arguments, is_quiet)
    yield Child('narrator', 'moss_ros.nodes.narrator', [
        '-r', 'image:=image_raw', '-p', f'checkpoint:={arguments.checkpoint!r}',
        '-p', f'max_tokens_per_second:={arguments.tokens_per_second:f}',
        *narrator_arguments], is_quiet)
    view = 'screen' if arguments.view == 'screen' else 'plain'
    yield Child('console', 'moss_ros.nodes.console', ['-p', f'view:={view}'], False)


def _camera(arguments):
    """Return in words what is shown, and the ROS arguments of the camera and of the narrator."""
    size = ['-p', f'width:={REAL_SIZE_PX}', '-p', f'height:={REAL_SIZE_PX}']
    if arguments.video is not None:
        path = str(Path(arguments.video).absolute())
        # A file of coded video may hold the same picture for long, and is not broken.
        return (f'The video {arguments.video} as a camera, again and again',
                [*size, '-p', f'video:={path!r}'], ['-p', 'frozen_after_s:=0.0'])
    if arguments.device is not None:
        return (f'The camera {device_path(arguments.device)}',
                [*size, '-p', f'device:={arguments.device}'], [])
    world = 'of an unknown world' if arguments.scene == 'unknown' else ''
    return (' '.join(f'A camera on scene {arguments.seed} {world}'.split()),
            ['-p', f'seed:={arguments.seed}', '-p', f'scene:={arguments.scene}'], [])


def _is_painted(arguments):
    """Whether a scene is shown whose things the embedded model has words for."""
    return _has_truth(arguments) and arguments.scene != 'unknown'


def _has_truth(arguments):
    return arguments.video is None and arguments.device is None


def _watch(observer, children, seconds, is_asked_to_end):
    """
    Spin until the time is over, a child has ended or is_asked_to_end is set.

    Returns the child that ended, or None. seconds (0: no limit) count from the first frame that
    the narrator has seen. Raises TimeoutError if it saw none within START_TIMEOUT_S.
    """
    begin_s = time.monotonic()
    first_frame_s = None
    while True:
        rclpy.spin_once(observer, timeout_sec=0.2)
        # Before the children: they may have ended at the same Ctrl-C.
        if is_asked_to_end.is_set():
            return None
        for child in children:
            if child.exit_status is not None:
                return child
        now_s = time.monotonic()
        if first_frame_s is None:
            if observer.tally.num_frames:
                first_frame_s = now_s
            elif now_s - begin_s > START_TIMEOUT_S:
                raise TimeoutError(f'the narrator has seen no frame in {START_TIMEOUT_S:g} s')
        elif seconds and now_s - first_frame_s > seconds:
            return None


def run_demo(arguments: argparse.Namespace) -> int:
    """Run the processes; return the exit status, 1 where one of them failed."""
    is_asked_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: is_asked_to_end.set())
    # Not rclpy's handlers: they would shut the context down in the middle of a spin.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    observer = Observer()
    children, failed = [], []
    try:
        for child in _start_children(arguments, is_asked_to_end):
            children.append(child)
        early = _watch(observer, children, arguments.seconds, is_asked_to_end)
        # Whoever leaves the full screen ends the demo.
        has_left = early is children[-1] and early.exit_status == 0
        failed += [early] if early is not None and not has_left else []
    except TimeoutError as error:
        print(f'\n{error}', file=sys.stderr)
        failed += children[:-1]
    finally:
        # The console last, so that it shows what is said until the end.
        failed += [child for child in end_all(children) if child not in failed]
        observer.destroy_node()
        rclpy.try_shutdown()
    for child in failed:
        child.report()
    print(f'\n{_closing_line(observer.tally, _has_truth(arguments))}', flush=True)
    return 1 if failed else 0


def _closing_line(tally, has_truth):
    if not tally.num_frames:
        return 'nothing to compare was heard' if has_truth else 'nothing was heard'
    num_said = len(tally.said)
    return tally.line() if has_truth else (
        f'{num_said} sentence{"s" * (num_said != 1)} said in {tally.num_frames} frames; what '
        'truly happened is not known')


def _number(text):
    """Return the number that text is; what argparse tells as a mistake where it is none from 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is no number from 0 up')
    return number


def main(args=None) -> int:
    """Run the command line; a mistake in it ends the process with status 2."""
    parser = OneLineParser(
        prog='python -m moss_ros.nodes.demo',
        description='Narrate the demo camera, a video or a camera of this machine: camera, '
        'narrator, console and the desk, a page for browsers, in a process each.')
    parser.add_argument('--seconds', type=_number, default=0.0,
                        help='end by itself after so many; 0: on Ctrl-C (default)')
    parser.add_argument('--seed', type=int, default=1, help='which scene (default 1)')
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument('--scene', choices=('random', 'static', 'unknown'), default='random',
                       help='random: painted things come, move and go (default); static: they '
                       'stand; unknown: the camera turns and is covered, before what has no name')
    shown.add_argument('--video', metavar='FILE',
                       help='a video in place of a scene, at its own speed, again and again')
    shown.add_argument('--device', metavar='N', type=int,
                       help='a camera of this machine, /dev/videoN, in place of a scene')
    parser.add_argument('--checkpoint', default='', help="folder; default: the embedded model's")
    parser.add_argument('--tokens-per-second', type=_number, default=0.0,
                        help='pace of speaking; 0: as fast as it goes (default)')
    parser.add_argument('--view', choices=('browser', 'terminal', 'plain', 'screen'),
                        default='browser',
                        help='a page in a browser beside lines in the terminal (default); the '
                        'lines alone (terminal or plain); or the full-screen console')
    parser.add_argument('--verbose', action='store_true', help='show the log of all processes')
    arguments = parser.parse_args(args)
    try:
        # Before anything is started; the camera's process opens it again.
        if arguments.video is not None:
            LoopedVideo(arguments.video, 1.0).close()
        if arguments.device is not None:
            CameraDevice(device_path(arguments.device)).close()
    except MediaError as error:
        parser.error(str(error))
    stay_on_this_machine()
    if not _has_truth(arguments):
        os.environ.update(large_image_environment(os.environ))
    return run_demo(arguments)


if __name__ == '__main__':
    sys.exit(main())
