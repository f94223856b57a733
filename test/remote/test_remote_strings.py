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

"""Strings of a token queue, wherever in them the control strings are."""

from moss_ros.remote.interpreter import Piece, PieceKind, pieces_of
import pytest

SILENCE = Piece(PieceKind.SILENCE)
ROUND_START = Piece(PieceKind.ROUND_START)
ROUND_END = Piece(PieceKind.ROUND_END)


def text(string):
    return Piece(PieceKind.TEXT, string)


def error(string):
    return Piece(PieceKind.ERROR, string)


@pytest.mark.parametrize(('string', 'pieces'), [
    ('', []),
    (' ball', [text(' ball')]),
    ('<|silence|>', [SILENCE]),
    ('ball.<|silence|>', [text('ball.'), SILENCE]),
    ('<|silence|>A', [SILENCE, text('A')]),
    ('é<|silence|><|silence|> x', [text('é'), SILENCE, SILENCE, text(' x')]),
    ('cut off<|round_start|>Yes', [text('cut off'), ROUND_START, text('Yes')]),
    ('.<|round_end|>', [text('.'), ROUND_END]),
    ('[DONE]', [ROUND_END]),
    ('end.\n[DONE]\n', [text('end.\n'), ROUND_END, text('\n')]),
    ('[ERROR]', [error('')]),
    ('[ERROR] out of memory ', [error('out of memory')]),
    ('so [ERROR] no frame<|round_end|>', [text('so '), error('no frame'), ROUND_END]),
    ('[ERROR] a[ERROR] b<|silence|>c', [error('a'), error('b'), SILENCE, text('c')]),
    ('[done] <|silence> [ERROR', [text('[done] <|silence> [ERROR')]),
    ('half \ud83d', [text('half ?')]),
])
def test_control_strings_are_found_within(string, pieces):
    assert pieces_of(string) == pieces
