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
The services of a stream: `~/interrupt`, `~/reset` and `~/pause`.

A request comes in on the executor's thread, is carried out on the worker's, and is answered when
it has taken effect; the executor is free meanwhile. What each service does is given as a function.
Made by the narrator once, for all its states.
"""

from collections.abc import Callable
from concurrent.futures import Future
import time

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.task import Future as Turn
from std_srvs.srv import SetBool, Trigger

# A step of a large model that reads a long context anew takes seconds.
ANSWER_TIMEOUT_S = 10.0
_LOOK_PERIOD_S = 0.1


class StreamServices:
    """
    Three services; each answers when the request has taken effect, or says why it has not.

    interrupt(), reset() and pause(is_paused) are called on the executor's thread. They return a
    Future that another thread completes, or raise RuntimeError if that is impossible now; its
    text becomes the answer.
    """

    def __init__(self, node, interrupt: Callable[[], Future], reset: Callable[[], Future],
                 pause: Callable[[bool], Future]):
        self._waiting: dict[Turn, tuple[Future, float]] = {}
        # A callback that waits must not keep others from running.
        group = ReentrantCallbackGroup()
        node.create_service(
            Trigger, '~/interrupt',
            self._answering(lambda request: interrupt(), 'the stream goes on'),
            callback_group=group)
        node.create_service(
            Trigger, '~/reset', self._answering(lambda request: reset(), 'the stream begins anew'),
            callback_group=group)
        node.create_service(
            SetBool, '~/pause', self._answering(lambda request: pause(request.data), ''),
            callback_group=group)
        self._wake = node.create_guard_condition(self._look, callback_group=group)
        self._timer = node.create_timer(
            _LOOK_PERIOD_S, self._look, callback_group=group,
            clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    def _answering(self, begin, done_text):
        async def answer(request, response):
            try:
                future = begin(request)
            except RuntimeError as error:
                response.success, response.message = False, str(error)
                return response
            await self._wait(future)
            if not future.done():
                response.message = (
                    f'not done within {ANSWER_TIMEOUT_S:g} s: the model is in a long step; it '
                    'takes effect after that')
            elif future.cancelled():
                response.message = 'the stream ended before it took effect'
            elif future.exception() is not None:
                response.message = f'it failed: {future.exception()!r}'
            else:
                response.success = True
                response.message = done_text
            return response

        return answer

    def _wait(self, future):
        """Return something to await: done soon after future is, or after ANSWER_TIMEOUT_S."""
        turn = Turn()
        self._waiting[turn] = future, time.monotonic() + ANSWER_TIMEOUT_S
        # An executor checks what is awaited only when something wakes it.
        future.add_done_callback(lambda _: self._wake_executor())
        self._timer.reset()
        return turn

    def _wake_executor(self):
        try:
            self._wake.trigger()
        except (InvalidHandle, rclpy_implementation.RCLError):
            pass  # the node is gone, and whoever asked with it

    def _look(self):
        """Complete the turns of what is done or late, on the executor's thread."""
        now_s = time.monotonic()
        for turn, (future, end_s) in list(self._waiting.items()):
            if future.done() or now_s >= end_s:
                del self._waiting[turn]
                turn.set_result(None)
        if not self._waiting:
            self._timer.cancel()
