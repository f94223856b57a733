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

"""The rule by which silence stands between frames, text and questions."""

from itertools import product

from dialogue_rule import assert_decides, assert_layout, turns
from moss_ros.stream.dialogue import DialogueLayout, Last
import pytest

SYSTEM = 'Watch and tell.'


@pytest.fixture
def layout(chat):
    return DialogueLayout(chat)


def kinds(chat, ids):
    return [kinds for _, kinds in turns(chat, ids)]


def test_a_stream_opens_with_an_empty_user_turn_and_silence(layout, chat):
    assert layout.opening(SYSTEM) == [*chat.opening(SYSTEM), chat.silence_id]
    assert kinds(chat, layout.opening(SYSTEM))[1:] == ['', 'S']


def test_a_question_at_the_start_is_a_turn_of_its_own(layout, chat):
    assert layout.opening(SYSTEM, 'Is it red?') == [
        *chat.opening(SYSTEM), chat.silence_id, *chat.question_turn('Is it red?'),
        chat.silence_id]


@pytest.mark.parametrize('last, before', [
    (Last.SILENCE, ''), (Last.TEXT, ''), (Last.FRAME, 'S'), (Last.HEADER, 'S')])
def test_a_frame_stands_behind_silence_or_text(layout, chat, last, before):
    assert layout.frame(last) == [chat.silence_id] * len(before) + [chat.image_id]


@pytest.mark.parametrize('last', [Last.SILENCE, Last.FRAME, Last.HEADER])
def test_silence_follows_a_question_asked_in_silence(layout, chat, last):
    ids, then = layout.question('Is it red?', last)
    between = [] if last is Last.SILENCE else [chat.silence_id]
    assert ids == [*between, *chat.question_turn('Is it red?'), chat.silence_id]
    assert then is Last.SILENCE


def test_nothing_follows_a_question_that_cut_a_sentence(layout, chat):
    assert layout.question('Is it red?', Last.TEXT) == (
        chat.question_turn('Is it red?'), Last.HEADER)


def test_whatever_is_put_one_behind_the_other_keeps_the_rule(layout, chat):
    for acts in product('fqts', repeat=5):
        ids, last = layout.opening(SYSTEM), Last.SILENCE
        for act in acts:
            if act in 'ts' and last is not Last.SILENCE:
                assert_decides(chat, ids)
            more, last = put(layout, chat, act, last)
            ids += more
        assert_layout(chat, ids)


def put(layout, chat, act, last):
    """f: a frame, q: a question; t and s: the model says text or nothing, where it decides."""
    if act == 'f':
        return layout.frame(last), Last.FRAME
    if act == 'q':
        return layout.question('Is it red?', last)
    if last is Last.SILENCE:
        return [], last
    return (chat.encode_text(' No')[:1], Last.TEXT) if act == 't' else (
        [chat.silence_id], Last.SILENCE)


@pytest.mark.parametrize('said', [
    'F', 'SFF', 'SFSSF', 'ST', 'SFST', 'SF|SF', 'SFS|F', 'SFS|T', 'SFT|F', '|S'])
def test_what_the_rule_forbids_is_found(chat, said):
    """The check itself: these break the rule."""
    tokens = {'S': [chat.silence_id], 'F': [chat.image_id], '|': chat.question_turn('Is it?'),
              'T': chat.encode_text(' No')[:1]}
    with pytest.raises(AssertionError):
        assert_layout(chat, [
            *chat.opening(SYSTEM), *[token_id for kind in said for token_id in tokens[kind]]])


@pytest.mark.parametrize('said', ['S', 'SFS', 'SFS|S', 'SFT|S'])
def test_the_model_does_not_decide_behind_silence(chat, said):
    tokens = {'S': [chat.silence_id], 'F': [chat.image_id], '|': chat.question_turn('Is it?'),
              'T': chat.encode_text(' No')[:1]}
    with pytest.raises(AssertionError, match='the model decides'):
        assert_decides(chat, [
            *chat.opening(SYSTEM), *[token_id for kind in said for token_id in tokens[kind]]])
