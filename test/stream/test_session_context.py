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

"""A stream that forgets: what it says goes on, and the context stays within bounds for ever."""

import random

from dialogue_rule import assert_decides, assert_layout
from moss_ros.stream import (
    encode_frames, EndReason, ErrorEvent, NarrationEvent, Prompt, PromptEvent, SessionState,
    StreamSession, TokenEvent,
)
from moss_ros.stream.dialogue import Last
import pytest
from session_events import run


def test_a_narration_goes_on_across_a_rollover(tools, chat):
    sentence = 'A red ball appears on the left. The red ball stops.'
    session, model = tools.scripted_session(
        *[chat.silence_id] * 5, sentence, max_context_frames=6, keep_context_frames=3,
        max_tokens_between_frames=30)
    for index in range(5):
        session.add_frame(tools.frame(index))
        session.step()
    events = []
    for index in range(5, 11):
        session.add_frame(tools.frame(index))
        events += session.step() + session.step()
    assert session.context.num_rollovers == 2
    events += run(session)
    [narration] = [event for event in events if isinstance(event, NarrationEvent)]
    assert narration.text == sentence
    assert narration.reason is EndReason.SILENCE
    assert (narration.first_stamp_ns, narration.stamp_ns) == (5_000_000_000, 10_000_000_000)
    assert ''.join(
        event.text for event in events if isinstance(event, TokenEvent)) == sentence
    assert max(len(ids) for ids in model.extensions[1:]) > 10  # what was kept, once more


def test_a_prompt_into_a_nearly_full_context_is_answered_and_nothing_is_lost(tools, chat):
    session, model = tools.scripted_session(max_context_frames=150, keep_context_frames=50)
    session.add_frame(tools.frame(0))
    session.step()
    for index in range(1, 1 + (196 - session.context.num_tokens) // 2):
        session.add_frame(tools.frame(index))
        session.step()
    assert session.context.num_rollovers == 0
    assert session.context.num_tokens > 190
    model.script = chat.encode_text('No.')
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(index + 1))
    events = run(session)
    assert session.context.num_rollovers == 1
    assert [(event.text, event.prompt_id) for event in events
            if isinstance(event, NarrationEvent)] == [('No.', 'q')]
    answered = [*chat.question_turn('Is it red?'), chat.silence_id, chat.image_id,
                *chat.encode_text('No.'), chat.silence_id]
    assert session.context.token_ids[-len(answered):] == answered


@pytest.mark.parametrize('num_too_many', [0, 1])
def test_the_longest_question_that_is_taken_can_be_answered_to_the_limit(
        tools, chat, num_too_many):
    session, model = tools.scripted_session(chat.silence_id, ' red' * 40)
    session.add_frame(tools.frame(0))
    run(session)
    question = 'x'
    while not session.context.num_tokens_too_many(question):
        question += 'x'
    session.add_prompt(Prompt(question[:len(question) - 1 + num_too_many], 'q'))
    session.add_frame(tools.frame(1))
    events = run(session)
    if num_too_many:
        assert [event.prompt_id for event in events if isinstance(event, ErrorEvent)] == ['q']
        return
    [narration] = [event for event in events if isinstance(event, NarrationEvent)]
    assert (narration.num_tokens, narration.reason) == (12, EndReason.LIMIT)
    for index in range(2, 50):  # and the stream goes on
        session.add_frame(tools.frame(index))
        run(session)
    assert question[:-1] in chat.decode(model.caches[0].ids)


def test_a_limit_raised_after_the_longest_question_does_not_overfill_the_context(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, ' red' * 100)
    session.add_frame(tools.frame(0))
    run(session)
    question = 'x'
    while not session.context.num_tokens_too_many(question + 'x'):
        question += 'x'
    session.add_prompt(Prompt(question, 'q'))
    session.add_frame(tools.frame(1))
    session.step()
    # The scripted model fails where it is shown more than fits.
    session.set_options(tools.options(max_tokens_between_frames=60))
    [narration] = [event for event in run(session) if isinstance(event, NarrationEvent)]
    assert (narration.num_tokens, narration.reason) == (12, EndReason.LIMIT)
    session.add_prompt(Prompt('Is it red?', 'p'))
    session.add_frame(tools.frame(2))
    [narration] = [event for event in run(session) if isinstance(event, NarrationEvent)]
    assert (narration.num_tokens, narration.reason) == (60, EndReason.LIMIT)


