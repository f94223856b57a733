"""A model that has only the queue calls, run in a process of its own; no ROS."""

from .errors import RemoteError
from .options import RemoteOptions
from .session import RemoteSession
from .worker import RemoteChannel, RemoteWorker

__all__ = ['RemoteChannel', 'RemoteError', 'RemoteOptions', 'RemoteSession', 'RemoteWorker']
