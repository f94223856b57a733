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

"""Captions painted into pictures of any size, and the letters they are made of."""

from moss_ros.stream import (
    EndReason, NarrationEvent, PromptEvent, SessionState, SilenceEvent, StateEvent, TokenEvent,
)
from moss_ros.views import lettering
from moss_ros.views.lettering import Faces, Lettering
from moss_ros.views.overlay import (
    Caption, CaptionFollower, LINGER_NS, MIN_SIDE_PX, OverlayPainter, SHADE,
)
import numpy as np
from PIL import Image, ImageDraw
import pytest

SENTENCE = 'The green box moves right.'
LONG = ' '.join(f'Sentence {number} tells of something.' for number in range(60))
SIZES_PX = ((64, 48), (48, 64), (160, 120), (320, 240), (640, 480), (480, 640), (1280, 720),
            (1920, 1080), (3840, 2160), (2000, 240))
TINY_SIZES_PX = ((1, 1), (3, 700), (700, 3), (2000, 12), (12, 2000))
S_NS = 10 ** 9


def flat(width_px, height_px, grey=255):
    return np.full((height_px, width_px, 3), grey, np.uint8)


def caption_rows(painted):
    """Return the rows of the caption's box in an overlay on a white picture."""
    is_shaded = (painted[:, -1] < 255).any(axis=-1)
    return np.flatnonzero(is_shaded)


def is_letter(part):
    """Return where a part of an overlay on white is brighter than its shade by far."""
    return (part > 2 * SHADE).all(axis=-1)


