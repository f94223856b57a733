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

"""The page that reports on a bag: its structure, its safety, and itself in a browser."""

import base64
import io
import json
import re

from moss_ros.views.index_page import index_page, IndexEntry
from moss_ros.views.report import report_page, ROWS_PER_CHUNK
from moss_ros.views.timeline import Timeline, timeline_of
from moss_ros.views.times import clock_text
from pages import (
    Elements, EVIL, head, narration, NARRATIONS, page_text, START_NS, TIMELINE, unanswered,
    write_thumbnails,
)
from PIL import Image
import pytest

LEAST_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3, for text


def test_every_narration_is_there_with_its_time_picture_and_prompt(tmp_path):
    thumbnails = write_thumbnails(tmp_path)
    elements = Elements(page_text(folder=tmp_path))
    rows = [row for row in elements.of('li') if row['class'].startswith('narration')]
    assert [row['id'] for row in rows] == [f'n{said.narration_id}' for said in NARRATIONS]
    assert [float(row['data-begin-s']) for row in rows] == [
        2, 5.5, 20, 31, 45, 46, 130.5, 200.25]
    assert [row.get('data-prompt') for row in rows] == [
        None, None, '0', '1', '2', '0', '2', None]
    assert [row.get('data-asked-s') for row in rows] == [
        None, None, '18.800', '31.000', '44.100', '45.000', '100.000', None]
    pictures = [base64.b64decode(image['src'].removeprefix('data:image/jpeg;base64,'))
                for image in elements.of('img')]
    assert pictures == [path.read_bytes() for path in thumbnails]
    texts = [text for _, text in elements.texts]
    for said in NARRATIONS:
        assert said.text in texts or said.text == ''
        assert clock_text(said.begin_ns - START_NS) in texts
    assert 'cut off by the next prompt' in texts and 'cut off by the end of the bag' in texts
    # Between a question and its answer the time is told by the answer.
    assert [text for text in texts if text.startswith('silent for')] == [
        'silent for 53 s', 'silent for 1 min 9 s']
    assert '11:06:42' in texts  # 2 s after the start, UTC
    options = [text.strip() for tag, text in elements.texts if tag == 'option' and text.strip()]
    assert options[:5] == [
        'Everything', 'Said unasked (3)', 'All answers (3)', 'Not answered (2)',
        'What do you see? (2)']


def test_an_answer_stands_below_its_question_with_the_waiting_time():
    page = page_text()
    rows = [Elements(row).texts for row in re.split('<li class="narration', page)[1:]]
    texts = [[text.strip() for tag, text in row if text.strip()
              and tag not in ('time', 'script', 'footer')] for row in rows]
    no_picture = 'no picture'
    assert texts[2][1:] == [
        '0:18', 'Asked:', 'What do you see?', '0:20', no_picture, 'A red ball and a green box.',
        'after 1.2 s']
    assert texts[3][-1] == 'at once, ended at the limit of its length'
    assert texts[4][1:] == [
        '0:44', 'Asked:', 'Is anything moving?', '0:45', no_picture,
        'not answered: the next prompt came after 0.9 s']
    assert texts[5][-2:] == ['after 1.0 s', 'silent for 53 s']
    assert texts[6][1:] == [
        '1:40', 'Asked:', 'Is anything moving?', '2:10', no_picture,
        'not answered within 30.5 s', 'silent for 1 min 9 s']


@pytest.mark.parametrize(('reason', 'waited_s', 'text'), [
    ('stopped', 3.44, 'not answered: the stream ended after 3.4 s'),
    ('interrupted', 0, 'not answered: the next prompt came after 0.0 s'),
    ('unanswered', 90.5, 'not answered within 1 min 30 s'),
    ('silence', 1.0, 'no words')])
def test_a_question_without_an_answer_says_so(reason, waited_s, text):
    question = unanswered(1, 10.0, 10.0 + waited_s, 'What?', reason)
    page = page_text(Timeline((question,), (question.asked_ns,)))
    assert f'<p class="said empty">{text}</p>' in page and 'class="note"' not in page
    # It is no time in which something was said.
    assert Elements(page).of('path', class_='fine')[0]['d'] == ''
    options = [text.strip() for tag, text in Elements(page).texts if tag == 'option']
    assert 'All answers (0)' in options and 'Not answered (1)' in options


