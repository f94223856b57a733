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

"""The state machine of a stream: what is said when, and what is reported of it."""

from moss_ros.stream import (
    EndReason, NarrationEvent, Prompt, PromptEvent, SilenceEvent, StateEvent, TokenEvent,
)
import pytest
from session_events import narrations, of_class, run, SILENT, SPEAKING, states, text_ids


# Frames and silence

def test_nothing_is_to_be_done_before_the_first_frame(tools):
    session, model = tools.scripted_session()
    assert not session.has_work
    assert states(session.step()) == [SILENT]
    assert session.step() == []
    assert model.extensions == []


def test_the_stream_opens_with_an_empty_user_turn_silence_and_the_first_frame(tools, chat):
    session, model = tools.scripted_session()
    session.add_frame(tools.frame(3, received_ns=70))
    assert session.has_work
    events = session.step()
    assert model.extensions == [
        [*chat.opening('Watch and tell.'), chat.silence_id, chat.image_id]]
    assert events == [
        StateEvent(stamp_ns=None, received_ns=None, state=SILENT),
        SilenceEvent(stamp_ns=3_000_000_000, received_ns=70)]
    assert not session.has_work


def test_each_frame_costs_one_forward_of_the_last_token_and_the_frame(tools, chat):
    session, model = tools.scripted_session()
    for index in range(4):
        session.add_frame(tools.frame(index))
        assert of_class(session.step(), SilenceEvent)
        assert not session.has_work
    assert model.extensions[1:] == [[chat.silence_id, chat.image_id]] * 3
    assert len(model.encoded) == 4


def test_a_sentence_is_said_token_by_token_and_reported_whole(tools, chat):
    ids = text_ids(chat, 'The red ball stops.')
    session, model = tools.scripted_session('The red ball stops.')
    session.add_frame(tools.frame(1, received_ns=5))
    events = []
    for token_id in ids:
        assert session.has_work
        stepped = session.step()
        assert of_class(stepped, TokenEvent)[0].token_id == token_id
        assert session.state is SPEAKING
        events += stepped
    last = session.step()
    assert [type(event) for event in last] == [NarrationEvent, SilenceEvent, StateEvent]
    assert states(events + last) == [SILENT, SPEAKING, SILENT]
    assert ''.join(event.text for event in of_class(events, TokenEvent)) == 'The red ball stops.'
    assert last[0] == NarrationEvent(
        stamp_ns=1_000_000_000, received_ns=5, narration_id=1, text='The red ball stops.',
        first_stamp_ns=1_000_000_000, reason=EndReason.SILENCE, prompt_id=None,
        num_tokens=len(ids))
    assert model.extensions[1:] == [[token_id] for token_id in ids]
    assert not session.has_work


def test_frames_come_in_between_the_tokens_of_a_sentence_one_at_a_time(tools, chat):
    ids = text_ids(chat, 'The red ball stops.')
    assert len(ids) > 3
    session, model = tools.scripted_session('The red ball stops.')
    session.add_frame(tools.frame(1))
    events = session.step()
    session.add_frame(tools.frame(2))
    session.add_frame(tools.frame(3))
    events += run(session)
    assert model.extensions[1:4] == [
        [ids[0], chat.image_id], [ids[1], chat.image_id], [ids[2]]]
    [narration] = of_class(events, NarrationEvent)
    assert (narration.first_stamp_ns, narration.stamp_ns) == (1_000_000_000, 3_000_000_000)
    assert narration.text == 'The red ball stops.'
    tokens = of_class(events, TokenEvent)
    assert [token.stamp_ns for token in tokens[:3]] == [
        1_000_000_000, 2_000_000_000, 3_000_000_000]
    assert {token.narration_id for token in tokens} == {narration.narration_id}


def test_frames_queued_together_are_decided_at_one_by_one_in_one_pass(tools, chat):
    session, model = tools.scripted_session(max_context_frames=30)
    for index in range(20):
        session.add_frame(tools.frame(index))
    events = session.step()
    assert model.extensions == [[
        *chat.opening('Watch and tell.'), *[chat.silence_id, chat.image_id] * 20]]
    assert model.caches[0].frames == sorted(model.caches[0].frames)
    assert len(set(model.caches[0].frames)) == 20
    assert [event.stamp_ns for event in of_class(events, SilenceEvent)] == [
        index * 1_000_000_000 for index in range(20)]
    assert not session.has_work


