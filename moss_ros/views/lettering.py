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

"""
Draws text into pictures: text in, lines of a given width and their drawing out.

The font that comes with Pillow is always there and has the letters of English; other letters are
taken from fonts of this machine that fontconfig finds. Called by the overlay's painter; one thread
at a time.
"""

from functools import lru_cache
import subprocess
import unicodedata

from PIL import ImageFont

LINE_SPACING = 1.3
_PROBE_PX = 16
_FIND_TIMEOUT_S = 2.0
_MAX_TRIED = 3
# No font has a letter for the last code point: all draw their box for what they lack.
_NO_LETTER = '\U0010ffff'


class Face:
    """A font in any size: that of a file, or Pillow's own where path is empty."""

    def __init__(self, path: str = '', index: int = 0):
        """Raise OSError for a file that is no scalable font."""
        self._path, self._index = path, index
        self._has_by_letter: dict[str, bool] = {}
        self.font = lru_cache(maxsize=8)(self._load)
        self._box = bytes(self.font(_PROBE_PX).getmask(_NO_LETTER))

    def has(self, letter: str) -> bool:
        """Return whether the font can draw this letter."""
        if letter.isspace():
            return True
        if letter not in self._has_by_letter:
            self._has_by_letter[letter] = (
                bytes(self.font(_PROBE_PX).getmask(letter)) != self._box)
        return self._has_by_letter[letter]

    def _load(self, size_px):
        if not self._path:
            return ImageFont.load_default(size_px)
        return ImageFont.truetype(self._path, size_px, self._index)


class Faces:
    """The fonts in use: Pillow's own, and those that were found for letters it lacks."""

    def __init__(self):
        self._faces = [Face()]
        self._missing: set[str] = set()

    @property
    def missing(self) -> frozenset[str]:
        """Letters that no font of this machine has; they are drawn as a box."""
        return frozenset(self._missing)

    def readable(self, text: str) -> str:
        """Return text without invisible characters; a letter that no font has becomes its like."""
        letters = []
        for letter in unicodedata.normalize('NFC', ' '.join(text.split())):
            if unicodedata.category(letter) in ('Cc', 'Cf') or '\ufe00' <= letter <= '\ufe0f':
                continue
            if self._face_of(letter) is None:
                # An e for an é is read more easily than a box.
                like = ''.join(part for part in unicodedata.normalize('NFKD', letter)
                               if not unicodedata.combining(part))
                if like and all(self._face_of(part) for part in like):
                    letters.append(like)
                    continue
                self._missing.add(letter)
            letters.append(letter)
        return ''.join(letters)

    def pieces(self, text: str) -> list[tuple[Face, str]]:
        """Return text as pieces, each with a font that has its letters; one piece if possible."""
        for face in self._faces:
            if all(face.has(letter) for letter in text):
                return [(face, text)]
        pieces = []
        for letter in text:
            face = self._face_of(letter) or self._faces[0]
            if pieces and (pieces[-1][0] is face or unicodedata.combining(letter)):
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + letter)
            else:
                pieces.append((face, letter))
        return pieces

    def _face_of(self, letter):
        for face in self._faces:
            if face.has(letter):
                return face
        if letter in self._missing:
            return None
        for path, index in font_files_with(letter):
            try:
                face = Face(path, index)
            except OSError:
                continue  # a font of pictures in one size, such as colour emoji
            if face.has(letter):
                self._faces.append(face)
                return face
        return None


class Lettering:
    """Text in one size: how wide it is, where its lines break, and its drawing."""

    def __init__(self, faces: Faces, size_px: int):
        self._faces = faces
        self._size_px = size_px
        self.line_height_px = round(LINE_SPACING * size_px)

    def width_px(self, text: str) -> float:
        """Return the width of text in one line."""
        return sum(face.font(self._size_px).getlength(piece)
                   for face, piece in self._faces.pieces(text))

    def lines(self, text: str, width_px: float) -> list[str]:
        """Break text into lines of at most width_px, within a word only where it must be."""
        lines = ['']
        for word in _words(text):
            if self.width_px(lines[-1] + word.rstrip()) <= width_px:
                lines[-1] += word
                continue
            if lines[-1]:
                lines.append('')
            for letter in word:
                if lines[-1] and self.width_px((lines[-1] + letter).rstrip()) > width_px:
                    lines.append('')
                lines[-1] += letter
        return [line.rstrip() for line in lines if line.strip()]

    def shortened(self, text: str, width_px: float) -> str:
        """Return text, or as much of its beginning as fits with an ellipsis."""
        if self.width_px(text) <= width_px:
            return text
        while text and self.width_px(text + '\u2026') > width_px:
            text = text[:-1]
        return text.rstrip() + '\u2026'

    def draw(self, drawing, left_px: float, top_px: float, text: str, colour) -> None:
        """Draw one line on a Pillow ImageDraw, its upper left corner at left_px, top_px."""
        baseline_px = top_px + round((self.line_height_px + 0.7 * self._size_px) / 2)
        for face, piece in self._faces.pieces(text):
            font = face.font(self._size_px)
            drawing.text((left_px, baseline_px), piece, fill=colour, font=font, anchor='ls')
            left_px += font.getlength(piece)


@lru_cache(maxsize=4096)
def font_files_with(letter: str) -> tuple[tuple[str, int], ...]:
    """Return a few (path, index) of fonts of this machine that have a letter, plain ones first."""
    try:
        found = subprocess.run(
            ['fc-list', '-f', '%{file}\t%{index}\t%{style}\n',
             f':scalable=true:charset={ord(letter):x}'],
            capture_output=True, text=True, errors='replace', timeout=_FIND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split('\t') for line in found.stdout.splitlines() if line.count('\t') == 2]
    # Upright sans-serif letters of normal weight are read best.
    rows.sort(key=lambda row: (
        not any(style in row[2] for style in ('Regular', 'Book', 'Medium')),
        'Mono' in row[0], 'Sans' not in row[0], row))
    return tuple((path, int(index)) for path, index, _ in rows[:_MAX_TRIED])


def _words(text):
    """Yield what a line may begin with: words with the space after them, each wide letter."""
    word = ''
    for letter in text:
        is_wide = unicodedata.east_asian_width(letter) in 'WF'
        if word and (is_wide or word[-1].isspace() and not letter.isspace()
                     or unicodedata.east_asian_width(word[-1]) in 'WF'):
            yield word
            word = ''
        word += letter
    if word:
        yield word
