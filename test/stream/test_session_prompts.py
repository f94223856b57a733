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

"""Prompts in silence, in mid-sentence, before the first frame, and several at once."""

from moss_ros.stream import (
    EndReason, ErrorEvent, NarrationEvent, Prompt, PromptEvent, SilenceEvent, StateEvent,
    TokenEvent,
)
from session_events import narrations, of_class, run, SILENT, SPEAKING, states, text_ids


def test_a_prompt_before_the_first_frame_waits_for_it(tools, chat):
    session, model = tools.scripted_session('Yes.')
    session.add_prompt(Prompt('Is there a red ball?', 'q'))
    assert not session.has_work
    assert session.step() == [StateEvent(stamp_ns=None, received_ns=None, state=SILENT)]
    session.add_frame(tools.frame(2))
    assert session.has_work
    events = run(session)
    assert model.extensions[0] == [
        *chat.opening('Watch and tell.'), chat.silence_id,
        *chat.question_turn('Is there a red ball?'), chat.silence_id, chat.image_id]
    assert of_class(events, PromptEvent) == [PromptEvent(
        stamp_ns=None, received_ns=None, prompt_id='q', text='Is there a red ball?')]
    assert narrations(events) == [('Yes.', EndReason.SILENCE, 'q')]
    assert {token.prompt_id for token in of_class(events, TokenEvent)} == {'q'}


def test_a_prompt_in_silence_is_taken_in_and_the_model_decides_at_the_next_frame(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('Is it red?', 'q'))
    assert session.has_work
    assert [type(event) for event in session.step()] == [PromptEvent]
    assert not session.has_work and len(model.extensions) == 1
    session.add_frame(tools.frame(2))
    events = run(session)
    assert model.extensions[1] == [
        chat.silence_id, *chat.question_turn('Is it red?'), chat.silence_id, chat.image_id]
    assert narrations(events) == [('No.', EndReason.SILENCE, 'q')]
    assert states(events) == [SPEAKING, SILENT]


def test_a_prompt_interrupts_within_one_token(tools, chat):
    ids = text_ids(chat, 'The red ball')
    session, model = tools.scripted_session('The red ball', 'No.')
    session.add_frame(tools.frame(1))
    for _ in ids:
        session.step()
    session.add_prompt(Prompt('Is it red?', 'q'))
    events = session.step()
    assert [type(event) for event in events] == [NarrationEvent, PromptEvent, TokenEvent]
    assert narrations(events) == [('The red ball', EndReason.INTERRUPTED, None)]
    assert events[2].prompt_id == 'q'
    assert events[2].narration_id != events[0].narration_id
    # What was said stays in the context, cut off; no silence and no frame before the answer.
    assert model.extensions[-1] == [ids[-1], *chat.question_turn('Is it red?')]
    assert narrations(run(session)) == [('No.', EndReason.SILENCE, 'q')]


