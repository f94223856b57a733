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
Whether a stream can go on for ever: `make soak`.

Runs a session, and then a narrator over DDS, for a day of stream time, as fast as the model goes:
pictures of the embedded model's scenes, two a second by their stamps, and a question every five
minutes. Prints a line for each hour, and one of JSON at the end. The exit status is 1 where, after
the first hour, resident memory grew by more than 1 %, threads or open files became more, or a
frame in the last hour took more than 1.2 times as long as in the first.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
import json
from statistics import median
import sys
import time

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.nodes.node_process import Child, end_all, START_TIMEOUT_S, stay_on_this_machine
from moss_ros.records import read_event
from moss_ros.stream import Frame, Prompt, RolloverEvent, StreamCheckpoint
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
import psutil
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tools.spinning import spin_beside
import torch

FPS = 2
SAMPLE_FRAMES = 60 * FPS
QUESTION_FRAMES = 300 * FPS
QUESTION = 'What do you see?'
# Shown again and again: ten minutes.
_NUM_PICTURES = 600 * FPS
_SIZE_PX = (128, 96)
_START_NS = 1_700_000_000_000_000_000
_ANSWER_TIMEOUT_S = 10.0
# After the first hour.
MAX_MEMORY_GROWTH = 0.01
MAX_SLOWDOWN = 1.2


@dataclass(frozen=True)
class Sample:
    """
    What a process holds after a number of frames.

    cpu_s: seconds of all its threads so far. memory_mb: resident.
    """

    num_frames: int
    cpu_s: float
    memory_mb: float
    num_threads: int
    num_files: int


class Meter:
    """Samples a process once a minute of stream time, and prints a line for each hour."""

    def __init__(self, part: str, process_id: int | None = None):
        """process_id: of the process; None: this one."""
        self.samples: list[Sample] = []
        self._part = part
        self._process = psutil.Process(process_id)

    def count(self, num_frames: int) -> None:
        """Note that the stream has so many frames by now."""
        if num_frames % SAMPLE_FRAMES:
            return
        times = self._process.cpu_times()
        self.samples.append(Sample(
            num_frames, times.user + times.system, self._process.memory_info().rss / 1e6,
            self._process.num_threads(), self._process.num_fds()))
        if len(self.samples) == 1:
            print('part     hours   frames  memory MB  threads  files  CPU ms a frame', flush=True)
        if num_frames % (60 * SAMPLE_FRAMES) == 0:
            self.show()

    def show(self) -> None:
        """Print a line of the newest sample, with the median of the hour before it."""
        newest = self.samples[-1]
        print(f'{self._part:8} {newest.num_frames / FPS / 3600:5.2f} {newest.num_frames:8} '
              f'{newest.memory_mb:10.1f} {newest.num_threads:8} {newest.num_files:6} '
              f'{frame_ms(self.samples[-61:]):15.2f}', flush=True)


def frame_ms(samples: Sequence[Sample]) -> float:
    """Return the median of the CPU time in ms that a frame took between samples; 0 of one."""
    return median([1e3 * (after.cpu_s - before.cpu_s) / (after.num_frames - before.num_frames)
                   for before, after in zip(samples, samples[1:])] or [0.0])


