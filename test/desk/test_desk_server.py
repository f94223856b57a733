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

"""The desk's server over real sockets: who gets what, and what rubbish and slow browsers do."""

import asyncio
from contextlib import ExitStack, suppress
import json
import re
import socket

import aiohttp
from moss_ros.desk import Access, Ask, client as client_module, connections, DeskError, DeskServer
from moss_ros.desk import server as server_module, ServerOptions
import psutil
import pytest
from served import Desk, heard, is_entry, NAME, PICTURE


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.server.close()


async def works(desk):
    """Check that another browser is served."""
    async with desk.browser() as other:
        desk.say('All is well.')
        await heard(other, is_entry('All is well.'))


def test_the_page_and_its_parts_are_served_with_a_strict_policy(desk):
    status, headers, text = desk.get('/')
    assert status == 200 and '<title>Narration desk</title>' in text
    policy = headers['content-security-policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy and '*' not in policy
    for part in ('desk.js', 'desk_link.js', 'style.css', 'dark.css', 'desk.css', 'desk_icon.svg'):
        assert desk.get(f'/{part}')[0] == 200
    tag = headers['etag']
    assert desk.get('/', If_None_Match=tag)[0] == 304


@pytest.mark.parametrize('path', [
    '/../../../../etc/passwd', '/..%2f..%2fsetup.py', '/%2e%2e/report.py', '/report.html.j2',
    '/base.html.j2', '//etc/passwd', '/thumbnail/../desk.js', '/thumbnail/..%2f..%2fa.jpg',
    '/thumbnail/', '/desk.js/', '/desk.js%00', '/desk.html'])
def test_nothing_else_is_to_be_had(desk, path):
    status, _, text = desk.get(path)
    assert status in (400, 404)
    assert 'root:' not in text and 'import' not in text


@pytest.mark.parametrize(('headers', 'status'), [
    ({'Host': 'evil.example'}, 403), ({'Host': 'evil.example:8088'}, 403),
    ({'Origin': 'http://evil.example'}, 403), ({'Origin': 'null'}, 403)])
@pytest.mark.parametrize('path', ['/', '/desk.js', '/socket', '/thumbnail/a.jpg'])
def test_pages_from_elsewhere_get_nothing(desk, path, headers, status):
    assert desk.get(path, **headers)[0] == status


def test_a_socket_is_refused_to_pages_from_elsewhere(desk):
    async def run():
        for headers in ({'Origin': 'http://evil.example'}, {'Origin': 'null'}, {'Origin': ''},
                        {'Host': 'evil.example', 'Origin': 'http://evil.example'}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with desk.browser(**headers):
                    pass
            assert caught.value.status == 403
    asyncio.run(run())


def test_with_a_token_nothing_is_served_without_it():
    desk = Desk(hosts='robot.example.org')
    try:
        assert desk.server.link.endswith(f'/?token={desk.token}')
        for path in ('/', '/desk.js', '/thumbnail/a.jpg', '/?token=wrong'):
            status, headers, text = desk.get(path)
            assert status == 401 and 'link' in text and 'set-cookie' not in headers
        status, headers, _ = desk.get(f'/?token={desk.token}')
        assert status == 303 and headers['location'] == './'
        cookie = headers['set-cookie']
        assert 'HttpOnly' in cookie and 'SameSite=Lax' in cookie and 'Path' not in cookie
        assert 'Secure' in desk.get(f'/?token={desk.token}', X_Forwarded_Proto='https')[1][
            'set-cookie']
        assert desk.get('/', Cookie=cookie.partition(';')[0])[0] == 200
        assert desk.get('/', Authorization=f'Bearer {desk.token}')[0] == 200

        async def run():
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with desk.browser():
                    pass
            assert caught.value.status == 401
            async with desk.browser(Cookie=cookie.partition(';')[0]) as browser:
                await heard(browser, lambda part: part['type'] == 'welcome')
        asyncio.run(run())
    finally:
        desk.server.close()


def test_orders_come_out_and_their_results_go_back(desk):
    async def run():
        async with desk.browser() as browser:
            await browser.send_json(
                {'type': 'ask', 'id': 7, 'narrator': NAME, 'text': '<script>alert(1)</script>'})
            await asyncio.to_thread(desk.ordered.wait, 10)
            client, order = desk.orders[0]
            assert order == Ask(7, NAME, '<script>alert(1)</script>')
            desk.server.answer(client, 7, False, 'not active')
            result = await heard(browser, lambda part: part['type'] == 'result')
            assert result == {'type': 'result', 'id': 7, 'ok': False, 'text': 'not active'}
    asyncio.run(run())


def test_pictures_come_as_fast_as_they_are_drawn_and_newest_first(desk):
    async def run():
        async with desk.browser() as browser:
            await browser.send_json({'type': 'watch', 'pictures': [list(PICTURE)]})
            async with asyncio.timeout(10):
                while desk.server.watched != {PICTURE}:
                    await asyncio.sleep(0.01)
            pictures = []

            def note(part, until):
                if isinstance(part, bytes):
                    pictures.append(part[-1])
                return until(part)

            for number in range(10):
                desk.server.show(*PICTURE, bytes([number]), 1)
                desk.say(str(number))
                await heard(browser, lambda part: note(part, is_entry(str(number))))
            desk.say('All were shown.')
            await heard(browser, lambda part: note(part, is_entry('All were shown.')))
            assert pictures == list(range(client_module.MAX_PICTURES_UNDER_WAY))
            await browser.send_json({'type': 'shown', 'picture': list(PICTURE)})
            await heard(browser, lambda part: note(part, lambda each: isinstance(each, bytes)))
            assert pictures[-1] == 9
    asyncio.run(run())


@pytest.mark.parametrize('rubbish', [
    'rubbish', '{', '[' * 10_000, '{"type": "ask"}', b'\xff\x00', '\x00', '{"type": "hello"}',
    '{"type": "hello", "boot": "", "after": 0}'])
def test_who_sends_rubbish_is_told_and_then_sent_away_alone(desk, rubbish):
    async def run():
        async with desk.browser() as browser:
            send = browser.send_bytes if isinstance(rubbish, bytes) else browser.send_str
            await send(rubbish)
            await heard(browser, lambda part: part['type'] == 'refused')
            for _ in range(client_module.MAX_BAD_MESSAGES + 1):
                await send(rubbish)
            with pytest.raises(AssertionError, match='1008'):
                await heard(browser, lambda part: False)
        await works(desk)
    asyncio.run(run())


def test_a_flood_of_good_messages_is_cut_off(desk):
    async def run():
        async with desk.browser() as browser:
            try:
                for _ in range(client_module.MAX_BURST * 3):
                    await browser.send_str('{"type": "shown", "picture": ["/n", "camera"]}')
            except ConnectionError:
                pass
            with pytest.raises((AssertionError, ConnectionError)):
                await heard(browser, lambda part: False)
        await works(desk)
    asyncio.run(run())


def test_giant_messages_and_bodies_are_cut_off_in_little_memory(desk):
    giant = 100_000_000
    process = psutil.Process()

    async def run():
        before = process.memory_info().rss
        async with desk.browser() as browser:
            # Only the head: a hundred megabytes of text are to follow.
            transport = browser.get_extra_info('socket')
            head = b'\x81\xff' + giant.to_bytes(8, 'big') + bytes(4)
            block = bytes(1 << 20)
            loop = asyncio.get_running_loop()
            sender = socket.socket(fileno=transport.fileno())
            try:
                sender.setblocking(False)
                await loop.sock_sendall(sender, head + block)
            except ConnectionError:
                pass
            finally:
                sender.detach()
            with pytest.raises(AssertionError, match='1009|1006'):
                await heard(browser, lambda part: False)
        reader, writer = await asyncio.open_connection('127.0.0.1', desk.port)
        writer.write(f'POST / HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\n'
                     f'Content-Length: {giant}\r\n\r\n'.encode())
        try:
            for _ in range(100):
                writer.write(block)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()
        await works(desk)
        assert process.memory_info().rss - before < 60_000_000
    asyncio.run(run())


def test_headers_without_end_are_cut_off(desk):
    with socket.create_connection(('127.0.0.1', desk.port), timeout=10) as connection:
        connection.sendall(b'GET / HTTP/1.1\r\nX: ')
        try:
            for _ in range(100):
                connection.sendall(b'a' * 10_000)
            answer = connection.recv(1000)
        except ConnectionError:
            answer = b''
        assert answer == b'' or b' 400 ' in answer
    asyncio.run(works(desk))


def test_a_connection_on_which_nothing_comes_is_cut_off(desk, monkeypatch):
    monkeypatch.setattr(connections, 'FIRST_REQUEST_S', 0.2)
    for beginning in (b'', b'GET / HTTP/1.1\r\nHost: '):
        with socket.create_connection(('127.0.0.1', desk.port), timeout=10) as silent:
            silent.sendall(beginning)
            with suppress(ConnectionResetError):
                assert silent.recv(100) == b''
    asyncio.run(works(desk))


def test_so_many_connections_are_taken_and_no_more(desk, monkeypatch):
    monkeypatch.setattr(connections, 'MAX_CONNECTIONS', 5)
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(('127.0.0.1', desk.port), timeout=10))
                for _ in range(6)]
        with suppress(ConnectionResetError):
            assert held[-1].recv(100) == b''
        held[0].sendall(f'GET / HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\n\r\n'.encode())
        assert b' 200 ' in held[0].recv(100)


