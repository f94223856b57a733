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

"""The desk's page in a browser, on a desk that is told what narrators would tell."""

import asyncio
from importlib.resources import files
import json
import threading
import time

import aiohttp
from aiohttp import web
import cv2
from moss_ros.desk import Call, server as server_module
from moss_ros.desk.memory import DeskMemory
import numpy as np
from pages import EVIL
import pytest
from served import Desk, NAME

WARNING = 'the model takes 2 s a frame: lower frame_rate'
KEEP_NOTHING = "localStorage.clear()"


def jpeg(value=90):
    """Return a small grey JPEG."""
    return cv2.imencode('.jpg', np.full((48, 64, 3), value, np.uint8))[1].tobytes()


def tell_health(desk, name=NAME, model=(0, 'narrating'), camera=(0, 'arriving'), **values):
    title = name.strip('/')
    values = {'lifecycle': 'active', 'paused': 'no', **values}
    in_figures = (('input rate (images/s)', '10.0'), ('frames dropped', '3'))
    out_figures = (('latency frame to text p50 (ms)', '80.4'), ('context fill (%)', '12.5'))
    desk.server.take(DeskMemory.take_statuses, name, [
        (f'{title}: camera', *camera, in_figures),
        (f'{title}: model', *model, (*values.items(), *out_figures))], time.monotonic())


def quoted(selector):
    return f'document.querySelector({json.dumps(selector)})'


class Page:
    """The page as a person sees and uses it."""

    def __init__(self, browser, desk):
        self.browser, self.desk = browser, desk

    def open(self, url=None, **options):
        self.browser.open(url or f'{self.desk.url}/', **options)
        self.browser.until(f"{quoted('#connection')}.textContent === 'connected'")
        self.browser.until(f"!!{quoted('.tab')}")
        return self

    def text(self, selector):
        return self.browser.evaluate(f'{quoted(selector)}.innerText')

    def texts(self, selector):
        return self.browser.evaluate(f'[...document.querySelectorAll({json.dumps(selector)})]'
                                     '.map((item) => item.innerText)')

    def until_text(self, selector, text):
        self.browser.until(f'{quoted(selector)}?.textContent.includes({json.dumps(text)})')

    def is_shown(self, selector):
        return self.browser.evaluate(f'!!{quoted(selector)}?.checkVisibility()')

    def ask(self, text):
        self.browser.evaluate(f"{quoted('#question')}.focus()")
        self.browser.write(text)
        self.browser.press('Enter')


@pytest.fixture
def desk():
    desk = Desk()
    desk.server.take(DeskMemory.take_silence, NAME, True, time.monotonic())
    tell_health(desk)
    yield desk
    desk.server.close()


@pytest.fixture
def page(browser, desk):
    return Page(browser, desk)


def clear(page):
    page.browser.evaluate(KEEP_NOTHING)


def order_of(desk):
    """Return the client and the order that came next."""
    assert desk.ordered.wait(10)
    desk.ordered.clear()
    return desk.orders.pop(0)


def test_what_is_said_stands_over_the_picture_and_in_the_list(page, desk):
    page.open()
    page.until_text('#mark', 'silent')
    desk.say(' A red', 'token', narration_id=1)
    desk.say(' ball', 'token', narration_id=1)
    page.until_text('#caption', 'A red ball')
    assert page.text('.narration.running .said') == 'A red ball'
    desk.server.take(DeskMemory.take_small_picture, NAME, 10 ** 18, jpeg())
    desk.say('A red ball leaves.', narration_id=1)
    page.until_text('#caption', 'A red ball leaves.')
    page.browser.until(f"{quoted('.narration img')}?.naturalWidth === 64")
    assert page.texts('.narration .said') == ['A red ball leaves.']
    assert page.text('#live') == 'A red ball leaves.'  # for a screen reader, once
    assert page.browser.evaluate(f"{quoted('#caption')}.classList.contains('ended')")


def test_a_caption_goes_some_seconds_after_its_end_as_on_the_overlay(page):
    page.open()
    texts = page.browser.evaluate("""import('./desk_streams.js').then(({Stream}) => {
        const stream = new Stream('/narrator');
        stream.add({n: 1, kind: 'narration', text: 'It stops.', prompt_id: null}, 1000);
        return [1000, 5000, 5001].map((nowMs) => stream.captionAt(nowMs)?.text ?? '');
    })""")
    assert texts == ['It stops.', 'It stops.', '']


