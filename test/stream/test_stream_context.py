"""What the model sees: within bounds for ever, and the same whether fed at once or bit by bit."""

import random

from moss_ros.stream import (
    EndReason, ErrorEvent, NarrationEvent, Prompt, PromptEvent, StreamSession, TokenEvent,
)
from moss_ros.stream.context import StreamContext
import pytest
import torch


def make_context(tools, chat, **changes):
    model = tools.scripted_model(chat)
    return StreamContext(model, chat, tools.options(**changes)), model


def states_of(*names):
    """Frame states [k, 1, 1] of a scripted model's frames, each known by its number."""
    return torch.tensor(names, dtype=torch.float32).view(-1, 1, 1)


def opening_of(chat, question='', is_silent=True):
    return [*chat.opening('Watch and tell.', question), *([chat.silence_id] if is_silent else [])]


def fill(context, names):
    """Show frames one by one, each followed by silence; the last one is not gone through."""
    for name in names:
        context.add_frames(states_of(name))
        context.add_silence()


# Rolling over

def test_a_full_context_keeps_the_newest_frames_behind_the_opening(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open()
    fill(context, range(6))
    context.forward()
    assert context.num_rollovers == 0
    assert context.num_frames == 6
    context.add_frames(states_of(6))
    context.forward()
    assert context.num_rollovers == 1
    assert model.caches[0].frames == [4, 5, 6]
    assert model.caches[0].ids == [
        *opening_of(chat), chat.image_id, chat.silence_id, chat.image_id, chat.silence_id,
        chat.image_id]
    assert context.token_ids == model.caches[0].ids


def test_a_context_full_of_text_keeps_the_newest_tokens_from_a_frame_on(tools, chat):
    word = chat.encode_text(' red')[0]
    context, model = make_context(
        tools, chat, max_context_tokens=120, keep_context_tokens=40)
    context.open()
    name = 0
    while context.num_rollovers == 0:
        context.add_frames(states_of(name))
        name += 1
        for _ in range(9):
            context.add_said(word)
        context.forward()
    shown = model.caches[0].ids[len(opening_of(chat)):]
    assert shown == ([chat.image_id] + [word] * 9) * 4
    assert model.caches[0].frames == list(range(name - 4, name))
    assert context.said_ids == [word] * 36


def test_the_latest_forgotten_question_moves_into_the_opening(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open('Is it old?')
    fill(context, range(2))
    context.add_question('Is it red?')
    context.add_said(chat.encode_text('No')[0])
    context.add_silence()
    fill(context, range(2, 5))
    context.forward()
    assert context.num_rollovers == 0
    fill(context, range(5, 7))
    context.forward()
    assert model.caches[0].ids[:len(opening_of(chat, 'Is it red?'))] == opening_of(
        chat, 'Is it red?')
    assert chat.decode(model.caches[0].ids).count('Is it') == 1
    fill(context, range(7, 40))  # and stays there
    context.forward()
    assert model.caches[0].ids[:len(opening_of(chat, 'Is it red?'))] == opening_of(
        chat, 'Is it red?')


def test_a_question_asked_after_the_cut_stays_where_it_was_asked(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open('Is it old?')
    fill(context, range(6))
    context.add_question('Is it red?')
    context.add_said(chat.encode_text('No')[0])
    context.add_silence()
    fill(context, [6])
    context.forward()
    assert model.caches[0].frames == [4, 5, 6]
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it old?'), chat.image_id, chat.silence_id, chat.image_id,
        chat.silence_id, *chat.question_turn('Is it red?'), chat.encode_text('No')[0],
        chat.silence_id, chat.image_id, chat.silence_id]


def test_a_question_not_yet_answered_is_followed_by_frames_not_by_silence(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open()
    fill(context, range(5))
    context.forward()
    context.add_question('Is it red?')
    context.add_frames(states_of(5, 6, 7, 8))
    context.forward()
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it red?', is_silent=False), *[chat.image_id] * 3]
    assert model.caches[0].frames == [6, 7, 8]


def test_a_question_once_answered_stays_so_when_only_frames_follow(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open('Is it red?')
    fill(context, range(7))
    context.forward()
    for name in (10, 20):
        context.add_frames(states_of(*range(name, name + 7)))
        context.forward()
        assert model.caches[0].ids == [*opening_of(chat, 'Is it red?'), *[chat.image_id] * 3]


def test_a_question_after_the_newest_frame_stays_there_if_it_can(tools, chat):
    context, model = make_context(tools, chat, keep_context_tokens=8, max_context_frames=200)
    context.open()
    while context.num_tokens < 185:
        fill(context, [0])
    context.add_frames(states_of(1))
    context.forward()
    context.add_question('Is there a red ball?')
    context.add_question('Is it red?')
    assert context.num_tokens > 200
    context.forward()
    assert model.caches[0].frames == [1]
    assert model.caches[0].ids == [
        *opening_of(chat), chat.image_id, *chat.question_turn('Is there a red ball?'),
        *chat.question_turn('Is it red?')]


def test_many_questions_after_the_newest_frame_leave_that_frame_and_the_latest(tools, chat):
    word = chat.encode_text(' red')[0]
    context, model = make_context(tools, chat)
    context.open()
    fill(context, range(3))
    number = 0
    while context.num_rollovers < 3:
        number += 1
        context.add_question(f'Is it {number}?')
        context.forward()
        context.add_said(word)
        context.forward()
        context.add_silence()
    assert number > 9
    assert model.caches[0].frames == [2]
    assert chat.decode(model.caches[0].ids).startswith(
        f'system\n\nWatch and tell.user\n\nIs it {number}?assistant')
    assert f'Is it {number}?' in chat.decode(model.caches[0].ids)
    assert context.said_ids in ([word], [])


def test_what_is_said_after_the_latest_of_many_questions_stays_behind_it(tools, chat):
    words = chat.encode_text(' The red ball stops.')
    context, model = make_context(tools, chat, keep_context_tokens=20)
    context.open()
    fill(context, range(2))
    while context.num_tokens < 185:
        context.add_question('?')
    context.add_question('Is it red?')
    context.add_said(words[0])
    for word in words[1:]:
        context.forward()
        context.add_said(word)
    context.forward()
    assert context.num_rollovers == 1
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it red?', is_silent=False), chat.image_id, *words]
    assert context.said_ids == words


def test_an_opening_with_more_frames_than_fit_keeps_the_newest(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open('Is it red?')
    context.add_frames(states_of(*range(9)))
    context.forward()
    assert model.caches[0].frames == [6, 7, 8]
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it red?', is_silent=False), *[chat.image_id] * 3]


@pytest.mark.parametrize('num_words', [1, 30])  # little and much beside what is kept
def test_it_does_not_roll_over_at_every_frame(tools, chat, num_words):
    context, _ = make_context(tools, chat, system_prompt='watch ' * num_words,
                              keep_context_tokens=199, max_context_frames=200,
                              keep_context_frames=199)
    context.open()
    for name in range(400):
        context.add_frames(states_of(name))
        context.forward()
        context.add_silence()
    assert 0 < context.num_rollovers <= 100


def test_a_forward_that_failed_can_be_done_again(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open()
    fill(context, range(6))
    context.forward()
    for name in (6, 7):  # one rolls over, the other does not
        context.add_frames(states_of(name))
        model.script = [RuntimeError('out of memory')]
        with pytest.raises(RuntimeError):
            context.forward()
        context.forward()
        assert model.caches[0].ids == context.token_ids
    assert model.caches[0].frames == [4, 5, 6, 7]


# The real model

def frame_states_of(model, num_frames):
    generator = torch.Generator().manual_seed(1)
    size = model.config.vision.image_size
    with torch.no_grad():
        return model.encode_frames(torch.randn(num_frames, 3, size, size, generator=generator))


@pytest.mark.parametrize('max_context_frames', [5, 20])
def test_bit_by_bit_gives_the_logits_of_all_at_once(
        tiny_model, chat, tools, max_context_frames):
    context = StreamContext(tiny_model, chat, tools.options(
        max_context_frames=max_context_frames, keep_context_frames=3))
    states = frame_states_of(tiny_model, 12)
    words = chat.encode_text('The red ball stops.')
    context.open()
    for index, state in enumerate(states):
        context.add_frames(state[None])
        if index % 4 == 2:
            context.add_question('Is it red?')
        logits = context.forward()
        with torch.no_grad():
            seen = states[index + 1 - context.num_frames:index + 1]
            whole = tiny_model(torch.tensor([context.token_ids]), seen[None])[0, -1]
        torch.testing.assert_close(logits.clone(), whole, atol=1e-5, rtol=1e-4)
        if index % 3:
            context.add_said(words[index % len(words)])
        else:
            context.add_silence()
    assert (context.num_rollovers > 0) == (max_context_frames == 5)


def test_after_rolling_over_nothing_is_left_of_what_was_forgotten(tiny_model, chat, tools):
    states = frame_states_of(tiny_model, 4)
    assert not torch.equal(states[0], states[1])
    logits = []
    for past in (0, 1):
        context = StreamContext(tiny_model, chat, tools.options(
            max_context_frames=6, keep_context_frames=2))
        context.open()
        for state in states[[past] * 5 + [2, 3]]:
            context.add_frames(state[None])
            logits.append(context.forward().clone())
            context.add_silence()
        assert context.num_rollovers == 1
    assert not torch.equal(logits[5], logits[12])
    assert torch.equal(logits[6], logits[13])


# In the session

def run(session, max_steps=500):
    events = []
    while session.has_work:
        events += session.step()
        max_steps -= 1
        assert max_steps
    return events


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
    events = run(session)
    assert session.context.num_rollovers == 1
    assert [(event.text, event.prompt_id) for event in events
            if isinstance(event, NarrationEvent)] == [('No.', 'q')]
    assert chat.question_turn('Is it red?') == session.context.token_ids[
        -len(chat.question_turn('Is it red?')) - 3:-3]


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
        self.ended, self.refused = [], []
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


def check_what_the_model_sees(model, session, chat, narrated):
    """Check a scripted model's cache, which checks by itself that it is never overfilled."""
    cache = model.caches[0]
    assert cache.ids == session.context.token_ids[:len(cache.ids)]
    assert cache.ids[0] == chat.begin_of_text_id
    assert cache.ids.count(chat.begin_of_text_id) == 1
    assert cache.frames == model.encoded[-cache.num_frames:]
    assert narrated.latest_question.strip() in chat.decode(cache.ids)


@pytest.mark.parametrize('seed', range(12))
def test_whatever_comes_in_the_context_stays_well_formed_and_within_bounds(tools, chat, seed):
    generator = random.Random(seed)
    words = chat.encode_text(' The red ball stops. 你Yes')

    def script(_):
        return generator.choice(words) if generator.random() < 0.8 else generator.choice(
            (chat.silence_id, chat.eot_id))

    max_frames, max_tokens = generator.randrange(2, 30), generator.randrange(80, 200)
    model = tools.scripted_model(chat, script)
    session = StreamSession(model, chat, tools.options(
        max_context_frames=max_frames, keep_context_frames=generator.randrange(1, max_frames),
        max_context_tokens=max_tokens, keep_context_tokens=generator.randrange(1, max_tokens),
        max_tokens_between_frames=generator.randrange(1, 12)))
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
        if model.extensions:
            check_what_the_model_sees(model, session, chat, narrated)
    session.add_frame(tools.frame(num_frames))
    while session.has_work:
        narrated.take(session.step())
    assert session.context.num_rollovers > 3
    assert narrated.refused
    assert sorted([*filter(None, narrated.ended), *narrated.refused]) == sorted(asked)
