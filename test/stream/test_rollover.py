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
import json
import logging
import random

from moss_ros.stream import (
    encode_frames, Prompt, RolloverEvent, StreamSession, StreamSnapshot, TokenEvent,
)
from moss_ros.stream.context import StreamContext
from moss_ros.stream.rollover import NUM_PIECE_TOKENS, Question, RolloverRule, Transcript
import pytest
import torch

NO_QUESTION = [Question('')]
# A context that keeps enough to be read in several pieces.
SIZES = {'max_context_frames': 60, 'keep_context_frames': 36, 'max_context_tokens': 300,
         'keep_context_tokens': 200}


def encoded(model, tools, indices):
    return [encode_frames(model, [tools.frame(index)])[0] for index in indices]


def watch(session, tools, indices):
    events = []
    for index in indices:
        session.add_frame(tools.frame(index))
        while session.has_work:
            events += session.step()
    return events


# The work

def test_no_step_reads_more_than_a_piece_and_what_is_new(tools, chat):
    session, model = tools.scripted_session(**SIZES)
    watch(session, tools, range(250))
    assert session.context.num_rollovers > 5
    assert max(map(len, model.extensions[1:])) <= NUM_PIECE_TOKENS + 2
    assert {len(ids) for ids in model.pieces} == {NUM_PIECE_TOKENS}
    assert model.caches[0].ids == session.context.token_ids[:-1]
    assert len(model.caches[0].frames) == session.context.num_frames


def test_a_step_has_one_piece_at_most_for_each_token(tools, chat):
    session, model = tools.scripted_session(**SIZES)
    num_before = 0
    for index in range(120):
        watch(session, tools, [index])
        assert len(model.pieces) - num_before <= 1
        num_before = len(model.pieces)
    assert num_before > 8
    frames = encoded(model, tools, range(8))  # eight frames are eight tokens
    session.add_frame(frames[0])
    assert len(session.step_while_silent(frames[1:])) == 8
    assert len(model.pieces) - num_before <= 8


def test_a_stream_that_ends_before_has_no_second_cache(tools, chat):
    session, model = tools.scripted_session(**SIZES)
    watch(session, tools, range(25))
    assert len(model.caches) == 1
    watch(session, tools, range(25, 200))
    session.reset()
    watch(session, tools, range(200))
    assert len(model.caches) == 2  # and the memory is reused


@pytest.mark.parametrize('num_words', [0, 3])
def test_without_work_ahead_the_same_is_kept(tools, chat, num_words):
    """Silence and text, so that it is full of frames, or of tokens."""
    word = chat.encode_text(' red')[0]
    contexts = []
    for _ in range(2):
        model = tools.scripted_model(chat)
        contexts.append((StreamContext(model, chat, tools.options(**SIZES)), model))
    for name in range(300):
        for number, (context, _) in enumerate(contexts):
            if name == 0:
                context.open()
            context.add_frames(torch.full((1, 1, 1), float(name)))
            for _ in range(num_words):
                context.forward()
                context.work_ahead(number)
                context.add_said(word)
            if not num_words:
                context.forward()
                context.work_ahead(number)
                context.add_silence()
        assert contexts[0][0].token_ids == contexts[1][0].token_ids
        assert contexts[0][1].caches[0].frames == contexts[1][1].caches[0].frames
    assert contexts[1][0].num_rollovers > 3
    assert contexts[1][1].pieces and not contexts[0][1].pieces


def test_a_question_that_fills_the_context_finishes_it_at_once(tools, chat):
    session, model = tools.scripted_session(**SIZES)
    watch(session, tools, range(55))
    assert model.pieces and not session.context.num_rollovers
    session.add_prompt(Prompt('why ' * 50, 'q'))
    watch(session, tools, [55])
    assert session.context.num_rollovers == 1
    assert 'why why' in chat.decode(session.context.token_ids)
    assert model.caches[0].ids == session.context.token_ids[:-1]


def test_without_memory_for_a_second_cache_the_stream_goes_on(tools, chat, caplog):
    session, model = tools.scripted_session(**SIZES)
    other, its_model = tools.scripted_session(**SIZES)

    def no_memory(max_tokens, max_frames):
        raise RuntimeError('out of memory')

    model.new_cache = no_memory
    with caplog.at_level(logging.WARNING):
        assert watch(session, tools, range(200)) == watch(other, tools, range(200))
    [warning] = caplog.records
    assert 'out of memory' in warning.getMessage()
    assert not model.pieces
    assert session.context.token_ids == other.context.token_ids
    assert session.context.num_rollovers == other.context.num_rollovers > 3


def test_each_rollover_is_an_event_and_counted(tools, chat):
    session, model = tools.scripted_session(*['A red ball stops.'] * 9, **SIZES)
    events = watch(session, tools, range(200))
    [first, *_] = told = [event for event in events if isinstance(event, RolloverEvent)]
    assert len(told) == session.context.num_rollovers > 3
    assert session.figures().context.num_rollovers == len(told)
    at = events.index(first)
    assert events[at + 1].stamp_ns == first.stamp_ns  # that of the frame that did not fit
    session.reset()
    assert session.figures().context.num_rollovers == 0
    assert not [event for event in watch(session, tools, [0])
                if isinstance(event, RolloverEvent)]


# The real model

def speak(session, model, tools, indices, on_step=lambda index: None):
    """Frames and questions; the tiny model says something at each; events and logits of each."""
    said = []
    for index in indices:
        on_step(index)
        if index % 17 == 5:
            session.add_prompt(Prompt('Is it red?', f'q{index}'))
        session.add_frame(encoded(model, tools, [index])[0])
        while session.has_work:
            said += session.step()
    return said


