"""Picture and video files to frames; no ROS, no model."""

from .pictures import MediaError, read_image, rgb_array
from .video import num_samples, sample_times_s, VideoFile

__all__ = [
    'MediaError', 'num_samples', 'read_image', 'rgb_array', 'sample_times_s', 'VideoFile']
