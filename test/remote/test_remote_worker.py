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

"""Streams of fake models in processes of their own: good ones, and every bad one."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from fake_streams import Stream
from moss_ros.remote import RemoteError, RemoteOptions, RemoteSession
from moss_ros.stream import (
    EndReason, ErrorEvent, NarrationEvent, PromptEvent, SessionState, SilenceEvent, StateEvent,
    TokenEvent, WorkerState,
)
import numpy as np
import psutil
import pytest


def is_alive(pid):
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(is_true, timeout_s=10.0):
    end_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_code_is_not_run_unless_it_is_trusted(checkpoint):
    with pytest.raises(ValueError, match='trust_remote_code is False.*runs the Python code'):
        RemoteOptions(checkpoint('polite'))


@pytest.mark.parametrize(('name', 'value'), [
    ('frames', 'jpeg'), ('python', ''), ('silence_timeout_s', 0), ('answer_within_s', 0),
    ('max_round_tokens', 0)])
def test_bad_options_are_named(checkpoint, name, value):
    with pytest.raises(ValueError, match=name):
        RemoteOptions(checkpoint('polite'), trust_remote_code=True, **{name: value})


def test_a_folder_without_config_is_named(tmp_path):
    with pytest.raises(ValueError, match='config.json'):
        RemoteOptions(tmp_path, trust_remote_code=True)


def test_frames_are_narrated_and_a_prompt_is_answered(stream):
    stream = stream('polite', ['<|silence|>', 'A red ', 'ball.<|silence|>'])
    for number in range(1, 4):
        stream.show()
        stream.wait((SilenceEvent, TokenEvent), number)
    end, = stream.wait(NarrationEvent)
    assert (end.text, end.reason) == ('A red ball.', EndReason.SILENCE)
    assert (end.first_stamp_ns, end.stamp_ns) == (2_000_000_000, 3_000_000_000)
    assert end.received_ns > 0
    stream.ask('What now?')
    answer = stream.wait(NarrationEvent, 2)[1]
    assert (answer.text, answer.prompt_id) == ('You asked: What now?', 'p1')
    assert [event.state for event in stream.wait(StateEvent, 5)] == [
        SessionState.SILENT, *[SessionState.SPEAKING, SessionState.SILENT] * 2]
    assert stream.of(PromptEvent)[0].text == 'What now?'


@pytest.mark.parametrize(('frames', 'seconds'), [
    ('image', [None, None]), ('image_seconds', [0.0, 1.0])])
def test_frames_arrive_as_they_are_asked_for(stream, frames, seconds):
    stream = stream(
        'telling_what_it_got', frames=frames, generate_kwargs={'top_k': 5, 'do_sample': True})
    image = np.zeros((480, 640, 3), np.uint8)
    image[0, 1] = (10, 20, 30)
    # A view that is not contiguous, as cropping gives.
    for picture in (image, image[:, ::2]):
        stream.show(picture)
    tokens = [json.loads(event.text) for event in stream.wait(TokenEvent, 2)]
    assert tokens == [
        ['PIL.Image', 'RGB', [640, 480], [10, 20, 30], seconds[0],
         {'top_k': 5, 'do_sample': True}],
        ['PIL.Image', 'RGB', [320, 480], [0, 0, 0], seconds[1],
         {'top_k': 5, 'do_sample': True}]]


def test_frames_that_the_model_does_not_take_wait_and_the_oldest_are_dropped(stream):
    stream = stream('killed_by_a_prompt', max_frames=2)
    stream.show()
    stream.wait(SilenceEvent)
    os.kill(stream.pid, signal.SIGSTOP)
    for _ in range(4):
        stream.show()
        wait_until(lambda: not stream.mailbox.has_frames)
    for _ in range(6):
        stream.show()
    # Four wait in shared memory, two in the mailbox.
    assert stream.mailbox.num_dropped_frames == 4
    os.kill(stream.pid, signal.SIGCONT)
    assert stream.wait(SilenceEvent, 7)[-1].stamp_ns == 11_000_000_000
    assert len(stream.of(SilenceEvent)) == 7


def test_frames_taken_in_any_way_make_room(stream):
    stream = stream('clearing')
    for number in range(1, 13):
        stream.show()
        stream.wait(SilenceEvent, number)
    assert stream.events[-1].stamp_ns == 12_000_000_000


def test_a_frame_too_large_is_an_error_event_once(stream):
    stream = stream('polite')
    stream.wait(StateEvent)
    for _ in range(2):
        stream.show(np.broadcast_to(np.uint8(0), (5000, 5000, 3)))
    stream.show()
    stream.wait(SilenceEvent)
    error, = stream.of(ErrorEvent)
    assert '5000 x 5000' in error.message


def test_a_busy_waiting_model_is_heard(stream):
    stream = stream('busy_waiting', ['A ball.'])
    for number in range(1, 4):
        stream.show()
        stream.wait((TokenEvent, SilenceEvent), number)
    stream.ask('Where?')
    assert stream.wait(NarrationEvent, 2)[1].text == 'You asked: Where?'


@pytest.mark.parametrize(('behaviour', 'words'), [
    ('killed', ['was killed by SIGKILL', 'out of memory: no room for the next frame']),
    ('exiting', ['ended with exit status 3']),
    ('raising', ['has ended the stream', 'the cache is full']),
    ('returning', ['has ended the stream: real_time_generate returned']),
    ('talking_nonsense_to_the_parent', ['reports what is not understood']),
])
def test_a_model_that_fails_is_an_error_event_and_can_be_started_again(stream, behaviour, words):
    stream = stream(behaviour)
    for number in (1, 2):
        stream.show()
        error = stream.wait(ErrorEvent, number)[-1]
        assert all(word in error.message for word in words), error.message
        stream.wait_state(WorkerState.FAILED)
        assert stream.session.state is SessionState.SILENT
        stream.worker.start()
    if behaviour == 'killed':
        assert [end.reason for end in stream.of(NarrationEvent)] == [EndReason.STOPPED] * 2
    if behaviour == 'raising':
        assert 'in raising' in error.traceback


@pytest.mark.parametrize('behaviour', ['flooding', 'flooding_in_dribbles'])
def test_a_flood_is_held_up_and_bounded(stream, behaviour):
    stream = stream(behaviour, max_round_tokens=10 ** 6)
    stream.show()
    stream.wait(TokenEvent, 10)
    # In this order a thread that is held up in between measures too little, never too much.
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    num_before = len(stream.events)
    stream.wait(TokenEvent, num_before + 400)
    num_after = len(stream.events)
    seconds = time.monotonic() - start_s
    assert (num_after - num_before) / seconds < 450
    assert stream.session.num_waiting_reports <= 32 + 1
    assert (time.process_time() - start_cpu_s) / seconds < 0.6


def test_a_flood_of_silence_does_not_keep_a_prompt_waiting(stream):
    stream = stream('flooding_with_silence')
    stream.show()
    stream.wait(SilenceEvent, 10)
    stream.ask('Where?')
    answer, = stream.wait(NarrationEvent, timeout_s=3.0)
    assert answer.text == 'You asked: Where?'


def test_a_flood_of_output_costs_little(stream):
    stream = stream('flooding_its_output')
    stream.show()
    stream.wait(SilenceEvent)
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    time.sleep(1.0)  # nothing is awaited: this is about what happens meanwhile
    assert (time.process_time() - start_cpu_s) / (time.monotonic() - start_s) < 0.5


def test_a_round_without_end_ends_at_the_limit(stream):
    stream = stream('talking_without_end', max_round_tokens=5)
    end, = stream.wait(NarrationEvent)
    assert (end.text, end.reason) == ('1 2 3 4 5 ', EndReason.LIMIT)
    stream.ask('Where?')
    answer = stream.wait(NarrationEvent, 2)[1]
    assert answer.text == 'You asked: Where?'


def test_talking_on_after_the_limit_is_a_failure(stream):
    stream = stream('talking_without_end', max_round_tokens=5, answer_timeout_s=0.5)
    error, = stream.wait(ErrorEvent)
    assert 'talked on' in error.message
    stream.wait_state(WorkerState.FAILED)


def test_a_round_that_just_stops_ends_after_the_silence_timeout(stream):
    stream = stream('polite', ['Half a'], silence_timeout_s=0.2)
    stream.show()
    end, = stream.wait(NarrationEvent)
    assert (end.text, end.reason) == ('Half a', EndReason.SILENCE)


def test_an_error_of_the_model_is_an_event_and_the_stream_goes_on(stream):
    stream = stream('polite', ['[ERROR] frame 1 is broken', 'A ball.<|silence|>'])
    stream.show()
    error, = stream.wait(ErrorEvent)
    assert 'frame 1 is broken' in error.message
    stream.show()
    stream.wait(NarrationEvent)
    assert stream.texts == ['A ball.']
    assert stream.worker.state is WorkerState.RUNNING


def test_pacing_holds_the_model_up_but_not_a_prompt(stream):
    stream = stream('talking_without_end', max_tokens_per_s=4.0)
    start_s = time.monotonic()
    stream.wait(TokenEvent, 3)
    assert time.monotonic() - start_s > 0.4
    stream.ask('Where?')
    answer = stream.wait(NarrationEvent, 2, timeout_s=2.0)[1]
    assert answer.text == 'You asked: Where?'
    # It was not far ahead of what was said.
    assert len(stream.texts[0].split()) <= 6


def test_stop_keeps_the_model_and_start_begins_anew(stream):
    stream = stream('polite', ['A ball', ' rolls'])
    stream.show()
    stream.wait(TokenEvent)
    pid = stream.pid
    assert stream.worker.stop()
    assert stream.of(NarrationEvent)[0].reason is EndReason.STOPPED
    stream.worker.start()
    stream.show()
    token = stream.wait(TokenEvent, 2)[1]
    assert (token.text, token.narration_id) == ('A ball', 1)
    assert stream.pid == pid


def test_reset_begins_anew_and_interrupt_goes_on(stream):
    stream = stream('polite', ['A ball', ' rolls', '<|silence|>', 'away'])
    stream.show()
    stream.wait(TokenEvent)
    stream.channel.request_reset().result(5.0)
    stream.show()
    assert stream.wait(TokenEvent, 2)[1].text == 'A ball'
    stream.channel.request_interrupt().result(5.0)
    assert [end.reason for end in stream.of(NarrationEvent)] == [EndReason.STOPPED] * 2
    for _ in range(3):
        stream.show()
    assert stream.wait(TokenEvent, 3)[2].text == 'away'
    assert stream.tokens == ['A ball', 'A ball', 'away']


def test_a_pause_shows_and_asks_the_model_nothing_until_it_goes_on(stream):
    stream = stream('polite', ['A ball.<|silence|>'] * 4)
    stream.show()
    stream.wait(NarrationEvent)
    stream.channel.request_pause(True).result(5.0)
    assert stream.channel.is_paused
    stream.ask('What now?')
    stream.show()
    stream.worker.call(lambda: None).result(5.0)
    assert stream.mailbox.has_frames and stream.mailbox.has_prompts
    assert len(stream.of(NarrationEvent)) == 1
    stream.channel.request_pause(False).result(5.0)
    stream.wait(PromptEvent)
    assert 'You asked: What now?' in [
        end.text for end in stream.wait(NarrationEvent, 3)]


@pytest.mark.parametrize('behaviour', ['never_stopping', 'frozen'])
def test_a_model_that_does_not_stop_is_killed_in_time(stream, behaviour):
    stream = stream(behaviour)
    stream.show()
    stream.wait((SilenceEvent, TokenEvent))
    pid = stream.pid
    group = subprocess.run(
        ['ps', '-o', 'pid=', '-s', str(pid)], capture_output=True, text=True).stdout.split()
    assert len(group) == (2 if behaviour == 'never_stopping' else 1)
    start_s = time.monotonic()
    assert stream.worker.stop(2.0)
    assert time.monotonic() - start_s < 2.0
    wait_until(lambda: not any(is_alive(int(one)) for one in group))
    # And it can be started again, in a fresh process.
    num_events = len(stream.events)
    stream.worker.start()
    stream.show()
    stream.wait(object, num_events + 2)
    assert stream.pid != pid


def test_a_model_that_leaves_frames_is_a_failure(stream):
    stream = stream('frozen', frame_timeout_s=0.5)
    stream.show()
    stream.wait(TokenEvent)
    stream.show()
    error, = stream.wait(ErrorEvent)
    assert 'has left a frame' in error.message


def test_what_cannot_be_loaded_is_named_with_its_traceback(checkpoint):
    folder = checkpoint('not_loading')
    session = RemoteSession(RemoteOptions(folder, trust_remote_code=True))
    with pytest.raises(RemoteError, match='needs transformers 4.46') as caught:
        session.load()
    assert str(folder) in str(caught.value) and 'in load' in caught.value.details
    session.close()


def test_an_interpreter_that_is_none_is_named(checkpoint):
    session = RemoteSession(RemoteOptions(
        checkpoint('polite'), trust_remote_code=True, python='/no/such/python'))
    with pytest.raises(RemoteError, match="'/no/such/python' cannot be started"):
        session.load()
    session.close()


def test_loading_without_end_ends_at_its_limit_and_at_a_stop(checkpoint, stream):
    stream = stream('loading_without_end')
    start_s = time.monotonic()
    assert stream.worker.stop()
    assert time.monotonic() - start_s < 2.0
    session = RemoteSession(RemoteOptions(
        stream.options.checkpoint, trust_remote_code=True, load_timeout_s=1.0))
    with pytest.raises(RemoteError, match='within 1 s'):
        session.load()
    session.close()


def test_another_interpreter_is_used(stream):
    # A link to it has another name, which is enough to be another environment.
    link = Path(sys.prefix) / 'bin' / 'python3'
    stream = stream('polite', python=str(link))
    stream.show()
    stream.wait(SilenceEvent)


@pytest.mark.parametrize('behaviour', ['busy_waiting', 'frozen'])
def test_the_process_ends_with_its_parent(checkpoint, behaviour):
    folder = checkpoint(behaviour)
    reading, writing = os.pipe()
    parent_pid = os.fork()
    if parent_pid == 0:  # a copy of this process, so as not to load torch again
        try:
            stream = Stream(folder)
            stream.worker.start()
            stream.show()
            stream.wait((TokenEvent, SilenceEvent))
            os.write(writing, str(stream.pid).encode())
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    pid = int(os.read(reading, 20))
    os.close(reading)
    assert is_alive(pid)
    os.kill(parent_pid, signal.SIGKILL)
    os.waitpid(parent_pid, 0)
    wait_until(lambda: not is_alive(pid), 2.0)
