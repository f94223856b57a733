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
How many large images arrive, and when: a camera and a subscriber in processes of their own.

Measures with and without the settings for large images, best effort and reliable, and prints a
row or a line of JSON for each. Run by `make benchmark-transport`.
"""

import argparse
from array import array
import json
import os
import resource
import select
from statistics import median, quantiles
import subprocess
import sys
import time

from moss_ros.nodes.node_process import large_image_environment, stay_on_this_machine
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

BYTES_PER_PX = 3
START_TIMEOUT_S = 60.0
# Images that arrive later than this after the end do not count.
GRACE_S = 1.0


def publish(arguments: argparse.Namespace) -> None:
    """Publish images at an even rate, once there is a subscriber; print how many."""
    node = Node('benchmark_camera')
    publisher = node.create_publisher(Image, 'image', _qos(arguments))
    end_s = time.monotonic() + START_TIMEOUT_S
    while not publisher.get_subscription_count():
        if time.monotonic() > end_s:
            sys.exit(f'no subscriber within {START_TIMEOUT_S:g} s')
        time.sleep(0.05)
    message = Image(height=arguments.height, width=arguments.width, encoding='rgb8',
                    step=BYTES_PER_PX * arguments.width)
    message.data = array('B', bytes(message.step * message.height))
    start_s = time.monotonic()
    num_published = 0
    while num_published < arguments.rate * arguments.seconds:
        time.sleep(max(0.0, start_s + num_published / arguments.rate - time.monotonic()))
        message.header.frame_id = str(num_published)
        # The monotonic clock is the same in both processes of one machine.
        now_ns = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10 ** 9)
        publisher.publish(message)
        num_published += 1
    time.sleep(GRACE_S)
    print(json.dumps({'num_published': num_published,
                      'duration_s': time.monotonic() - GRACE_S - start_s}))


def subscribe(arguments: argparse.Namespace) -> None:
    """Count images and their latencies until stdin ends; print them."""
    node = Node('benchmark_subscriber')
    latencies_ms, numbers = [], set()

    def on_image(message):
        stamp = message.header.stamp
        latencies_ms.append((time.monotonic_ns() - stamp.sec * 10 ** 9 - stamp.nanosec) / 1e6)
        numbers.add(message.header.frame_id)

    node.create_subscription(Image, 'image', on_image, _qos(arguments))
    before = resource.getrusage(resource.RUSAGE_SELF)
    start_s = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        rclpy.spin_once(node, timeout_sec=0.1)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({
        'num_received': len(numbers), 'latencies_ms': latencies_ms,
        'cpu_percent': 100 * cpu_s / (time.monotonic() - start_s)}))


def _qos(arguments):
    return QoSProfile(depth=1, reliability=ReliabilityPolicy[arguments.reliability.upper()])


def measure(arguments: argparse.Namespace, reliability: str, is_large: bool) -> dict:
    """Run both processes once; return what came of it."""
    environment = dict(os.environ)
    if is_large:
        environment |= large_image_environment(environment)
    command = [
        sys.executable, '-m', 'tools.transport_benchmark', '--reliability', reliability,
        '--seconds', str(arguments.seconds), '--rate', str(arguments.rate),
        '--width', str(arguments.width), '--height', str(arguments.height), '--role']
    with subprocess.Popen([*command, 'subscriber'], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment, text=True) as subscriber:
        try:
            camera = subprocess.run(
                [*command, 'camera'], stdout=subprocess.PIPE, env=environment, text=True,
                check=True)
        finally:
            output, _ = subscriber.communicate()
    sent, heard = json.loads(camera.stdout), json.loads(output)
    latencies_ms = sorted(heard['latencies_ms'])
    return {
        'settings': 'large images' if is_large else 'default', 'reliability': reliability,
        'image': f'{arguments.width}x{arguments.height}', 'rate_fps': arguments.rate,
        'num_published': sent['num_published'], 'num_received': heard['num_received'],
        'delivered': round(heard['num_received'] / sent['num_published'], 3),
        'latency_median_ms': _rounded(median(latencies_ms)) if latencies_ms else None,
        'latency_p99_ms': _rounded(_percentile(latencies_ms, 99)) if latencies_ms else None,
        'subscriber_cpu_percent': _rounded(heard['cpu_percent'])}


def _percentile(values, percent):
    return quantiles(values, n=100, method='inclusive')[percent - 1] if len(values) > 1 else (
        values[0])


def _rounded(value):
    return round(value, 1)


def _row(result):
    if result['latency_median_ms'] is None:
        latency = '-'
    else:
        latency = f'{result["latency_median_ms"]} / {result["latency_p99_ms"]} ms'
    return (f'{result["settings"]:13} {result["reliability"]:12} '
            f'{result["num_received"]:4} of {result["num_published"]:4} '
            f'{latency:>16} {result["subscriber_cpu_percent"]:5} %')


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.transport_benchmark',
        description='How many large images arrive over DDS, with the settings for them and '
        'without, best effort and reliable.')
    parser.add_argument('--seconds', type=float, default=10.0, help='of each run (default 10)')
    parser.add_argument('--rate', type=float, default=30.0, help='images a second (default 30)')
    parser.add_argument('--width', type=int, default=1920, help='pixels (default 1920)')
    parser.add_argument('--height', type=int, default=1080, help='pixels (default 1080)')
    parser.add_argument('--json', action='store_true', help='print a line of JSON for each run')
    parser.add_argument('--role', choices=('all', 'camera', 'subscriber'), default='all',
                        help='one of the two processes only; they are started by themselves')
    parser.add_argument('--reliability', choices=('best_effort', 'reliable'),
                        default='best_effort', help='of a --role (default best_effort)')
    arguments = parser.parse_args(args)
    if arguments.role != 'all':
        rclpy.init(args=[])
        (publish if arguments.role == 'camera' else subscribe)(arguments)
        rclpy.try_shutdown()
        return
    stay_on_this_machine()
    if not arguments.json:
        print('settings      reliability  arrived      latency median / p99   CPU', flush=True)
    for reliability in ('best_effort', 'reliable'):
        for is_large in (False, True):
            result = measure(arguments, reliability, is_large)
            print(json.dumps(result) if arguments.json else _row(result), flush=True)


if __name__ == '__main__':
    main()
