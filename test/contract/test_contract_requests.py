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

"""What may be asked of a channel and a session, on every engine of the contract."""

import time

from contract_streams import begin, PERIOD_NS, say, SILENCE, WAIT_S
from moss_ros.stream import (
    EndReason, NarrationEvent, PromptEvent, SessionFigures, SessionState, StateEvent,
    StreamChange, TokenEvent, WorkerState,
)
import pytest
import torch

REQUESTS = {
    'interrupt': lambda channel: channel.request_interrupt(),
    'reset': lambda channel: channel.request_reset(),
    'pause': lambda channel: channel.request_pause(True),
    'go_on': lambda channel: channel.request_pause(False),
}


# Requests

@pytest.mark.parametrize('request_name', REQUESTS)
def test_requests_are_refused_before_the_start_and_after_the_close(make_stream, request_name):
    stream = make_stream()
    make_request = REQUESTS[request_name]
    with pytest.raises(RuntimeError):
        make_request(stream.channel)
    assert stream.channel.state is WorkerState.STOPPED
    stream.worker.start()
    make_request(stream.channel).result(WAIT_S)
    assert stream.worker.close(WAIT_S)
    with pytest.raises(RuntimeError):
        make_request(stream.channel)
    assert stream.channel.state is WorkerState.STOPPED


def test_an_interrupt_ends_what_is_said_and_the_stream_goes_on(stream):
    stream = stream(begin('The red'), SILENCE, say('No.'))
    stream.show_until_it_says('The red')
    stream.interrupt()
    [(prompt_id, text, reason)] = stream.ends
    assert (prompt_id, reason) == (None, EndReason.STOPPED)
    assert text.startswith('The red')
    stream.show(2)
    assert stream.wait_ends(2)[1] == (None, 'No.', EndReason.SILENCE)
    assert stream.of(NarrationEvent)[1].narration_id == 2


def test_an_interrupt_leaves_an_open_question_open(stream):
    stream = stream(SILENCE, say('Yes.'))
    stream.show()
    stream.ask_in_silence()
    stream.interrupt()
    assert not stream.ends
    stream.show()
    assert stream.wait_ends(1) == [('q', 'Yes.', EndReason.SILENCE)]


def test_a_reset_closes_an_open_question_and_begins_anew_with_the_same_mailbox(stream):
    stream = stream(SILENCE, say('Yes.'))
    stream.show()
    stream.ask_in_silence()
    stream.channel.request_reset().result(WAIT_S)
    assert stream.ends == [('q', '', EndReason.STOPPED)]
    opening = stream.wait(StateEvent, 2)
    assert (opening.state, opening.stamp_ns) == (SessionState.SILENT, None)
    stream.show(2)
    stream.wait_ends(2)
    end = stream.of(NarrationEvent)[1]
    assert (end.narration_id, end.text, end.prompt_id, end.standing_prompt_id) == (
        1, 'Yes.', None, None)
    assert len(stream.threads) == 1


def test_a_reset_ends_what_is_said_and_what_comes_right_after_belongs_to_the_new_stream(stream):
    stream = stream(begin('The red'))
    stream.show_until_it_speaks()
    future = stream.channel.request_reset()
    stamp_ns = stream.submit()
    future.result(WAIT_S)
    assert [reason for _, _, reason in stream.ends] == [EndReason.STOPPED]
    token = stream.wait(TokenEvent, stamp_ns=stamp_ns)
    assert token.narration_id == 1


def test_a_reset_that_is_refused_holds_nothing_back(make_stream):
    stream = make_stream(say('Yes.'))
    with pytest.raises(RuntimeError):
        stream.channel.request_reset()
    stream.worker.start()
    stream.show()
    assert stream.wait_ends(1) == [(None, 'Yes.', EndReason.SILENCE)]


def test_a_pause_takes_nothing_in_and_prompts_wait(stream):
    stream = stream(begin('The red'), say('Yes.'))
    stream.show_until_it_speaks()
    assert not stream.channel.is_paused
    stream.channel.request_pause(True).result(WAIT_S)
    assert stream.channel.is_paused
    assert [reason for _, _, reason in stream.ends] == [EndReason.STOPPED]
    num_events = len(stream.events)
    stream.ask()
    stream.submit()
    stream.interrupt()  # a step or two of the worker later
    assert len(stream.events) == num_events
    assert stream.mailbox.has_prompts
    stream.channel.request_pause(False).result(WAIT_S)
    assert not stream.channel.is_paused
    stream.wait(PromptEvent, prompt_id='q')


