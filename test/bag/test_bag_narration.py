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

"""The pace of a narration: so many tokens in the bag's time, and no frame left out."""

from collections import Counter
from fractions import Fraction

from moss_ros.bag.frame_chooser import AskedPrompt, ChosenFrame, StreamRestart, UnusableMessage
from moss_ros.bag.paced_narration import BagNarration
from moss_ros.stream import (
    EncodedFrame, EndReason, ErrorEvent, NarrationEvent, PromptEvent, SessionState, SilenceEvent,
    StateEvent, StreamOptions, TokenEvent,
)
import numpy as np
import pytest
import torch


class Talker:
    """Takes the place of a session: once it has seen a frame it says a word at each step."""

    def __init__(self, max_words=10**9, max_context_frames=155):
        self.options = StreamOptions(
            max_context_frames=max_context_frames, keep_context_frames=1)
        self.max_words = max_words
        self.shown = []
        self.num_resets = 0
        self.newest_stamp_ns = None
        self.reset()

    def reset(self):
        self.num_resets += 1
        self._frames, self._prompts = [], []
        self._num_words = self.max_words
        self._narration_id = 1
        self.newest_stamp_ns = None

    @property
    def num_waiting_frames(self):
        return len(self._frames)

    @property
    def has_work(self):
        return bool(self._frames) or (
            self.newest_stamp_ns is not None
            and (bool(self._prompts) or self._num_words < self.max_words))

    def add_frame(self, frame):
        assert len(self._frames) < self.options.max_context_frames, 'the oldest is lost'
        self._frames.append(frame)

    def add_prompt(self, prompt):
        self._prompts.append(prompt)

    def step(self):
        events = [self._event(PromptEvent, prompt_id=prompt.prompt_id, text=prompt.text)
                  for prompt in self._prompts]
        self._prompts = []
        self.shown.append([frame.stamp_ns for frame in self._frames])
        if self._frames:
            self.newest_stamp_ns = self._frames[-1].stamp_ns
            self._frames = []
            self._num_words = 0
        self._num_words += 1
        return [*events, self._event(
            TokenEvent, text='word ', token_id=1, narration_id=self._narration_id)]

    def step_while_silent(self, following):
        return [self.step()]

    def end(self):
        self._num_words = self.max_words
        narration_id, self._narration_id = self._narration_id, self._narration_id + 1
        return [self._event(
            NarrationEvent, narration_id=narration_id, text='words', first_stamp_ns=0,
            reason=EndReason.STOPPED, num_tokens=3),
            self._event(StateEvent, state=SessionState.SILENT)]

    def _event(self, event_class, **fields):
        return event_class(stamp_ns=self.newest_stamp_ns, received_ns=0, **fields)


def frame(time_ns):
    return ChosenFrame(time_ns, EncodedFrame(torch.zeros(1, 1), time_ns),
                       np.full((2, 3, 3), time_ns % 251, np.uint8))


def narrate(items, tokens_per_second, talker=None):
    """Return the records, the thumbnails by narration, and the talker."""
    talker = talker or Talker()
    records, thumbnails = [], {}
    narration = BagNarration(talker, tokens_per_second, records.append, thumbnails.__setitem__)
    narration.take(items)
    records += [{'type': 'end'}]
    talker.max_words = 0
    narration.finish()
    return records, thumbnails, talker


def of_type(records, kind):
    return [record for record in records if record['type'] == kind]


@pytest.mark.parametrize('rate', [7.3, 40.0, 2.5])
def test_it_says_at_most_so_many_tokens_between_two_frames(rate):
    generator = np.random.default_rng(4)
    times_ns = np.cumsum(generator.integers(450_000_000, 550_000_000, 2000)).tolist()
    records, _, talker = narrate([frame(time_ns) for time_ns in times_ns], rate)
    said_ns = [record['bag_time_ns'] for record in of_type(records, 'token')]
    # Exactly every so often, over any length of time: each begins when the one before ends.
    exact = [times_ns[0] + int(index * 10**9 / Fraction(str(rate)))
             for index in range(len(said_ns))]
    assert said_ns[:-1] == exact[:-1]
    assert [stamp_ns for stamps in talker.shown for stamp_ns in stamps] == times_ns
    # Between two frames, as far as time goes, and not one more.
    said_in_gap = Counter(np.searchsorted(times_ns, said_ns, side='right').tolist())
    for index in range(1, len(times_ns)):
        gap_s = (times_ns[index] - times_ns[index - 1]) / 1e9
        assert said_in_gap[index] <= gap_s * rate + 1


