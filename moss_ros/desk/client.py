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
One browser at the desk: what it should see goes in, a WebSocket takes what it has room for.

Messages wait in a queue of bounded length; where a browser falls behind that far, they are dropped
and it is given what it has missed from the memory later. Of pictures only the newest waits, and
the next one is sent when the page has drawn the last. Made by the server, on its thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
import json

from aiohttp import web, WSCloseCode, WSMsgType
from moss_ros.desk.messages import Hello, MessageError, read_message, Shown, Watch

MAX_WAITING = 500
MAX_WAITING_LETTERS = 1_000_000
# One is on its way while the other is drawn.
MAX_PICTURES_UNDER_WAY = 2
MAX_MESSAGES_PER_S = 500
MAX_BURST = 1000
MAX_BAD_MESSAGES = 10
SEND_TIMEOUT_S = 20.0

Picture = tuple[str, str]


class Budget:
    """How many messages a browser may still send: filled up steadily, to a limit."""

    def __init__(self, num_per_s: float, max_num: float, now_s: float):
        self._num_per_s, self._max_num = num_per_s, max_num
        self._num, self._last_s = max_num, now_s

    def take(self, now_s: float) -> bool:
        """Return whether one more may come at now_s."""
        self._num = min(self._max_num, self._num + (now_s - self._last_s) * self._num_per_s)
        self._last_s = now_s
        self._num -= 1
        return self._num >= 0