def test_pictures_are_drawn_as_they_come(page, desk):
    page.open()
    while desk.server.watched != {(NAME, 'camera')}:
        page.browser.evaluate('1')
    for value in (40, 80, 120, None, 160, 200, 240):
        # One that is damaged keeps the next ones from nothing.
        picture = b'\xff\xd8 no picture' if value is None else jpeg(value)
        desk.server.show(NAME, 'camera', picture, 1)
        if value is not None:
            page.browser.until(f"Math.abs({quoted('#picture')}.getContext('2d').getImageData("
                               f'5, 5, 1, 1).data[0] - {value}) < 5')
    page.browser.evaluate(f"{quoted('#source')}.value = 'overlay'; "
                          f"{quoted('#source')}.dispatchEvent(new Event('change'))")
    while desk.server.watched != {(NAME, 'overlay')}:
        page.browser.evaluate('1')
    clear(page)


def test_a_question_waits_is_answered_where_it_stands_and_is_remembered(page, desk):
    page.open()
    page.browser.press('/')
    assert page.browser.evaluate('document.activeElement.id') == 'question'
    page.browser.write('Where is it? ')
    page.browser.press(' ')
    page.browser.press('Enter')
    client, order = order_of(desk)
    assert (order.narrator, order.text) == (NAME, 'Where is it?')
    page.until_text('.narration.question .wait', 'waits to be taken in')
    desk.server.answer(client, order.order_id, True, '')
    desk.say('Where is it?', 'prompt', prompt_id='p1')
    page.until_text('.narration.question .wait', 'waits for its answer')
    page.until_text('.narration.question .wait', '1 s')
    desk.say(' On the', 'token', prompt_id='p1', narration_id=9)
    page.until_text('.narration.question .said', 'On the')
    assert page.text('#caption .asked') == 'Where is it?'
    desk.say('On the left.', prompt_id='p1', narration_id=9,
             first_stamp_ns=10 ** 18 + 1_200_000_000)
    page.until_text('.narration.question .answer', 'On the left.')
    assert page.texts('.narration') and len(page.texts('.narration')) == 1
    assert 'after 1.2 s' in page.text('.narration.question')
    page.browser.press('ArrowUp')
    assert page.browser.evaluate(f"{quoted('#question')}.value") == 'Where is it?'
    page.browser.press('ArrowDown')
    assert page.browser.evaluate(f"{quoted('#question')}.value") == ''
    clear(page)


@pytest.mark.parametrize(('record', 'shown'), [
    ({'kind': 'narration', 'text': '', 'reason': 'unanswered'}, 'not answered in time'),
    ({'kind': 'error', 'text': 'the prompt is too long'}, 'the prompt is too long')])
def test_a_question_without_answer_says_why(page, desk, record, shown):
    page.open()
    desk.say('Why?', 'prompt', prompt_id='p1')
    kind, text = record.pop('kind'), record.pop('text')
    desk.say(text, kind, prompt_id='p1', **record)
    page.until_text('.narration.question', shown)
    assert len(page.texts('.narration')) == 1


def test_a_question_that_the_narrator_refuses_says_why_where_it_stands(page, desk):
    """Of such a question nothing comes but an error; a person at another desk sees it as well."""
    page.open()
    page.ask('And then?')
    client, order = order_of(desk)
    desk.server.answer(client, order.order_id, True, '')
    desk.say('prompt-1 is too long', 'error', prompt_id='prompt-1', prompt_text='Elsewhere?')
    page.until_text('.narration.question:nth-child(2)', 'prompt-1 is too long')
    desk.say('prompt-2 is too long', 'error', prompt_id='prompt-2', prompt_text=' And then? ')
    page.until_text('.narration.question:nth-child(1)', 'prompt-2 is too long')
    assert page.texts('.narration .question') == ['Asked:\nAnd then?', 'Asked:\nElsewhere?']
    assert len(page.texts('.narration')) == 2 and not page.is_shown('.wait')
    clear(page)


def test_a_question_whose_answer_may_be_lost_waits_no_longer(page, desk):
    page.open()
    desk.say('Why?', 'prompt', prompt_id='p1')
    page.until_text('.narration.question .wait', 'waits for its answer')
    desk.say('A ball.', seq=900)
    page.until_text('.narration.question', 'not known')
    assert any('lost on the way' in text for text in page.texts('.narration'))


