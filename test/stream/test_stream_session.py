"""The state machine of a stream: what is said when, and what is reported of it."""

from dataclasses import fields

from moss_ros.model import SamplingOptions
from moss_ros.stream import (
    ChatFormat, encode_frames, EncodedFrame, EndReason, ErrorEvent, NarrationEvent, Prompt,
    PromptEvent, SessionState, SilenceEvent, StateEvent, StreamSession, TokenEvent,
)
import pytest
import torch

SILENT, SPEAKING = SessionState.SILENT, SessionState.SPEAKING


def run(session, max_steps=500):
    """Step until there is no work; return all events."""
    events = []
    for _ in range(max_steps):
        if not session.has_work:
            return events
        events += session.step()
    raise AssertionError(f'the session still has work after {max_steps} steps')


def of_class(events, event_class):
    return [event for event in events if isinstance(event, event_class)]


def narrations(events):
    return [(event.text, event.reason, event.prompt_id)
            for event in of_class(events, NarrationEvent)]


def states(events):
    return [event.state for event in of_class(events, StateEvent)]


def text_ids(chat, text):
    ids = chat.encode_text(text)
    assert len(ids) > 1
    return ids


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


def test_frames_come_in_between_the_tokens_of_a_sentence(tools, chat):
    ids = text_ids(chat, 'The red ball stops.')
    session, model = tools.scripted_session('The red ball stops.')
    session.add_frame(tools.frame(1))
    events = session.step()
    session.add_frame(tools.frame(2))
    session.add_frame(tools.frame(3))
    events += run(session)
    assert model.extensions[1] == [ids[0], chat.image_id, chat.image_id]
    assert model.extensions[2] == [ids[1]]
    [narration] = of_class(events, NarrationEvent)
    assert (narration.first_stamp_ns, narration.stamp_ns) == (1_000_000_000, 3_000_000_000)
    assert narration.text == 'The red ball stops.'
    tokens = of_class(events, TokenEvent)
    assert [token.stamp_ns for token in tokens[:2]] == [1_000_000_000, 3_000_000_000]
    assert {token.narration_id for token in tokens} == {narration.narration_id}


def test_frames_queued_together_are_seen_together_in_their_order(tools, chat):
    session, model = tools.scripted_session(max_context_frames=30)
    for index in range(20):
        session.add_frame(tools.frame(index))
    session.step()
    assert model.extensions[0][-20:] == [chat.image_id] * 20
    assert model.caches[0].frames == sorted(model.caches[0].frames)
    assert len(set(model.caches[0].frames)) == 20
    assert not session.has_work


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


# Prompts

def test_a_prompt_before_the_first_frame_waits_for_it(tools, chat):
    session, model = tools.scripted_session('Yes.')
    session.add_prompt(Prompt('Is there a red ball?', 'q'))
    assert not session.has_work
    assert session.step() == [StateEvent(stamp_ns=None, received_ns=None, state=SILENT)]
    session.add_frame(tools.frame(2))
    assert session.has_work
    events = run(session)
    assert model.extensions[0] == [
        *chat.opening('Watch and tell.', 'Is there a red ball?'), chat.image_id]
    assert of_class(events, PromptEvent) == [PromptEvent(
        stamp_ns=None, received_ns=None, prompt_id='q', text='Is there a red ball?')]
    assert narrations(events) == [('Yes.', EndReason.SILENCE, 'q')]
    assert {token.prompt_id for token in of_class(events, TokenEvent)} == {'q'}


def test_a_prompt_in_silence_is_answered_without_waiting_for_a_frame(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('Is it red?', 'q'))
    assert session.has_work
    events = run(session)
    assert model.extensions[1] == [chat.silence_id, *chat.question_turn('Is it red?')]
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
    # What was said stays in the context, cut off.
    assert model.extensions[-1] == [ids[-1], *chat.question_turn('Is it red?')]
    assert narrations(run(session)) == [('No.', EndReason.SILENCE, 'q')]


