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
How fast bags are narrated, and in how much memory: `make benchmark-bag`.

Lengths of bags go in. Writes bags of 10 Hz JPEG pictures of 640x480 px, runs the command
narrate_bag on two cores (or as many as are given), and prints a JSON line for each.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
import time

import cv2
from moss_ros.bag.ros_types import COMPRESSED_TYPE, TYPESTORE
from moss_ros.training.scenes import Scene, SceneRenderer
from rosbags.rosbag2 import StoragePlugin, Writer

_SIZE_PX = (640, 480)
_CAMERA_FPS = 10
# Longer bags show the same again.
_SCENE_S = 120
_START_NS = 1_700_000_000_000_000_000


def write_benchmark_bag(path: Path, duration_s: int) -> None:
    """Write an MCAP bag of a scene's JPEG pictures, duration_s long, which shows it in a loop."""
    renderer = SceneRenderer(Scene(1), *_SIZE_PX)
    types = TYPESTORE.types
    pictures = []
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            '/camera/image_raw/compressed', COMPRESSED_TYPE, typestore=TYPESTORE)
        for index in range(duration_s * _CAMERA_FPS):
            if len(pictures) < _SCENE_S * _CAMERA_FPS:
                picture = renderer.render(index / _CAMERA_FPS)
                pictures.append(cv2.imencode(
                    '.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].reshape(-1))
            seconds, tenths = divmod(index, _CAMERA_FPS)
            stamp_ns = _START_NS + seconds * 10**9 + tenths * 10**9 // _CAMERA_FPS
            message = types[COMPRESSED_TYPE](
                header=types['std_msgs/msg/Header'](
                    stamp=types['builtin_interfaces/msg/Time'](
                        sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9),
                    frame_id='camera'),
                format='jpeg', data=pictures[index % len(pictures)])
            writer.write(connection, stamp_ns, TYPESTORE.serialize_cdr(message, COMPRESSED_TYPE))


def measure(bag: Path, output: Path, duration_s: int, num_cores: int) -> dict:
    """Narrate a bag in a process of its own; return the figures of the JSON line."""
    cores = sorted(os.sched_getaffinity(0))[:num_cores]
    begin_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, '-m', 'moss_ros.bag', str(bag), '--output', str(output), '--quiet'],
        stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_s = time.monotonic() - begin_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    counts = json.loads((output / 'run.json').read_text(encoding='utf-8'))['counts']
    return {
        'minutes': duration_s / 60, 'frames_read': counts['frames_read'],
        'frames_used': counts['frames_used'], 'narrations': counts['narrations'],
        'seconds': round(elapsed_s, 1), 'times_real_time': round(duration_s / elapsed_s, 1),
        'cpu_seconds': round(usage.ru_utime + usage.ru_stime, 1),
        'peak_memory_mb': round(usage.ru_maxrss / 1024), 'cores': len(cores)}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--minutes', type=int, nargs='+', default=[10, 60],
                        help='lengths of the bags (default 10 and 60; a minute takes 15 MB)')
    parser.add_argument('--cores', type=int, default=2)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix='narrate_bag_') as folder:
        for minutes in arguments.minutes:
            bag = Path(folder, f'{minutes}_minutes')
            write_benchmark_bag(bag, minutes * 60)
            print(json.dumps(measure(
                bag, Path(folder, 'out', bag.name), minutes * 60, arguments.cores)), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
