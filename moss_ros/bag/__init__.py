"""Recordings narrated without a robot: a rosbag2 or video in; captions, records, a bag out."""

from .errors import BagError, ExitCode
from .narrate import narrate_bag
from .options import NarrateOptions
from .record import RunRecord

__all__ = ['BagError', 'ExitCode', 'narrate_bag', 'NarrateOptions', 'RunRecord']