def test_without_a_rate_all_is_said_at_the_frame():
    records, _, _ = narrate([frame(10), frame(20)], 0, Talker(max_words=5))
    said_ns = [record['bag_time_ns'] for record in of_type(records, 'token')]
    assert said_ns[:5] == [10] * 5 and set(said_ns[5:]) == {20}


def test_no_frame_is_left_out_where_all_were_recorded_at_once():
    frames = [frame(1000) for _ in range(100)]
    for index, item in enumerate(frames):
        item.frame = EncodedFrame(torch.zeros(1, 1), index)
    records, _, talker = narrate(frames, 4.0)
    assert [stamp for stamps in talker.shown for stamp in stamps] == list(range(100))
    assert max(len(stamps) for stamps in talker.shown) <= 8
    said_ns = [record['bag_time_ns'] for record in of_type(records, 'token')]
    assert set(said_ns[:-1]) == {1000} and said_ns[-1] == 1000 + 10**9 // 4


class Watcher(Talker):
    """Keeps silent at every frame but those of spoken_ns, where it says one word."""

    def __init__(self, spoken_ns=(), looks_ahead=True):
        self.spoken_ns = spoken_ns
        self.looks_ahead = looks_ahead
        self.num_calls = 0
        super().__init__(max_words=1)

    def step(self):
        events = super().step()
        return events if self._is_spoken() or not self.shown[-1] else [
            *events[:-1], self._event(SilenceEvent)]

    def step_while_silent(self, following):
        self.num_calls += 1
        is_alone = bool(self._prompts)
        steps = [self.step()]
        if is_alone or not self.looks_ahead or not self.shown[-1]:
            return steps
        for item in following:
            if self._is_spoken():
                break
            self.add_frame(item)
            steps.append(self.step())
        return steps

    def _is_spoken(self):
        return self.newest_stamp_ns in self.spoken_ns


