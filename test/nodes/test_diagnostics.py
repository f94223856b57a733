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

"""The narrator's health on /diagnostics, in every state and with every trouble."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from moss_ros.nodes import diagnostics
from moss_ros.stream import StreamSession
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from stamps import START_NS
import torch


class Watch:
    """Keeps the newest status of each name on /diagnostics."""

    def __init__(self, host, listener):
        self._host = host
        self.statuses = {}
        listener.create_subscription(
            DiagnosticArray, '/diagnostics', self._take, QoSProfile(depth=10))

    def _take(self, message):
        assert message.header.stamp.sec > 0
        for status in message.status:
            self.statuses[status.name] = status

    def until(self, task, level, *parts):
        """Wait for a status of this level whose message has all parts; return its values."""
        def found():
            status = self.statuses.get(f'narrator: {task}')
            return status if status is not None and status.level == level and all(
                part in status.message for part in parts) else None

        self._host.until(found, what=f'{task} {level} {parts}')
        return self.values_of(task)

    def values_of(self, task):
        return {item.key: item.value for item in self.statuses[f'narrator: {task}'].values}


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(diagnostics, 'PERIOD_S', 0.1)


@pytest.fixture
def watch(host, listener):
    return Watch(host, listener)


def test_every_state_of_the_lifecycle_is_told(robot, watch, tmp_path, babbling_checkpoint):
    folder = tmp_path / 'checkpoint'
    robot = robot(checkpoint=folder, autostart=False)
    values = watch.until('model', DiagnosticStatus.OK, 'unconfigured')
    assert values['worker'] == 'none'
    watch.until('camera', DiagnosticStatus.OK, 'not active')
    assert not robot.change(Transition.TRANSITION_CONFIGURE)
    watch.until('model', DiagnosticStatus.ERROR, str(folder), 'configure again')
    folder.symlink_to(babbling_checkpoint)
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    watch.until('model', DiagnosticStatus.OK, 'inactive')
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    watch.until('model', DiagnosticStatus.OK, 'narrating')
    assert watch.statuses['narrator: model'].hardware_id == 'cpu'
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    watch.until('model', DiagnosticStatus.OK, 'inactive')


def test_figures_of_a_stream_and_troubles_of_its_camera(robot, watch):
    robot = robot(stale_after_s=1.0)
    robot.wait_active()
    watch.until('camera', DiagnosticStatus.STALE, '/image')
    for _ in range(3):
        robot.show_and_hear()
    # A status of before the third frame was read may come after what is said of it.
    robot.host.until(lambda: watch.values_of('camera')['frames used'] == '3'
                     and watch.values_of('model')['context frames'].startswith('3 of '),
                     what='3 frames')
    camera = watch.until('camera', DiagnosticStatus.OK, 'arriving')
    assert camera['topic'] == '/image'
    model = watch.until('model', DiagnosticStatus.OK, 'narrating')
    for key in ('time to first token (ms)', 'speed (tokens/s)', 'context fill (%)',
                'latency frame to text p50 (ms)', 'latency frame to text p95 (ms)',
                'memory of the process (MB)'):
        assert float(model[key]) > 0, key
    assert model['context frames'].startswith('3 of ')
    assert model['context rollovers'] == '0'
    robot.show(encoding='rgb9')
    values = watch.until('camera', DiagnosticStatus.WARN, 'unknown_encoding: 1')
    assert values['images bad: unknown_encoding'] == '1'
    watch.until('camera', DiagnosticStatus.STALE, 'no image has arrived')


def test_header_stamps_that_do_not_change_are_told(robot, watch):
    robot = robot()
    robot.wait_active()

    def is_told():
        robot.show(stamp_ns=START_NS)
        return robot.narrator.image_input.has_frozen_stamps

    robot.host.until(is_told, what='the frozen stamps')
    values = watch.until('camera', DiagnosticStatus.WARN, '/image do not change', 'driver')
    assert values['time of images'] == 'arrival'


def test_frames_that_are_dropped_are_told(robot, watch):
    # Between two words no frame is taken in.
    robot = robot(max_tokens_per_second=0.1, mailbox_size=1)
    robot.wait_active()
    robot.show()
    robot.host.until(lambda: robot.listener.of_type('token'), what='the first word')
    for num_used in (2, 3, 4):
        robot.show()
        robot.host.until(lambda: robot.narrator.image_input.num_used == num_used, what='a frame')
    watch.until('camera', DiagnosticStatus.WARN, 'dropped', 'frame_rate')
    robot.host.until(
        lambda: watch.values_of('camera')['frames dropped'] == '2', what='two of three')


def test_a_device_out_of_memory_is_an_error_until_it_works_again(robot, watch, monkeypatch):
    robot = robot()
    robot.wait_active()

    def fail(self):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 MiB')

    with monkeypatch.context() as patch:
        patch.setattr(StreamSession, 'step_shared', fail)
        robot.show()
        watch.until('model', DiagnosticStatus.ERROR, 'OutOfMemoryError', 'quantization',
                    'started again in')
        # It is tried again, later each time.
        robot.host.until(lambda: len(robot.listener.of_type('error')) == 2, what='a retry')
    robot.host.until(lambda: robot.narrator.channel.state.value == 'running', what='a start')
    robot.show_and_hear()
    values = watch.until('model', DiagnosticStatus.OK, 'narrating')
    assert 'OutOfMemoryError' in values['last error']


def test_frozen_and_black_pictures_are_told_with_the_way_out_until_they_end(robot, watch):
    # So that none is lost on a busy machine.
    robot = robot(image_reliability='reliable', stale_after_s=60.0)
    robot.wait_active()
    image_input = robot.narrator.image_input
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48 * 64 * 3), np.uint8)

    def show(data, count):
        for _ in range(count):
            num_before = image_input.num_used
            robot.show(data=data)
            robot.host.until(lambda: image_input.num_used > num_before, what='the picture')

    def told():
        return [(record['reason'], record['text'])
                for record in robot.listener.of_type('camera')]

    show(pixels[0].tobytes(), 10)
    assert image_input.picture_trouble == ''
    show(pixels[0].tobytes(), 1)
    values = watch.until('camera', DiagnosticStatus.WARN, 'identical', 'frozen_after_s:=0')
    assert values['identical pictures (s)'] == '5.0'
    show(pixels[1].tobytes(), 1)
    watch.until('camera', DiagnosticStatus.OK, 'arriving')
    show(bytes(48 * 64 * 3), 7)
    watch.until('camera', DiagnosticStatus.WARN, 'almost black for 3.0 s', 'lens')
    show(pixels[1].tobytes(), 1)
    watch.until('camera', DiagnosticStatus.OK, 'arriving')
    robot.host.until(lambda: len(told()) == 4, what='four events')
    assert [reason for reason, _ in told()] == ['frozen', 'clear', 'black', 'clear']
    assert told()[0][1] == 'The picture is frozen: 11 pictures of 5.0 s are identical.'
    # They are not the model's words, and lie among its records in the order of their numbers.
    assert not any('picture' in text for text in robot.listener.narration)
    numbers = [record['seq'] for record in robot.listener.events]
    assert numbers == sorted(numbers)
