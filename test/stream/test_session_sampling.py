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

"""How a session draws its tokens, and what it does where the model or an argument is wrong."""

from dataclasses import fields

from moss_ros.model import SamplingOptions
from moss_ros.stream import (
    ChatFormat, encode_frames, EncodedFrame, EndReason, NarrationEvent, Prompt, PromptEvent,
    StreamSession, TokenEvent,
)
import pytest
from session_events import narrations, of_class, run, SILENT, states
import torch


def feed(session, tools, index):
    """Add a frame, and now and then a prompt; return the events of three steps."""
    session.add_frame(tools.frame(index))
    if index % 5 == 3:
        session.add_prompt(Prompt('Is there a red ball?', f'q{index}'))
    events = []
    for _ in range(3):
        events += session.step()
    return events


def test_a_reset_session_does_as_a_new_one(tiny_model, chat, tools):
    session = StreamSession(tiny_model, chat, tools.options(
        sampling=SamplingOptions(do_sample=True), silence_logit_bias=2.0, seed=4))
    runs = []
    for _ in range(2):
        runs.append([event for index in range(12) for event in feed(session, tools, index)])
        session.reset()
    assert runs[0] == runs[1]
    assert of_class(runs[0], TokenEvent)


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
        while session.has_work:
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

    def decode(self, caches, token_ids):
        self._model.decode(caches, token_ids)
        return self.logits.expand(len(caches), -1)

    def append(self, cache, token_ids, frame_states=None, last_only=True):
        self._model.append(cache, token_ids, frame_states)
        return self.logits if last_only else self.logits.expand(len(token_ids), -1)


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

def test_after_a_failure_end_tells_what_happened_and_reset_makes_it_work_again(tools, chat):
    session, _ = tools.scripted_session('The', RuntimeError('out of memory'), 'Yes.')
    session.add_frame(tools.frame(1))
    session.step()
    session.add_prompt(Prompt('Is it red?', 'q'))
    with pytest.raises(RuntimeError, match='out of memory'):
        session.step()
    events = session.end()
    assert narrations(events) == [
        ('The', EndReason.INTERRUPTED, None), ('', EndReason.STOPPED, 'q')]
    assert states(events) == [SILENT]
    session.reset()
    session.add_frame(tools.frame(2))
    assert narrations(run(session)) == [('Yes.', EndReason.SILENCE, None)]


@pytest.mark.parametrize('is_asked', [False, True])
@pytest.mark.parametrize('num_frames', [1, 3])
def test_a_failure_at_a_frame_in_silence_tells_of_the_question_and_leaves_no_trace(
        tools, chat, num_frames, is_asked):
    session, model = tools.scripted_session(chat.silence_id, RuntimeError('out of memory'), 'Yes.')
    session.add_frame(tools.frame(0))
    run(session)
    for index in range(num_frames):
        session.add_frame(tools.frame(index + 1))
    if is_asked:
        session.add_prompt(Prompt('Is it red?', 'q'))
    with pytest.raises(RuntimeError, match='out of memory'):
        session.step()
    events = session.end()
    assert narrations(events) == [('', EndReason.STOPPED, 'q')] * is_asked
    assert len(of_class(events, PromptEvent)) == is_asked
    assert states(events) == []
    session.reset()
    session.add_frame(tools.frame(9))
    events = run(session)
    assert narrations(events) == [('Yes.', EndReason.SILENCE, None)]
    assert of_class(events, NarrationEvent)[0].standing_prompt_id is None
    assert model.caches[0].ids[:-1] == [
        *chat.opening('Watch and tell.'), chat.silence_id, chat.image_id,
        *chat.encode_text('Yes.')][:-1]


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
