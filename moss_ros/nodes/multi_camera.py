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
Several cameras in one process: a narrator for each, in a namespace of its own, on one model.

Names of cameras go in as a parameter; topics and services are those of the narrators. Run by
multi_camera.launch.py.
"""

from typing import NoReturn

from moss_ros.engines.shared_engine import SharedEngine
from moss_ros.nodes.activation import STOP_TIMEOUT_S
from moss_ros.nodes.narrator import Narrator
from moss_ros.nodes.node_main import run_node
from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.nodes.python_log import log_to
from moss_ros.settings import MultiCameraSettings
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node


class MultiCamera(Node):
    """
    Makes a narrator for each camera, and ends them all.

    companions: the narrators, to be spun with this node. They share the weights, and one worker
    gives each a step in turn; a failure of one does not affect the others.
    """

    def __init__(self, **node_options):
        """Raise what rclpy raises for parameters that are not allowed."""
        super().__init__('multi_camera', **node_options)
        declare_settings(self, MultiCameraSettings)
        text = read_settings(self, MultiCameraSettings).cameras
        cameras = text.split(',')
        if len(set(cameras)) < len(cameras):
            raise InvalidParameterValueException('cameras', text, 'a name comes twice')
        self._stop_logging = log_to(self)  # before the narrators, of which none is to tell for all
        self._engine = SharedEngine()
        prefix = self.get_namespace().rstrip('/')
        # Remap rules of a node win over those of the process, which may rename all its nodes.
        self.companions = [
            Narrator(self._engine.make_engine, cli_args=[
                '--ros-args', '-r', '__node:=narrator', '-r', f'__ns:={prefix}/{camera}'])
            for camera in cameras]

    def close(self) -> None:
        """Stop all threads; takes about as long as with one narrator."""
        self._engine.close(STOP_TIMEOUT_S)
        for narrator in self.companions:
            narrator.close()
        self._stop_logging()


def main(args=None) -> NoReturn:
    """Run the nodes until Ctrl-C or SIGTERM, and end the process."""
    run_node(MultiCamera, args)


if __name__ == '__main__':
    main()
