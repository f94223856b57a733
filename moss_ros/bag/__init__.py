"""Recordings narrated without a robot: a bag or video in; captions, records, a bag out."""

from .bag_error import BagError, ExitCode
from .bag_run import narrate_bag
from .journal import RunRecord
from .narrate_options import NarrateOptions

__all__ = ['BagError', 'ExitCode', 'narrate_bag', 'NarrateOptions', 'RunRecord']