def test_the_timeline_of_records_knows_when_a_question_was_asked():
    def record(kind, time_s, **values):
        return {'type': kind, 'bag_time_ns': round(time_s * 1e9), 'reason': None, **values}

    def said(narration_id, first_s, end_s, text, prompt_id, reason):
        return record('narration', end_s, narration_id=narration_id, text=text, reason=reason,
                      first_bag_time_ns=round(first_s * 1e9), prompt_id=prompt_id)

    timeline = timeline_of([
        record('prompt', 1.0, prompt_id='a', text='What?', first_bag_time_ns=500_000_000),
        said(1, 3.0, 4.0, 'A ball.', 'a', 'silence'),
        said(2, 5.0, 6.1, 'It stops.', None, 'interrupted'),
        record('prompt', 6.1, prompt_id='b', text='Where?', first_bag_time_ns=6_000_000_000),
        said(3, 6.1, 36.5, '', 'b', 'unanswered')])
    assert [(narration.prompt, narration.asked_ns) for narration in timeline.narrations] == [
        ('What?', 500_000_000), (None, None), ('Where?', 6_000_000_000)]
    assert timeline.prompt_times_ns == (500_000_000, 6_000_000_000)
    assert timeline.num_answers == 1 and timeline.num_questions == 2


def test_what_is_said_stays_text():
    page = page_text(title=EVIL)
    elements = Elements(page)
    assert not elements.of('img')
    assert len(elements.of('script')) == 1
    assert (('p', EVIL) in elements.texts) and (('h1', EVIL) in elements.texts)
    assert not [name for _, attributes in elements.found for name in attributes
                if name.startswith('on')]


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    write_thumbnails(tmp_path)
    elements = Elements(page_text(folder=tmp_path))
    addresses = [value for _, attributes in elements.found for name, value in attributes.items()
                 if name in ('src', 'href', 'srcset', 'action', 'data', 'poster')]
    assert addresses and all(re.match('(#n|data:)', address) for address in addresses)
    policy = elements.of('meta', **{'http-equiv': 'Content-Security-Policy'})[0]['content']
    assert "default-src 'none'" in policy and 'unsafe' not in policy


def test_a_silent_bag_has_a_page_that_says_so():
    page = page_text(Timeline((), ()))
    assert 'Nothing was said in this bag.' in page
    assert 'id="search"' not in page and '<ol' not in page


def test_missing_pictures_leave_the_page_whole(tmp_path):
    page = page_text(folder=tmp_path)
    assert page.count('no picture') == len(NARRATIONS)
    assert page.rstrip().endswith('</html>')


def test_times_of_a_video_file_are_no_dates():
    said = narration(1, -START_NS / 1e9 + 61, 'A dog barks.')
    page = page_text(Timeline((said,), ()), start_ns=0)
    assert '1:01' in page and '<time' not in page and 'UTC' not in page


@pytest.mark.parametrize(('duration_s', 'text'), [
    (0, '0:00'), (7.9, '0:07'), (754, '12:34'), (3723, '1:02:03'), (360000, '100:00:00')])
def test_times_are_written_as_players_do(duration_s, text):
    assert clock_text(round(duration_s * 1e9)) == text


def test_the_index_links_counts_and_tells_failures():
    elements = Elements(''.join(index_page('mission', [
        IndexEntry('first', 'first', '', '/camera', START_NS, 240 * 10**9, TIMELINE),
        IndexEntry('a:b #2', 'a:b #2', '', EVIL, START_NS, 60 * 10**9),
        IndexEntry('broken', error=f'broken.mcap: {EVIL}'),
        IndexEntry('cut', 'cut', 'cut.mcap: breaks off', '/camera', START_NS, 9 * 10**9)])))
    assert [link['href'] for link in elements.of('a')] == [
        './first/report.html', './a%3Ab%20%232/report.html', './cut/report.html']
    texts = [text.strip() for _, text in elements.texts]
    assert {'3 of 4', '5:09', '8', '3 of 5', 'broken', f'broken.mcap: {EVIL}', EVIL,
            'cut.mcap: breaks off'} <= set(texts)
    assert texts.count('3 of 5') == 2  # of that bag, and of all
    assert not elements.of('img')


def long_timeline(num):
    """Return the timeline of a bag in which num narrations were made, every fourth asked for."""
    narrations = tuple(
        narration(number, 3.0 * number, f'Ball {number} stops.',
                  *(('Which one?',) if number % 4 == 0 else ())) for number in range(1, num + 1))
    return Timeline(narrations, ())


