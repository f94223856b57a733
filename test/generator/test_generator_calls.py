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

"""Arguments of the published calls: names, paces, and failures that are told and raised."""

import math
import queue
import threading
import time

import numpy as np
import pytest

TIMEOUT_S = 30.0


@pytest.mark.parametrize('kwargs, message', [
    ({'num_beams': 3, 'foo': 1}, "unknown generation argument 'num_beams', 'foo'; known are max_"),
    ({'max_new_tokens': 0}, 'max_new_tokens is 0'),
    ({'temperature': -1.0}, r'temperature is -1\.0'),
    ({'do_sample': 'yes'}, "do_sample is 'yes'"),
    ({'top_p': 1.5}, r'top_p is 1\.5'),
    ({'max_tokens_per_turn': 0}, 'max_tokens_per_turn is 0; a number above 0'),
    ({'max_tokens_per_turn': -2.5}, r'max_tokens_per_turn is -2\.5'),
    ({'max_tokens_per_turn': math.nan}, 'max_tokens_per_turn is nan'),
    ({'max_tokens_per_turn': True}, 'max_tokens_per_turn is True'),
    ({'max_tokens_per_turn': 'fast'}, "max_tokens_per_turn is 'fast'"),
    ({'new_prompts': queue.Queue()}, 'prompt_queue or new_prompts is passed twice'),
    ({'image_queue': queue.Queue()}, 'image_queue or new_video_frames is passed twice'),
])
def test_arguments_that_can_not_be_are_refused(make_generator, scripts, kwargs, message):
    """The consumer, which may wait in another thread, is told too."""
    generator = make_generator(scripts.silent())
    tokens = queue.Queue()
    with pytest.raises(ValueError, match=message) as caught:
        generator.real_time_generate(queue.Queue(), queue.Queue(), tokens, **kwargs)
    assert tokens.get_nowait() == f'[ERROR] {caught.value}'
    assert tokens.get_nowait() == '[DONE]' and tokens.empty()


@pytest.mark.parametrize('missing', [0, 1])
def test_a_queue_that_is_missing_is_told(make_generator, scripts, missing):
    names = ['new_video_frames', 'new_prompts', 'output_text_queue']
    queues = {name: queue.Queue() for name in names}
    del queues[names[missing]]
    with pytest.raises(ValueError, match=f'or {names[missing]} is missing; pass a queue'):
        make_generator(scripts.silent()).real_time_generate(**queues)
    told = queues['output_text_queue']
    assert told.get_nowait().startswith('[ERROR] ') and told.get_nowait() == '[DONE]'


def test_without_a_token_queue_the_exception_has_to_do(make_generator, scripts):
    with pytest.raises(ValueError, match='token_queue or output_text_queue is missing'):
        make_generator(scripts.silent()).real_time_generate(queue.Queue(), queue.Queue())


def test_a_token_queue_passed_by_both_names_is_told_on_both(make_generator, scripts):
    tokens, others = queue.Queue(), queue.Queue()
    with pytest.raises(ValueError, match='token_queue or output_text_queue is passed twice'):
        make_generator(scripts.silent()).real_time_generate(
            queue.Queue(), queue.Queue(), tokens, output_text_queue=others)
    assert 'passed twice' in tokens.get_nowait() and 'passed twice' in others.get_nowait()


def test_too_many_arguments_are_told(make_generator, scripts):
    tokens = queue.Queue()
    with pytest.raises(ValueError, match='6 positional arguments'):
        make_generator(scripts.silent()).real_time_generate(
            queue.Queue(), queue.Queue(), tokens, None, 5, 'one more')
    assert '6 positional arguments' in tokens.get_nowait()


@pytest.mark.parametrize('names', [
    ('new_video_frames', 'new_prompts', 'output_text_queue'),
    ('image_queue', 'prompt_queue', 'token_queue')])
def test_the_queues_go_by_two_names(make_generator, scripts, clips, names):
    generator = make_generator(scripts.silent())
    images, tokens = queue.Queue(), queue.Queue()
    images.put(clips.grey_image())
    thread = threading.Thread(
        target=generator.real_time_generate, daemon=True,
        kwargs=dict(zip(names, (images, queue.Queue(), tokens)), processor=generator.processor,
                    max_tokens_per_turn=86400, do_sample=True))
    thread.start()
    assert tokens.get(timeout=TIMEOUT_S) == '<|silence|>'
    assert generator.stop_real_time_generate()
    thread.join(TIMEOUT_S)
    assert tokens.get_nowait() == '[DONE]'


