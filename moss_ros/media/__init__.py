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

"""Reads picture and video files, and cameras of this machine, as uint8 [H, W, 3] RGB."""

from .camera_device import CameraDevice, device_path
from .looped_video import LoopedVideo
from .pictures import MediaError, read_image, rgb_array
from .video import grid_times_ns, num_samples, sample_times_s, VideoFile
from .video_times import GAP_S

__all__ = [
    'CameraDevice', 'device_path', 'GAP_S', 'grid_times_ns', 'LoopedVideo', 'MediaError',
    'num_samples', 'read_image', 'rgb_array', 'sample_times_s', 'VideoFile']