class Client:
    """
    A connected browser; all methods are called on the server's thread.

    - welcome(boot, after) returns the first messages, as DeskMemory.welcome().
    - on_order(client, order) gets each Ask and Call. on_watch() is called when watched changes.
    - watched: the pictures that it shows. socket: prepared already.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport,
                 welcome: Callable[[str, int], list[dict]], on_order: Callable,
                 on_watch: Callable[[], None]):
        self.watched: frozenset[Picture] = frozenset()
        self._socket, self._transport = socket, transport
        self._welcome, self._on_order, self._on_watch = welcome, on_order, on_watch
        self._wake = asyncio.Event()
        self._waiting: list[tuple[str, int]] = []
        self._own: list[str] = []
        self._num_letters = 0
        self._is_leaving = False
        self._receiver: asyncio.Task | None = None
        self._has_gone = asyncio.Event()
        self._has_greeted = False
        # (boot, after) for the welcome to send before anything else.
        self._is_behind: tuple[str, int] | None = None
        self._sent = ('', 0)
        self._pictures: dict[Picture, bytes] = {}
        self._num_under_way: dict[Picture, int] = {}
        self._num_bad = 0

    def tell(self, text: str, number: int = 0) -> None:
        """Send a JSON text; number is that of the newest entry that exists with it, if any."""
        if not self._has_greeted or self._is_behind is not None:
            return  # the welcome has it
        if len(self._waiting) >= MAX_WAITING or self._num_letters > MAX_WAITING_LETTERS:
            self._waiting.clear()
            self._num_letters = 0
            self._is_behind = self._sent
            return
        self._waiting.append((text, number))
        self._num_letters += len(text)
        self._wake.set()

    def answer(self, order_id: int, is_done: bool, text: str) -> None:
        """Send the result of an order."""
        self._tell_alone({'type': 'result', 'id': order_id, 'ok': is_done, 'text': text})

    def show(self, picture: Picture, data: bytes) -> None:
        """Send a picture, if it is watched, in place of one that still waits."""
        if picture in self.watched:
            self._pictures[picture] = data
            self._wake.set()

    async def leave(self) -> None:
        """Tell the browser that the desk ends, and end."""
        self._is_leaving = True
        if self._receiver is not None:
            self._receiver.cancel()
            await self._has_gone.wait()

    async def run(self) -> None:
        """Serve the browser until it has gone, or is sent away."""
        sender = asyncio.create_task(self._send())
        self._receiver = asyncio.create_task(self._receive())
        try:
            await asyncio.wait(
                [self._receiver, sender], return_when=asyncio.FIRST_COMPLETED)
            if self._is_leaving:
                await self._say_goodbye(WSCloseCode.GOING_AWAY, 'the desk has ended')
        finally:
            sender.cancel()
            self._receiver.cancel()
            await asyncio.gather(sender, self._receiver, return_exceptions=True)
            self.watched = frozenset()
            self._on_watch()
            self._has_gone.set()

    async def _receive(self):
        now_s = asyncio.get_running_loop().time
        budget = Budget(MAX_MESSAGES_PER_S, MAX_BURST, now_s())
        async for message in self._socket:
            if not budget.take(now_s()):
                await self._say_goodbye(WSCloseCode.POLICY_VIOLATION, 'too many messages')
                return
            if message.type is WSMsgType.TEXT:
                self._take(message.data)
            elif message.type is WSMsgType.BINARY:
                self._refuse('it is not a text')
            if self._num_bad > MAX_BAD_MESSAGES:
                await self._say_goodbye(
                    WSCloseCode.POLICY_VIOLATION, 'messages that are not those of the page')
                return

    def _take(self, text):
        try:
            message = read_message(text)
        except MessageError as error:
            self._refuse(str(error))
            return
        if isinstance(message, Hello):
            self._greet(message)
        elif isinstance(message, Watch):
            self._watch(message.pictures)
        elif isinstance(message, Shown):
            num = self._num_under_way.get(message.picture, 0)
            self._num_under_way[message.picture] = max(0, num - 1)
        else:
            self._on_order(self, message)
        self._wake.set()

    def _greet(self, message):
        # Once: a welcome is the most work that a message can make.
        if self._has_greeted:
            self._refuse('it was greeted already')
            return
        self._has_greeted = True
        self._is_behind = (message.boot, message.after)

    def _watch(self, pictures):
        self.watched = pictures
        self._pictures = {key: data for key, data in self._pictures.items() if key in pictures}
        # What is under way for a picture that is watched no more is never reported as drawn.
        self._num_under_way = {
            key: num for key, num in self._num_under_way.items() if key in pictures}
        self._on_watch()

    def _refuse(self, reason):
        self._num_bad += 1
        self._tell_alone({'type': 'refused', 'text': f'A message was refused: {reason}.'})

    def _tell_alone(self, message):
        """Send what no welcome has: only this browser is told."""
        if len(self._own) < MAX_WAITING:
            self._own.append(json.dumps(message))
            self._wake.set()

    async def _say_goodbye(self, code, reason):
        try:
            await self._bounded(self._socket.close(code=code, message=reason.encode()))
        except (TimeoutError, ConnectionError):
            pass

    async def _send(self):
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._send_messages()
            for picture in list(self._pictures):
                await self._send_picture(picture)
                await self._send_messages()

    async def _send_messages(self):
        while self._waiting or self._own or self._is_behind is not None:
            if self._own:
                own, self._own = self._own, []
                text = f'[{",".join(own)}]'
            elif self._is_behind is not None:
                messages = self._welcome(*self._is_behind)
                self._is_behind = None
                self._sent = (messages[0]['boot'], messages[0]['after'])
                text = json.dumps(messages)
            else:
                waiting, self._waiting, self._num_letters = self._waiting, [], 0
                boot, number = self._sent
                self._sent = (boot, max(number, *(each for _, each in waiting)))
                text = f'[{",".join(each for each, _ in waiting)}]'
            await self._bounded(self._socket.send_str(text))

    async def _send_picture(self, picture):
        num = self._num_under_way.get(picture, 0)
        if picture not in self._pictures or num >= MAX_PICTURES_UNDER_WAY:
            return
        data = self._pictures.pop(picture)
        self._num_under_way[picture] = num + 1
        await self._bounded(self._socket.send_bytes(data))

    async def _bounded(self, sending):
        """Wait for sending, but not for ever: a browser that takes nothing is cut off."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await sending
        except (TimeoutError, ConnectionError):
            self._transport.abort()
            raise