def test_a_question_that_nobody_takes_comes_back(page, desk):
    page.open()
    page.ask('Anyone?')
    client, order = order_of(desk)
    desk.server.answer(client, order.order_id, False, 'The narrator is not active.')
    page.until_text('#told', 'not active')
    page.until_text('.narration.question', 'not active')
    assert page.browser.evaluate(f"{quoted('#question')}.value") == 'Anyone?'
    clear(page)


def test_buttons_and_keys_call_the_services(page, desk):
    page.open()
    expected = iter(range(1, 100))

    def is_called(service, told):
        client, order = order_of(desk)
        assert order == Call(next(expected), NAME, service)
        desk.server.answer(client, order.order_id, True, '')
        page.until_text('#told', told)

    page.browser.click('#interrupt')
    is_called('interrupt', 'Interrupted.')
    page.browser.click('#reset')
    is_called('reset', 'begins anew')
    page.browser.click('#pause')
    is_called('pause', 'Paused.')
    desk.server.take(DeskMemory.take_pause, NAME, True, time.monotonic())
    page.until_text('#mark', 'paused')
    page.until_text('#pause', 'Go on')
    page.browser.evaluate('document.activeElement.blur()')
    page.browser.press(' ')
    is_called('resume', 'It goes on.')
    page.browser.press('Escape')
    is_called('interrupt', 'Interrupted.')
    page.browser.evaluate(f"{quoted('#question')}.focus()")
    page.browser.press('Escape')  # also while one types
    client, order = order_of(desk)
    desk.server.answer(client, order.order_id, False, 'the narrator is inactive: activate it')
    page.until_text('#told', 'activate it')


@pytest.mark.parametrize(('health', 'mark', 'reason'), [
    ({}, 'silent', ''), ({'paused': 'yes'}, 'paused', ''),
    ({'lifecycle': 'inactive', 'model': (0, 'inactive: activate it to narrate')}, 'not active',
     'activate it'),
    ({'model': (2, 'out of memory: quantise the model')}, 'failed', 'quantise the model'),
    ({'camera': (3, 'nobody publishes Image on /image: start the camera')}, 'no image',
     'start the camera')])
def test_the_mark_says_in_a_word_how_it_stands(page, desk, health, mark, reason):
    page.open()
    tell_health(desk, **health)
    page.browser.until(f"{quoted('#mark')}.textContent === {json.dumps(mark)}")
    assert page.is_shown('#reason') == bool(reason) and reason in page.text('#reason')
    page.until_text('.tab', mark)
    # For a screen reader.
    assert page.browser.evaluate(f"{quoted('#trouble')}.textContent") == mark.replace('silent', '')


def test_figures_and_warnings_with_their_remedy_are_shown(page, desk):
    page.open()
    tell_health(desk, camera=(1, WARNING))
    page.until_text('.warnings', WARNING)
    assert page.text('.warnings').startswith('WARN, narrator: camera:')
    assert dict(line.split('\n', 1) for line in page.texts('.figures div')) == {
        'Camera': '10.0 fps', 'Latency': '80 ms', 'Latency, p95': '–', 'Dropped': '3',
        'Context': '13 %'}
    tell_health(desk)
    page.browser.until(f"!{quoted('.warning')}")


def test_the_list_stays_where_one_reads(page, desk):
    for number in range(60):
        desk.say(f'Number {number}.')
    page.open()
    page.until_text('#list li:last-child', 'Number 59.')
    place = f"{quoted('#list')}.scrollTop"
    page.browser.evaluate(f'{place} = 300')
    page.browser.until(f'{place} === 300')
    page.browser.evaluate('new Promise(requestAnimationFrame)')
    desk.say('Number 60.')
    page.until_text('#newest', '1 newer below')
    assert page.browser.evaluate(place) == 300
    page.browser.click('#newest')
    page.browser.until(f"{place} + {quoted('#list')}.clientHeight > "
                       f"{quoted('#list')}.scrollHeight - 2")
    assert not page.is_shown('#newest')
    desk.say('Number 61.')
    page.until_text('#list li:last-child', 'Number 61.')
    page.browser.until(f"{place} + {quoted('#list')}.clientHeight > "
                       f"{quoted('#list')}.scrollHeight - 2")


