"""
The strings of the queue API as pieces: one string of a token queue in, what it says out.

The only place here that knows them. A string may hold several, and text between them. Called by
the interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
import re


class PieceKind(Enum):
    """What a piece of a string is."""

    TEXT = 'text'
    ROUND_START = 'round start'
    SILENCE = 'silence'
    ROUND_END = 'round end'
    ERROR = 'error'


@dataclass(frozen=True)
class Piece:
    """One thing that a string says; text is what was said, or what went wrong."""

    kind: PieceKind
    text: str = ''


_KIND_BY_STRING = {
    '<|round_start|>': PieceKind.ROUND_START,
    '<|silence|>': PieceKind.SILENCE,
    '<|round_end|>': PieceKind.ROUND_END,
    '[DONE]': PieceKind.ROUND_END,
    '[ERROR]': PieceKind.ERROR,
}
_CONTROL_STRING = re.compile('|'.join(f'({re.escape(string)})' for string in _KIND_BY_STRING))


def pieces_of(string: str) -> list[Piece]:
    """
    Return what a string says, in order; nothing for an empty one.

    What follows an error marker, up to the next control string, is the error's text. Half
    surrogates, which no message could carry, become question marks.
    """
    string = string.encode('utf-8', 'replace').decode()
    pieces = []
    begin, is_in_error = 0, False
    for match in [*_CONTROL_STRING.finditer(string), None]:
        text = string[begin:match.start() if match else len(string)]
        if is_in_error:
            pieces.append(Piece(PieceKind.ERROR, text.strip()))
        elif text:
            pieces.append(Piece(PieceKind.TEXT, text))
        if match:
            kind = _KIND_BY_STRING[match.group()]
            is_in_error = kind is PieceKind.ERROR
            if not is_in_error:
                pieces.append(Piece(kind))
            begin = match.end()
    return pieces
