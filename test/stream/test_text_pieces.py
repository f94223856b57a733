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

"""Whole characters from tokens that cut them anywhere."""

import random

from moss_ros.stream.decoding import TextPieces
import pytest
from tokenizers import decoders, models, Tokenizer

TEXTS = (
    'A red ball appears on the left.', ' The red ball stops.', 'naïve café', '你好,世界', '🙂🙃🙂',
    'a🙂b你c', '👩‍👩‍👧 e\u0301', 'مرحبا', '\n\n\t x', 'ends in �', '��� in �� it',
    '�' * 40 + '🙂' * 40 + 'é' * 40)


def pieces_of(decode, ids):
    pieces = TextPieces(decode)
    return [pieces.push(token_id) for token_id in ids]


@pytest.mark.parametrize('text', TEXTS)
def test_pieces_put_together_are_the_text(chat, text):
    pieces = pieces_of(chat.decode, [*chat.encode_text(text), *chat.encode_text('.')])
    assert ''.join(pieces) == text + '.'


@pytest.mark.parametrize('text', ['你好', '🙂', 'é🙂'])
def test_a_character_comes_when_its_last_byte_does(chat, text):
    ids = chat.encode_text(text)
    assert len(ids) == len(text.encode())  # this tokenizer has only bytes for them
    expected = []
    for character in text:
        expected += [''] * (len(character.encode()) - 1) + [character]
    assert pieces_of(chat.decode, ids) == expected


def test_words_come_one_by_one_with_their_spaces(chat):
    ids = chat.encode_text(' The red ball stops.')
    assert pieces_of(chat.decode, ids) == [chat.decode([token_id]) for token_id in ids]


def test_text_before_half_a_character_does_not_wait_for_it():
    texts = [b'ab\xe4', b'\xbd', b'\xa0c']

    def decode(ids):
        return b''.join(texts[index] for index in ids).decode('utf-8', 'replace')

    assert pieces_of(decode, [0, 1, 2]) == ['ab', '', '你c']


def test_tokens_that_all_cut_characters_lose_none():
    data = ('你好世界🙂é' * 40).encode()
    generator = random.Random(5)
    cuts = sorted({0, len(data), *(generator.randrange(len(data)) for _ in range(300))})
    parts = [data[start:end] for start, end in zip(cuts, cuts[1:])]

    def decode(ids):
        return b''.join(parts[index] for index in ids).decode('utf-8', 'replace')

    pieces = pieces_of(decode, range(len(parts)))
    assert ''.join(pieces).encode() == data
    assert not any('\ufffd' in piece for piece in pieces)


def test_half_a_character_at_the_end_has_no_text_and_is_forgotten(chat):
    pieces = TextPieces(chat.decode)
    ids = chat.encode_text('x你')
    assert [pieces.push(token_id) for token_id in ids[:-1]] == ['x', '', '']
    pieces.reset()
    assert pieces.push(ids[-1]) == ''
    assert pieces.push(ids[0]) == '\ufffdx'


def test_bytes_that_are_no_text_do_not_stop_the_stream(chat):
    # The byte 0xff, which UTF-8 never has, is written 'ÿ' in a byte-level vocabulary.
    bad = [token_id for token_id in range(256) if chat.decode([token_id]) == '\ufffd']
    pieces = TextPieces(chat.decode)
    said = [pieces.push(bad[-1]) for _ in range(100)]
    said.append(pieces.push(chat.encode_text('x')[0]))
    assert ''.join(said) == '\ufffd' * 100 + 'x'
    assert all(len(piece) <= 4 for piece in said)


def test_a_decoder_that_puts_spaces_between_words_keeps_them():
    words = ['The', 'red', 'ball', 'moves', 'up'] * 10
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words[:5])}))
    ids = [tokenizer.token_to_id(word) for word in words]
    assert ''.join(pieces_of(tokenizer.decode, ids)) == ' '.join(words)


def test_a_decoder_that_drops_the_first_space_keeps_the_others():
    words = ['▁The', '▁red', '▁ball', 's', '▁move']
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}))
    tokenizer.decoder = decoders.Metaspace()
    ids = list(range(5)) * 5
    assert ''.join(pieces_of(tokenizer.decode, ids)) == ' '.join(['The red balls move'] * 5)


def test_a_token_takes_as_long_in_a_long_narration_as_in_a_short_one(chat):
    sizes = []

    def decode(ids):
        sizes.append(len(ids))
        return chat.decode(ids)

    pieces_of(decode, chat.encode_text('The red ball stops. 你好 🙂 ' * 100))
    assert max(sizes) <= 32
    assert len(sizes) <= 2 * len(chat.encode_text('The red ball stops. 你好 🙂 ' * 100))
