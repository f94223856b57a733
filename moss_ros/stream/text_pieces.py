"""
Token ids of one narration in, pieces of text made of whole characters out.

Decodes with the function it is given, and only ever a few ids at a time, however long the
narration. tokenizers' DecodeStream is no substitute: while bytes are no UTF-8 it gives no text,
and decodes all of them again for each id. Used by the session and the generator.
"""

from __future__ import annotations

from collections.abc import Callable

_REPLACEMENT = '\ufffd'
# What stands at the end of a decoded text may be a character of which bytes are missing. One of
# UTF-8 has four bytes at most, so at most three stand there for it, and a fourth id completes it.
_MAX_HELD_CHARACTERS = 3
# Three characters of U+FFFD itself, which cannot be told from those, are nine bytes.
_MIN_WINDOW_IDS = 12
_MAX_WINDOW_IDS = 24


class TextPieces:
    """
    Incremental decoding: push(id) gives the text that this id completes, '' if none.

    The last bytes of a narration that never became a character have no text. Bytes that are no
    UTF-8 come out as U+FFFD once that is certain. One thread at a time.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        """Use decode, which turns a list of ids into text with U+FFFD for what is no UTF-8."""
        self._decode = decode
        self.reset()

    def reset(self) -> None:
        """Begin a new narration; bytes held back are forgotten."""
        # The newest ids are decoded together, since a character may need several of them, and
        # some tokenizers write a space between two words but none before the first.
        self._window_ids: list[int] = []
        self._num_characters_out = 0  # of the window's text

    def snapshot(self) -> dict:
        """Return all that push() depends on, as plain numbers for JSON."""
        return {'window_ids': list(self._window_ids), 'num_out': self._num_characters_out}

    def restore(self, snapshot: dict) -> None:
        """Go on as the one whose snapshot() this is."""
        self._window_ids = list(snapshot['window_ids'])
        self._num_characters_out = snapshot['num_out']

    def push(self, token_id: int) -> str:
        """Return the text that token_id completes, made of whole characters."""
        self._window_ids.append(token_id)
        text = self._decode(self._window_ids)
        end = _end_of_whole_characters(text)
        piece = text[self._num_characters_out:end]
        self._num_characters_out = max(self._num_characters_out, end)
        if len(self._window_ids) > _MAX_WINDOW_IDS:
            num_held = len(text) - self._num_characters_out
            self._window_ids = self._window_ids[-_MIN_WINDOW_IDS:]
            self._num_characters_out = len(self._decode(self._window_ids)) - num_held
        return piece


def _end_of_whole_characters(text):
    end = len(text)
    while end > 0 and len(text) - end < _MAX_HELD_CHARACTERS and text[end - 1] == _REPLACEMENT:
        end -= 1
    return end
