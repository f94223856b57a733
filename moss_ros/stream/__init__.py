# Copyright 2026 moss_ros developers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""One live stream: frames and prompts in, narration events out; needs no ROS."""

from .channel import EngineChannel
from .chat import ChatFormat
from .context import StreamSnapshot
from .contract import (
    Channel, ChannelHost, ContextFill, Session, SessionFigures, StreamChange, Worker,
)
from .events import (
    CameraEvent, CameraReason, EndReason, ErrorEvent, Event, EventDelivery, NarrationEvent,
    PromptEvent, RolloverEvent, SessionState, SilenceEvent, StateEvent, TokenEvent,
)
from .frame import EncodedFrame, Frame, Prompt
from .frame_encoder import encode_frames, FrameEncoder
from .intake import FrameSampler
from .mailbox import Mailbox
from .options import DEFAULT_SYSTEM_PROMPT, StreamOptions
from .picture_watch import PictureWatch
from .session import StreamSession
from .statistics import StreamSpeed, StreamStatistics
from .stream_checkpoint import StreamCheckpoint
from .worker import EngineWorker
from .worker_thread import WorkerState, WorkerThread

__all__ = [
    'CameraEvent', 'CameraReason', 'Channel', 'ChannelHost', 'ChatFormat', 'ContextFill',
    'DEFAULT_SYSTEM_PROMPT', 'EncodedFrame', 'EndReason', 'EngineChannel', 'EngineWorker',
    'ErrorEvent', 'Event', 'EventDelivery', 'Frame', 'FrameEncoder', 'FrameSampler', 'Mailbox',
    'NarrationEvent',
    'PictureWatch', 'Prompt', 'PromptEvent', 'RolloverEvent', 'Session', 'SessionFigures',
    'SessionState', 'SilenceEvent', 'StateEvent', 'StreamChange', 'StreamCheckpoint',
    'StreamOptions', 'StreamSession', 'StreamSnapshot', 'StreamSpeed', 'StreamStatistics',
    'TokenEvent', 'Worker', 'WorkerState', 'WorkerThread', 'encode_frames',
]
