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

"""
Frames and questions through a session, as fast as bags are narrated.

Pictures with their times go in, events come out, each with the frame that was the newest one.
Frames are encoded in groups, and those at which the model keeps silent share one pass. Called by
the evaluation and by what is measured on real pictures.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from moss_ros.stream import Event, Frame, FrameEncoder, Prompt, StreamSession
import numpy as np

GROUP = 8


def watch(session: StreamSession, frames: Iterable[tuple[float, np.ndarray]],
          prompts: Mapping[int, Prompt]) -> Iterator[tuple[int, list[Event]]]:
    """
    Yield (index of the frame, events) of each step of a session that was reset.

    frames: seconds, ascending, and picture u8 [H, W, 3] RGB. prompts: by the index of the frame
    before which they are asked. After each frame the model says as much as it wants to.
    """
    frames, waiting, index = iter(frames), deque(), 0
    encoder = FrameEncoder(session.model)
    while True:
        if not waiting:
            waiting.extend(encoder.encode([
                Frame(picture, round(time_s * 1e9), 0)
                for time_s, picture in islice(frames, GROUP)]))
        if not waiting:
            return
        if index in prompts:
            session.add_prompt(prompts[index])
        following = []
        for encoded in islice(waiting, 1, None):
            if index + len(following) + 1 in prompts:
                break
            following.append(encoded)
        session.add_frame(waiting[0])
        for events in session.step_while_silent(following):
            yield index, events
            waiting.popleft()
            index += 1
        while session.has_work:
            yield index - 1, session.step()
