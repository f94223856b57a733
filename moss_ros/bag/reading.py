"""
Opens what is to be narrated: a rosbag2 recording or a plain video file, read-only.

A path and topic names in, an open source out. Called by narrate_bag; knows nothing of models or
outputs.
"""

from __future__ import annotations

from pathlib import Path

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.bag_source import BAG_SUFFIXES, BagSource
from moss_ros.bag.source import Source
from moss_ros.bag.video_source import VideoSource


def open_source(path: Path | str, image_topic: str = '', prompt_topic: str = '',
                frame_rate_fps: float = 1.0) -> Source:
    """
    Open a rosbag2 folder, a storage file of one, or a video, looked at frame_rate_fps a second.

    Raises BagError with the way out: for a topic that is missing or ambiguous with the choices.
    """
    path = Path(path)
    if not path.exists():
        raise BagError(path, 'does not exist; name a bag folder, an .mcap, .db3 or video file')
    if path.is_dir() or path.suffix in BAG_SUFFIXES:
        return BagSource(path, image_topic, prompt_topic)
    if image_topic or prompt_topic:
        raise BagError(path, f'is no bag, so it has no topic {image_topic or prompt_topic!r}')
    return VideoSource(path, frame_rate_fps)
