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
How well several cameras of one process are narrated: each alone, then all together.

Demo cameras on different scenes and their narrators run over DDS, in processes of their own; what
is said of each is compared with what happened before that camera. Prints a line of JSON for each
camera of each run. Run by `make benchmark-cameras`.
"""

import argparse
from collections.abc import Sequence
import json
import sys

from moss_ros.nodes.demo import Observer
from moss_ros.nodes.node_process import Child, end_all, START_TIMEOUT_S, stay_on_this_machine
from moss_ros.training.scoring import Tally
import rclpy
from rclpy.executors import SingleThreadedExecutor
from tools.spinning import spin_beside


def run_cameras(seeds: Sequence[int], seconds: float) -> list[Tally]:
    """
    Narrate the scenes of all seeds at the same time, in one process; return a tally of each.

    The time begins when a frame of each was seen. Needs rclpy.init(). Raises RuntimeError where
    a process ends, and TimeoutError where a camera is not narrated.
    """
    names = [f'camera_{number}' for number in range(len(seeds))]
    observers = [Observer(namespace=name) for name in names]
    executor = SingleThreadedExecutor()
    for observer in observers:
        executor.add_node(observer)
    children = [
        Child(name, 'moss_ros.nodes.demo_camera',
              ['-r', f'__ns:=/{name}', '-p', f'seed:={seed}'], is_quiet=True)
        for name, seed in zip(names, seeds)]
    children.append(Child('multi_camera', 'moss_ros.nodes.multi_camera', [
        '-p', f'cameras:={",".join(names)}', '-r', 'image:=image_raw'], is_quiet=True))
    try:
        spin_beside(children, executor.spin_once, START_TIMEOUT_S, lambda: all(
            observer.tally.num_frames for observer in observers), 'not every camera was narrated')
        spin_beside(children, executor.spin_once, seconds)
    finally:
        end_all(children)
        for observer in observers:
            executor.remove_node(observer)
            observer.destroy_node()
        executor.shutdown()
    return [observer.tally for observer in observers]


def figures(seed: int, tally: Tally, tallies: Sequence[Tally]) -> dict:
    """Return what is printed of the camera on scene seed, whose tally is one of tallies."""
    score = tally.score()
    num_kept, num_quiet = tally.silence_kept()
    here = {sentence for _, sentence in tally.truth}
    anywhere = {sentence for each in tallies for _, sentence in each.truth}
    return {
        'cameras': len(tallies), 'seed': seed, 'frames': tally.num_frames,
        'events': score.num_events, 'right': score.num_matched, 'missed': score.num_missed,
        'false': score.num_false,
        # Said here, though it happened before another camera only.
        'of_another_camera': sum(
            sentence in anywhere - here for _, sentence in tally.said),
        'quiet_frames': num_quiet, 'silence_kept': num_kept}


def main(args=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.camera_benchmark',
        description='How well several cameras of one process are narrated: each alone, then all '
        'together, live and over DDS.')
    parser.add_argument('--seconds', type=float, default=60.0, help='of each run (default 60)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[3, 5, 9],
                        help='which scenes (default 3 5 9)')
    arguments = parser.parse_args(args)
    stay_on_this_machine()
    rclpy.init(args=[])
    try:
        for seeds in [*([seed] for seed in arguments.seeds), arguments.seeds]:
            tallies = run_cameras(seeds, arguments.seconds)
            for seed, tally in zip(seeds, tallies):
                print(json.dumps(figures(seed, tally, tallies)), flush=True)
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
