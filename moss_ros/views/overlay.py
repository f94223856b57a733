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
Paints the overlay: pictures with the running caption, the state and the latency.

Events and pictures go in, pictures come out. Called by the overlay's publisher and by
`make pictures`.
"""

from dataclasses import dataclass, replace

from moss_ros.stream import (
    NarrationEvent, PromptEvent, SessionState, SilenceEvent, StateEvent, TokenEvent,
)
from moss_ros.views.lettering import Faces, Lettering
import numpy as np
from PIL import Image, ImageDraw

# How long a caption stays after its end, by header stamps.
LINGER_NS = 4_000_000_000
# Smaller pictures are enlarged: no caption can be read in 64x48 px.
MIN_SIDE_PX = 240
MAX_ENLARGED_SIDE_PX = 1280
MIN_LETTER_PX = 12
# The letters' share of the picture's height, about that of subtitles on a screen.
LETTERS_IN_HEIGHT = 18
MAX_CAPTION_PART = 0.45
# A longer text is cut before it is laid out; its beginning would not fit anyway.
MAX_LETTERS = 600
# What is left of the picture's brightness behind letters, of 256: white letters on a white
# picture still have a contrast of 10.
SHADE = 64
WHITE, GREY, AMBER, GREEN = (255, 255, 255), (205, 205, 205), (255, 214, 102), (70, 225, 120)


@dataclass(frozen=True)
class Caption:
    """
    What is to be read with a frame.

    - text: of the narration that runs, or ended a moment ago (has_ended); '' for none.
    - question: the prompt that it answers; '' for none.
    - latency_ms: from a frame's arrival to the model's first decision on it; None before one.
    """

    text: str = ''
    question: str = ''
    is_speaking: bool = False
    has_ended: bool = False
    latency_ms: float | None = None


class CaptionFollower:
    """Follows the events of a stream; one thread at a time."""

    def __init__(self):
        self._begin_anew()

    def _begin_anew(self):
        self._caption = Caption()
        self._narration_id: int | None = None
        self._prompt_id: str | None = None
        self._end_stamp_ns: int | None = None
        self._decided_stamp_ns: int | None = None

    def follow(self, event, monotonic_ns: int) -> None:
        """Take in the next event; monotonic_ns is now."""
        if isinstance(event, StateEvent):
            if event.stamp_ns is None:
                self._begin_anew()
            self._change(is_speaking=event.state is SessionState.SPEAKING)
        elif isinstance(event, PromptEvent):
            self._prompt_id, self._narration_id, self._end_stamp_ns = event.prompt_id, None, None
            self._change(question=event.text, text='')
        elif isinstance(event, TokenEvent):
            self._follow_token(event)
        elif isinstance(event, NarrationEvent):
            self._end_stamp_ns = event.stamp_ns
        if isinstance(event, (TokenEvent, SilenceEvent)):
            self._follow_decision(event, monotonic_ns)

    def caption_at(self, stamp_ns: int) -> Caption:
        """Return what is to be read with the frame of this header stamp."""
        if self._end_stamp_ns is None:
            return self._caption
        if stamp_ns - self._end_stamp_ns > LINGER_NS:
            return replace(self._caption, text='', question='')
        return replace(self._caption, has_ended=True)

    def _follow_token(self, event):
        if event.narration_id != self._narration_id:
            self._narration_id, self._end_stamp_ns = event.narration_id, None
            is_answer = event.prompt_id is not None and event.prompt_id == self._prompt_id
            self._change(text='', question=self._caption.question if is_answer else '')
        self._change(text=self._caption.text + event.text)

    def _follow_decision(self, event, monotonic_ns):
        # Only the first decision after a frame counts: the later words of a sentence take longer.
        latency_ms = event.frame_latency_ms(monotonic_ns)
        if latency_ms is not None and event.stamp_ns != self._decided_stamp_ns:
            self._decided_stamp_ns = event.stamp_ns
            self._change(latency_ms=latency_ms)

    def _change(self, **fields):
        self._caption = replace(self._caption, **fields)


class OverlayPainter:
    """Paints captions into pictures of any size; one thread at a time."""

    def __init__(self):
        self._faces = Faces()

    @property
    def missing_letters(self) -> frozenset[str]:
        """Letters met so far that no font of this machine has."""
        return self._faces.missing

    def paint(self, picture: np.ndarray, caption: Caption) -> np.ndarray:
        """
        Return a copy of picture u8 [H, W, 3] RGB with the caption in it, u8 [H, W, 3].

        A picture with a side below MIN_SIDE_PX is enlarged by a whole number. If it is still too
        narrow for letters, only the mark of the state is drawn.
        """
        painted = _enlarged(picture)
        height_px, width_px = painted.shape[:2]
        letter_px = max(MIN_LETTER_PX, round(min(height_px, 0.75 * width_px) / LETTERS_IN_HEIGHT))
        lettering = Lettering(self._faces, letter_px)
        status_height_px = self._paint_status(painted, caption, lettering, letter_px)
        self._paint_caption(painted, caption, lettering, letter_px, height_px - status_height_px)
        return painted

    def _paint_status(self, painted, caption, lettering, letter_px):
        """Paint mark, state and latency in the upper left corner; return the height in px."""
        picture_height_px, picture_width_px = painted.shape[:2]
        pad_px = letter_px // 2
        state = 'speaking' if caption.is_speaking else 'silent'
        words = [state] if caption.latency_ms is None else [
            f'{state}   {latency_text(caption.latency_ms)}', state]
        mark_width_px = pad_px + letter_px
        height_px = lettering.line_height_px + pad_px
        # The longest text that fits; the mark alone where none does.
        text, width_px = '', mark_width_px + pad_px
        for words_text in words:
            text_width_px = mark_width_px + 2 * pad_px + round(lettering.width_px(words_text))
            if text_width_px <= picture_width_px and height_px <= picture_height_px:
                text, width_px = words_text, text_width_px
                break
        width_px, height_px = min(width_px, picture_width_px), min(height_px, picture_height_px)

        def write(drawing):
            radius_px = min(letter_px / 2, height_px / 2, width_px / 2) - 1
            x_px, y_px = min(pad_px + letter_px / 2, width_px / 2), height_px / 2
            if radius_px >= 1:
                circle = (x_px - radius_px, y_px - radius_px, x_px + radius_px, y_px + radius_px)
                if caption.is_speaking:
                    drawing.ellipse(circle, fill=GREEN)
                else:
                    drawing.ellipse(circle, outline=GREY, width=max(1, letter_px // 7))
            lettering.draw(
                drawing, mark_width_px + pad_px, (height_px - lettering.line_height_px) // 2,
                text, WHITE)

        _write_box(painted, 0, 0, width_px, height_px, write)
        return height_px

    def _paint_caption(self, painted, caption, lettering, letter_px, free_height_px):
        """Paint question and text at the lower end, the newest words in any case."""
        height_px, width_px = painted.shape[:2]
        pad_px = letter_px // 2
        room_px = min(free_height_px, MAX_CAPTION_PART * height_px) - 2 * pad_px
        num_lines = int(room_px // lettering.line_height_px)
        text_width_px = width_px - 2 * pad_px
        if num_lines < 1 or text_width_px < 4 * letter_px:
            return
        question, text = (
            self._faces.readable(part) for part in
            (caption.question[:MAX_LETTERS], caption.text[-MAX_LETTERS:]))
        lines = []
        if question and (num_lines > 1 or not text):
            lines.append((lettering.shortened(f'> {question}', text_width_px), AMBER))
        colour = GREY if caption.has_ended else WHITE
        lines += [(line, colour) for line in _last_lines(
            lettering, text, text_width_px, num_lines - len(lines),
            len(caption.text) > MAX_LETTERS)]
        if not lines:
            return
        box_height_px = len(lines) * lettering.line_height_px + pad_px

        def write(drawing):
            for row, (line, line_colour) in enumerate(lines):
                lettering.draw(
                    drawing, pad_px, pad_px // 2 + row * lettering.line_height_px, line,
                    line_colour)

        _write_box(painted, 0, height_px - box_height_px, width_px, box_height_px, write)


def latency_text(latency_ms: float) -> str:
    """Return a latency for people: '84 ms', '2.3 s'."""
    return f'{latency_ms:.0f} ms' if latency_ms < 1000 else f'{latency_ms / 1000:.1f} s'


def _last_lines(lettering, text, width_px, num_lines, is_cut):
    """Return the last lines of text; an ellipsis begins them where something is left out."""
    lines = lettering.lines(text, width_px)
    if len(lines) <= num_lines and not is_cut:
        return lines
    lines = lines[-num_lines:] if num_lines else []
    if lines:
        first = lines[0]
        while first and lettering.width_px('\u2026' + first) > width_px:
            first = first[1:]
        lines[0] = '\u2026' + first
    return lines


def _enlarged(picture):
    """Return a copy of picture, each pixel repeated where it is too small for letters."""
    height_px, width_px = picture.shape[:2]
    factor = min(-(-MIN_SIDE_PX // min(height_px, width_px)),
                 MAX_ENLARGED_SIDE_PX // max(height_px, width_px))
    if factor <= 1:
        return np.array(picture, order='C')
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _write_box(painted, left_px, top_px, width_px, height_px, write):
    """Darken a box of painted and call write with a Pillow ImageDraw that is limited to it."""
    box = painted[top_px:top_px + height_px, left_px:left_px + width_px]
    shaded = Image.fromarray((box.astype(np.uint16) * SHADE >> 8).astype(np.uint8))
    write(ImageDraw.Draw(shaded))
    box[:] = np.asarray(shaded)
