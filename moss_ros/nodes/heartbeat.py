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
The heartbeat of a node's process, for the watchdog of systemd: it stops when a model hangs.

A node goes in; 'READY=1' and then 'WATCHDOG=1' go to the service manager, from the executor's
thread, so that a callback that hangs stops it as well. Made by node_main.py for every node.
"""

from moss_ros import systemd
from rclpy.clock import Clock, ClockType

# How often it is sent where the watchdog has long patience.
MAX_PERIOD_S = 1.0
_HANGS = 'the model hangs'


class Heartbeat:
    """
    Beats as long as node is spun and nothing of it is stuck; does nothing without systemd.

    A node, and each of its companions, may have stuck_s: for how many seconds its model has taken
    no step although something waits for it. Up to half of the watchdog's time it still beats. And
    health: a level and a text. The status of the service is the worst of these.
    """

    def __init__(self, node):
        """Begin with the first period in which the node is spun."""
        # A message that changes nothing: is there a service manager?
        self._told = 'starting'
        if not systemd.notify(f'STATUS={self._told}'):
            return
        self._watchdog_s = systemd.watchdog_s()
        nodes = (node, *getattr(node, 'companions', ()))
        self._that_may_hang = [one for one in nodes if hasattr(one, 'stuck_s')]
        self._that_have_health = [one for one in nodes if hasattr(one, 'health')]
        self._is_ready = self._is_stuck = False
        self._logger = node.get_logger()
        # On steady time: with use_sim_time, the node's own clock may stand still.
        self._timer = node.create_timer(
            min(MAX_PERIOD_S, (self._watchdog_s or MAX_PERIOD_S) / 4), self._beat,
            clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _beat(self):
        if not self._is_ready:
            self._is_ready = True
            systemd.notify('READY=1')
        if self._watchdog_s is not None:
            self._beat_for_watchdog()
        self._tell(_HANGS if self._is_stuck else self._health())

    def _health(self):
        """Return in one line how the model is that is worst off."""
        healths = sorted((*one.health, one.get_fully_qualified_name())
                         for one in self._that_have_health)
        if not healths:
            return 'running'
        _, text, name = healths[-1]
        line = ' '.join(text.split())
        return line if len(healths) == 1 else f'{name}: {line}'

    def _tell(self, status):
        if status != self._told:
            self._told = status
            systemd.notify(f'STATUS={status}')

    def _beat_for_watchdog(self):
        stuck_s = max((one.stuck_s for one in self._that_may_hang), default=0.0)
        is_stuck = stuck_s > self._watchdog_s / 2
        if not is_stuck:
            systemd.notify('WATCHDOG=1')
        elif not self._is_stuck:
            self._logger.error(
                f'the model has taken no step for {stuck_s:.0f} s: the watchdog of the service is '
                'no longer told that all is well')
        self._is_stuck = is_stuck
