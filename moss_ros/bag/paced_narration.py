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
Narrates in the bag's own time: groups of frames and prompts in, records out.

The model speaks tokens_per_second in the time of the bag, however fast the machine is. Time is
counted in whole numbers, so what is said depends on the bag and the options alone. Records and
thumbnails go to callbacks, which keep them. Called by bag_run.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from copy import deepcopy
from fractions import Fraction
from itertools import islice, pairwise

from moss_ros.bag.frame_chooser import (
    AskedPrompt, ChosenFrame, FRAMES_PER_GROUP, Item, StreamRestart,
)
from moss_ros.bag.unusable import UnusableTally
from moss_ros.records import bag_record_of
from moss_ros.stream import (
    ErrorEvent, Event, NarrationEvent, Prompt, PromptEvent, SessionState, StateEvent,
    StreamSession, StreamSnapshot,
)
import numpy as np
import torch


class BagNarration:
    """
    Drives one session through a bag.

    Each step of the session (one token) takes 1 / tokens_per_second of the bag's time and begins
    as soon as there is something to do. A frame or prompt that comes during a step waits for the
    next one. One thread at a time.
    """

    def __init__(self, session: StreamSession, tokens_per_second: float,
                 on_record: Callable[[dict], None],
                 on_first_words: Callable[[int, np.ndarray | None], None]):
        """
        Begin with a session that is new or reset.

        tokens_per_second: 0 lets the model say all that it wants at each frame. on_record gets
        each record for narration.jsonl. on_first_words gets the id of each narration when it
        begins, and the thumbnail u8 [h, w, 3] of the newest frame that the model had seen then;
        None where there is none.
        """
        self._session = session
        self._on_record = on_record
        self._on_first_words = on_first_words
        # Times are whole numbers of these units: no token rate makes them drift.
        rate = Fraction(str(tokens_per_second))
        self._units_per_ns = rate.numerator or 1
        self._units_per_token = 1_000_000_000 * rate.denominator if rate else 0
        # One less than the context holds, to leave room for the next frame: the session would
        # drop the oldest of more.
        self._max_waiting_frames = min(
            FRAMES_PER_GROUP, session.options.max_context_frames - 1)
        # (stamp, thumbnail) of the newest frame that the model saw, and of those that wait.
        self._thumbnails: list[tuple[int, np.ndarray]] = []
        self._state = {
            'now': 0,  # units: time of the newest input or step
            'free_at': 0,  # units: when the last step is over
            'num_records': 0,
            'num_prompts': 0,
            'waiting_prompts': [],  # [prompt_id, bag time, text] that the model has not seen
            'first_narration_id': 0,  # added to the session's ids, which begin at 1 at a reset
            'newest_narration_id': 0,
            'begun_narration_id': 0,
            'begun_ns': 0,
            'session_state': SessionState.SILENT.value,
            'num_narrations': 0,
            'num_tokens': 0,
        }
        self._refused = UnusableTally()

    @property
    def refused(self) -> UnusableTally:
        """Return the prompts that the session would not have."""
        return self._refused

    @property
    def counts(self) -> dict[str, int]:
        """Return what was taken in and said so far, for run.json."""
        return {'prompts': self._state['num_prompts'],
                'narrations': self._state['num_narrations'],
                'tokens': self._state['num_tokens'], 'records': self._state['num_records']}

    def take(self, items: Iterable[Item]) -> None:
        """Take in these items in order; what the model says before each becomes records."""
        upcoming = deque(items)
        while upcoming:
            item = upcoming[0]
            self._run_until(item.bag_time_ns, upcoming)
            if not upcoming or upcoming[0] is not item:
                continue  # taken in already, with frames at which the model kept silent
            upcoming.popleft()
            if isinstance(item, ChosenFrame):
                self._show(item)
            elif isinstance(item, AskedPrompt):
                self._ask(item)
            elif isinstance(item, StreamRestart):
                self._restart(item)
            else:
                self._record_error(item.text)

    def finish(self) -> None:
        """Let the model finish; nothing more will come."""
        while self._session.has_work:
            self._step()
        self._record_all(self._session.end())

    def snapshot(self) -> StreamSnapshot:
        """Return all that the records to come depend on, besides the items to come."""
        snapshot = self._session.snapshot()
        tensors = dict(snapshot.tensors)
        for index, (_, thumbnail) in enumerate(self._thumbnails):
            tensors[f'thumbnail_{index}'] = torch.tensor(thumbnail)
        return StreamSnapshot({
            'session': snapshot.state,
            'pace': deepcopy(self._state),
            'refused': self._refused.to_json(),
            'thumbnail_stamps_ns': [stamp_ns for stamp_ns, _ in self._thumbnails],
        }, tensors)

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Go on from a snapshot() of a narration of the same bag and options."""
        self._session.restore(StreamSnapshot(snapshot.state['session'], snapshot.tensors))
        self._state = deepcopy(snapshot.state['pace'])
        self._refused = UnusableTally(snapshot.state['refused'])
        self._thumbnails = [
            (stamp_ns, snapshot.tensors[f'thumbnail_{index}'].numpy())
            for index, stamp_ns in enumerate(snapshot.state['thumbnail_stamps_ns'])]

    def _ask(self, item):
        self._state['num_prompts'] += 1
        prompt_id = f'prompt-{self._state["num_prompts"]}'
        self._state['waiting_prompts'].append([prompt_id, item.bag_time_ns, item.text])
        self._session.add_prompt(Prompt(item.text, prompt_id))

    def _show(self, item):
        # No frame is ever dropped: if frames come faster than tokens, the next step begins early.
        while self._session.num_waiting_frames >= self._max_waiting_frames:
            self._step_at_once()
        self._session.add_frame(item.frame)
        self._thumbnails.append((item.frame.stamp_ns, item.thumbnail))

    def _restart(self, item):
        while self._session.num_waiting_frames or (
                self._state['waiting_prompts'] and self._session.has_work):
            self._step_at_once()
        self._record_all(self._session.end())
        self._record_error(item.text)
        self._session.reset()
        self._thumbnails.clear()
        # Asked before the first frame, which is yet to come.
        for prompt_id, _, text in self._state['waiting_prompts']:
            self._session.add_prompt(Prompt(text, prompt_id))
        # Ids begin at 1 again in the session, but not in the outputs.
        self._state['first_narration_id'] = self._state['newest_narration_id']

    def _run_until(self, time_ns, upcoming=()):
        """Step until time_ns, and beyond while the model keeps silent at upcoming frames."""
        time = time_ns * self._units_per_ns
        while self._session.has_work and max(self._state['now'], self._state['free_at']) < time:
            self._step(upcoming)
        self._state['now'] = max(self._state['now'], time)

    def _step_at_once(self):
        self._state['free_at'] = self._state['now']
        self._step()

    def _step(self, upcoming=()):
        following = self._each_with_a_step(upcoming)
        steps = self._session.step_while_silent([item.frame for item in following])
        for number, events in enumerate(steps):
            if number:
                item = upcoming.popleft()
                self._state['now'] = item.bag_time_ns * self._units_per_ns
                self._thumbnails.append((item.frame.stamp_ns, item.thumbnail))
            self._begin_step()
            self._record_all(events)
        seen = self._seen_thumbnails(self._session.newest_stamp_ns)
        del self._thumbnails[:max(0, len(seen) - 1)]

    def _begin_step(self):
        state = self._state
        state['now'] = max(state['now'], state['free_at'])
        state['free_at'] = state['now'] + self._units_per_token

    def _each_with_a_step(self, upcoming):
        """
        Return the frames at the start of upcoming that the session can take one by one.

        That holds if, as long as the model keeps silent, one step fits between each frame and the
        item before it, and one between the last frame and the item after it, of any kind.
        """
        frames = []
        step = max(self._state['now'], self._state['free_at'])
        for item, next_item in islice(pairwise(upcoming), self._max_waiting_frames):
            arrival = item.bag_time_ns * self._units_per_ns
            if not isinstance(item, ChosenFrame) or arrival <= step:
                break
            step = max(arrival, step + self._units_per_token)
            if next_item.bag_time_ns * self._units_per_ns <= step:
                break
            frames.append(item)
        return frames

    def _seen_thumbnails(self, stamp_ns):
        """Return thumbnails of the frames up to this stamp, the newest last; [] for None."""
        return [thumbnail for frame_ns, thumbnail in self._thumbnails
                if stamp_ns is not None and frame_ns <= stamp_ns]

    def _record_all(self, events):
        for event in events:
            self._record(event)

    def _record(self, event: Event):
        state = self._state
        bag_time_ns = state['now'] // self._units_per_ns
        narration_id = getattr(event, 'narration_id', None)
        if narration_id is not None:
            narration_id += state['first_narration_id']
            state['newest_narration_id'] = max(state['newest_narration_id'], narration_id)
            if narration_id != state['begun_narration_id']:
                state['begun_narration_id'], state['begun_ns'] = narration_id, bag_time_ns
                seen = self._seen_thumbnails(event.stamp_ns)
                self._on_first_words(narration_id, seen[-1] if seen else None)
        first_ns = None
        if isinstance(event, StateEvent):
            state['session_state'] = event.state.value
        elif isinstance(event, NarrationEvent):
            first_ns = state['begun_ns']
            state['num_narrations'] += 1
            state['num_tokens'] += event.num_tokens
        elif isinstance(event, PromptEvent):
            first_ns = self._waits_no_more(event.prompt_id)
        elif isinstance(event, ErrorEvent) and event.prompt_id is not None:
            self._waits_no_more(event.prompt_id)
            self._refused.note(True, 'refused_prompt', event.message)
        self._write(event, bag_time_ns, first_ns, narration_id)

    def _waits_no_more(self, prompt_id):
        """Forget a prompt that waits; return the bag time at which it was asked."""
        waiting = self._state['waiting_prompts']
        index = [name for name, _, _ in waiting].index(prompt_id)
        return waiting.pop(index)[1]

    def _write(self, event, bag_time_ns, first_bag_time_ns, narration_id):
        self._state['num_records'] += 1
        self._on_record(bag_record_of(
            event, self._state['num_records'] - 1, bag_time_ns=bag_time_ns,
            first_bag_time_ns=first_bag_time_ns, narration_id=narration_id,
            state=self._state['session_state']))

    def _record_error(self, text):
        self._record(ErrorEvent(
            stamp_ns=self._session.newest_stamp_ns, received_ns=None, message=text))
