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
Opens what is to be narrated, read-only: a bag of ROS 1 or 2, or a plain video file.

A path and topic names in, an open source out. What it is, is told by its content. Called by
narrate_bag; knows nothing of models or outputs.
"""

from __future__ import annotations

from pathlib import Path

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.bag_source import BagSource
from moss_ros.bag.file_kinds import FileKind, kind_of, require_video
from moss_ros.bag.source import Source
from moss_ros.bag.video_source import VideoSource


def open_source(path: Path | str, image_topic: str = '', prompt_topic: str = '',
                frame_rate_fps: float = 1.0, clock: str = 'auto') -> Source:
    """
    Open a bag's folder, a storage file of one, or a video, looked at frame_rate_fps a second.

    clock: of a bag, as NarrateOptions has it. Raises BagError with the way out: for a topic that
    is missing or ambiguous with the choices.
    """
    path = Path(path)
    try:
        if path.is_symlink() and not path.exists():
            raise BagError(path, f'is a link to {path.readlink()}, which does not exist')
        if not path.exists():
            raise BagError(
                path, 'does not exist; name a bag folder, an .mcap, .db3, .bag or video file')
        if path.is_dir() or kind_of(path) is not FileKind.OTHER:
            return BagSource(path, image_topic, prompt_topic, clock)
    except OSError as error:
        raise BagError(path, f'cannot be read ({error.strerror or error})') from error
    if image_topic or prompt_topic:
        raise BagError(path, f'is no bag, so it has no topic {image_topic or prompt_topic!r}')
    if clock == 'header':
        raise BagError(path, 'is no bag, so it has no header stamps for --clock header')
    require_video(path)
    return VideoSource(path, frame_rate_fps)