@pytest.mark.parametrize(('width_px', 'height_px'), SIZES_PX)
@pytest.mark.parametrize('text', [SENTENCE, LONG, 'W' * 300], ids=['short', 'long', 'one word'])
def test_the_caption_stays_inside_and_is_readable(width_px, height_px, text):
    picture = flat(width_px, height_px)
    painted = OverlayPainter().paint(picture, Caption(text=text, is_speaking=True))
    # A whole number of pixels for each.
    assert painted.shape[0] % height_px == painted.shape[1] % width_px == 0
    assert min(painted.shape[:2]) >= MIN_SIDE_PX
    rows = caption_rows(painted)
    assert rows[-1] == painted.shape[0] - 1
    # At most half of the picture is given to it, and letters have a height.
    assert painted.shape[0] / 25 < len(rows) < painted.shape[0] / 2
    box = is_letter(painted[rows])
    assert box.any()
    margin_px = 3
    assert not box[:1].any() and not box[-1:].any()
    assert not box[:, :margin_px].any() and not box[:, -margin_px:].any()
    # Behind the letters it is dark, on a white picture too: a contrast above 7 (WCAG AAA).
    assert np.median(painted[rows]) <= SHADE
    between = painted[:rows[0]][painted.shape[0] // 4:]
    assert (between == 255).all()
    assert (picture == 255).all(), 'the picture was changed'


@pytest.mark.parametrize(('width_px', 'height_px'), [*SIZES_PX, *TINY_SIZES_PX])
def test_the_mark_differs_by_state(width_px, height_px):
    painter = OverlayPainter()
    silent, speaking = (
        painter.paint(flat(width_px, height_px), Caption(text=SENTENCE, is_speaking=is_speaking))
        for is_speaking in (False, True))
    assert silent.shape == speaking.shape
    assert silent.dtype == np.uint8
    if min(width_px, height_px) >= 12 or min(silent.shape[:2]) >= 12:
        corner = (slice(0, silent.shape[0] // 4 + 12), slice(0, silent.shape[1] // 2 + 12))
        assert (silent[corner] != speaking[corner]).any()
        is_green = (speaking[..., 1].astype(int) - speaking[..., 0]) > 100
        assert is_green[corner].any()
        assert not ((silent[..., 1].astype(int) - silent[..., 0]) > 100).any()


def test_without_words_only_the_state_is_painted():
    painted = OverlayPainter().paint(flat(320, 240), Caption())
    assert (painted[60:] == 255).all()
    assert (painted[:20, :20] < 255).any()


def test_latency_and_question_are_shown():
    painter = OverlayPainter()
    base, with_latency, with_question = (
        painter.paint(flat(640, 480), caption) for caption in (
            Caption(text=SENTENCE), Caption(text=SENTENCE, latency_ms=84.0),
            Caption(text=SENTENCE, question='What do you see?')))
    assert (base[:80] != with_latency[:80]).any()
    assert (base[80:] == with_latency[80:]).all()
    assert len(caption_rows(with_question)) > len(caption_rows(base))


def test_a_long_narration_shows_its_newest_words():
    painter = OverlayPainter()
    shown = [painter.paint(flat(320, 240), Caption(text=text, is_speaking=True))
             for text in (LONG, LONG + ' The', 'Before all that. ' + LONG)]
    assert (shown[0] != shown[1]).any()
    assert (shown[0] == shown[2]).all()


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.setattr(lettering, 'font_files_with', lambda letter: ())


def test_letters_that_no_font_has(no_fonts):
    faces = Faces()
    assert faces.readable('Die  Tür\nist\tzu\u200b.') == 'Die Tur ist zu.'
    assert faces.missing == frozenset()
    assert faces.readable('a \u4e16 ?') == 'a \u4e16 ?'
    assert faces.missing == {'\u4e16'}
    # A box, unlike any question mark.
    drawn = []
    for letter in '\u4e16? ':
        image = Image.new('L', (40, 40))
        Lettering(faces, 24).draw(ImageDraw.Draw(image), 4, 0, letter, 255)
        drawn.append(bytes(image.tobytes()))
    assert len(set(drawn)) == 3


def test_letters_of_another_font():
    if not lettering.font_files_with('Ж'):
        pytest.skip('no font with Cyrillic letters is installed')
    faces = Faces()
    assert faces.readable('Жук é') == 'Жук é'
    assert faces.missing == frozenset()
    assert len(faces.pieces('Жук box')) == 1


def test_fontconfig_may_be_missing(monkeypatch):
    lettering.font_files_with.cache_clear()
    monkeypatch.setenv('PATH', '')
    assert lettering.font_files_with('\u4e17') == ()
    lettering.font_files_with.cache_clear()


@pytest.mark.parametrize(('text', 'width_px'), [
    (LONG, 200), ('W' * 50, 100), ('\u4e16\u754c' * 40, 150), ('a b c', 8), ('word', 1)])
def test_lines_fit_and_lose_nothing(no_fonts, text, width_px):
    letters = Lettering(Faces(), 16)
    lines = letters.lines(text, width_px)
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
    for line in lines:
        assert letters.width_px(line) <= width_px or len(line) == 1


def test_words_are_kept_whole_where_they_fit(no_fonts):
    lines = Lettering(Faces(), 16).lines(LONG, 200)
    assert ' '.join(lines) == LONG


class Followed:
    """A CaptionFollower and the events that it is told, at one frame a second."""

    def __init__(self):
        self.follower = CaptionFollower()
        self.tell(StateEvent, None, state=SessionState.SILENT)

    def tell(self, event_class, second, delay_ms=0, **fields):
        stamp_ns = None if second is None else second * S_NS
        self.follower.follow(
            event_class(stamp_ns=stamp_ns, received_ns=stamp_ns, **fields),
            (stamp_ns or 0) + delay_ms * 10 ** 6)

    def at(self, second):
        return self.follower.caption_at(second * S_NS)

    def token(self, second, text, narration_id=1, prompt_id=None, delay_ms=0):
        self.tell(TokenEvent, second, delay_ms, text=text, token_id=1,
                  narration_id=narration_id, prompt_id=prompt_id)

    def end(self, second, text, narration_id=1, prompt_id=None, reason=EndReason.SILENCE):
        self.tell(NarrationEvent, second, text=text, narration_id=narration_id,
                  first_stamp_ns=0, reason=reason, prompt_id=prompt_id)


def test_a_narration_runs_ends_and_goes():
    followed = Followed()
    followed.tell(StateEvent, 1, state=SessionState.SPEAKING)
    followed.token(1, 'A red', delay_ms=80)
    followed.token(1, ' ball.', delay_ms=200)
    assert followed.at(1) == Caption('A red ball.', is_speaking=True, latency_ms=80.0)
    followed.end(2, 'A red ball.')
    followed.tell(SilenceEvent, 2, delay_ms=50)
    followed.tell(StateEvent, 2, state=SessionState.SILENT)
    assert followed.at(2) == Caption('A red ball.', has_ended=True, latency_ms=50.0)
    assert followed.at(2 + LINGER_NS // S_NS).text == 'A red ball.'
    assert followed.at(3 + LINGER_NS // S_NS) == Caption(latency_ms=50.0)
    followed.token(9, 'Next.', narration_id=2)
    assert (followed.at(9).text, followed.at(9).has_ended) == ('Next.', False)


def test_a_question_stands_over_its_answer_only():
    followed = Followed()
    followed.token(1, 'A red')
    followed.end(1, 'A red', reason=EndReason.INTERRUPTED)
    followed.tell(PromptEvent, 1, prompt_id='p', text='Where?')
    assert (followed.at(1).question, followed.at(1).text) == ('Where?', '')
    followed.token(1, 'Left.', narration_id=2, prompt_id='p')
    followed.end(1, 'Left.', narration_id=2, prompt_id='p')
    assert (followed.at(2).question, followed.at(2).text) == ('Where?', 'Left.')
    followed.token(3, 'A box', narration_id=3)
    assert (followed.at(3).question, followed.at(3).text) == ('', 'A box')


def test_a_stream_that_begins_anew_has_no_caption():
    followed = Followed()
    followed.token(1, 'A red', delay_ms=80)
    followed.tell(StateEvent, None, state=SessionState.SILENT)
    assert followed.at(0) == Caption()
