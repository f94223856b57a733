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
Whether a bag of days is narrated, killed and resumed as it should be: `make check-days`.

Writes a bag of 200,000 tiny pictures, one a second, runs the command narrate_bag over it once in
one go and once killed at random moments and resumed, compares the outputs, and prints a JSON line
for each run. The exit status is 1 where they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
import threading
import time

import cv2
from moss_ros.bag.ros_types import COMPRESSED_TYPE, TYPESTORE
from moss_ros.training.scenes import Scene, SceneRenderer
from rosbags.rosbag2 import StoragePlugin, Writer

_SIZE_PX = (64, 48)
_START_NS = 1_700_000_000_000_000_000
_NUM_PICTURES = 600


def write_long_bag(path: Path, num_frames: int) -> None:
    """Write an MCAP bag of so many small JPEG pictures of a scene, one a second."""
    renderer = SceneRenderer(Scene(1), *_SIZE_PX)
    pictures = [cv2.imencode('.jpg', cv2.cvtColor(
        renderer.render(float(index)), cv2.COLOR_RGB2BGR))[1].reshape(-1)
        for index in range(_NUM_PICTURES)]
    types = TYPESTORE.types
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/camera', COMPRESSED_TYPE, typestore=TYPESTORE)
        for index in range(num_frames):
            stamp_ns = _START_NS + index * 10**9
            header = types['std_msgs/msg/Header'](
                stamp=types['builtin_interfaces/msg/Time'](
                    sec=stamp_ns // 10**9, nanosec=0), frame_id='camera')
            writer.write(connection, stamp_ns, TYPESTORE.serialize_cdr(
                types[COMPRESSED_TYPE](header=header, format='jpeg',
                                       data=pictures[index % _NUM_PICTURES]), COMPRESSED_TYPE))


def run(bag: Path, output: Path, arguments: list[str], kill_after_s: float | None = None) -> dict:
    """Narrate in a process of its own, which is killed after a while; return its figures."""
    begin_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, '-m', 'moss_ros.bag', str(bag), '--output', str(output), '--quiet',
         '--resume', *arguments], stdout=subprocess.DEVNULL)
    timer = threading.Timer(kill_after_s or 0.0, process.send_signal, [signal.SIGKILL])
    if kill_after_s is not None:
        timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(process.returncode)
    return {'seconds': round(time.monotonic() - begin_s, 1), 'status': process.returncode,
            'cpu_seconds': round(usage.ru_utime + usage.ru_stime, 1),
            'peak_memory_mb': round(usage.ru_maxrss / 1024)}


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--frames', type=int, default=200_000, help='default %(default)s')
    parser.add_argument('--frame-rate', type=float, default=0.1,
                        help='frames a second shown to the model (default %(default)s)')
    parser.add_argument('--kills', type=int, default=5, help='default %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of the moments of the kills')
    given = parser.parse_args()
    moments = random.Random(given.seed)
    arguments = ['--frame-rate', str(given.frame_rate)]
    with TemporaryDirectory(prefix='days_') as name:
        folder = Path(name)
        begin_s = time.monotonic()
        write_long_bag(folder / 'days', given.frames)
        print(json.dumps({'frames': given.frames, 'bag_mb': round(sum(
            file.stat().st_size for file in (folder / 'days').iterdir()) / 1e6),
            'written_s': round(time.monotonic() - begin_s, 1)}), flush=True)
        whole = run(folder / 'days', folder / 'whole', arguments)
        counts = json.loads((folder / 'whole' / 'run.json').read_text())['counts']
        sizes = {path.name: round(path.stat().st_size / 1e6, 1)
                 for path in (folder / 'whole').iterdir()}
        print(json.dumps({'whole': whole, 'counts': counts, 'sizes_mb': sizes}), flush=True)
        resumed = folder / 'resumed'
        for number in range(given.kills):
            kill_after_s = moments.uniform(0.02, 0.4) * whole['seconds']
            print(json.dumps({'killed': number + 1, **run(
                folder / 'days', resumed, arguments, kill_after_s)}), flush=True)
        last = run(folder / 'days', resumed, arguments)
        is_same = hashes(resumed) == hashes(folder / 'whole')
        print(json.dumps({'last': last, 'is_same': is_same}), flush=True)
        shutil.rmtree(folder / 'days')
    return 0 if is_same else 1


if __name__ == '__main__':
    sys.exit(main())