def test_options_that_leave_no_room_or_need_another_session_are_refused(tools, chat):
    session, _ = tools.scripted_session()
    for changes, named in (({'max_tokens_between_frames': 190}, 'max_context_tokens of 200'),
                           ({'system_prompt': 'Be brief.'}, "'Be brief.'"),
                           ({'max_context_frames': 30}, 'max_context_frames')):
        with pytest.raises(ValueError, match=named):
            session.set_options(tools.options(**changes))
    assert session.options == tools.options()


class Narrated:
    """What a consumer makes of the events: which prompts were asked, refused and ended."""

    def __init__(self):
        self.latest_question = ''
        self.ended, self.refused, self.reasons = [], [], set()
        self._texts = {}

    def take(self, events):
        for event in events:
            if isinstance(event, PromptEvent):
                self.latest_question = event.text
            elif isinstance(event, ErrorEvent):
                self.refused.append(event.prompt_id)
            elif isinstance(event, TokenEvent):
                text = self._texts.get(event.narration_id, '')
                self._texts[event.narration_id] = text + event.text
            elif isinstance(event, NarrationEvent):
                assert event.text == self._texts.pop(event.narration_id, '')
                self.ended.append(event.prompt_id)
                self.reasons.add(event.reason)


def is_part(some, whole):
    """Whether some are in whole, in the same order."""
    rest = iter(whole)
    return all(item in rest for item in some)


def check_what_the_model_sees(model, session, chat, narrated):
    """Check a scripted model's cache, which checks by itself that it is never overfilled."""
    cache = model.caches[0]
    assert cache.ids == session.context.token_ids[:len(cache.ids)]
    assert_layout(chat, cache.ids)
    assert_layout(chat, session.context.token_ids)
    assert cache.num_frames == cache.ids.count(chat.image_id)
    assert is_part(cache.frames, model.encoded)
    assert narrated.latest_question.strip() in chat.decode(session.context.token_ids)


@pytest.mark.parametrize('seed', range(12))
def test_whatever_comes_in_the_context_stays_well_formed_and_within_bounds(tools, chat, seed):
    generator = random.Random(seed)
    words = chat.encode_text(' The red ball stops. 你Yes')
    states = {index: encode_frames(tools.scripted_model(chat), [tools.frame(index)])[0].states
              for index in range(256)}

    def script(model):
        assert_decides(chat, model.seen_ids)
        return generator.choice(words) if generator.random() < 0.8 else generator.choice(
            (chat.silence_id, chat.eot_id))

    max_frames, max_tokens = generator.randrange(2, 30), generator.randrange(80, 200)
    model = tools.scripted_model(chat, script)
    session = StreamSession(model, chat, tools.options(
        max_context_frames=max_frames, keep_context_frames=generator.randrange(1, max_frames),
        max_context_tokens=max_tokens, keep_context_tokens=generator.randrange(1, max_tokens),
        max_tokens_between_frames=generator.randrange(1, 12), answer_within_s=20.0))
    narrated = Narrated()
    num_frames, asked = 0, []
    for _ in range(400):
        for _ in range(generator.choice((0, 0, 0, 1, 1, 2, 40))):
            session.add_frame(tools.frame(num_frames))
            num_frames += 1
        for _ in range(generator.choice((0, 0, 0, 0, 1, 1, 4))):
            asked.append(f'{len(asked)} ' + 'why ' * generator.choice((0, 1, 5, 30, 80)))
            session.add_prompt(Prompt(asked[-1], asked[-1]))
        for _ in range(generator.randrange(4)):
            num_before = len(model.extensions)
            narrated.take(session.step())
            assert len(model.extensions) - num_before <= 1
            assert (session.state is SessionState.SPEAKING) == (
                session.context.is_open and session.context.last is Last.TEXT)
        if generator.random() < 0.03:
            narrated.take(session.stop())
        if model.extensions:
            check_what_the_model_sees(model, session, chat, narrated)
            newest = session.newest_stamp_ns // 1_000_000_000 % 256
            assert model.caches[0].frames[-1] == states[newest].item()
    session.add_frame(tools.frame(num_frames))
    while session.has_work:
        narrated.take(session.step())
    narrated.take(session.end())
    assert session.context.num_rollovers > 3
    assert narrated.refused
    assert EndReason.UNANSWERED in narrated.reasons
    assert sorted([*filter(None, narrated.ended), *narrated.refused]) == sorted(asked)