def test_fifty_browsers_are_served_and_the_next_is_told_why_not(desk):
    async def run():
        async with asyncio.TaskGroup() as group:
            ready, done = asyncio.Semaphore(0), asyncio.Event()

            async def follow():
                async with desk.browser() as browser:
                    await heard(browser, lambda part: part['type'] == 'welcome')
                    ready.release()
                    await heard(browser, is_entry('Hello all.'), 30)
                    ready.release()
                    await done.wait()

            for _ in range(server_module.MAX_CLIENTS):
                group.create_task(follow())
            for _ in range(server_module.MAX_CLIENTS):
                await ready.acquire()
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with desk.browser():
                    pass
            assert caught.value.status == 503
            desk.say('Hello all.')
            for _ in range(server_module.MAX_CLIENTS):
                await ready.acquire()
            done.set()
        await works(desk)
    asyncio.run(run())


def deaf_browser(desk, *messages):
    """Return the socket of a browser that has sent its messages, and has not read yet."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    deaf.connect(('127.0.0.1', desk.port))
    deaf.sendall((f'GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\n'
                  f'Origin: {desk.url}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
                  '\r\n').encode())
    for message in ({'type': 'hello', 'boot': '', 'after': 0}, *messages):
        text = json.dumps(message).encode()
        deaf.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
    return deaf


def test_a_browser_that_reads_nothing_for_long_is_cut_off(desk, monkeypatch):
    async def until(is_true):
        async with asyncio.timeout(20):
            while not is_true():
                await asyncio.sleep(0.01)

    async def run():
        with monkeypatch.context() as patch, \
                deaf_browser(desk, {'type': 'watch', 'pictures': [list(PICTURE)]}):
            patch.setattr(client_module, 'SEND_TIMEOUT_S', 0.3)
            await until(lambda: desk.server.watched == {PICTURE})
            for _ in range(1000):
                desk.say('a' * 10_000)
            await until(lambda: not desk.server.watched)
        await works(desk)
    asyncio.run(run())


def test_a_browser_that_reads_nothing_costs_little_and_catches_up(desk):
    process = psutil.Process()
    num_entries, padding = 900, 'a' * 10_000

    async def run():
        with deaf_browser(desk) as deaf:
            await works(desk)
            before = process.memory_info().rss
            for _ in range(3000):  # thirty megabytes
                desk.say(padding, 'token')
            await works(desk)
            assert process.memory_info().rss - before < 20_000_000
            for number in range(num_entries):
                desk.say(f'no{number:03}{padding}')
            await works(desk)
            deaf.settimeout(10)
            got = b''
            while f'no{num_entries - 1:03}a'.encode() not in got:
                got += await asyncio.to_thread(deaf.recv, 1 << 20)
            numbers = [int(number) for number in re.findall(rb'"no(\d{3})a', got)]
            assert numbers == list(range(num_entries))
    asyncio.run(run())


def test_who_falls_behind_is_given_what_it_has_missed(desk):
    async def run():
        async with desk.browser() as browser:
            await heard(browser, lambda part: part['type'] == 'welcome')
            num = client_module.MAX_WAITING + 200
            for number in range(num):
                desk.say(str(number))
            seen = []
            await heard(browser, lambda part: part['type'] == 'entry'
                        and seen.append(part['text']) is None and part['text'] == str(num - 1))
            assert seen == [str(number) for number in range(num)]
    asyncio.run(run())


def test_browsers_are_told_that_the_desk_ends():
    desk = Desk()

    async def run():
        async with desk.browser() as browser:
            await heard(browser, lambda part: part['type'] == 'welcome')
            rest = asyncio.create_task(heard(browser, lambda part: False))
            await asyncio.to_thread(desk.server.close)
            with pytest.raises(AssertionError, match='1001'):
                await rest
    asyncio.run(run())


def test_a_port_that_is_taken_is_named_with_the_way_out(desk):
    options = ServerOptions('127.0.0.1', desk.port, Access.for_address('127.0.0.1', frozenset()))
    with pytest.raises(DeskError, match=f'{desk.port} is taken.*port'):
        DeskServer(options, None, None).start()
    options = ServerOptions('192.0.2.1', 0, Access.for_address('192.0.2.1', frozenset()))
    with pytest.raises(DeskError, match="192.0.2.1.*'address' must be one of this machine"):
        DeskServer(options, None, None).start()