def test_what_was_built_ahead_gives_the_logits_of_all_at_once(tiny_model, chat, tools):
    options = tools.options(**{**SIZES, 'max_context_tokens': 500, 'keep_context_tokens': 300})
    context = StreamContext(tiny_model, chat, options)
    states = [frame.states for frame in encoded(tiny_model, tools, range(150))]
    words = chat.encode_text('The red ball stops.')
    generator = random.Random(2)
    context.open()
    num_checked = 0
    for index, state in enumerate(states):
        context.add_frames(state[None])
        num_rollovers = context.num_rollovers
        logits = context.forward()
        context.work_ahead()
        if context.num_rollovers > num_rollovers:
            seen = torch.stack(states[index + 1 - context.num_frames:index + 1])
            with torch.no_grad():
                whole = tiny_model(torch.tensor([context.token_ids]), seen[None])[0, -1]
            torch.testing.assert_close(logits.clone(), whole, atol=1e-5, rtol=1e-4)
            num_checked += 1
        for word in words[:generator.choice((0, 0, 2))]:
            context.add_said(word)
        if context.last.value != 'text':
            context.add_silence()
        if generator.random() < 0.05:
            context.add_question('Is it red?')
    assert num_checked > 2


def test_frames_that_are_taken_back_are_taken_out_of_what_was_built(tiny_model, chat, tools):
    """Also where more was read ahead than is left."""
    states = [frame.states for frame in encoded(tiny_model, tools, range(80))]
    logits = []
    for is_eager in (False, True):
        context = StreamContext(tiny_model, chat, tools.options(**SIZES))
        context.open()
        context.add_frames([states[0]])
        context.forward()
        for index in range(1, 76, 5):
            context.add_silence()
            context.add_frames([states[index]])
            shown = context.forward_silently(states[index + 1:index + 8])
            if is_eager:
                context.work_ahead(100)
            num_back = max(0, len(shown) - 5)
            context.take_back_frames(num_back)
            if not is_eager:
                context.work_ahead(len(shown))
            logits.append(shown[:5].clone())
        assert context.num_rollovers == 1
    half = len(logits) // 2
    for late, early in zip(logits[:half], logits[half:]):
        torch.testing.assert_close(late, early, atol=1e-5, rtol=1e-4)


def test_a_snapshot_amid_the_building_goes_on_bit_for_bit(tiny_model, chat, tools):
    options = tools.options(**SIZES, silence_logit_bias=1.5)
    whole = StreamSession(tiny_model, chat, options)
    snapshots = {}
    events = speak(whole, tiny_model, tools, range(120),
                   lambda index: snapshots.update({index: whole.snapshot()}))
    assert whole.context.num_rollovers > 1
    assert any(isinstance(event, TokenEvent) for event in events)
    amid = [index for index, snapshot in snapshots.items()
            if snapshot.state['context']['num_tokens_ahead'] and index > 20]
    assert len(amid) > 8
    for index in random.Random(3).sample(amid, 3):
        restored = StreamSession(tiny_model, chat, options)
        speak(restored, tiny_model, tools, range(70))  # a past of its own
        restored.restore(StreamSnapshot(
            json.loads(json.dumps(snapshots[index].state)), snapshots[index].tensors))
        told = speak(restored, tiny_model, tools, range(index, 120))
        assert told == events[len(events) - len(told):]
        ends = [session.snapshot() for session in (whole, restored)]
        assert ends[0].state == ends[1].state
        assert all(torch.equal(tensor, ends[1].tensors[name])
                   for name, tensor in ends[0].tensors.items())


def test_a_snapshot_of_before_goes_on(tiny_model, chat, tools):
    """One without what is built ahead, as they were once."""
    session = StreamSession(tiny_model, chat, tools.options(**SIZES))
    speak(session, tiny_model, tools, range(50))
    snapshot = session.snapshot()
    del snapshot.state['context']['num_tokens_ahead']
    session.restore(snapshot)
    speak(session, tiny_model, tools, range(50, 100))
    assert session.context.num_rollovers >= 1


# The rule

@pytest.mark.parametrize('seed', range(20))
def test_once_a_cut_is_foreseen_it_stays_whatever_comes(tools, seed):
    generator = random.Random(seed)
    max_frames, max_tokens = generator.randrange(2, 60), generator.randrange(80, 400)
    rule = RolloverRule(tools.options(
        max_context_frames=max_frames, keep_context_frames=generator.randrange(1, max_frames),
        max_context_tokens=max_tokens, keep_context_tokens=generator.randrange(1, max_tokens)),
        lambda question: 20)
    transcript, cuts = Transcript(20, 0, [], NO_QUESTION), []
    positions, num_ids = [], 0
    while num_ids + 20 <= max_tokens and len(positions) <= max_frames:
        positions.append(num_ids)
        num_ids += generator.choice((2, 2, 2, 4, 15))
        transcript = Transcript(20, num_ids, list(positions), NO_QUESTION)
        cuts.append(rule.cut_ahead(transcript))
    found = [cut for cut in cuts if cut is not None]
    assert len(set(found)) <= 1
    assert cuts[len(cuts) - len(found):] == found
    assert all(cut in positions for cut in found)


def test_where_it_fills_evenly_what_was_foreseen_is_what_would_be_cut(tools):
    rule = RolloverRule(tools.options(**SIZES), lambda question: 20)
    for num_each in range(2, 20):
        num_frames = min(60, 280 // num_each)
        positions = [index * num_each for index in range(num_frames + 1)]
        full = Transcript(20, positions[-1] + 1, positions, NO_QUESTION)
        if len(positions) <= 60:
            full = Transcript(20, 281, positions, NO_QUESTION)
        cut = rule.cut_ahead(full)
        assert rule.is_good(cut, full)
        assert abs(positions.index(cut) - positions.index(rule.cut(full))) <= 1
