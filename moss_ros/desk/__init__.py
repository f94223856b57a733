"""The desk's server: streams of narrators in, a page and its WebSocket out; no ROS, no model."""

from .access import Access, hosts_of
from .messages import Ask, Call
from .server import DeskError, DeskServer, ServerOptions

__all__ = ['Access', 'Ask', 'Call', 'DeskError', 'DeskServer', 'hosts_of', 'ServerOptions']
