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
The demo camera: pictures of a procedural scene and what truly happens in it, or of a video.

A seed, or what else to show (parameters) goes in; sensor_msgs/Image on `image_raw` comes out, of a
scene also its CameraInfo on `camera_info` and JSON on `~/truth`. Run by `make demo`, the launch
files and the tests.
"""

from array import array
import json
from typing import NoReturn

from moss_ros.media import MediaError
from moss_ros.nodes.camera_sources import make_source, Source
from moss_ros.nodes.node_main import run_node
from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.settings import CameraSettings
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

TRUTH_SCHEMA = 1


class DemoCamera(Node):
    """A camera on what starts with the first picture; stamped by the node's clock."""

    def __init__(self, **node_options):
        """Raise what rclpy raises for parameters that are not allowed."""
        super().__init__('demo_camera', **node_options)
        declare_settings(self, CameraSettings)
        settings = read_settings(self, CameraSettings)
        self._settings = settings
        self._source: Source = make_source(settings)
        # Reliable: it matches subscribers of both kinds. A slow one gets the newest picture only.
        self._image_publisher = self.create_publisher(
            Image, 'image_raw', QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
        self._info_publisher = self._truth_publisher = None
        if self._source.is_known:
            self._info_publisher = self.create_publisher(
                CameraInfo, 'camera_info', QoSProfile(
                    depth=1, reliability=ReliabilityPolicy.RELIABLE))
            self._truth_publisher = self.create_publisher(
                String, '~/truth', QoSProfile(depth=100))
        self._start_ns: int | None = None
        self._told_until_s = 0.0
        self.create_timer(1.0 / settings.rate, self._show)
        self.get_logger().info(
            f'{self._source.name}, at {settings.rate:g} Hz on '
            f'{self._image_publisher.topic_name}')

    def close(self) -> None:
        """Let go of what it shows."""
        self._source.close()

    def _show(self):
        now_ns = self.get_clock().now().nanoseconds
        if self._start_ns is None:
            self._start_ns = now_ns
        time_s = (now_ns - self._start_ns) / 1e9
        if time_s < self._told_until_s:
            # The clock was set back: the scene goes back with it.
            self._told_until_s = time_s
        picture = self._picture(time_s)
        if picture is None:
            return
        image = self._image(picture, now_ns)
        self._image_publisher.publish(image)
        if self._source.is_known:
            self._info_publisher.publish(camera_info(image))
            self._tell_truth(time_s)

    def _picture(self, time_s):
        try:
            picture = self._source.picture_at(time_s)
        except MediaError as error:
            self.get_logger().fatal(str(error))
            raise SystemExit(1) from error
        if self._source.trouble:
            self.get_logger().warning(self._source.trouble, once=True)
        return picture

    def _tell_truth(self, time_s):
        for event in self._source.events_between(self._told_until_s, time_s):
            self._truth_publisher.publish(String(data=json.dumps({
                'schema': TRUTH_SCHEMA,
                'stamp_ns': self._start_ns + round(event.time_s * 1e9),
                'time_s': event.time_s,
                'kind': event.kind,
                'sentence': event.sentence,
            })))
        self._told_until_s = time_s

    def _image(self, picture: np.ndarray, stamp_ns):
        height_px, width_px = picture.shape[:2]
        message = Image(height=height_px, width=width_px, encoding='rgb8', step=3 * width_px)
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        message.header.frame_id = self._settings.frame_id
        # Only an array is taken over without a check of every single byte.
        message.data = array('B', picture.tobytes())
        return message


def camera_info(image: Image) -> CameraInfo:
    """
    Return the calibration of a picture, with its header: an ideal pinhole, as simulators have it.

    The optical axis goes through the middle of the picture, whose width is seen at 53 degrees.
    """
    focal_px = float(image.width)
    middle_x_px, middle_y_px = (image.width - 1) / 2, (image.height - 1) / 2
    return CameraInfo(
        header=image.header, height=image.height, width=image.width,
        distortion_model='plumb_bob', d=[0.0] * 5,
        k=[focal_px, 0.0, middle_x_px, 0.0, focal_px, middle_y_px, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal_px, 0.0, middle_x_px, 0.0, 0.0, focal_px, middle_y_px, 0.0, 0.0, 0.0, 1.0, 0.0])


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    run_node(DemoCamera, args)


if __name__ == '__main__':
    main()