def test_the_truth_can_be_switched_off(page, desk):
    page.open()
    assert not page.is_shown('#truth-switch')
    desk.server.take(DeskMemory.take_truth, NAME, 'A ball leaves.', 10 ** 18, 5)
    page.until_text('#truth-line', 'A ball leaves.')
    assert page.is_shown('.narration.truth')
    page.browser.click('#truth')
    assert not page.is_shown('.narration.truth') and not page.is_shown('#truth-line')
    page.open()  # it is kept
    assert not page.is_shown('#truth-line') and page.is_shown('#truth-switch')
    clear(page)


def test_the_narration_is_read_aloud_when_that_is_switched_on(page, desk):
    page.open()
    page.browser.evaluate('window.heard = []; speechSynthesis.speak = (said) => '
                          'heard.push(said.text); speechSynthesis.cancel = () => heard.push("-")')
    desk.say('One.')
    page.until_text('#live', 'One.')
    page.browser.click('#aloud')
    desk.say('Two.')
    page.until_text('#live', 'Two.')
    page.browser.press('Escape')
    assert page.browser.evaluate('heard') == ['Two.', '-']


def test_colours_follow_the_system_or_the_choice(page, desk):
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.open().browser.evaluate(ground)
    dark = page.open(scheme='dark').browser.evaluate(ground)
    assert light != dark
    page.browser.evaluate(f"{quoted('#theme')}.value = 'light'; "
                          f"{quoted('#theme')}.dispatchEvent(new Event('change'))")
    assert page.browser.evaluate(ground) == light
    assert page.open(scheme='dark').browser.evaluate(ground) == light
    clear(page)


def test_several_cameras_are_tabs_and_a_wall(page, desk):
    names = [f'/{name}/narrator' for name in ('front', 'left', 'rear')]
    for name in names:
        desk.server.take(DeskMemory.take_presence, name, True, time.monotonic())
        tell_health(desk, name)
    page.open()
    page.browser.until("document.querySelectorAll('.tab').length === 5")
    assert page.texts('.tab .name') == ['front', 'left', 'narrator', 'rear', 'Wall']
    page.browser.evaluate("document.querySelector('.tab[aria-selected=true]').focus()")
    page.browser.press('End')
    assert page.is_shown('#wall') and not page.is_shown('#one')
    while len(desk.server.watched) != 4:
        page.browser.evaluate('1')
    for number, name in enumerate(names):
        desk.server.show(name, 'camera', jpeg(60 * number), 1)
    page.browser.until("[...document.querySelectorAll('.tile canvas')].filter("
                       "(canvas) => canvas.dataset.drawn).length === 3")
    desk.say('It moves.')
    page.until_text('.tile:nth-child(3) .caption', 'It moves.')
    assert page.text('#live') == 'narrator: It moves.'
    page.browser.click('.tile:nth-child(3)')
    assert page.is_shown('#one') and page.text('.tab[aria-selected=true] .name') == 'narrator'
    page.until_text('#list', 'It moves.')


def test_a_camera_that_is_found_while_one_looks_at_the_wall_is_shown_there(page, desk):
    desk.server.take(DeskMemory.take_presence, '/left/narrator', True, time.monotonic())
    page.open()
    page.browser.until("document.querySelectorAll('.tab').length === 3")
    page.browser.click('.tab:last-child')
    while len(desk.server.watched) != 2:
        page.browser.evaluate('1')
    page.browser.evaluate("document.querySelector('.tab[aria-selected=true]').focus()")
    desk.server.take(DeskMemory.take_presence, '/rear/narrator', True, time.monotonic())
    page.browser.until("document.querySelectorAll('.tile').length === 3")
    while ('/rear/narrator', 'camera') not in desk.server.watched:
        page.browser.evaluate('1')
    # Who steers by keys goes on from where he was: at the tabs, and in the camera that he chose.
    assert page.browser.evaluate('document.activeElement.innerText').startswith('Wall')
    page.browser.evaluate("document.querySelector('.tile:last-child').focus()")
    page.browser.press('Enter')
    assert page.browser.evaluate('document.activeElement.id') == 'one'
    assert page.text('.tab[aria-selected=true] .name') == 'rear'


def test_a_desk_that_was_started_again_does_not_know_what_it_has_not_found(page, desk):
    desk.server.take(DeskMemory.take_presence, '/rear/narrator', True, time.monotonic())
    tell_health(desk, '/rear/narrator')
    page.open()
    page.browser.click('.tab:nth-child(2)')
    page.until_text('.figures', '10.0 fps')
    desk.server.close()
    page.until_text('#connection', 'disconnected')
    other = Desk(port=desk.port)
    try:
        page.until_text('#mark', 'not there')
        assert page.text('#reason') == 'The desk has not found it since it was started.'
        assert '10.0 fps' not in page.text('.figures')
        other.server.take(DeskMemory.take_presence, '/rear/narrator', True, time.monotonic())
        tell_health(other, '/rear/narrator')
        page.until_text('.figures', '10.0 fps')
    finally:
        other.server.close()