def judge(samples: Sequence[Sample]) -> dict:
    """
    Return the figures of a run, with what is broken.

    The first hour, or quarter where the run is of less than four hours, is for warming up.
    """
    num_first = min(60, len(samples) // 4)
    base, later = samples[num_first - 1], samples[num_first:]
    first_ms = frame_ms(samples[:num_first + 1])
    last_ms = frame_ms(samples[-num_first - 1:])
    growth = max(sample.memory_mb for sample in later) / base.memory_mb - 1
    last = samples[-1]
    broken = [name for name, is_broken in (
        ('memory', growth > MAX_MEMORY_GROWTH),
        ('threads', last.num_threads > base.num_threads),
        ('files', last.num_files > base.num_files),
        ('time', last_ms > MAX_SLOWDOWN * first_ms)) if is_broken]
    return {
        'hours': round(last.num_frames / FPS / 3600, 3), 'frames': last.num_frames,
        'memory_mb': [round(base.memory_mb, 1), round(last.memory_mb, 1)],
        'memory_growth_percent': round(100 * growth, 2),
        'threads': [base.num_threads, last.num_threads],
        'files': [base.num_files, last.num_files],
        'frame_cpu_ms': [round(first_ms, 2), round(last_ms, 2)], 'broken': broken}


def make_pictures() -> list[np.ndarray]:
    """Return ten minutes of pictures u8 [H, W, 3] RGB, to be shown in a loop."""
    renderer = SceneRenderer(Scene(1), *_SIZE_PX)
    return [renderer.render(index / FPS) for index in range(_NUM_PICTURES)]


def stamp_of(index: int) -> int:
    """Return the header stamp of the frame of an index, ns."""
    return _START_NS + index * 10**9 // FPS


def soak_session(num_frames: int, pictures: Sequence[np.ndarray]) -> tuple[list[Sample], int]:
    """Show a session so many frames, one by one; return the samples and how often it forgot."""
    torch.set_num_threads(1)
    opened = StreamCheckpoint.open(DEMO_CHECKPOINT)
    session = opened.session(opened.load_model('cpu', 'float32', 'auto', None))
    meter, num_rollovers = Meter('session'), 0
    for index in range(num_frames):
        if index % QUESTION_FRAMES == 1:
            session.add_prompt(Prompt(QUESTION, f'question-{index}'))
        session.add_frame(Frame(pictures[index % len(pictures)], stamp_of(index)))
        while session.has_work:
            num_rollovers += sum(isinstance(event, RolloverEvent) for event in session.step())
        meter.count(index + 1)
    return meter.samples, num_rollovers


class SoakCamera(Node):
    """Shows a narrator one picture after the other, the next one when it has decided on one."""

    def __init__(self, pictures: Sequence[np.ndarray]):
        super().__init__('soak_camera')
        self.num_rollovers = self.num_lost = 0
        self._pictures = pictures
        self._decided_ns = 0
        self._images = self.create_publisher(Image, 'image', QoSProfile(depth=10))
        self._prompts = self.create_publisher(String, 'prompt', QoSProfile(depth=10))
        self.create_subscription(String, 'narrator/events', self._on_event, QoSProfile(depth=1000))

    def is_watched(self) -> bool:
        """Whether the narrator would get pictures and prompts, and its events come here."""
        return bool(self._images.get_subscription_count()
                    and self._prompts.get_subscription_count()
                    and self.count_publishers('narrator/events'))

    def show(self, index: int, spin_once: Callable[..., None]) -> None:
        """Publish the picture of an index, and spin until the narrator has decided on it."""
        if index % QUESTION_FRAMES == 1:
            self._prompts.publish(String(data=QUESTION))
        picture = self._pictures[index % len(self._pictures)]
        height, width, _ = picture.shape
        message = Image(height=height, width=width, step=3 * width, encoding='rgb8')
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_of(index), 10**9)
        message.data = array('B', picture.tobytes())
        self._images.publish(message)
        end_s = time.monotonic() + _ANSWER_TIMEOUT_S
        while self._decided_ns < stamp_of(index):
            spin_once(timeout_sec=0.1)
            if time.monotonic() > end_s:
                self.num_lost += 1
                return

    def _on_event(self, message):
        record = read_event(message.data)
        if record['type'] in ('token', 'silence'):
            self._decided_ns = max(self._decided_ns, record['stamp_ns'])
        self.num_rollovers += record['type'] == 'rollover'


def soak_node(num_frames: int, pictures: Sequence[np.ndarray]) -> tuple[list[Sample], int, int]:
    """
    Show a narrator in a process of its own so many frames; needs rclpy.init().

    Returns the samples, how often it forgot, and how many frames it did not decide on. Raises
    RuntimeError where it ends, and TimeoutError where it does not begin.
    """
    camera = SoakCamera(pictures)
    spin_once = partial(rclpy.spin_once, camera)
    children = [Child('narrator', 'moss_ros.nodes.narrator', [
        '-p', 'image_reliability:=reliable'], is_quiet=True)]
    try:
        spin_beside(children, spin_once, START_TIMEOUT_S, camera.is_watched,
                    'the narrator did not begin')
        meter = Meter('node', children[0].process_id)
        for index in range(num_frames):
            camera.show(index, spin_once)
            if children[0].exit_status is not None:
                children[0].report()
                raise RuntimeError('narrator has ended')
            meter.count(index + 1)
        return meter.samples, camera.num_rollovers, camera.num_lost
    finally:
        end_all(children)
        camera.destroy_node()


def main(args=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.soak', description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--hours', type=float, default=24.0,
                        help='of stream time, for each part (default 24; at least 0.1)')
    parser.add_argument('--part', choices=('session', 'node', 'both'), default='both')
    arguments = parser.parse_args(args)
    if not arguments.hours >= 0.1:
        parser.error(f'--hours is {arguments.hours:g}; take 0.1 or more')
    num_frames = round(arguments.hours * 3600 * FPS)
    pictures, figures = make_pictures(), {}
    if arguments.part != 'node':
        begin_s = time.monotonic()
        samples, num_rollovers = soak_session(num_frames, pictures)
        figures['session'] = {**judge(samples), 'rollovers': num_rollovers,
                              'seconds': round(time.monotonic() - begin_s)}
    if arguments.part != 'session':
        stay_on_this_machine()
        rclpy.init(args=[])
        begin_s = time.monotonic()
        try:
            samples, num_rollovers, num_lost = soak_node(num_frames, pictures)
        except (RuntimeError, TimeoutError) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            rclpy.try_shutdown()
        figures['node'] = {**judge(samples), 'rollovers': num_rollovers, 'lost': num_lost,
                           'seconds': round(time.monotonic() - begin_s)}
    print(json.dumps(figures))
    for part, found in figures.items():
        for name in found['broken']:
            print(f'{part}: {name} is beyond its bound', file=sys.stderr)
    return 1 if any(found['broken'] for found in figures.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