def test_frames_behind_the_one_at_which_it_speaks_stay_queued(tools, chat):
    ids = text_ids(chat, 'Yes.')
    session, model = tools.scripted_session(chat.silence_id, *ids, chat.silence_id)
    for index in range(4):
        session.add_frame(tools.frame(index))
    events = session.step()
    assert [type(event) for event in events] == [StateEvent, SilenceEvent, StateEvent, TokenEvent]
    assert events[-1].stamp_ns == 1_000_000_000
    assert session.num_waiting_frames == 2
    run(session)
    # They are shown within the sentence, one between two tokens.
    assert session.context.token_ids == [
        *chat.opening('Watch and tell.'), *[chat.silence_id, chat.image_id] * 2,
        ids[0], chat.image_id, ids[1], chat.image_id, *ids[2:], chat.silence_id]
    assert model.caches[0].frames == model.encoded


def test_of_more_frames_than_fit_the_newest_are_kept(tools):
    session, model = tools.scripted_session(max_context_frames=6, keep_context_frames=3)
    for index in range(50):
        session.add_frame(tools.frame(index))
    events = run(session)
    assert len(model.encoded) <= 6
    assert events[-1].stamp_ns == 49_000_000_000
    every, its_model = tools.scripted_session(max_context_frames=60)
    for index in range(44, 50):
        every.add_frame(tools.frame(index))
    every.step()
    assert model.caches[0].frames == its_model.caches[0].frames


def test_end_of_turn_counts_as_silence_and_silence_goes_into_the_context(tools, chat):
    session, model = tools.scripted_session('Yes.', chat.eot_id)
    session.add_frame(tools.frame(1))
    events = run(session)
    assert narrations(events) == [('Yes.', EndReason.SILENCE, None)]
    assert len(of_class(events, SilenceEvent)) == 1
    session.add_frame(tools.frame(2))
    session.step()
    assert model.extensions[-1] == [chat.silence_id, chat.image_id]


def test_a_narration_without_end_is_ended_by_the_limit_between_two_frames(tools, chat):
    session, model = tools.scripted_session(' red' * 40, max_tokens_between_frames=5)
    session.add_frame(tools.frame(1))
    events = run(session)
    assert narrations(events) == [(' red' * 5, EndReason.LIMIT, None)]
    assert states(events) == [SILENT, SPEAKING, SILENT]
    assert of_class(events, SilenceEvent) == []
    assert not session.has_work
    session.add_frame(tools.frame(2))
    session.step()
    assert model.extensions[-1] == [chat.encode_text(' red')[0], chat.silence_id, chat.image_id]


def test_a_new_frame_or_prompt_starts_the_limit_anew(tools):
    session, _ = tools.scripted_session(' red' * 40, max_tokens_between_frames=5)
    events = []
    for index in range(4):
        session.add_frame(tools.frame(index))
        events += session.step() + session.step() + session.step()
    assert narrations(events) == []
    session.add_prompt(Prompt('Is it red?', 'q'))
    events = run(session)
    assert narrations(events) == [
        (' red' * 12, EndReason.INTERRUPTED, None), (' red' * 5, EndReason.LIMIT, 'q')]


def test_a_narration_that_frames_keep_alive_ends_too(tools):
    session, _ = tools.scripted_session(
        ' red' * 40, max_tokens_between_frames=5, max_narration_tokens=12)
    events = []
    for index in range(6):
        session.add_frame(tools.frame(index))
        events += session.step() + session.step() + session.step()
    assert narrations(events) == [(' red' * 12, EndReason.LIMIT, None)]


# Held-back bytes, narrations without text

def test_half_a_character_gives_no_event_until_it_is_whole(tools, chat):
    session, _ = tools.scripted_session('a你')
    session.add_frame(tools.frame(1))
    pieces = [[event.text for event in of_class(session.step(), TokenEvent)] for _ in range(4)]
    assert pieces == [['a'], [], [], ['你']]


