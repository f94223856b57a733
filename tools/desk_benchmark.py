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
What the desk costs a narrator: its latency without a desk, and with one that browsers look at.

Demo camera, narrator, desk and browsers run in processes of their own on this machine, without and
with the desk in turn. Prints a line of JSON for each run, and the ratio of the latencies. Run by
`make benchmark-desk`.
"""

import argparse
import asyncio
from functools import partial
import json
from statistics import median, quantiles
import subprocess
import sys

import aiohttp
from moss_ros.nodes.node_process import Child, end_all, START_TIMEOUT_S, stay_on_this_machine
from moss_ros.records import read_event
import psutil
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from tools.spinning import spin_beside

PORT = 8160
NARRATOR = '/narrator'
# What was measured in the first seconds is not counted: everything is still starting up.
WARM_UP_S = 5.0


class LatencyListener(Node):
    """Keeps, for each frame, the time from its arrival to the first decision on it."""

    def __init__(self):
        super().__init__('latency_listener')
        self.latencies_ms: list[float] = []
        self._last_stamp_ns = None
        self.create_subscription(String, 'narrator/events', self._on_event, QoSProfile(depth=1000))

    def _on_event(self, message):
        record = read_event(message.data)
        if record['type'] in ('token', 'silence') and record['latency_ms'] is not None \
                and record['stamp_ns'] != self._last_stamp_ns:
            self._last_stamp_ns = record['stamp_ns']
            self.latencies_ms.append(record['latency_ms'])


async def follow(num_clients: int, num_deaf: int, seconds: float) -> None:
    """Look at the narrator as so many browsers do, some of which never read; print the rates."""
    url = f'http://127.0.0.1:{PORT}'
    nums = [0] * num_clients

    async def look(number):
        async with session.ws_connect(f'{url}/socket', headers={'Origin': url}) as browser:
            await browser.send_json({'type': 'hello', 'boot': '', 'after': 0})
            await browser.send_json({'type': 'watch', 'pictures': [[NARRATOR, 'camera']]})
            shown = json.dumps({'type': 'shown', 'picture': [NARRATOR, 'camera']})
            async for message in browser:
                if message.type is aiohttp.WSMsgType.BINARY:
                    nums[number] += 1
                    await browser.send_str(shown)

    async def hold(writer):
        hello = json.dumps({'type': 'hello', 'boot': '', 'after': 0}).encode()
        watch = json.dumps({'type': 'watch', 'pictures': [[NARRATOR, 'camera']]}).encode()
        writer.write((f'GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nOrigin: {url}\r\n'
                      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
                      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n').encode())
        for text in (hello, watch):
            writer.write(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
        writer.transport.pause_reading()

    deaf = []
    async with aiohttp.ClientSession() as session:
        for _ in range(num_deaf):
            # A writer that nobody keeps closes its connection.
            deaf.append((await asyncio.open_connection('127.0.0.1', PORT))[1])
            await hold(deaf[-1])
        looking = [asyncio.create_task(look(number)) for number in range(num_clients)]
        await asyncio.sleep(WARM_UP_S)
        before = list(nums)
        await asyncio.sleep(seconds)
        rates = [(after - first) / seconds for first, after in zip(before, nums)]
        for task in looking:
            task.cancel()
    print(json.dumps({'least': min(rates, default=0), 'mean': sum(rates) / max(1, len(rates))}))


def measure(arguments: argparse.Namespace, has_desk: bool) -> tuple[list[float], dict]:
    """Return the latencies and the figures of a run; needs rclpy.init()."""
    listener = LatencyListener()
    spin_once = partial(rclpy.spin_once, listener)
    children = [Child('demo_camera', 'moss_ros.nodes.demo_camera', [
                    '-p', f'width:={arguments.width}', '-p', f'height:={arguments.height}'], True),
                Child('narrator', 'moss_ros.nodes.narrator', [
                    '-r', 'image:=image_raw', '-p', f'frame_rate:={arguments.frame_rate:f}'],
                      True)]
    followers = None
    try:
        if has_desk:
            children.append(
                Child('desk', 'moss_ros.nodes.desk', ['-p', f'port:={PORT}'], True))
        spin_beside(children, spin_once, START_TIMEOUT_S,
                    lambda: len(listener.latencies_ms) > 1, 'nothing was narrated')
        if has_desk:
            followers = subprocess.Popen(
                [sys.executable, '-m', 'tools.desk_benchmark', '--follow', '--clients',
                 str(arguments.clients), '--deaf', str(arguments.deaf), '--seconds',
                 str(arguments.seconds)], stdout=subprocess.PIPE, text=True)
            # Browsers have machines of their own.
            psutil.Process(followers.pid).nice(19)
            desk = psutil.Process(children[-1].process_id)
        spin_beside(children, spin_once, WARM_UP_S)
        listener.latencies_ms.clear()
        times_before = desk.cpu_times() if has_desk else None
        spin_beside(children, spin_once, arguments.seconds)
        latencies_ms = sorted(listener.latencies_ms)
        figures = {'desk': has_desk, 'frames': len(latencies_ms),
                   'latency_p50_ms': round(median(latencies_ms), 1),
                   'latency_p95_ms': round(_p95(latencies_ms), 1)}
        if has_desk:
            times = desk.cpu_times()
            rates = json.loads(followers.communicate(timeout=30)[0])
            figures |= {
                'clients': arguments.clients, 'deaf': arguments.deaf,
                'pictures_per_s_least': round(rates['least'], 1),
                'pictures_per_s_mean': round(rates['mean'], 1),
                'desk_cores': round((times.user + times.system - times_before.user
                                     - times_before.system) / arguments.seconds, 2),
                'desk_memory_mb': round(desk.memory_info().rss / 1e6)}
        return latencies_ms, figures
    finally:
        if followers is not None and followers.poll() is None:
            followers.kill()
        end_all(children)
        listener.destroy_node()


def _p95(values):
    return quantiles(values, n=20)[-1]


def main(args=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.desk_benchmark',
        description='Measure what the desk costs a narrator: without and with it, in turn.')
    parser.add_argument('--clients', type=int, default=20, help='browsers (default 20)')
    parser.add_argument('--deaf', type=int, default=0,
                        help='further ones that never read (default 0)')
    parser.add_argument('--seconds', type=float, default=60.0, help='of each run (default 60)')
    parser.add_argument('--runs', type=int, default=3, help='pairs of runs (default 3)')
    parser.add_argument('--width', type=int, default=320, help='of the picture (default 320)')
    parser.add_argument('--height', type=int, default=240, help='of the picture (default 240)')
    parser.add_argument('--frame-rate', type=float, default=5.0,
                        help='frames a second that the narrator looks at (default 5: more to '
                        "measure than at the model's 2)")
    parser.add_argument('--follow', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args(args)
    if arguments.follow:
        asyncio.run(follow(arguments.clients, arguments.deaf, arguments.seconds))
        return 0
    stay_on_this_machine()
    rclpy.init(args=[])
    all_ms = {False: [], True: []}
    try:
        for _ in range(arguments.runs):
            for has_desk in (False, True):
                latencies_ms, figures = measure(arguments, has_desk)
                all_ms[has_desk] += latencies_ms
                print(json.dumps(figures), flush=True)
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    without, with_desk = _p95(all_ms[False]), _p95(all_ms[True])
    print(f'latency p95 of all runs: {without:.1f} ms without the desk, {with_desk:.1f} ms with '
          f'it, {with_desk / without:.2f} times as long')
    return 0


if __name__ == '__main__':
    sys.exit(main())
