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

"""The choice of a token: what is never chosen, and what silence's bias and the penalty do."""

from moss_ros.model import SamplingOptions
from moss_ros.stream.decoding import TokenChooser
import pytest
import torch

GREEDY = SamplingOptions()


@pytest.fixture
def num_ids(chat):
    return chat.num_ids + 3


@pytest.fixture
def chooser(chat, num_ids):
    return TokenChooser(chat, num_ids, torch.device('cpu'))


def choose(chooser, logits, sampling=GREEDY, said_ids=(), **options):
    return chooser.choose(logits, sampling, said_ids, torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize('do_sample', [False, True])
def test_what_must_not_be_said_is_not_chosen_and_logits_stay(chat, chooser, num_ids, do_sample):
    logits = torch.zeros(num_ids)
    logits[[*chat.never_sampled_ids, num_ids - 1]] = 100.0
    logits[7] = 50.0
    before = logits.clone()
    assert choose(chooser, logits, SamplingOptions(do_sample=do_sample),
                  silence_logit_bias=3.0) == 7
    assert torch.equal(logits, before)


def test_the_bias_is_that_of_silence(chat, chooser, num_ids):
    logits = torch.zeros(num_ids)
    logits[7] = 1.0
    assert choose(chooser, logits) == 7
    assert choose(chooser, logits, silence_logit_bias=1.5) == chat.silence_id


def test_the_penalty_spares_control_tokens(chat, chooser, num_ids):
    logits = torch.zeros(num_ids)
    logits[7], logits[chat.silence_id] = 3.0, 2.0
    said_ids = [7, chat.silence_id]
    assert choose(chooser, logits, SamplingOptions(repetition_penalty=2.0), said_ids) \
        == chat.silence_id