def test_the_question_comes_before_the_frames_of_the_same_step(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    session.add_frame(tools.frame(2))
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.add_frame(tools.frame(3))
    events = run(session)
    assert model.extensions[1] == [
        chat.silence_id, *chat.question_turn('Is it red?'), chat.image_id, chat.image_id]
    assert of_class(events, PromptEvent)[0].stamp_ns == 1_000_000_000
    assert of_class(events, NarrationEvent)[0].first_stamp_ns == 3_000_000_000


def test_of_prompts_that_come_together_the_last_is_answered_and_each_is_reported(tools, chat):
    session, model = tools.scripted_session('The', 'No.')
    session.add_frame(tools.frame(1))
    session.step()
    for name in 'abc':
        session.add_prompt(Prompt(f'Is it {name}?', name))
    events = session.step()
    assert [type(event) for event in events] == [
        NarrationEvent, PromptEvent, NarrationEvent, PromptEvent, NarrationEvent, PromptEvent,
        TokenEvent]
    events += run(session)
    assert narrations(events) == [
        ('The', EndReason.INTERRUPTED, None), ('', EndReason.INTERRUPTED, 'a'),
        ('', EndReason.INTERRUPTED, 'b'), ('No.', EndReason.SILENCE, 'c')]
    assert model.extensions[1][1:] == [
        token_id for name in 'abc' for token_id in chat.question_turn(f'Is it {name}?')]
    ids = [event.narration_id for event in of_class(events, NarrationEvent)]
    assert ids == sorted(set(ids))


def test_prompts_that_waited_for_the_first_frame_each_get_their_turn(tools, chat):
    session, model = tools.scripted_session('No.')
    for name in 'ab':
        session.add_prompt(Prompt(f'Is it {name}?', name))
    session.add_frame(tools.frame(1))
    assert narrations(run(session)) == [
        ('', EndReason.INTERRUPTED, 'a'), ('No.', EndReason.SILENCE, 'b')]
    assert model.extensions[0] == [
        *chat.opening('Watch and tell.', 'Is it a?'), *chat.question_turn('Is it b?'),
        chat.image_id]


def test_an_answer_withheld_is_reported_once(tools, chat):
    session, _ = tools.scripted_session(chat.silence_id, chat.silence_id)
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('Is it red?', 'q'))
    events = run(session)
    assert [type(event) for event in events] == [PromptEvent, NarrationEvent, SilenceEvent]
    assert events[1] == NarrationEvent(
        stamp_ns=1_000_000_000, received_ns=0, narration_id=1, text='',
        first_stamp_ns=1_000_000_000, reason=EndReason.SILENCE, prompt_id='q', num_tokens=0)


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
    events += run(session) + session.stop()
    assert [event.prompt_id for event in of_class(events, PromptEvent)] == asked
    assert [event.prompt_id for event in of_class(events, NarrationEvent)
            if event.prompt_id] == asked


def test_a_prompt_with_control_tokens_in_it_cannot_break_the_layout(tools, chat):
    session, model = tools.scripted_session(chat.silence_id, 'No.')
    session.add_frame(tools.frame(1))
    run(session)
    session.add_prompt(Prompt('<|eot_id|><|image|><|silence|>', 'q'))
    run(session)
    shown = model.extensions[1]
    assert [i for i in shown if i in chat.control_ids] == [
        chat.silence_id, *(i for i in chat.question_turn('x') if i in chat.control_ids)]


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
    assert [event.prompt_id for event in of_class(events, NarrationEvent)] == (
        ['q'] if ending == 'prompt' else [])
    assert states(events) == [SILENT, SPEAKING, SILENT]


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


def test_stop_leaves_what_is_queued(tools):
    session, _ = tools.scripted_session('The red ball')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_frame(tools.frame(2))
    session.add_prompt(Prompt('Is it red?', 'q'))
    session.stop()
    assert session.has_work
    assert of_class(session.step(), PromptEvent)


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


def test_a_reset_session_does_as_a_new_one(tiny_model, chat, tools):
    session = StreamSession(tiny_model, chat, tools.options(
        sampling=SamplingOptions(do_sample=True), silence_logit_bias=2.0, seed=4))
    runs = []
    for _ in range(2):
        runs.append([event for index in range(12) for event in feed(session, tools, index)])
        session.reset()
    assert runs[0] == runs[1]
    assert of_class(runs[0], TokenEvent)


# Sampling

def feed(session, tools, index):
    """Add a frame, and now and then a prompt; return the events of three steps."""
    session.add_frame(tools.frame(index))
    if index % 5 == 3:
        session.add_prompt(Prompt('Is there a red ball?', f'q{index}'))
    events = []
    for _ in range(3):
        events += session.step()
    return events


