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

"""The demo camera: each picture has its calibration, in an optical frame."""

from moss_ros.nodes.demo_camera import DemoCamera
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image


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
