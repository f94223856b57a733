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

"""The demo camera: scenes with calibration and truth, an unknown world, videos; its refusals."""

import json
import time

from moss_ros.nodes import demo
from moss_ros.nodes.demo_camera import DemoCamera
from moss_ros.training.unknown import SENTENCES
from moss_ros.training.unknown.endless_film import EndlessFilm
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from video_making import evenly, write_video

SOON_SEED = 13


def test_each_picture_has_its_calibration(host, listener):
    pictures, calibrations = [], []
    for message_type, topic, kept in (
            (Image, '/front/image_raw', pictures),
            (CameraInfo, '/front/camera_info', calibrations)):
        listener.create_subscription(message_type, topic, kept.append, QoSProfile(depth=10))
    host.add(DemoCamera(namespace='front', parameter_overrides=[
        Parameter('width', value=64), Parameter('height', value=48),
        Parameter('rate', value=20.0)]))
    stamps = host.until(lambda: {
        picture.header.stamp.nanosec for picture in pictures} & {
        info.header.stamp.nanosec for info in calibrations}, what='both of one picture')
    nanosec = stamps.pop()
    picture, = [one for one in pictures if one.header.stamp.nanosec == nanosec]
    info, = [one for one in calibrations if one.header.stamp.nanosec == nanosec]
    assert info.header == picture.header
    assert picture.header.frame_id == 'camera_optical'
    assert (info.width, info.height) == (picture.width, picture.height) == (64, 48)
    assert info.distortion_model == 'plumb_bob' and not any(info.d)
    # The middle of the picture lies on the optical axis, and the edges are mirrored.
    focal_px, _, middle_x_px, _, _, middle_y_px = info.k[:6]
    assert (middle_x_px, middle_y_px) == (31.5, 23.5) and focal_px > 0
    assert list(info.p) == [*info.k[:3], 0, *info.k[3:6], 0, *info.k[6:], 0]


def camera(host, **parameters):
    return host.add(DemoCamera(parameter_overrides=[
        Parameter(name, value=value) for name, value in parameters.items()]))


def listen(listener, message_type, topic):
    kept = []
    listener.create_subscription(message_type, topic, kept.append, QoSProfile(depth=10))
    return kept


def test_an_unknown_world_is_shown_with_its_truth(host, listener):
    """Of this seed the first thing happens after 1.4 s."""
    pictures = listen(listener, Image, 'image_raw')
    truths = listen(listener, String, 'demo_camera/truth')
    camera(host, scene='unknown', seed=SOON_SEED, width=96, height=72, rate=20.0)
    host.until(lambda: truths and len(pictures) > 10, what='the first event')
    truth = json.loads(truths[0].data)
    event = EndlessFilm(SOON_SEED, 96, 72).events_between(0.0, 2.0)[0]
    assert (truth['kind'], truth['sentence']) == (event.kind, event.sentence)
    assert truth['time_s'] == event.time_s
    assert truth['sentence'] in SENTENCES.values()
    assert (pictures[0].width, pictures[0].height) == (96, 72)
    first, last = (np.frombuffer(each.data, np.uint8) for each in (pictures[0], pictures[-1]))
    assert len(first) == 96 * 72 * 3 and (first != last).any()


def test_a_video_is_shown_no_larger_than_wanted_without_truth_and_calibration(
        host, listener, tmp_path):
    path = write_video(tmp_path / "a 'clip'.mp4", evenly(10, step=20), crf=1)
    pictures = listen(listener, Image, 'image_raw')
    camera(host, video=str(path), width=32, height=320, rate=20.0)
    host.until(lambda: len(pictures) > 15, what='pictures')
    assert {(each.width, each.height) for each in pictures} == {(32, 24)}
    levels = {round(float(np.mean(each.data))) for each in pictures}
    assert len(levels) > 3 and levels <= {
        level + error for level in range(20, 201, 20) for error in range(-2, 3)}
    assert not listener.count_publishers('demo_camera/truth')
    assert not listener.count_publishers('camera_info')


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['-p', 'video:=/nothing.mp4'], 'the video /nothing.mp4 does not exist'),
    (['-p', 'device:=255'], 'no camera /dev/video255')])
def test_what_cannot_be_shown_is_told_in_one_line(start_process, arguments, reason):
    process = start_process('demo_camera', *arguments)
    assert process.popen.wait(60.0) == 1
    line, = process.output.splitlines()
    assert reason in line


def test_a_video_that_is_gone_ends_the_camera_with_the_reason(start_process, tmp_path):
    path = write_video(tmp_path / 'clip.mp4', evenly(20), crf=1)
    process = start_process('demo_camera', '-p', f'video:={path}')
    end_s = time.monotonic() + 60.0
    while 'the video' not in process.output:
        assert time.monotonic() < end_s
    path.unlink()
    assert process.popen.wait(60.0) == 1
    assert f'the video {path} does not exist' in process.output.splitlines()[-1]


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['--video', '/nothing.mp4'], 'the video /nothing.mp4 does not exist'),
    (['--video', __file__], 'is not a video that can be read'),
    (['--device', '255'], 'there is no camera /dev/video255'),
    (['--device', '-1'], 'from 0 up, not -1'),
    (['--device', '0', '--scene', 'unknown'], 'not allowed with'),
    (['--scene', 'mars'], "'mars'"),
    (['--seconds', 'nan'], "'nan' is no number from 0 up")])
def test_the_demo_refuses_what_it_cannot_show_in_one_line(capsys, arguments, reason):
    with pytest.raises(SystemExit) as end:
        demo.main(arguments)
    assert end.value.code == 2
    line, = capsys.readouterr().err.splitlines()
    assert reason in line
