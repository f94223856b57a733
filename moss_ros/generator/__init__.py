"""The queue API: live streams and offline questions by the published model's calls; no ROS."""

from moss_ros.generator.generator import Generator, load_generator, Processor
from moss_ros.generator.offline import OfflineOptions
from moss_ros.generator.query import OfflineQuery
from moss_ros.media import MediaError

__all__ = [
    'Generator', 'MediaError', 'OfflineOptions', 'OfflineQuery', 'Processor', 'load_generator',
]
