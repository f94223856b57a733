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

"""A desk that is served without ROS, and what its browsers hear; for tests of server and page."""

import asyncio
from contextlib import asynccontextmanager
import json
import socket
import threading
import time

import aiohttp
from moss_ros.desk import Access, DeskServer, hosts_of, ServerOptions
from moss_ros.desk.memory import DeskMemory

NAME = '/narrator'
PICTURE = (NAME, 'camera')


class Desk:
    """A server on a port, 0: any free one, with what it reports."""

    def __init__(self, address='127.0.0.1', hosts='', port=0):
        self.orders = []
        self.ordered = threading.Event()
        access = Access.for_address(address, hosts_of(hosts))
        self.server = DeskServer(
            ServerOptions(address, port, access), self._on_order, lambda: None)
        self.server.start()
        self.token = access.token
        self.port = int(self.server.link.split(':')[2].split('/')[0])
        self.url = f'http://127.0.0.1:{self.port}'
        self.server.take(DeskMemory.take_presence, NAME, True, time.monotonic())
        self._seq = -1

    def _on_order(self, client, order):
        self.orders.append((client, order))
        self.ordered.set()

    def say(self, text, kind='narration', **values):
        """Tell of a record."""
        self._seq += 1
        self.server.take(DeskMemory.take_record, NAME, {
            'type': kind, 'seq': self._seq, 'stamp_ns': 10 ** 18, 'text': text,
            'narration_id': self._seq, 'prompt_id': None, 'reason': 'silence',
            'first_stamp_ns': 10 ** 18, **values}, time.monotonic(), time.time_ns() // 10 ** 6)

    def get(self, path, **headers):
        """Return (status, headers, text) of a raw request: no library mends the path."""
        fields = {'Host': f'127.0.0.1:{self.port}', **headers, 'Connection': 'close'}
        lines = [f'GET {path} HTTP/1.1', *(
            f'{name.replace("_", "-")}: {value}' for name, value in fields.items()), '', '']
        with socket.create_connection(('127.0.0.1', self.port), timeout=10) as connection:
            connection.sendall('\r\n'.join(lines).encode('latin-1'))
            answer = b''
            while part := connection.recv(65536):
                answer += part
        head, _, body = answer.partition(b'\r\n\r\n')
        status, *fields = head.decode('latin-1').split('\r\n')
        return (int(status.split()[1]),
                {key.lower(): value
                 for key, _, value in (each.partition(': ') for each in fields)},
                body.decode('utf-8', 'replace'))

    @asynccontextmanager
    async def browser(self, hello=True, **headers):
        """Connect as the page does."""
        headers = {'Origin': self.url, **headers}
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(
                    f'{self.url}/socket', headers=headers, max_msg_size=0) as browser:
                if hello:
                    await browser.send_json({'type': 'hello', 'boot': '', 'after': 0})
                yield browser


async def heard(browser, is_wanted, timeout_s=10.0):
    """Return the first message of the desk that is wanted; pictures as bytes."""
    async with asyncio.timeout(timeout_s):
        async for message in browser:
            parts = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT \
                else [message.data]
            for part in parts:
                if is_wanted(part):
                    return part
    raise AssertionError(f'closed: {browser.close_code}')


def is_entry(text):
    return lambda part: isinstance(part, dict) and part.get('text') == text
