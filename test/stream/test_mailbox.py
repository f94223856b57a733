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

"""The letter box: order, bound, counts, waking, many threads at once."""

from concurrent.futures import Future
import threading
import time

from moss_ros.stream import Mailbox, Prompt
import pytest

SECOND = 1_000_000_000


def test_everything_comes_out_once_and_in_order(tools):
    mailbox = Mailbox(5)
    frames = [tools.frame(index) for index in range(3)]
    prompts = [Prompt(text, text) for text in 'ab']
    for frame in frames:
        mailbox.submit_frame(frame)
    for prompt in prompts:
        mailbox.submit_prompt(prompt)
    assert mailbox.has_frames
    assert mailbox.has_prompts
    assert mailbox.drain() == (prompts, frames)
    assert mailbox.drain() == ([], [])
    assert not mailbox.has_frames
    assert not mailbox.has_prompts
    assert mailbox.num_dropped_frames == 0


def test_a_full_one_drops_the_oldest_frame_and_counts_it(tools):
    mailbox = Mailbox(2)
    frames = [tools.frame(index) for index in range(5)]
    for frame in frames:
        mailbox.submit_frame(frame)
    assert mailbox.num_dropped_frames == 3
    assert mailbox.drain() == ([], frames[-2:])
    mailbox.submit_frame(frames[0])
    assert mailbox.num_dropped_frames == 3


def test_prompts_are_never_dropped(tools):
    mailbox = Mailbox(1)
    prompts = [Prompt('What?', str(index)) for index in range(1000)]
    for prompt in prompts:
        mailbox.submit_prompt(prompt)
        mailbox.submit_frame(tools.frame(0))
    assert mailbox.drain()[0] == prompts


@pytest.mark.parametrize('kind', ['frame', 'prompt'])
def test_what_comes_in_wakes_who_waits_on_the_shared_condition(tools, kind):
    mailbox = Mailbox(1)
    condition = threading.Condition()
    mailbox.attach(condition)
    is_waiting = threading.Event()
    came = []

    def wait():
        with condition:
            is_waiting.set()
            came.append(condition.wait_for(
                lambda: mailbox.has_frames or mailbox.has_prompts, timeout=10))

    thread = threading.Thread(target=wait)
    thread.start()
    is_waiting.wait(10)
    if kind == 'frame':
        mailbox.submit_frame(tools.frame(0))
    else:
        mailbox.submit_prompt(Prompt('What?', '1'))
    thread.join(10)
    assert came == [True]


def test_nothing_is_lost_or_doubled_among_many_threads(tools):
    mailbox = Mailbox(10_000)
    num_threads, num_each = 4, 300
    frame = tools.frame(0)
    taken_prompts, num_taken_frames = [], 0

    def submit(number):
        for index in range(num_each):
            mailbox.submit_frame(frame)
            mailbox.submit_prompt(Prompt('What?', f'{number} {index}'))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or mailbox.has_prompts:
        prompts, frames = mailbox.drain()
        taken_prompts += prompts
        num_taken_frames += len(frames)
    num_taken_frames += len(mailbox.drain()[1])
    assert num_taken_frames == num_threads * num_each
    assert len({prompt.prompt_id for prompt in taken_prompts}) == num_threads * num_each
    for number in range(num_threads):  # in the order in which each thread put them in
        mine = [prompt.prompt_id for prompt in taken_prompts
                if prompt.prompt_id.startswith(f'{number} ')]
        assert mine == [f'{number} {index}' for index in range(num_each)]


def test_how_long_something_waits_counts_from_when_it_came_or_was_last_looked_at(
        tools, monkeypatch):
    now_ns = 0
    monkeypatch.setattr(time, 'monotonic_ns', lambda: now_ns)
    mailbox = Mailbox(max_frames=2)
    assert mailbox.waiting_s == 0
    for now_ns in (1 * SECOND, 2 * SECOND, 3 * SECOND):  # the third drops the first
        mailbox.submit_frame(tools.frame(now_ns))
    assert mailbox.waiting_s == 2.0
    mailbox.drain(max_frames=1)  # one is left, so somebody looks
    assert mailbox.waiting_s == 0.0
    now_ns = 5 * SECOND
    assert mailbox.waiting_s == 2.0
    mailbox.look()
    assert mailbox.waiting_s == 0.0
    now_ns = 6 * SECOND
    assert mailbox.waiting_s == 1.0
    mailbox.drain()
    now_ns = 9 * SECOND
    assert mailbox.waiting_s == 0.0
    mailbox.submit_prompt(Prompt('Where?', 'q'))
    now_ns = 10 * SECOND
    assert mailbox.waiting_s == 1.0


def test_frames_that_are_forgotten_are_counted_and_prompts_stay(tools):
    mailbox = Mailbox(max_frames=4)
    for index in range(3):
        mailbox.submit_frame(tools.frame(index))
    mailbox.submit_prompt(Prompt('Where?', 'q'))
    mailbox.forget_frames()
    assert (mailbox.num_forgotten_frames, mailbox.num_dropped_frames) == (3, 0)
    prompts, frames = mailbox.drain()
    assert len(prompts) == 1 and not frames
    mailbox.submit_frame(tools.frame(3))
    mailbox.forget_frames(num_taken=2)  # which its taker forgets as well
    assert mailbox.num_forgotten_frames == 6


def test_prompts_that_are_forgotten_can_be_reported(tools):
    mailbox, future = Mailbox(max_frames=4), Future()
    old, new = (Prompt('Where?', prompt_id) for prompt_id in ('old', 'new'))
    mailbox.submit_prompt(old)
    mailbox.submit_frame(tools.frame(1))
    mailbox.hold_until(lambda: future)
    mailbox.submit_prompt(new)
    assert mailbox.take_forgotten_prompts() == [old]
    assert mailbox.take_forgotten_prompts() == [] and mailbox.drain() == ([], [])
    assert mailbox.num_forgotten_frames == 1
    future.set_result(None)
    assert mailbox.drain()[0] == [new]


def test_a_stream_that_ends_takes_all_prompts_also_those_of_a_reset_that_never_came(tools):
    mailbox = Mailbox(max_frames=4)
    old, new = (Prompt('Where?', prompt_id) for prompt_id in ('old', 'new'))
    mailbox.submit_prompt(old)
    mailbox.hold_until(Future)
    mailbox.submit_prompt(new)
    assert mailbox.take_prompts() == [old, new] and mailbox.take_prompts() == []


def test_where_nothing_can_begin_anew_all_goes_on_waiting(tools):
    mailbox = Mailbox(max_frames=2)
    prompts = [Prompt('Where?', f'{number}') for number in range(2)]
    for index, prompt in enumerate(prompts):
        mailbox.submit_prompt(prompt)
        mailbox.submit_frame(tools.frame(index))

    def refuse():
        raise RuntimeError('the stream has failed')

    with pytest.raises(RuntimeError):
        mailbox.hold_until(refuse)
    assert mailbox.waiting_s > 0 and mailbox.num_forgotten_frames == 0
    assert mailbox.take_forgotten_prompts() == []
    waiting, frames = mailbox.drain()
    assert waiting == prompts and len(frames) == 2


@pytest.mark.parametrize('max_frames', [0, -1, 1.5, None, True])
def test_an_impossible_bound_is_refused(max_frames):
    with pytest.raises(ValueError) as error:
        Mailbox(max_frames)
    assert repr(max_frames) in str(error.value)
