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
The desk's server: HTTP for the page and its small pictures, a WebSocket for everything that lives.

Messages and pictures go in from any thread; orders of the browsers come out. It runs on a thread
of its own with its own asyncio loop, so whoever reports to it never waits. Made by the desk node
and by `make pictures`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
import errno
import json
import logging
import struct
import threading
import time

from aiohttp import web
from moss_ros.desk.access import Access, link_of
from moss_ros.desk.client import Client, Picture
from moss_ros.desk.connections import BoundedServer
from moss_ros.desk.memory import DeskMemory
from moss_ros.desk.messages import Ask, Call
from moss_ros.desk.pages import DeskPages

MAX_CLIENTS = 50
MAX_MESSAGE_BYTES = 64 * 1024
MAX_PICTURE_BYTES = 4 * 1024 * 1024
PULSE_S = 1.0
HEARTBEAT_S = 20.0
START_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
_LOGGER = logging.getLogger(__name__)


class DeskError(Exception):
    """The desk cannot be served; the text says why, and the way out."""


@dataclass(frozen=True)
class ServerOptions:
    """Where to serve, and to whom: an address of this machine, a port (0: any free one)."""

    address: str
    port: int
    access: Access


class DeskServer:
    """
    Serves the page until close().

    - on_order(client, order) is called on the server's thread with each Ask and Call; the result
      goes back by answer().
    - on_watch() is called on the server's thread when watched has changed.
    - watched: the pictures that any browser shows; link: the address of the page, with the token.
    Any thread may call the methods; none of them waits, but start() and close().
    """

    def __init__(self, options: ServerOptions, on_order: Callable[[Client, Ask | Call], None],
                 on_watch: Callable[[], None]):
        self.watched: frozenset[Picture] = frozenset()
        self.link = ''
        self._options = options
        self._on_order, self._on_watch = on_order, on_watch
        self._memory = DeskMemory()
        self._pages = DeskPages(options.access)
        self._clients: set[Client] = set()
        self._thread = threading.Thread(target=self._run, name='moss-desk-server', daemon=True)
        self._has_started = threading.Event()
        self._failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def start(self) -> None:
        """Serve from now on; raises DeskError where the address or port cannot be had."""
        self._thread.start()
        self._has_started.wait(START_TIMEOUT_S)
        if self._failure is not None:
            raise DeskError(self._reason(self._failure)) from self._failure

    def close(self) -> None:
        """End all connections and the thread; blocks for CLOSE_TIMEOUT_S at most."""
        self._call(lambda: self._end.set())
        self._thread.join(CLOSE_TIMEOUT_S)

    def take(self, method: Callable, *values) -> None:
        """Let the memory take something in, by one of its methods, and tell the browsers."""
        self._call(lambda: self._broadcast(method(self._memory, *values)))

    def show(self, name: str, source: str, jpeg: bytes, stamp_ns: int) -> None:
        """Show a JPEG of a narrator to those browsers that watch it."""
        if len(jpeg) > MAX_PICTURE_BYTES:
            return
        head = json.dumps({'narrator': name, 'source': source, 'stamp_s': stamp_ns / 1e9}).encode()
        data = struct.pack('>I', len(head)) + head + jpeg
        self._call(lambda: [client.show((name, source), data) for client in self._clients])

    def answer(self, client: Client, order_id: int, is_done: bool, text: str) -> None:
        """Tell a browser the result of its order."""
        self._call(lambda: client.answer(order_id, is_done, text))

    def _call(self, function):
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # the loop has ended

    # On the server's thread

    def _run(self):
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._failure = error
            if self._has_started.is_set():
                _LOGGER.exception('the server of the desk has ended')
        self._has_started.set()

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = BoundedServer(self._handle)
        listener = await self._loop.create_server(
            server, self._options.address, self._options.port)
        port = listener.sockets[0].getsockname()[1]
        self.link = link_of(self._options.address, port, self._options.access.token)
        self._has_started.set()
        beat = asyncio.create_task(self._beat())
        await self._end.wait()
        beat.cancel()
        listener.close()
        leaving = [asyncio.create_task(client.leave()) for client in self._clients]
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSE_TIMEOUT_S / 2)
        await server.shutdown(CLOSE_TIMEOUT_S / 4)

    async def _beat(self):
        while True:
            self._broadcast([self._memory.pulse(time.monotonic(), _now_ms())])
            await asyncio.sleep(PULSE_S)

    def _broadcast(self, messages):
        for message in messages or ():
            text = json.dumps(message)
            for client in list(self._clients):
                client.tell(text, message.get('n', 0))

    def _welcome(self, boot, after):
        return self._memory.welcome(boot, after, time.monotonic(), _now_ms())

    def _note_watched(self):
        watched = frozenset().union(*(client.watched for client in self._clients))
        if watched != self.watched:
            self.watched = watched
            self._on_watch()

    async def _handle(self, request):
        request.protocol.note_request()
        if request.path != '/socket':
            return self._pages.response(request, self._memory.thumbnail)
        refusal = self._pages.refusal(request, is_socket=True)
        if refusal is not None:
            return refusal
        if len(self._clients) >= MAX_CLIENTS:
            return self._pages.text(503, f'{MAX_CLIENTS} browsers are at this desk already: close '
                                         'one of them.')
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False,
            timeout=CLOSE_TIMEOUT_S)
        if not socket.can_prepare(request):
            return self._pages.text(426, 'Here the page talks to the desk; there is nothing to '
                                         'read.')
        await socket.prepare(request)
        client = Client(socket, request.transport, self._welcome, self._on_order,
                        self._note_watched)
        self._clients.add(client)
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            self._note_watched()
        return socket

    def _reason(self, error):
        where = f'{self._options.address}:{self._options.port}'
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return (f'port {where} is taken, by another desk perhaps: choose another one by the '
                    "parameter 'port', 0 for any that is free")
        return (f"the desk cannot be served on {where}: {error}; 'address' must be one of this "
                'machine, 127.0.0.1 for this machine alone or 0.0.0.0 for all its networks')


def _now_ms():
    return time.time_ns() // 1_000_000
