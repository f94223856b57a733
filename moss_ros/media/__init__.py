"""Reads picture and video files as frames, uint8 [H, W, 3] RGB."""

from .pictures import MediaError, read_image, rgb_array
from .video import num_samples, sample_times_s, VideoFile
from .video_times import GAP_S

__all__ = [
    'GAP_S', 'MediaError', 'num_samples', 'read_image', 'rgb_array', 'sample_times_s', 'VideoFile']