def test_what_models_and_people_say_stays_text(page, desk):
    name = f'/{EVIL}/narrator'
    desk.server.take(DeskMemory.take_presence, name, True, time.monotonic())
    tell_health(desk, name, model=(1, EVIL), camera=(2, EVIL), **{EVIL: EVIL})
    desk.say(EVIL, 'prompt', prompt_id=EVIL)
    desk.say(EVIL, prompt_id=EVIL)
    desk.say(EVIL)
    desk.say(EVIL, 'error')
    desk.say(EVIL, 'token', narration_id=99)
    desk.server.take(DeskMemory.take_truth, NAME, EVIL, 10 ** 18, 5)
    page.open()
    for number in range(1, len(page.texts('.tab')) + 1):
        page.browser.click(f'.tab:nth-child({number})')
        page.browser.evaluate('new Promise(requestAnimationFrame)')
    page.browser.click('.tab:nth-child(2)')
    page.until_text('#list', EVIL)
    assert page.texts('.narration .question') and EVIL in page.text('#caption')
    assert page.browser.evaluate('document.title') == 'Narration desk'
    assert page.browser.evaluate('document.scripts.length') == 1
    assert page.browser.evaluate("document.querySelectorAll('[onerror]').length") == 0
    assert page.browser.messages == []
    assert all(request.startswith((desk.url, desk.url.replace('http', 'ws')))
               for request in page.browser.requests)


def test_a_text_cannot_be_made_into_markup_even_by_mistake(page):
    page.open()
    refused = page.browser.evaluate(
        "(() => { try { document.body.innerHTML = '<b>a</b>'; return false; } "
        "catch (error) { return error instanceof TypeError; } })()")
    assert refused


def test_it_connects_again_by_itself_and_says_so_meanwhile(page, desk):
    desk.say('Before.')
    page.open()
    page.until_text('#list', 'Before.')
    desk.server.close()
    page.until_text('#connection', 'disconnected: the desk has ended')
    page.ask('Is anybody there?')
    page.until_text('#told', 'cut off')
    other = Desk(port=desk.port)
    try:
        other.say('After.')
        page.browser.until(f"{quoted('#connection')}.textContent === 'connected'")
        page.until_text('#list', 'After.')
        assert 'Before.' not in page.text('#list')  # of another start of the desk
    finally:
        other.server.close()
    clear(page)


def test_a_browser_that_sleeps_is_filled_in(page, monkeypatch):
    # As a minute of sleep does with the heartbeat of twenty seconds: the desk hangs up.
    monkeypatch.setattr(server_module, 'HEARTBEAT_S', 0.4)
    desk = Desk()
    try:
        page.desk = desk
        desk.say('Before.')
        page.open()
        page.until_text('#list', 'Before.')
        page.browser.sleep()
        try:
            end_s = time.monotonic() + 20
            while desk.server.watched and time.monotonic() < end_s:
                threading.Event().wait(0.05)
            assert not desk.server.watched
            for number in range(30):
                desk.say(f'Meanwhile {number}.')
        finally:
            page.browser.wake()
        page.until_text('#list', 'Meanwhile 29.')
        assert page.texts('#list .said') == ['Before.', *(
            f'Meanwhile {number}.' for number in range(30))]
    finally:
        desk.server.close()


def test_the_link_lets_in_and_keeps_the_token_out_of_sight(browser):
    desk = Desk(hosts='robot.example.org')
    page = Page(browser, desk)
    try:
        page.open(desk.server.link)
        assert browser.evaluate('location.href') == f'{desk.url}/'
        assert desk.token not in browser.evaluate('document.documentElement.outerHTML')
        desk.server.close()
        other = Desk(hosts='robot.example.org', port=desk.port)
        page.until_text('#connection', 'Open the desk by the link')
        other.server.close()
    finally:
        desk.server.close()


