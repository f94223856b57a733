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


class Heartbeat:
    """
    Beats as long as node is spun and nothing of it is stuck; does nothing without systemd.

    A node, and each of its companions, may have stuck_s: for how many seconds its model has taken
    no step although something waits for it. Up to half of the watchdog's time it still beats.
    """

    def __init__(self, node):
        """Begin with the first period in which the node is spun."""
        # A message that changes nothing: is there a service manager?
        if not systemd.notify('STATUS=starting'):
            return
        self._watchdog_s = systemd.watchdog_s()
        self._nodes = [one for one in (node, *getattr(node, 'companions', ()))
                       if hasattr(one, 'stuck_s')]
        self._is_ready = self._is_stuck = False
        self._logger = node.get_logger()
        # On steady time: with use_sim_time, the node's own clock may stand still.
        self._timer = node.create_timer(
            min(MAX_PERIOD_S, (self._watchdog_s or MAX_PERIOD_S) / 4), self._beat,
            clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _beat(self):
        if not self._is_ready:
            self._is_ready = True
            systemd.notify('READY=1\nSTATUS=running')
        if self._watchdog_s is None:
            self._timer.cancel()
            return
        stuck_s = max((one.stuck_s for one in self._nodes), default=0.0)
        is_stuck = stuck_s > self._watchdog_s / 2
        if not is_stuck:
            systemd.notify('WATCHDOG=1')
        elif not self._is_stuck:
            self._logger.error(
                f'the model has taken no step for {stuck_s:.0f} s: the watchdog of the service is '
                'no longer told that all is well')
            systemd.notify('STATUS=the model hangs')
        self._is_stuck = is_stuck
