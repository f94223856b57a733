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
The connections of the desk's server: as many as it may have, and none that only waits.

Called by the server, on its thread.
"""

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MAX_CONNECTIONS = 400
FIRST_REQUEST_S = 10.0
KEEP_ALIVE_S = 30.0
# What is left of a request that was refused is read for so long: a giant one is cut off.
LINGER_S = 0.2
MAX_HEADER_BYTES = 8190
READ_BYTES = 2 ** 16


class _Connection(RequestHandler):
    """A connection that ends unless its first request is whole in time."""

    __slots__ = ('_first_timer', '_bounded_server')

    def __init__(self, server, **options):
        super().__init__(server, **options)
        self._bounded_server = server
        self._first_timer = None

    def connection_made(self, transport):
        """Begin; one too many is cut off."""
        super().connection_made(transport)
        if len(self._bounded_server.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._first_timer = asyncio.get_running_loop().call_later(
            FIRST_REQUEST_S, transport.abort)

    def connection_lost(self, exc):
        """End."""
        self.note_request()
        super().connection_lost(exc)

    def note_request(self):
        """Note that a request has come."""
        if self._first_timer is not None:
            self._first_timer.cancel()
            self._first_timer = None


class BoundedServer(web.Server):
    """aiohttp's server with limits; handler is called with each request."""

    def __init__(self, handler):
        super().__init__(handler)
        self._running_loop = asyncio.get_running_loop()

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(
            self, loop=self._running_loop, keepalive_timeout=KEEP_ALIVE_S, access_log=None,
            max_line_size=MAX_HEADER_BYTES, max_field_size=MAX_HEADER_BYTES,
            lingering_time=LINGER_S, read_bufsize=READ_BYTES)