def test_a_pace_spaces_the_tokens(make_generator, scripts, chat, live, clips):
    begin_s = []

    def say(model):
        begin_s.append(time.monotonic())
        return chat.encode_text(' red')[0] if len(begin_s) < 6 else chat.silence_id
    stream = live(make_generator(scripts.calling(say)), max_tokens_per_turn=20)
    stream.images.put(clips.grey_image())
    assert stream.until('<|silence|>') == [' red'] * 5 + ['<|silence|>']
    assert min(np.diff(begin_s)) > 0.045
    assert begin_s[-1] - begin_s[0] < 2.0


@pytest.mark.parametrize('pace', [None, 86400, 86400.0, 1e12, math.inf])
def test_a_high_pace_is_none(make_generator, scripts, live, clips, pace):
    stream = live(make_generator(scripts.saying('red ' * 40)), max_tokens_per_turn=pace)
    begin_s = time.monotonic()
    stream.images.put(clips.grey_image())
    stream.until('<|silence|>')
    assert time.monotonic() - begin_s < 5.0


def test_a_prompt_and_a_stop_do_not_wait_for_the_pace(make_generator, scripts, live, clips):
    """With one token a day nothing else would come for a day."""
    stream = live(make_generator(scripts.endless()), max_tokens_per_turn=1e-12)
    stream.images.put(clips.grey_image())
    assert stream.next() == ' red'
    stream.prompts.put('What do you see?')
    assert stream.until(' red') == ['<|round_start|>', ' red']
    assert stream.end() == ['[DONE]']


def test_sampling_that_only_the_call_asks_for(make_generator, random_model, live, clips):
    """A greedy checkpoint: with do_sample the published clients' top_k counts."""
    said = []
    for kwargs in ({}, {'do_sample': True, 'temperature': 5.0}):
        stream = live(make_generator(random_model), max_new_tokens=12, **kwargs)
        stream.images.put(clips.grey_image())
        said.append(stream.until('<|silence|>'))
        stream.end()
    assert said[0] != said[1]


def test_the_published_arguments_are_taken(make_generator, random_model, live, clips):
    stream = live(
        make_generator(random_model), max_new_tokens=4, do_sample=True, temperature=0.7, top_k=20,
        top_p=0.9, repetition_penalty=1.1)
    stream.images.put(clips.grey_image())
    assert stream.until('<|silence|>')
    assert stream.end() == ['[DONE]']


def test_a_queue_that_is_none_is_told(make_generator, scripts):
    tokens = queue.Queue()
    with pytest.raises(AttributeError):
        make_generator(scripts.silent()).real_time_generate(None, queue.Queue(), tokens)
    assert "has no attribute 'get'" in tokens.get_nowait()
    assert tokens.get_nowait() == '[DONE]'
    assert tokens.empty()
    assert not any(thread.name.endswith('-feeder') for thread in threading.enumerate())


@pytest.mark.parametrize('chunk_length', [0, -1, 2.0, True, None])
def test_a_chunk_length_that_is_none_is_refused(make_generator, scripts, chunk_length):
    generator = make_generator(scripts.saying('Yes.'))
    output = queue.Queue()
    with pytest.raises(ValueError, match='vision_chunked_length is') as caught:
        generator.offline_generate(None, queue.Queue(), output, chunk_length)
    assert output.get_nowait() == f'[ERROR] {caught.value}'
    assert output.get_nowait() == '<|round_end|>' and output.empty()


@pytest.mark.parametrize('changes, message', [
    ({'num_beams': 3, 'foo': 1}, "unknown argument 'num_beams', 'foo'; known are processor, new_"),
    ({'new_queries': None}, 'has no attribute'),
    ({'new_queries': 'left out'}, 'new_queries is missing'),
])
def test_what_fails_for_good_is_told_and_raised(make_generator, scripts, changes, message):
    output = queue.Queue()
    arguments = {'new_queries': queue.Queue(), 'output_text_queue': output, **changes}
    if changes.get('new_queries') == 'left out':
        del arguments['new_queries']
    with pytest.raises((ValueError, AttributeError), match=message):
        make_generator(scripts.silent()).offline_generate(**arguments)
    assert output.get_nowait().startswith('[ERROR] ')
    assert output.get_nowait() == '<|round_end|>' and output.empty()


def test_a_queue_that_is_full_gets_the_whole_failure(make_generator, scripts):
    """Its consumer may be slower than the failure."""
    output = queue.Queue(maxsize=1)
    raised = []

    def call():
        try:
            make_generator(scripts.silent()).offline_generate(None, None, output)
        except AttributeError as error:
            raised.append(error)
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert output.get(timeout=TIMEOUT_S).startswith('[ERROR] ')
    assert output.get(timeout=TIMEOUT_S) == '<|round_end|>'
    thread.join(TIMEOUT_S)
    assert len(raised) == 1
