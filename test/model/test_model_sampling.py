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

"""Choice of a token: greedy and drawn, filtered, punished and exempt."""

from collections import Counter
import json
import math

from moss_ros.model import CheckpointError, sample_token, SamplingOptions
import pytest
import torch

LOGITS = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])


def draw(num, logits=LOGITS, seed=0, previous_ids=(), exempt_ids=(), **options):
    generator = torch.Generator().manual_seed(seed)
    options = SamplingOptions(do_sample=True, **options)
    return [sample_token(logits, options, previous_ids, exempt_ids, generator)
            for _ in range(num)]


def test_the_default_is_greedy():
    assert sample_token(LOGITS, SamplingOptions()) == 1


def test_greedy_ignores_temperature_top_k_top_p_and_the_generator():
    options = SamplingOptions(temperature=9.0, top_k=2, top_p=0.1)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert sample_token(LOGITS, options, generator=generator) == 1
    assert torch.equal(generator.get_state(), before)


def test_a_seed_gives_one_sequence():
    assert draw(50, seed=1) == draw(50, seed=1)
    assert draw(50, seed=1) != draw(50, seed=2)


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2.0])
def test_drawn_as_often_as_the_softmax_says(temperature):
    num = 4000
    counts = Counter(draw(num, temperature=temperature))
    probabilities = (LOGITS / temperature).softmax(0).tolist()
    for token_id, probability in enumerate(probabilities):
        spread = math.sqrt(probability * (1 - probability) / num)
        assert abs(counts[token_id] / num - probability) < 5 * spread


def test_top_k_keeps_the_k_largest():
    assert set(draw(500, top_k=2, temperature=5.0)) == {1, 3}
    assert set(draw(500, top_k=1, temperature=5.0)) == {1}
    assert set(draw(500, top_k=99, temperature=5.0)) == {0, 1, 2, 3, 4}


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    assert set(draw(500, logits, top_p=0.4)) == {1}
    assert set(draw(500, logits, top_p=0.6)) == {1, 3}
    assert set(draw(500, logits, top_p=0.8)) == {1, 3, 2}
    assert set(draw(500, logits, top_p=1.0)) == {0, 1, 2, 3}
    assert set(draw(500, logits, top_p=1e-6)) == {1}


def test_top_p_weighs_what_top_k_left():
    # Of 0.5 and 0.25 alone, the first has two thirds.
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    assert set(draw(500, logits, top_k=2, top_p=0.6)) == {1}


def test_what_is_kept_has_its_odds():
    num = 4000
    counts = Counter(draw(num, torch.tensor([0.1, 0.5, 0.15, 0.25]).log(), top_p=0.7))
    assert abs(counts[1] / num - 2 / 3) < 0.04


def test_the_penalty_divides_positive_and_multiplies_negative_logits_once():
    options = SamplingOptions(repetition_penalty=2.0)
    assert sample_token(LOGITS, options, [1]) == 3  # 3 / 2 < 2
    assert sample_token(LOGITS, options, [1, 3, 1, 1]) == 1  # 3 / 2 against 2 / 2, once each
    negative = torch.tensor([-1.0, -1.5, -3.0])
    assert sample_token(negative, options, [0]) == 1  # -1 * 2 < -1.5
    assert sample_token(negative, options, {0, 1}) == 0


def test_exempt_ids_and_ids_outside_the_logits_are_spared():
    options = SamplingOptions(repetition_penalty=2.0)
    assert sample_token(LOGITS, options, [1], exempt_ids=frozenset({1})) == 1
    assert sample_token(LOGITS, options, [5, 99], exempt_ids={1}) == 1


def test_the_penalty_comes_before_drawing():
    assert set(draw(500, top_k=1, previous_ids=[1], repetition_penalty=2.0)) == {3}


def test_the_logits_stay_as_they_are():
    logits = LOGITS.clone()
    sample_token(logits, SamplingOptions(repetition_penalty=2.0), [1])
    draw(3, logits, top_k=2, top_p=0.5, temperature=0.5, previous_ids=[1],
         repetition_penalty=2.0)
    assert torch.equal(logits, LOGITS)


