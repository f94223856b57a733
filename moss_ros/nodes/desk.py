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
The desk: serves a page on which a browser follows narrators, asks and interrupts them.

Reads what narrators publish, and their cameras; writes `prompt` and calls their services. The
server has a thread of its own, and so has the conversion of pictures: the executor waits for no
browser. Needs no model, and may run on another machine.
"""

from collections import deque
import os
import time
from typing import NoReturn

from diagnostic_msgs.msg import DiagnosticArray
from moss_ros.desk import Access, Ask, DeskError, DeskServer, hosts_of, ServerOptions
from moss_ros.desk.memory import DeskMemory
from moss_ros.nodes.desk_pictures import PictureMaker
from moss_ros.nodes.narrator_feed import find_narrators, NarratorFeed
from moss_ros.nodes.node_main import run_node
from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.settings import DeskSettings
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle, InvalidParameterValueException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile

LOOK_PERIOD_S = 0.5
# A page that looks here and there makes no more subscriptions than this.
LEAST_WATCH_PERIOD_S = 0.2
MAX_ORDERS = 1000
LOWER_PRIORITY = 5


class Desk(Node):
    """
    Follows all narrators that it finds, or those that are named, until close().

    link: the address of the page, with the token where one is needed.
    """

    def __init__(self, **node_options):
        """Raise what rclpy raises for parameters that are not allowed, or cannot be served."""
        super().__init__('desk', **node_options)
        declare_settings(self, DeskSettings)
        settings = read_settings(self, DeskSettings)
        self._settings = settings
        self._feeds: dict[str, NarratorFeed] = {}
        self._orders: deque = deque(maxlen=MAX_ORDERS)
        self._last_watch_s = 0.0
        self._server = DeskServer(
            ServerOptions(settings.address, settings.port, Access.for_address(
                settings.address, hosts_of(settings.hosts))),
            self._on_order, self._wake_up)
        self._wake = self.create_guard_condition(self._work)
        try:
            self._server.start()
        except DeskError as error:
            raise InvalidParameterValueException(
                'address', settings.address, str(error)) from error
        self.link = self._server.link
        self._pictures = PictureMaker(
            self._server, settings.picture_rate, settings.picture_width, settings.thumbnails,
            self.get_logger())
        self.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, QoSProfile(depth=100))
        # On steady time: with use_sim_time, the node's own clock may stand still.
        self.create_timer(
            LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        # To the terminal alone: the log is a topic, and the token is a secret.
        print(f'The desk: {self.link}', flush=True)

    def close(self) -> None:
        """End the server and the conversion of pictures; takes less than 2 s."""
        self._pictures.close()
        self._server.close()

    # What narrators tell

    def _look(self):
        """Find narrators, and see which are gone."""
        now_s = time.monotonic()
        wanted = self._wanted()
        there = find_narrators(self)
        for name in there:
            if name not in self._feeds and (not wanted or name in wanted):
                self._feeds[name] = NarratorFeed(
                    self, name, self._server, self._pictures, self._settings.thumbnails)
        for name, feed in list(self._feeds.items()):
            self._server.take(DeskMemory.take_presence, name, name in there, now_s)
            feed.look(name in there)
        self._update_pictures()

    def _wanted(self):
        """Return the full names of the narrators in the parameter."""
        prefix = self.get_namespace().rstrip('/')
        names = filter(None, self._settings.narrators.split(','))
        return {name if name.startswith('/') else f'{prefix}/{name}' for name in names}

    def _on_diagnostics(self, message):
        statuses = {}
        for status in message.status:
            name = '/' + status.name.partition(':')[0].strip('/')
            if name in self._feeds:
                statuses.setdefault(name, []).append((
                    status.name, int.from_bytes(status.level, 'little'), status.message,
                    tuple((pair.key, pair.value) for pair in status.values)))
        for name, found in statuses.items():
            self._server.take(DeskMemory.take_statuses, name, found, time.monotonic())

    # What browsers want

    def _on_order(self, client, order):
        """Take an order, on the server's thread."""
        self._orders.append((client, order))
        self._wake_up()

    def _wake_up(self):
        try:
            self._wake.trigger()
        except (InvalidHandle, rclpy_implementation.RCLError):
            pass  # the process was told to end

    def _work(self):
        # Otherwise the next look does it.
        if time.monotonic() - self._last_watch_s > LEAST_WATCH_PERIOD_S:
            self._update_pictures()
        while self._orders:
            client, order = self._orders.popleft()
            feed = self._feeds.get(order.narrator)
            answer = self._answering(client, order.order_id)
            if feed is None:
                answer(False, f'There is no narrator {order.narrator!r}.')
            elif isinstance(order, Ask):
                feed.ask(order.text, answer)
            else:
                feed.call(order.service, answer)

    def _answering(self, client, order_id):
        return lambda is_done, text: self._server.answer(client, order_id, is_done, text)

    def _update_pictures(self):
        self._last_watch_s = time.monotonic()
        watched = self._server.watched
        for name, feed in self._feeds.items():
            feed.watch({source for each, source in watched if each == name})


def main(args=None) -> NoReturn:
    """Run the node until Ctrl-C or SIGTERM, and end the process."""
    # Where they share a machine, the narrator comes first.
    os.nice(LOWER_PRIORITY)
    run_node(Desk, args)


if __name__ == '__main__':
    main()