@pytest.mark.parametrize('ending', ['silence', 'prompt', 'stop'])
def test_half_a_character_at_the_end_is_left_out(tools, chat, ending):
    session, _ = tools.scripted_session('a', *chat.encode_text('你')[:-1], chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    events = session.step() + session.step() + session.step()
    if ending == 'prompt':
        session.add_prompt(Prompt('Is it red?', 'q'))
    events += session.stop() if ending == 'stop' else session.step()
    narration = of_class(events, NarrationEvent)[0]
    assert narration.text == 'a'
    assert narration.num_tokens == 3
    assert [token.text for token in of_class(events, TokenEvent)] == ['a']


@pytest.mark.parametrize('ending', ['silence', 'prompt', 'stop'])
def test_a_narration_that_never_got_any_text_is_not_reported(tools, chat, ending):
    session, _ = tools.scripted_session(*chat.encode_text('你')[:-1], chat.silence_id)
    session.add_frame(tools.frame(1))
    events = session.step() + session.step()
    assert states(events) == [SILENT, SPEAKING]
    if ending == 'prompt':
        session.add_prompt(Prompt('Is it red?', 'q'))
    events += session.stop() if ending == 'stop' else session.step()
    assert of_class(events, NarrationEvent) == []
    assert states(events) == [SILENT, SPEAKING, SILENT]
    assert [event.prompt_id for event in of_class(session.end(), NarrationEvent)] == (
        ['q'] if ending == 'prompt' else [])


def test_an_answer_that_never_got_any_text_is_reported(tools, chat):
    session, _ = tools.scripted_session(*chat.encode_text('你')[:-1], chat.silence_id)
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(1))
    assert narrations(run(session)) == [('', EndReason.SILENCE, 'q')]
    assert session.end() == []


def test_the_bytes_of_a_cut_narration_do_not_get_into_the_next(tools, chat):
    first, *rest = chat.encode_text('你')
    session, _ = tools.scripted_session(first, *rest, 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_prompt(Prompt('Is it red?', 'q'))
    [narration] = of_class(run(session), NarrationEvent)
    assert '你' not in narration.text
    assert narration.text.endswith('No.')


# stop, reset

def test_stop_ends_what_is_said_and_the_stream_goes_on(tools, chat):
    ids = text_ids(chat, 'The red ball')
    session, model = tools.scripted_session(*ids[:2], 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    session.step()
    events = session.stop()
    assert [type(event) for event in events] == [NarrationEvent, StateEvent]
    assert narrations(events) == [(chat.decode(ids[:2]), EndReason.STOPPED, None)]
    assert not session.has_work
    assert session.stop() == []
    session.add_frame(tools.frame(2))
    assert narrations(run(session)) == [('No.', EndReason.SILENCE, None)]
    assert model.extensions[2] == [ids[1], chat.silence_id, chat.image_id]


def test_stop_in_silence_and_before_anything_reports_nothing(tools):
    session, _ = tools.scripted_session()
    assert session.stop() == []
    session.add_frame(tools.frame(1))
    run(session)
    assert session.stop() == []


def test_stop_leaves_a_question_open_and_end_closes_it(tools):
    session, _ = tools.scripted_session()
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(1))
    run(session)
    assert session.stop() == []
    assert narrations(session.end()) == [('', EndReason.STOPPED, 'q')]


def test_stop_leaves_what_is_queued(tools):
    session, _ = tools.scripted_session('The red ball')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_frame(tools.frame(2))
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.stop()
    assert session.has_work
    assert of_class(session.step(), PromptEvent)


def test_what_is_queued_can_be_forgotten(tools):
    session, _ = tools.scripted_session('The red ball')
    for index in range(3):
        session.add_frame(tools.frame(index))
    session.step()
    assert session.num_waiting_frames == 2
    session.forget_frames()
    assert session.num_waiting_frames == 0
    session.stop()
    assert not session.has_work


def test_reset_forgets_everything_and_keeps_the_memory(tools, chat):
    session, model = tools.scripted_session('The red', 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_frame(tools.frame(2))
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.reset()
    assert not session.has_work
    assert session.state is SILENT
    assert session.newest_stamp_ns is None
    session.add_frame(tools.frame(3))
    events = session.step()
    assert states(events)[0] is SILENT
    assert model.extensions[-1] == [
        *chat.opening('Watch and tell.'), chat.silence_id, chat.image_id]
    assert len(model.caches) == 1