class Proxy:
    """A reverse proxy that serves a desk under a path, as nginx does by the docs."""

    def __init__(self, port, prefix='/robots/desk/'):
        self._port, self._prefix = port, prefix
        self.url = ''
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def close(self):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_route('*', self._prefix + '{path:.*}', self._pass_on)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, '127.0.0.1', 0)
        await site.start()
        self.url = f'http://localhost:{runner.addresses[0][1]}{self._prefix}'
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    async def _pass_on(self, request):
        headers = {key: value for key, value in request.headers.items()
                   if key in ('Origin', 'Cookie')}
        url = f'http://127.0.0.1:{self._port}/{request.match_info["path"]}'
        async with aiohttp.ClientSession() as session:
            if request.headers.get('Upgrade') != 'websocket':
                async with session.request(request.method, url, params=request.query,
                                           headers=headers, allow_redirects=False) as answer:
                    return web.Response(
                        status=answer.status, body=await answer.read(), headers={
                            key: value for key, value in answer.headers.items()
                            if key in ('Content-Type', 'Location', 'Set-Cookie',
                                       'Content-Security-Policy')})
            async with session.ws_connect(url, headers=headers) as inner:
                outer = web.WebSocketResponse()
                await outer.prepare(request)

                async def pipe(source, target):
                    async for message in source:
                        send = target.send_str if message.type is aiohttp.WSMsgType.TEXT \
                            else target.send_bytes
                        await send(message.data)
                    await target.close()
                await asyncio.gather(pipe(inner, outer), pipe(outer, inner))
                return outer


def test_it_works_behind_a_proxy_under_a_path(browser):
    desk = Desk(hosts='localhost')
    proxy = Proxy(desk.port)
    page = Page(browser, desk)
    try:
        tell_health(desk)
        page.open(f'{proxy.url}?token={desk.token}')
        assert browser.evaluate('location.href') == proxy.url
        desk.server.take(DeskMemory.take_small_picture, NAME, 10 ** 18, jpeg())
        desk.say('A red ball.')
        page.browser.until(f"{quoted('.narration img')}?.naturalWidth === 64")
        page.ask('Where?')
        assert order_of(desk)[1].text == 'Where?'
        clear(page)
    finally:
        browser.evaluate("location.href = 'about:blank'")
        proxy.close()
        desk.server.close()


AXE = files('axe_core_python').joinpath('axe.min.js').read_text(encoding='utf-8')
LOOKS = {'desktop': {}, 'dark phone': {'width_px': 390, 'height_px': 844, 'scheme': 'dark'}}


@pytest.mark.parametrize('look', LOOKS)
def test_nothing_keeps_people_out(page, desk, look):
    """Look through the page by axe-core, in every state that it may be in."""
    def violations():
        return page.browser.evaluate(
            'axe.run().then((result) => result.violations.map(({id, nodes}) => '
            '[id, nodes.map(({html}) => html)]))')

    desk.server.take(DeskMemory.take_presence, '/rear/narrator', True, time.monotonic())
    tell_health(desk, '/rear/narrator', model=(2, 'out of memory'))
    tell_health(desk, camera=(1, WARNING))
    desk.server.take(DeskMemory.take_small_picture, NAME, 10 ** 18, jpeg())
    desk.say('Where?', 'prompt', prompt_id='p1')
    desk.say('On the left.', prompt_id='p1')
    desk.say('It stops.', reason='interrupted')
    desk.say('', 'prompt', prompt_id='p2')
    desk.say('it broke', 'error')
    desk.say('The picture is almost black.', 'camera')
    desk.server.take(DeskMemory.take_truth, NAME, 'A ball leaves.', 10 ** 18, 5)
    desk.say('What do you see?', 'prompt', prompt_id='p3')
    desk.say(' A red', 'token', prompt_id='p3', narration_id=50)
    page.open(**LOOKS[look])
    page.until_text('#list', 'Camera: The picture is almost black.')
    page.until_text('#list', 'A red')
    page.browser.evaluate(f'{AXE};0')
    assert violations() == []
    page.browser.evaluate(f"{quoted('details')}.open = true")
    assert violations() == []
    page.browser.evaluate("[...document.querySelectorAll('.tab')].at(-2).click()")
    tell_health(desk, '/rear/narrator', model=(2, 'out of memory'))
    page.until_text('#mark', 'failed')
    assert violations() == []
    page.browser.evaluate("[...document.querySelectorAll('.tab')].at(-1).click()")
    assert violations() == []
    desk.server.close()
    page.until_text('#connection', 'disconnected')
    assert violations() == []