def test_suppressed_tokens_are_never_drawn():
    logits = torch.tensor([-math.inf, 1.0, -math.inf, 1.0])
    for options in ({}, {'top_k': 3}, {'top_p': 0.99}):
        assert set(draw(200, logits, temperature=50.0, **options)) == {1, 3}


def test_half_precision_logits():
    assert sample_token(LOGITS.to(torch.bfloat16), SamplingOptions()) == 1
    assert draw(20, LOGITS.to(torch.bfloat16)) == draw(20)


@pytest.mark.parametrize('do_sample', [False, True])
@pytest.mark.parametrize('logits, value', [
    (torch.tensor([0.0, math.nan]), 'nan'), (torch.tensor([-math.inf, -math.inf]), '-inf')])
def test_broken_logits_are_an_error(do_sample, logits, value):
    for options in ({}, {'top_k': 1}, {'top_p': 0.5}):
        with pytest.raises(ValueError, match=f'largest logit is {value}'):
            sample_token(logits, SamplingOptions(do_sample=do_sample, **options))


@pytest.mark.parametrize('field, value', [
    ('do_sample', 1), ('do_sample', 'yes'), ('temperature', 0), ('temperature', -1.0),
    ('temperature', math.nan), ('temperature', math.inf), ('temperature', '1'), ('top_k', -1),
    ('top_k', 2.0), ('top_k', True), ('top_p', 0.0), ('top_p', 1.1), ('top_p', None),
    ('repetition_penalty', 0), ('repetition_penalty', math.inf), ('repetition_penalty', True)])
def test_impossible_options_are_refused_with_their_value(field, value):
    with pytest.raises(ValueError) as caught:
        SamplingOptions(**{field: value})
    assert str(caught.value).startswith(f'{field} is {value!r}; ')


def read_generation_config(folder, text):
    (folder / 'generation_config.json').write_text(
        text if isinstance(text, str) else json.dumps(text))
    return SamplingOptions.from_folder(folder)


def test_a_checkpoint_that_asks_for_nothing_is_sampled(tmp_path):
    assert SamplingOptions.from_folder(tmp_path) == SamplingOptions(True, top_k=50)


@pytest.mark.parametrize('values, expected', [
    ({'do_sample': True, 'temperature': 0.6, 'top_p': 0.9, 'eos_token_id': [1, 2]},
     SamplingOptions(True, 0.6, 50, 0.9)),
    ({'do_sample': True, 'top_k': 20, 'repetition_penalty': 1.05},
     SamplingOptions(True, top_k=20, repetition_penalty=1.05)),
    ({'do_sample': True, 'top_k': 0}, SamplingOptions(True, top_k=0)),
    ({'do_sample': True, 'top_k': None, 'top_p': None, 'temperature': None},
     SamplingOptions(True)),
    ({'temperature': 0.6}, SamplingOptions(True, 0.6, 50)),
    ({'do_sample': None}, SamplingOptions(True, top_k=50)),
    ({'do_sample': False}, SamplingOptions(top_k=50)),
    ({'do_sample': False, 'temperature': 0.0}, SamplingOptions(top_k=50)),
    ({'temperature': 0}, SamplingOptions(top_k=50)),
    ({}, SamplingOptions(True, top_k=50)),
])
def test_a_checkpoints_sampling_is_read_as_transformers_reads_it(tmp_path, values, expected):
    assert read_generation_config(tmp_path, values) == expected


@pytest.mark.parametrize('values, message', [
    ({'do_sample': True, 'temperature': 0.0}, 'temperature is 0.0; a number above 0 is needed'),
    ({'do_sample': True, 'top_p': 1.5}, 'top_p is 1.5; it is a probability'),
    ({'do_sample': 1}, 'do_sample is 1; true or false'),
    ({'top_k': '50'}, "top_k is '50'; a whole number"),
    ([], 'holds a list, not a JSON object'), ('{', 'Expecting property name')])
def test_a_checkpoints_impossible_sampling_is_named_with_its_file(tmp_path, values, message):
    with pytest.raises(CheckpointError, match=f'generation_config.json:? {message}'):
        read_generation_config(tmp_path, values)