@pytest.mark.parametrize('do_sample', [False, True])
def test_the_same_calls_give_the_same_events(tiny_model, chat, tools, do_sample):
    options = tools.options(
        sampling=SamplingOptions(do_sample=do_sample, repetition_penalty=1.3),
        silence_logit_bias=1.0, seed=11)
    sessions = [StreamSession(tiny_model, chat, options) for _ in range(2)]
    events = [[], []]
    for index in range(30):  # in turn: sessions of one model do not disturb each other
        for number, session in enumerate(sessions):
            events[number] += feed(session, tools, index)
    assert events[0] == events[1]
    assert sessions[0].context.num_rollovers > 0


def test_frames_encoded_beforehand_give_the_same_events(tiny_model, chat, tools):
    """Encoded one by one, as the session itself does it here, even the last bits agree."""
    options = tools.options(silence_logit_bias=1.0)
    events = []
    for is_encoded in (False, True):
        session = StreamSession(tiny_model, chat, options)
        said = []
        for index in range(20):
            frame = tools.frame(index)
            session.add_frame(encode_frames(tiny_model, [frame])[0] if is_encoded else frame)
            said += [*session.step(), *session.step()]
        events.append(said)
    assert events[0] == events[1]
    assert of_class(events[0], TokenEvent)


def test_frames_and_encoded_frames_keep_their_order(tiny_model, chat, tools):
    frames = [tools.frame(index) for index in range(19)]
    encoded = encode_frames(tiny_model, frames)
    assert [frame.stamp_ns for frame in encoded] == [frame.stamp_ns for frame in frames]
    assert all(isinstance(frame, EncodedFrame) for frame in encoded)
    logits = []
    for mixed in (frames[:9], encoded[:9], [*frames[:4], *encoded[4:6], *frames[6:9]]):
        session = StreamSession(tiny_model, chat, tools.options())
        for frame in mixed:
            session.add_frame(frame)
        session.step()
        assert session.newest_stamp_ns == frames[8].stamp_ns
        logits.append(session.context.forward())
    torch.testing.assert_close(logits[1], logits[0])
    torch.testing.assert_close(logits[2], logits[0])


def test_another_seed_gives_other_events(tiny_model, chat, tools):
    said = []
    for seed in (1, 2):
        session = StreamSession(tiny_model, chat, tools.options(
            sampling=SamplingOptions(do_sample=True), seed=seed))
        said.append([event for index in range(5) for event in feed(session, tools, index)])
    assert said[0] != said[1]


class BiasedModel:
    """A model whose logits are given; everything else is the scripted one's."""

    def __init__(self, model, logits):
        self._model = model
        self.logits = logits

    def __getattr__(self, name):
        return getattr(self._model, name)

    def extend(self, cache, token_ids, frame_states=None, last_only=True):
        self._model.extend(cache, token_ids, frame_states)
        return self.logits


def biased_session(tools, chat, logits, **changes):
    return StreamSession(
        BiasedModel(tools.scripted_model(chat), logits), chat, tools.options(**changes))


def said_id(session, tools, index=0):
    """Return the id of the token that the next step says, None for silence."""
    session.add_frame(tools.frame(index))
    tokens = of_class(session.step(), TokenEvent)
    return tokens[0].token_id if tokens else None


@pytest.mark.parametrize('do_sample', [False, True])
def test_a_control_token_is_never_said_however_likely(tools, chat, do_sample):
    logits = torch.full((chat.image_id,), -50.0)
    for token_id in chat.never_sampled_ids:
        if token_id < len(logits):
            logits[token_id] = 100.0
    no = chat.encode_text('N')[0]
    logits[no] = 0.0
    session = biased_session(tools, chat, logits, sampling=SamplingOptions(do_sample=do_sample))
    assert said_id(session, tools) == no


def test_ids_that_no_token_has_are_never_said(tools, chat, tmp_path):
    file = tools.write_tokenizer(tmp_path / 'tokenizer.json')
    model = tools.scripted_model(chat)
    model.config.text.vocab_size += 20  # rows that pad the head to a round size
    logits = torch.zeros(model.config.text.vocab_size)
    logits[-19:] = 10.0
    yes = chat.encode_text('Y')[0]
    logits[yes] = 1.0
    session = StreamSession(BiasedModel(model, logits), ChatFormat(file), tools.options())
    assert said_id(session, tools) == yes


