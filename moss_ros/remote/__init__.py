"""Runs a model that offers only the published queue API, in a process of its own; no ROS."""

from .remote_options import RemoteError, RemoteOptions
from .remote_session import RemoteSession
from .remote_worker import RemoteChannel, RemoteWorker

__all__ = ['RemoteChannel', 'RemoteError', 'RemoteOptions', 'RemoteSession', 'RemoteWorker']
