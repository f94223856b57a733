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

"""What the model sees: within bounds for ever, and the same whether fed at once or bit by bit."""

from moss_ros.stream.context import StreamContext
import pytest
import torch


def make_context(tools, chat, **changes):
    model = tools.scripted_model(chat)
    return StreamContext(model, chat, tools.options(**changes)), model


def states_of(*names):
    """Frame states [k, 1, 1] of a scripted model's frames, each known by its number."""
    return torch.tensor(names, dtype=torch.float32).view(-1, 1, 1)


def opening_of(chat, question=''):
    ids = [*chat.opening('Watch and tell.'), chat.silence_id]
    return [*ids, *chat.question_turn(question), chat.silence_id] if question else ids


def fill(context, names):
    """Show frames one by one, each followed by silence; none is gone through."""
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
    context.add_frames(states_of(2))
    context.add_said(chat.encode_text('No')[0])
    context.add_silence()
    fill(context, range(3, 5))
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
    context.add_frames(states_of(6))
    context.add_said(chat.encode_text('No')[0])
    context.forward()
    assert model.caches[0].frames == [4, 5, 6]
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it old?'), chat.image_id, chat.silence_id, chat.image_id,
        chat.silence_id, *chat.question_turn('Is it red?'), chat.silence_id, chat.image_id,
        chat.encode_text('No')[0]]


def test_frames_shown_together_after_a_question_have_silence_between_them(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open()
    fill(context, range(5))
    context.forward()
    context.add_question('Is it red?')
    context.add_frames(states_of(5, 6, 7, 8))
    context.forward()
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it red?'), chat.image_id, *[chat.silence_id, chat.image_id] * 2]
    assert model.caches[0].frames == [6, 7, 8]
    for name in (10, 20):
        context.add_silence()
        context.add_frames(states_of(*range(name, name + 7)))
        context.forward()
        assert model.caches[0].ids == [
            *opening_of(chat, 'Is it red?'), chat.image_id, *[chat.silence_id, chat.image_id] * 2]


def test_questions_after_the_newest_frame_stay_there_if_they_can(tools, chat):
    word = chat.encode_text(' red')[0]
    context, model = make_context(tools, chat, keep_context_tokens=8, max_context_frames=200)
    context.open()
    while context.num_tokens < 185:
        fill(context, [0])
    context.add_frames(states_of(1))
    context.forward()
    for question in ('Is there a red ball?', 'Is it red?'):
        context.add_said(word)
        context.add_question(question)
    assert context.num_tokens > 200
    context.forward()
    assert model.caches[0].frames == [1]
    assert model.caches[0].ids == [
        *opening_of(chat), chat.image_id, word, *chat.question_turn('Is there a red ball?'),
        word, *chat.question_turn('Is it red?')]


def test_many_questions_after_the_newest_frame_leave_that_frame_and_the_latest(tools, chat):
    word = chat.encode_text(' red')[0]
    context, model = make_context(tools, chat)
    context.open()
    fill(context, range(2))
    context.add_frames(states_of(2))
    number = 0
    while context.num_rollovers < 3:
        context.forward()
        context.add_said(word)
        number += 1
        context.add_question(f'Is it {number}?')
        context.forward()
        context.add_said(word)
    assert number > 9
    assert model.caches[0].frames == [2]
    # As if it had been asked before that frame: in silence.
    assert model.caches[0].ids == [*opening_of(chat, f'Is it {number}?'), chat.image_id]
    assert context.said_ids == [word]
    context.forward()
    assert model.caches[0].ids[-2:] == [chat.image_id, word]


def test_what_is_said_after_the_latest_of_many_questions_stays_behind_it(tools, chat):
    words = chat.encode_text(' The red ball stops.')
    context, model = make_context(tools, chat, keep_context_tokens=20)
    context.open()
    fill(context, range(2))
    context.add_frames(states_of(2))
    while context.num_tokens < 185:
        context.add_said(words[0])
        context.add_question('?')
    context.add_said(words[0])
    context.add_question('Is it red?')
    context.add_said(words[0])
    for word in words[1:]:
        context.forward()
        context.add_said(word)
    context.forward()
    assert context.num_rollovers == 1
    assert model.caches[0].ids == [*opening_of(chat, 'Is it red?'), chat.image_id, *words]
    assert context.said_ids == words


def test_questions_that_pile_up_in_silence_leave_room_for_the_next_frame(tools, chat):
    context, model = make_context(tools, chat)
    context.open()
    fill(context, range(3))
    for number in range(50):
        context.add_question(f'{number} ' + 'why ' * 20)
    context.add_frames(states_of(3))
    context.forward()
    assert model.caches[0].frames == [3]
    assert model.caches[0].ids == [*opening_of(chat, '49 ' + 'why ' * 20), chat.image_id]


def test_more_frames_than_fit_keep_the_newest(tools, chat):
    context, model = make_context(tools, chat, max_context_frames=6, keep_context_frames=3)
    context.open('Is it red?')
    context.add_frames(states_of(*range(9)))
    context.forward()
    assert model.caches[0].frames == [6, 7, 8]
    assert model.caches[0].ids == [
        *opening_of(chat, 'Is it red?'), chat.image_id, *[chat.silence_id, chat.image_id] * 2]


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
        logits = context.forward()
        with torch.no_grad():
            seen = states[index + 1 - context.num_frames:index + 1]
            whole = tiny_model(torch.tensor([context.token_ids]), seen[None])[0, -1]
        torch.testing.assert_close(logits.clone(), whole, atol=1e-5, rtol=1e-4)
        if index % 3:
            context.add_said(words[index % len(words)])
        else:
            context.add_silence()
        if index % 4 == 2:  # in silence and in mid-sentence
            context.add_question('Is it red?')
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