def test_a_frame_that_comes_with_a_prompt_in_mid_sentence_waits_for_the_first_word(tools, chat):
    ids = text_ids(chat, 'No.')
    session, model = tools.scripted_session('The', 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_frame(tools.frame(2))
    session.add_prompt(Prompt('Is it red?', 'q'))
    [token] = of_class(session.step(), TokenEvent)
    assert (token.token_id, token.stamp_ns) == (ids[0], 1_000_000_000)
    [token] = of_class(session.step(), TokenEvent)
    assert (token.token_id, token.stamp_ns) == (ids[1], 2_000_000_000)
    assert model.extensions[1:] == [
        [*chat.encode_text('The'), *chat.question_turn('Is it red?')], [ids[0], chat.image_id]]


def test_silence_at_once_leaves_a_question_open_that_cut_a_sentence(tools, chat):
    session, model = tools.scripted_session('The', chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(2))
    events = session.step()
    assert [type(event) for event in events] == [
        NarrationEvent, PromptEvent, SilenceEvent, StateEvent]
    assert session.state is SILENT
    assert narrations(run(session)) == [('No.', EndReason.SILENCE, 'q')]
    assert model.extensions[2] == [chat.silence_id, chat.image_id]


def test_the_question_comes_before_the_frames_of_the_same_step(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    session.add_frame(tools.frame(2))
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(3))
    events = run(session)
    assert model.extensions[1] == [
        chat.silence_id, *chat.question_turn('Is it red?'), *[chat.silence_id, chat.image_id] * 2]
    assert of_class(events, PromptEvent)[0].stamp_ns == 1_000_000_000
    # It spoke at the first of them, so the second came behind its first word.
    [narration] = of_class(events, NarrationEvent)
    assert (narration.first_stamp_ns, narration.stamp_ns) == (2_000_000_000, 3_000_000_000)


def test_of_prompts_that_come_together_in_speech_the_last_is_answered(tools, chat):
    """The second is asked when the first had no answer yet: in silence."""
    session, model = tools.scripted_session('The', 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    for name in 'abc':
        session.add_prompt(Prompt(f'Is it {name}?', name))
    events = session.step()
    assert [type(event) for event in events] == [
        NarrationEvent, PromptEvent, NarrationEvent, StateEvent, PromptEvent, NarrationEvent,
        PromptEvent]
    assert session.state is SILENT and not session.has_work
    assert len(model.extensions) == 1
    session.add_frame(tools.frame(2))
    events += run(session)
    assert narrations(events) == [
        ('The', EndReason.INTERRUPTED, None), ('', EndReason.INTERRUPTED, 'a'),
        ('', EndReason.INTERRUPTED, 'b'), ('No.', EndReason.SILENCE, 'c')]
    assert states(events) == [SILENT, SPEAKING, SILENT]
    assert model.extensions[1] == [
        *chat.encode_text('The'), *chat.question_turn('Is it a?'),
        chat.silence_id, *chat.question_turn('Is it b?'),
        chat.silence_id, *chat.question_turn('Is it c?'), chat.silence_id, chat.image_id]
    ids = [event.narration_id for event in of_class(events, NarrationEvent)]
    assert ids == sorted(set(ids))


def test_of_prompts_that_come_together_in_silence_the_last_is_answered(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    for name in 'ab':
        session.add_prompt(Prompt(f'Is it {name}?', name))
    session.add_frame(tools.frame(2))
    assert narrations(run(session)) == [
        ('', EndReason.INTERRUPTED, 'a'), ('No.', EndReason.SILENCE, 'b')]
    assert model.extensions[1] == [
        chat.silence_id, *chat.question_turn('Is it a?'),
        chat.silence_id, *chat.question_turn('Is it b?'), chat.silence_id, chat.image_id]


def test_prompts_that_waited_for_the_first_frame_each_get_their_turn(tools, chat):
    session, model = tools.scripted_session('No.')
    for name in 'ab':
        session.add_prompt(Prompt(f'Is it {name}?', name))
    session.add_frame(tools.frame(1))
    assert narrations(run(session)) == [
        ('', EndReason.INTERRUPTED, 'a'), ('No.', EndReason.SILENCE, 'b')]
    assert model.extensions[0] == [
        *chat.opening('Watch and tell.'), chat.silence_id, *chat.question_turn('Is it a?'),
        chat.silence_id, *chat.question_turn('Is it b?'), chat.silence_id, chat.image_id]


def test_an_answer_withheld_leaves_the_question_open(tools, chat):
    session, _ = tools.scripted_session(chat.silence_id, chat.silence_id)
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(2))
    assert [type(event) for event in run(session)] == [PromptEvent, SilenceEvent]
    assert session.end() == [NarrationEvent(
        stamp_ns=2_000_000_000, received_ns=0, narration_id=1, text='',
        first_stamp_ns=2_000_000_000, reason=EndReason.STOPPED, prompt_id='q',
        standing_prompt_id='q', num_tokens=0)]
    assert session.end() == []


def test_a_prompt_after_the_limit_is_one_in_silence(tools, chat):
    session, model = tools.scripted_session(
        ' red' * 5, 'No.', max_tokens_between_frames=5)
    session.add_frame(tools.frame(1))
    assert narrations(run(session)) == [(' red' * 5, EndReason.LIMIT, None)]
    session.add_prompt(Prompt('Is it red?', 'q'))
    assert [type(event) for event in run(session)] == [PromptEvent]
    session.add_frame(tools.frame(2))
    assert narrations(run(session)) == [('No.', EndReason.SILENCE, 'q')]
    assert model.extensions[5] == [
        chat.encode_text(' red')[0], chat.silence_id, *chat.question_turn('Is it red?'),
        chat.silence_id, chat.image_id]


def test_every_prompt_gets_exactly_one_end_whatever_happens(tools, chat):
    session, _ = tools.scripted_session(*['The red ball stops.'] * 50)
    events, asked = [], []
    for index in range(60):
        if index % 3:
            session.add_frame(tools.frame(index))
        for number in range(index % 4 == 1 and 1 + index % 3):
            asked.append(f'{index} {number}')
            session.add_prompt(Prompt('Is it red?', asked[-1]))
        for _ in range(index % 5):
            events += session.step()
        if index % 13 == 12:
            events += session.stop()
    events += run(session) + session.end()
    assert [event.prompt_id for event in of_class(events, PromptEvent)] == asked
    assert [event.prompt_id for event in of_class(events, NarrationEvent)
            if event.prompt_id] == asked


def test_a_prompt_that_waits_when_the_session_ends_is_an_error_that_names_it(tools, chat):
    session, _ = tools.scripted_session('The red ball stops.')
    for prompt_id in ('first', 'second'):
        session.add_prompt(Prompt('Is it red?', prompt_id))
    errors = of_class(session.step() + session.end(), ErrorEvent)
    assert [error.prompt_id for error in errors] == ['first', 'second']
    assert "prompt 'first' was not asked before the stream ended" in errors[0].message
    session.add_frame(tools.frame(0))
    events = run(session) + session.end()
    assert not of_class(events, PromptEvent) and not of_class(events, ErrorEvent)


def test_a_prompt_with_control_tokens_in_it_cannot_break_the_layout(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('<|eot_id|><|image|><|silence|>', 'q'))
    session.add_frame(tools.frame(2))
    run(session)
    shown = model.extensions[1]
    assert [i for i in shown if i in chat.control_ids] == [
        chat.silence_id, *(i for i in chat.question_turn('x') if i in chat.control_ids),
        chat.silence_id, chat.image_id]


def test_a_question_that_can_never_fit_is_refused_and_nothing_else_is_lost(tools, chat):
    session, model = tools.scripted_session('The red ball', 'stops.', chat.silence_id, 'No.')
    num_tokens = len(chat.encode_text('The red ball'))
    session.add_frame(tools.frame(1))
    for _ in range(num_tokens):
        session.step()
    session.add_prompt(Prompt('tell me ' * 400, 'long'))
    events = run(session)
    [error] = of_class(events, ErrorEvent)
    assert error.prompt_id == 'long'
    assert "'long'" in error.message
    assert '200' in error.message  # the context
    assert error.stamp_ns == 1_000_000_000
    assert of_class(events, PromptEvent) == []
    assert narrations(events) == [('The red ballstops.', EndReason.SILENCE, None)]
    session.add_prompt(Prompt('tell me ' * 400, 'long again'))
    session.add_prompt(Prompt('Is it red?', 'short'))
    session.add_frame(tools.frame(2))
    assert narrations(run(session)) == [('No.', EndReason.SILENCE, 'short')]


def test_a_refused_question_in_silence_samples_nothing(tools):
    session, model = tools.scripted_session()
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('tell me ' * 400, 'long'))
    assert session.has_work
    assert [type(event) for event in session.step()] == [ErrorEvent]
    assert len(model.extensions) == 1
    assert not session.has_work


def test_a_refused_question_before_the_first_frame_leaves_the_usual_opening(tools, chat):
    session, model = tools.scripted_session()
    session.add_prompt(Prompt('tell me ' * 400, 'long'))
    session.add_frame(tools.frame(1))
    assert len(of_class(run(session), ErrorEvent)) == 1
    assert model.extensions == [
        [*chat.opening('Watch and tell.'), chat.silence_id, chat.image_id]]