@pytest.mark.parametrize('rate', [0, 2.1, 4, 40])
@pytest.mark.parametrize('seed', range(6))
def test_records_are_the_same_whether_or_not_it_looks_ahead(rate, seed):
    generator = np.random.default_rng(seed)
    gaps_ns = generator.choice([0, 1, 10**9 // 40, 250_000_000, 500_000_000, 10**9], 120)
    times_ns = (10**9 + np.cumsum(gaps_ns)).tolist()
    items = [frame(time_ns) for time_ns in times_ns]
    for index in generator.choice(120, 10, replace=False):
        items[index] = AskedPrompt(times_ns[index], f'recorded {index}')
    items[50] = UnusableMessage(times_ns[50], 'truncated', 'an image is cut')
    items[80] = StreamRestart(times_ns[80], 'stamps went back')
    items += [AskedPrompt(times_ns[index], f'at {index}') for index in (5, 20, 21, 60)] + [
        AskedPrompt(times_ns[index] + 10**9 // 40, f'behind {index}') for index in (33, 90)]
    # A question stands before the frame of the same time.
    items.sort(key=lambda item: (item.bag_time_ns, not isinstance(item, AskedPrompt)))
    groups = np.split(np.arange(len(items)), np.sort(generator.choice(120, 12, replace=False)))
    found = []
    for looks_ahead in (True, False):
        watcher = Watcher(set(times_ns[::7]), looks_ahead)
        records, thumbnails = [], {}
        narration = BagNarration(watcher, rate, records.append, thumbnails.__setitem__)
        for group in groups:
            narration.take([items[index] for index in group])
        narration.finish()
        found.append((records, {key: value.tolist() for key, value in thumbnails.items()},
                      watcher.shown, watcher.num_calls))
    assert found[0][:3] == found[1][:3]
    assert found[0][3] < found[1][3]


def test_prompts_are_asked_at_their_times():
    second = 10**9
    records, _, _ = narrate([
        AskedPrompt(0, 'first'), frame(second), AskedPrompt(2 * second, 'second'),
        frame(4 * second), AskedPrompt(9 * second, 'late')], 10.0, Talker(max_words=1))
    # Heard with the first frame, or as soon as a token is said; asked at their own times.
    asked = [(record['bag_time_ns'], record['first_bag_time_ns'], record['text'],
              record['prompt_id']) for record in of_type(records, 'prompt')]
    assert asked == [(second, 0, 'first', 'prompt-1'),
                     (2 * second, 2 * second, 'second', 'prompt-2'),
                     (9 * second, 9 * second, 'late', 'prompt-3')]


def test_a_question_is_heard_with_its_frame():
    items = [frame(100), AskedPrompt(300, 'What?'), frame(300), frame(900)]
    items[2].frame = EncodedFrame(torch.zeros(1, 1), 250)  # one of before
    records, _, talker = narrate(items, 0, Talker(max_words=1))
    assert talker.shown == [[100], [250], [900]]
    prompt, = of_type(records, 'prompt')
    assert prompt['bag_time_ns'] == 300
    assert [record['bag_time_ns'] for record in of_type(records, 'token')] == [100, 300, 900]
    assert [record['stamp_ns'] for record in of_type(records, 'token')] == [100, 250, 900]


class Shy(Talker):
    """Says nothing by itself, and takes in one frame a step."""

    def step(self):
        events = [self._event(PromptEvent, prompt_id=prompt.prompt_id, text=prompt.text)
                  if prompt.text != 'too long' else
                  self._event(ErrorEvent, message='refused', prompt_id=prompt.prompt_id)
                  for prompt in self._prompts]
        self._prompts = []
        for taken in self._frames[:1]:
            self.shown.append([taken.stamp_ns])
            self.newest_stamp_ns = taken.stamp_ns
        del self._frames[:1]
        return events

    @property
    def has_work(self):
        return bool(self._frames) or bool(self._prompts and self.newest_stamp_ns is not None)


@pytest.mark.parametrize('max_context_frames', [2, 3, 9, 155])
def test_no_frame_is_lost_where_the_session_takes_them_one_by_one(max_context_frames):
    items = [frame(1000) for _ in range(60)]
    for index, item in enumerate(items):
        item.frame = EncodedFrame(torch.zeros(1, 1), index)
    shy = Shy(max_context_frames=max_context_frames)
    narrate([*items, StreamRestart(1000, 'stamps went back'), *items], 4.0, shy)
    assert [stamp for stamps in shy.shown for stamp in stamps] == 2 * list(range(60))


def test_a_question_that_waits_for_the_first_frame_survives_a_new_beginning():
    records, _, _ = narrate([
        AskedPrompt(0, 'What?'), StreamRestart(50, 'stamps went back'), frame(100),
        AskedPrompt(200, 'too long'), AskedPrompt(300, 'And now?')], 0, Shy())
    assert [(record['type'], record['prompt_id'], record['first_bag_time_ns'])
            for record in of_type(records, 'prompt')] == [
        ('prompt', 'prompt-1', 0), ('prompt', 'prompt-3', 300)]
    assert [record['prompt_id'] for record in of_type(records, 'error')] == [None, 'prompt-2']


def test_a_thumbnail_is_of_what_the_model_had_seen():
    class Late(Shy):

        def step(self):
            events = super().step()
            return [*events, self._event(
                TokenEvent, text='word', token_id=1, narration_id=len(self.shown))]

        def end(self):
            return []

    _, thumbnails, late = narrate([frame(100), frame(101), frame(102)], 1.0, Late())
    assert late.shown == [[100], [101], [102]]
    assert {key: value[0, 0, 0] for key, value in thumbnails.items()} == {
        1: 100, 2: 101, 3: 102}


def test_a_camera_that_begins_anew_begins_a_new_stream():
    records, thumbnails, talker = narrate(
        [frame(100), StreamRestart(300, 'stamps went back'), frame(400)], 0, Talker(max_words=2))
    assert talker.num_resets == 2
    ids = [record['narration_id'] for record in of_type(records, 'narration')]
    assert len(ids) == len(set(ids)) == 2
    assert [record['text'] for record in of_type(records, 'error')] == ['stamps went back']
    assert sorted(thumbnails) == ids


def test_a_frame_that_cannot_be_used_is_told_and_the_rest_goes_on():
    items = [frame(100), UnusableMessage(200, 'truncated', 'an image is cut'), frame(300)]
    records, _, talker = narrate(items, 0, Talker(max_words=1))
    assert talker.shown == [[100], [300]]
    assert [(record['bag_time_ns'], record['text']) for record in of_type(records, 'error')] == [
        (200, 'an image is cut')]


def test_a_narration_tells_when_it_began_and_what_was_seen_then():
    records, thumbnails, _ = narrate([frame(100), frame(200)], 0, Talker(max_words=3))
    narration, = of_type(records, 'narration')
    assert narration['first_bag_time_ns'] == 100 and narration['bag_time_ns'] >= 200
    assert narration['reason'] == 'stopped' and narration['num_tokens'] == 3
    assert thumbnails[1][0, 0, 0] == 100
    assert [record['seq'] for record in records if 'seq' in record] == list(
        range(len(records) - 1))