def test_frames_that_wait_when_a_pause_begins_are_dropped(stream):
    stream = stream(begin('The', ' red'), max_tokens_per_s=0.01)
    stream.show_until_it_speaks()
    for _ in range(20):  # more than anybody takes in while the next word waits for the pace
        stream.submit()
    assert stream.mailbox.has_frames
    stream.channel.request_pause(True).result(WAIT_S)
    assert not stream.mailbox.has_frames
    stream.channel.request_pause(False).result(WAIT_S)
    stream.ask()
    stream.wait(PromptEvent, prompt_id='q')


# Pace

@pytest.mark.parametrize('pace', [-1, float('nan'), float('inf'), None, True])
def test_an_impossible_pace_is_refused(make_stream, pace):
    with pytest.raises(ValueError) as error:
        make_stream(max_tokens_per_s=pace)
    assert repr(pace) in str(error.value)


def test_speaking_keeps_the_pace(stream):
    times_s = []

    def on_event(_, event):
        if isinstance(event, TokenEvent):
            times_s.append(time.monotonic())

    stream = stream(begin('The', ' red', ' ball'), max_tokens_per_s=10.0, on_event=on_event)
    for _ in range(3):
        stream.submit()
    stream.wait(TokenEvent, 3)
    assert times_s[2] - times_s[0] > 0.17


def test_a_prompt_does_not_wait_for_the_pace(stream):
    stream = stream(begin('The'), say('Yes.'), max_tokens_per_s=0.01)
    stream.show_until_it_speaks()
    stream.ask()
    stream.wait(TokenEvent, prompt_id='q')
    assert stream.ends[0] == (None, 'The', EndReason.INTERRUPTED)


def test_frames_in_silence_do_not_wait_for_the_pace(stream):
    stream = stream(max_tokens_per_s=0.01)
    stream.show(5)


# Changes

# With what the reason has to name, one of which is enough.
BAD_CHANGES = {
    'temperature|sampling': StreamChange(sampling={'temperature': -1.0}),
    'max_tokens_between_frames': StreamChange(max_tokens_between_frames=10 ** 9),
    'answer_within_s': StreamChange(answer_within_s=-1.0),
}


@pytest.mark.parametrize('name', BAD_CHANGES)
def test_a_change_that_cannot_be_is_refused_with_the_reason_and_the_stream_goes_on(stream, name):
    stream = stream(SILENCE, say('No.'))
    stream.show()
    change = BAD_CHANGES[name]
    for refuse in (stream.session.require_change, stream.channel.require_change,
                   stream.channel.apply):
        with pytest.raises(ValueError, match=name):
            refuse(change)
    stream.show()
    assert stream.wait_ends(1) == [(None, 'No.', EndReason.SILENCE)]


def test_a_session_refuses_at_once_what_it_cannot_take(make_stream):
    stream = make_stream()
    for change in BAD_CHANGES.values():
        with pytest.raises(ValueError):
            stream.session.apply(change)
    with pytest.raises(ValueError):
        stream.channel.apply(StreamChange(max_tokens_per_s=-1))


def test_the_frame_rate_may_change_at_any_time(make_stream):
    change = StreamChange(frame_rate_fps=4.0)
    stream = make_stream(SILENCE, say('No.'))
    frame_rate_fps = stream.session.frame_rate_fps
    assert frame_rate_fps > 0
    stream.session.require_change(change)
    stream.session.apply(change)
    stream.channel.apply(change)
    stream.worker.start()
    stream.show()
    stream.channel.require_change(change)
    stream.channel.apply(change)
    stream.show()
    stream.wait_ends(1)
    assert stream.session.frame_rate_fps == frame_rate_fps  # that which it was made for


def test_a_change_of_nothing_leaves_the_pace(stream):
    stream = stream(begin('The', ' red'), max_tokens_per_s=0.01)
    stream.show_until_it_speaks()
    change = StreamChange(max_tokens_per_s=0.01)
    stream.channel.require_change(change)
    stream.channel.apply(change)
    stream.interrupt()
    assert stream.wait_ends(1) == [(None, 'The', EndReason.STOPPED)]


# What it tells

def test_figures_are_of_the_types_that_are_promised(make_stream):
    stream = make_stream(begin('The red'))

    def check():
        figures = stream.session.figures()
        assert isinstance(figures, SessionFigures)
        assert figures.device is None or isinstance(figures.device, torch.device)
        context = figures.context
        if context is not None:
            assert 0 <= context.num_tokens <= context.max_tokens
            assert 0 <= context.num_frames <= context.max_frames
        cost_s = stream.channel.encode_s_per_frame
        assert cost_s is None or cost_s > 0

    check()
    stream.worker.start()
    stream.show_until_it_speaks()
    check()  # in mid-sentence, from another thread
    assert stream.channel.mailbox is stream.mailbox
    assert stream.wait(TokenEvent).stamp_ns == PERIOD_NS
