"""One live stream: frames and prompts in, narration events out; no ROS."""

from .channel import EngineChannel
from .chat import ChatFormat
from .contract import (
    Channel, ChannelHost, ContextFill, Session, SessionFigures, StreamChange, Worker,
)
from .delivery import EventDelivery
from .events import (
    EndReason, ErrorEvent, Event, NarrationEvent, PromptEvent, SessionState, SilenceEvent,
    StateEvent, TokenEvent,
)
from .frame import Frame, Prompt
from .frame_encoding import encode_frames, EncodedFrame
from .mailbox import Mailbox
from .options import DEFAULT_SYSTEM_PROMPT, StreamOptions
from .sampler import FrameSampler
from .session import StreamSession
from .snapshot import StreamSnapshot
from .statistics import StreamSpeed, StreamStatistics
from .stream_checkpoint import StreamCheckpoint
from .worker import EngineWorker
from .worker_thread import WorkerState, WorkerThread

__all__ = [
    'Channel', 'ChannelHost', 'ChatFormat', 'ContextFill', 'DEFAULT_SYSTEM_PROMPT', 'EncodedFrame',
    'EndReason', 'EngineChannel', 'EngineWorker', 'ErrorEvent', 'Event', 'EventDelivery', 'Frame',
    'FrameSampler', 'Mailbox', 'NarrationEvent', 'Prompt', 'PromptEvent', 'Session',
    'SessionFigures', 'SessionState', 'SilenceEvent', 'StateEvent', 'StreamChange',
    'StreamCheckpoint', 'StreamOptions', 'StreamSession', 'StreamSnapshot', 'StreamSpeed',
    'StreamStatistics', 'TokenEvent', 'Worker', 'WorkerState', 'WorkerThread', 'encode_frames',
]
