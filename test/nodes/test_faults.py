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

"""Cameras in processes of their own that stop, are killed and come again, over DDS."""

import signal

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import pytest
from rclpy.qos import QoSProfile


def camera_level(host, listener):
    """Return a function that tells the newest level of the narrator's camera."""
    levels = []

    def take(message):
        levels.extend(status.level for status in message.status
                      if status.name == 'narrator: camera')

    listener.create_subscription(DiagnosticArray, '/diagnostics', take, QoSProfile(depth=10))
    return lambda: levels[-1] if levels else None


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_a_camera_that_goes_and_comes_again_is_watched_again(
        host, listener, robot, start_process, number):
    robot = robot(stale_after_s=1.0)
    level = camera_level(host, listener)
    camera = start_process('demo_camera', '-r', 'image_raw:=image')
    host.until(lambda: listener.of_type('narration'), what='a narration')
    host.until(lambda: level() != DiagnosticStatus.STALE, what='a camera')
    camera.popen.send_signal(number)
    camera.popen.wait(10.0)
    host.until(lambda: level() == DiagnosticStatus.STALE, what='a warning')
    newest_ns = max(record['stamp_ns'] or 0 for record in listener.events)
    start_process('demo_camera', '-r', 'image_raw:=image')
    host.until(lambda: listener.events[-1]['stamp_ns'] > newest_ns, what='new frames')
    host.until(lambda: level() != DiagnosticStatus.STALE, what='all well')
    # It was a gap: the stream goes on.
    assert sum(record['stamp_ns'] is None for record in listener.of_type('state')) <= 1
    assert not listener.of_type('error')
