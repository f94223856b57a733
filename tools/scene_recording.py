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
A bag of the demo camera's scene, to try narrate_bag without a robot.

`python -m tools.scene_recording FOLDER` writes what the camera of `make demo` would
publish, and prompts if wanted, as if recorded: JPEG pictures, MCAP. The same arguments give the
same bag. The docs' picture of a report is made from one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
import sys

import cv2
from moss_ros.training.scenes import Scene, SceneRenderer
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import get_typestore, Stores
from tqdm import tqdm

IMAGE_TOPIC, PROMPT_TOPIC = '/camera/image_raw/compressed', '/prompt'
# An ordinary day, so that the same arguments give the same bag: 2026-03-02 09:00:00 UTC.
START_NS = 1_772_442_000 * 10**9
_CAMERA_FPS = 10
_SIZE_PX = (320, 240)
_TYPESTORE = get_typestore(Stores.ROS2_HUMBLE)
_IMAGE, _STRING = 'sensor_msgs/msg/CompressedImage', 'std_msgs/msg/String'


def record_scene(folder: Path, seed: int, duration_s: float,
                 prompts: Sequence[tuple[float, str]] = ()) -> None:
    """
    Write a rosbag2 folder, which must not be there yet; a progress bar on stderr.

    prompts: (seconds since the start, text). Raises WriterError and OSError where it can't be
    written.
    """
    asked = ((START_NS + round(time_s * 1e9), PROMPT_TOPIC, _string(text))
             for time_s, text in sorted(prompts))
    with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Connection] = {
            topic: writer.add_connection(topic, message_type, typestore=_TYPESTORE)
            for topic, message_type in ((IMAGE_TOPIC, _IMAGE), (PROMPT_TOPIC, _STRING))
            if topic == IMAGE_TOPIC or prompts}
        messages = merge(_images(seed, duration_s), asked, key=lambda message: message[0])
        for time_ns, topic, content in messages:
            writer.write(connections[topic], time_ns, content)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog='scene_recording', description='Record the scene of the demo camera as a bag.')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--seed', type=int, default=1, help='which scene (default %(default)s)')
    parser.add_argument('--seconds', type=float, default=60.0, help='default %(default)g')
    parser.add_argument('--prompt-at', metavar=('S', 'TEXT'), nargs=2, action='append',
                        default=[], help=f'recorded on {PROMPT_TOPIC}; may be repeated')
    given = parser.parse_args(arguments)
    try:
        prompts = [(float(time_s), text) for time_s, text in given.prompt_at]
        record_scene(given.folder, given.seed, given.seconds, prompts)
    except (WriterError, OSError, ValueError) as error:
        parser.exit(2, f'{parser.prog}: error: {given.folder}: {error}\n')
    return 0


def _images(seed, duration_s) -> Iterator[tuple[int, str, bytes]]:
    renderer = SceneRenderer(Scene(seed), *_SIZE_PX)
    for index in tqdm(range(round(duration_s * _CAMERA_FPS)), desc='rendering', unit=' images'):
        picture = cv2.cvtColor(renderer.render(index / _CAMERA_FPS), cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode('.jpg', picture)
        time_ns = START_NS + index * 10**9 // _CAMERA_FPS
        message = _TYPESTORE.types[_IMAGE](
            header=_TYPESTORE.types['std_msgs/msg/Header'](
                stamp=_TYPESTORE.types['builtin_interfaces/msg/Time'](
                    sec=time_ns // 10**9, nanosec=time_ns % 10**9), frame_id='camera'),
            format='jpeg', data=jpeg.reshape(-1))
        yield time_ns, IMAGE_TOPIC, _TYPESTORE.serialize_cdr(message, _IMAGE)


def _string(text):
    return _TYPESTORE.serialize_cdr(_TYPESTORE.types[_STRING](data=text), _STRING)


if __name__ == '__main__':
    sys.exit(main())
