"""One live stream: frames and prompts in, narration events out; no ROS."""

from .channel import Channel, WorkerState
from .chat import ChatFormat
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
from .worker import EngineWorker

__all__ = [
    'Channel', 'ChatFormat', 'DEFAULT_SYSTEM_PROMPT', 'EncodedFrame', 'EndReason', 'EngineWorker',
    'ErrorEvent', 'Event', 'Frame', 'FrameSampler', 'Mailbox', 'NarrationEvent', 'Prompt',
    'PromptEvent', 'SessionState', 'SilenceEvent', 'StateEvent', 'StreamOptions', 'StreamSession',
    'StreamSnapshot', 'StreamSpeed', 'StreamStatistics', 'TokenEvent', 'WorkerState',
    'encode_frames',
]