def long_page(folder, num):
    """Return a page of num narrations, all with the pictures of the short one."""
    write_thumbnails(folder)
    return ''.join(report_page(
        head(duration_s=3.0 * num + 10), long_timeline(num),
        lambda number: folder / f'{number % 7 + 1}.jpg'))


def test_of_a_long_page_only_the_first_pictures_are_images(tmp_path):
    """The others are data, made into images as they come into sight."""
    elements = Elements(long_page(tmp_path, 3 * ROWS_PER_CHUNK + 20))
    assert len(elements.of('ol', class_='chunk')) == 4
    assert len(elements.of('img')) == ROWS_PER_CHUNK
    data = [json.loads(text) for tag, text in elements.texts if tag == 'script'
            and text.startswith('["')]
    assert [len(pictures) for pictures in data] == [ROWS_PER_CHUNK, ROWS_PER_CHUNK, 20]
    assert [script.get('type') for script in elements.of('script')] == [
        None, *['application/json'] * 3]
    number = 2 * ROWS_PER_CHUNK + 1  # of the first narration of the third chunk
    assert base64.b64decode(data[1][0]) == (tmp_path / f'{number % 7 + 1}.jpg').read_bytes()


@pytest.mark.parametrize(('num', 'width_px'), [(1000, 160), (1001, 128)])
def test_the_more_pictures_a_page_has_the_smaller_they_are(tmp_path, num, width_px):
    picture = Elements(long_page(tmp_path, num)).of('img')[0]['src'].partition(',')[2]
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.size == (width_px, width_px * 3 // 4)


@pytest.fixture
def report(tmp_path):
    """Return the path of a report with pictures."""
    path = tmp_path / 'report.html'
    write_thumbnails(tmp_path)
    path.write_text(page_text(folder=tmp_path), encoding='utf-8')
    return path


def shown(browser):
    """Return the ids of the narrations that are not hidden."""
    return browser.evaluate(
        "[...document.querySelectorAll('.narration')].filter((row) => "
        'row.checkVisibility()).map((row) => row.id)')


def hits(browser):
    return browser.evaluate("document.getElementById('hits').value")


def test_typing_finds_and_counts(browser, report):
    browser.open(report)
    assert hits(browser) == '8 narrations' and len(shown(browser)) == 8
    browser.press('/')  # goes to the search field
    browser.write('RED ball')
    assert shown(browser) == ['n1', 'n3', 'n6'] and hits(browser) == '3 of 8'
    assert browser.evaluate("CSS.highlights.get('hit').size") == 6
    assert not browser.evaluate("document.querySelector('.rest').checkVisibility()")
    browser.write('zebra [')
    assert shown(browser) == [] and hits(browser) == '0 of 8'
    assert browser.evaluate("document.getElementById('no-hits').checkVisibility()")
    browser.press('Escape')
    assert len(shown(browser)) == 8 and hits(browser) == '8 narrations'
    assert browser.messages == []


def test_in_a_low_window_a_search_without_hits_can_be_changed(browser, report):
    """There the bar stays at the top even where nothing is below it."""
    browser.open(report, width_px=700, height_px=200)
    browser.press('/')
    browser.evaluate('scrollTo(0, document.body.scrollHeight)')
    browser.write('zebra')
    assert shown(browser) == []
    browser.evaluate('scrollTo(0, document.body.scrollHeight)')
    assert browser.evaluate("document.getElementById('bar').getBoundingClientRect().top") <= 0
    browser.press('Escape')
    assert len(shown(browser)) == 8 and hits(browser) == '8 narrations'
    assert browser.messages == []


def test_a_prompt_filters_and_the_address_keeps_it(browser, report):
    browser.open(report, '#q=red&prompt=0')
    assert shown(browser) == ['n3', 'n6']
    choose = ("(() => {{ const field = document.getElementById('prompt'); field.value = "
              "'{}'; field.dispatchEvent(new Event('input')); }})()")
    for value, expected in (('unasked', ['n1']), ('answers', ['n3', 'n6']), ('2', []),
                            ('unanswered', []), ('', ['n1', 'n3', 'n6'])):
        browser.evaluate(choose.format(value))
        assert shown(browser) == expected
    browser.until("location.hash === '#q=red'")
    browser.open(report, '#q=moving&prompt=unanswered')
    assert shown(browser) == ['n5', 'n7'] and hits(browser) == '2 of 8'
    browser.evaluate(choose.format('2'))
    assert shown(browser) == ['n5', 'n7']
    browser.press('Escape')
    browser.evaluate(choose.format('answers'))
    assert shown(browser) == ['n3', 'n4', 'n6']


@pytest.mark.parametrize(('width_px', 'scheme'), [(1200, 'light'), (1200, 'dark'), (390, 'dark')])
def test_a_question_stands_above_its_answer(browser, report, width_px, scheme):
    browser.open(report, width_px=width_px, scheme=scheme)
    place = ('(({{left, right, top, bottom}}) => [left, right, top, bottom])(document'
             ".querySelector('{}').getBoundingClientRect())")
    for row in ('#n3', '#n4', '#n5', '#n7'):
        browser.evaluate(f"document.querySelector('{row}').scrollIntoView({{block: 'center'}})")
        card, asked_at, question, time, said, picture = (
            browser.evaluate(place.format(f'{row} {name}'.strip())) for name in (
                '', '.asked-at', '.question', '.time', '.said', '.picture'))
        # Left to right: when it was asked, and what. Below: the answer, not over the picture.
        assert asked_at[1] <= question[0] and asked_at[2] < question[3]
        assert question[3] <= min(said[2], time[2], picture[2])
        assert picture[1] <= said[0] and said[1] <= card[1] and question[1] <= card[1]
    assert browser.evaluate("document.querySelector('#n3 .note').textContent") == 'after 1.2 s'
    assert browser.messages == []


def test_the_timeline_leads_to_what_was_said(browser, report):
    browser.open(report, height_px=500)
    current = "document.querySelector('.narration.current')"
    browser.click('#strip', 0.83)
    assert browser.evaluate(f'{current}.id') == 'n8'
    browser.until(f'{current}.getBoundingClientRect().bottom <= innerHeight')
    bar_px = "document.getElementById('bar').getBoundingClientRect().bottom"
    assert browser.evaluate(f'{current}.getBoundingClientRect().top >= {bar_px}')
    browser.evaluate("document.getElementById('strip').focus()")
    browser.press('ArrowLeft')
    assert browser.evaluate(f'{current}.id') == 'n7'
    # Nothing was said there: the cursor stands where it was asked, and no speech is drawn.
    strip = "document.getElementById('strip')"
    assert browser.evaluate(f"{strip}.getAttribute('aria-valuenow')") == '100.0'
    assert browser.evaluate(f"{strip}.getAttribute('aria-valuetext')") == (
        '1:40: Is anything moving?\nnot answered within 30.5 s')
    browser.click('#strip', 0.46)  # 1:50, while it waited
    assert browser.evaluate(f'{current}.id') == 'n7'
    browser.click('#strip', 0.079)  # 0:19, between a question and its answer
    assert browser.evaluate(f'{current}.id') == 'n3'
    stretches = browser.evaluate("document.getElementById('wide-stretches').getAttribute('d')")
    assert stretches.count('M') == 6 and 'M130' not in stretches and 'M45.0' not in stretches
    browser.press('Home')
    assert browser.evaluate(f'{current}.id') == 'n1'
    browser.press('End')
    browser.press('/')
    browser.write('cone')
    browser.press('Escape')  # what was read stays in sight
    assert browser.evaluate(f'{current}.id') == 'n8'
    assert browser.evaluate(f'{current}.getBoundingClientRect().bottom <= innerHeight')
    browser.evaluate("document.getElementById('strip').focus()")
    browser.press('Home')
    value = json.loads(browser.evaluate(
        "document.getElementById('strip').getAttribute('aria-valuenow')"))
    assert value == 2.0
    width_px = browser.evaluate("document.getElementById('strip').clientWidth")
    drawn = "document.getElementById('wide-stretches').getAttribute('d')"
    coarse = browser.evaluate(drawn)
    browser.click('#zoom-in')
    assert browser.evaluate("document.getElementById('strip').clientWidth") == 2 * width_px
    assert browser.evaluate(drawn) != coarse
    browser.click('#zoom-out')
    assert browser.evaluate("document.getElementById('zoom-out').disabled")


def test_the_page_fits_and_needs_no_network(browser, report):
    browser.open(report, width_px=390, height_px=844)
    assert browser.evaluate('document.documentElement.scrollWidth') == 390
    assert browser.evaluate('document.title') == 'mission_04 - narration'
    assert browser.evaluate(
        '[...document.images].every((image) => image.complete && image.naturalWidth > 0)')
    assert {address.partition(':')[0] for address in browser.requests} <= {'file', 'data'}
    assert sum(address.startswith('file:') for address in browser.requests) == 1
    assert browser.messages == []
    unnamed = browser.evaluate(
        "[...document.querySelectorAll('button, input, select, [role=slider]')].filter("
        "(field) => !field.getAttribute('aria-label')).length")
    assert unnamed == 0


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_texts_stand_out(browser, report, scheme):
    browser.open(report, scheme=scheme)
    # Computed colours of each kind of text, and of what lies behind it.
    pairs = browser.evaluate("""
        ['h1', '.lead', 'dt', 'dd', '.said', '.said.empty', '.question', '.note', '.time b',
         '.asked-at b', '.asked-at time', 'time', '.rest', '.legend span', '.tick', 'footer',
         'output', 'input'].map((name) => {
          const element = document.querySelector(name);
          let behind = element;
          const paint = (some) => getComputedStyle(some).backgroundColor;
          while (behind.parentElement && paint(behind) === 'rgba(0, 0, 0, 0)') {
            behind = behind.parentElement;
          }
          return [name, getComputedStyle(element).color, paint(behind)];
        })""")
    for name, *colours in pairs:
        bright, dark = sorted((luminance(colour) for colour in colours), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= LEAST_CONTRAST, (name, colours)
    background = luminance(pairs[0][2])
    assert background < 0.1 if scheme == 'dark' else background > 0.8


@pytest.fixture
def long_report(tmp_path):
    path = tmp_path / 'report.html'
    path.write_text(long_page(tmp_path, 10 * ROWS_PER_CHUNK), encoding='utf-8')
    return path


IN_SIGHT = ("(({top, bottom}) => top >= document.getElementById('bar').getBoundingClientRect()"
            ".bottom && bottom <= innerHeight)(document.querySelector('.narration.current')"
            '.getBoundingClientRect())')


def test_a_long_page_is_searched_and_steered_as_a_short_one(browser, long_report):
    browser.open(long_report)
    assert hits(browser) == '500 narrations'
    num_images = browser.evaluate('document.images.length')
    assert ROWS_PER_CHUNK <= num_images < 200
    browser.evaluate("document.getElementById('strip').focus()")
    for key, wanted in (('Home', 'n1'), ('End', 'n500'), ('ArrowLeft', 'n499'),
                        ('PageUp', 'n489'), ('Home', 'n1'), ('End', 'n500')):
        browser.press(key)
        assert browser.evaluate("document.querySelector('.narration.current').id") == wanted
        browser.until(IN_SIGHT)
    # What was never in sight has no pictures yet, what is has them.
    browser.until("document.querySelector('#n500 img')?.naturalWidth === 160")
    assert browser.evaluate('document.images.length') < 400
    browser.press('/')
    browser.write('ball 25')
    found = [f'n{number}' for number in range(1, 501) if '25' in str(number)]
    assert shown(browser) == found and hits(browser) == f'{len(found)} of 500'
    # Both words are marked, and the picture is there, wherever one looks.
    for row in ('n25', 'n255', 'n425'):
        browser.evaluate(f"document.getElementById('{row}').scrollIntoView({{block: 'center'}})")
        browser.until(f"[...CSS.highlights.get('hit')].filter((range) => document.getElementById("
                      f"'{row}').contains(range.startContainer)).length === 2")
        browser.until(f"document.querySelector('#{row} img')?.naturalWidth === 160")
    browser.press('Escape')
    assert hits(browser) == '500 narrations'
    browser.click('#strip', 0.5)
    assert browser.evaluate("document.querySelector('.narration.current').id") in (
        'n250', 'n251', 'n252', 'n253')
    browser.until(IN_SIGHT)
    assert browser.messages == []


def test_the_address_of_a_narration_leads_into_a_long_page(browser, long_report):
    browser.open(long_report, '#n333')
    browser.until("(({top, bottom}) => top >= 0 && bottom <= innerHeight)(document."
                  "getElementById('n333').getBoundingClientRect())")
    browser.until("document.querySelector('#n333 img')?.naturalWidth === 160")


def luminance(colour):
    """Return the relative luminance of 'rgb(r, g, b)' by the definition of WCAG."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(part) / 255 for part in re.findall(r'\d+', colour)[:3]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