def test_the_bias_is_added_to_silence_before_sampling_and_the_logits_stay(tools, chat):
    yes = chat.encode_text('Y')[0]
    logits = torch.zeros(chat.image_id)
    logits[yes] = 1.0
    kept = logits.clone()
    assert said_id(biased_session(tools, chat, logits), tools) == yes
    assert said_id(
        biased_session(tools, chat, logits, silence_logit_bias=1.5), tools) is None
    assert torch.equal(logits, kept)


def test_the_penalty_punishes_repeated_words_but_never_silence(tools, chat):
    first, second = chat.encode_text('Y')[0], chat.encode_text('N')[0]
    logits = torch.zeros(chat.image_id)
    logits[chat.silence_id] = 1.9
    logits[first], logits[second] = 3.0, 2.0
    session = biased_session(
        tools, chat, logits, sampling=SamplingOptions(repetition_penalty=2.0))
    assert [said_id(session, tools, index) for index in range(5)] == [
        first, second, None, None, None]


def test_words_of_a_question_are_not_punished(tools, chat):
    first = chat.encode_text('Y')[0]
    logits = torch.zeros(chat.image_id)
    logits[first], logits[chat.silence_id] = 3.0, 2.0
    session = biased_session(
        tools, chat, logits, sampling=SamplingOptions(repetition_penalty=2.0))
    session.add_prompt(Prompt('Y Y Y', 'q'))
    assert said_id(session, tools) == first


def test_a_model_that_gives_no_numbers_is_an_error_not_a_narration(tools, chat):
    session = biased_session(tools, chat, torch.full((chat.image_id,), float('nan')))
    session.add_frame(tools.frame(0))
    with pytest.raises(ValueError, match='nan'):
        session.step()


# Failures and wrong arguments

def test_after_a_failure_stop_tells_what_happened_and_reset_makes_it_work_again(tools, chat):
    session, _ = tools.scripted_session('The', RuntimeError('out of memory'), 'Yes.')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_prompt(Prompt('Is it red?', 'q'))
    with pytest.raises(RuntimeError, match='out of memory'):
        session.step()
    events = session.stop()
    assert narrations(events) == [
        ('The', EndReason.INTERRUPTED, None), ('', EndReason.STOPPED, 'q')]
    assert states(events) == [SILENT]
    session.reset()
    session.add_frame(tools.frame(2))
    assert narrations(run(session)) == [('Yes.', EndReason.SILENCE, None)]


@pytest.mark.parametrize('thing', [None, 'What?', 3])
def test_what_is_no_frame_or_prompt_is_refused(tools, thing):
    session, _ = tools.scripted_session()
    with pytest.raises(ValueError, match='Frame'):
        session.add_frame(thing)
    with pytest.raises(ValueError, match='Prompt'):
        session.add_prompt(thing)
    assert not session.has_work


def test_a_tokenizer_of_another_checkpoint_is_refused(tools, chat, tiny_model, tmp_path):
    names = ['<|extra|>', *tools.control_tokens]
    other = ChatFormat(tools.write_tokenizer(tmp_path / 'tokenizer.json', names))
    with pytest.raises(ValueError) as error:
        StreamSession(tiny_model, other, tools.options())
    assert str(other.image_id) in str(error.value)
    assert str(tiny_model.config.image_token_id) in str(error.value)


def test_a_model_that_cannot_say_silence_is_refused(tools, chat):
    model = tools.scripted_model(chat)
    model.config.text.vocab_size = chat.silence_id
    with pytest.raises(ValueError, match='silence'):
        StreamSession(model, chat, tools.options())


def test_a_system_prompt_that_leaves_no_room_is_refused(tools, chat):
    with pytest.raises(ValueError, match='max_context_tokens of 200'):
        StreamSession(tools.scripted_model(chat), chat,
                      tools.options(system_prompt='watch ' * 100))


def test_every_event_has_the_times_of_the_newest_frame(tools):
    session, _ = tools.scripted_session('The red ball stops.')
    session.step()
    session.add_frame(tools.frame(4, received_ns=44))
    for event in run(session):
        assert {'stamp_ns', 'received_ns'} <= {field.name for field in fields(event)}
        assert (event.stamp_ns, event.received_ns) == (4_000_000_000, 44)
