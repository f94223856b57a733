"""A model that has only the queue calls, run in a process of its own; no ROS."""

from .remote_options import RemoteError, RemoteOptions
from .remote_session import RemoteSession
from .remote_worker import RemoteChannel, RemoteWorker

__all__ = ['RemoteChannel', 'RemoteError', 'RemoteOptions', 'RemoteSession', 'RemoteWorker']
