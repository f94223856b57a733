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
A narrator that takes itself to active, and what is said where somebody else drives it as well.

Made by the narrator once, on the executor's thread, where all of it is called.
"""

from lifecycle_msgs.msg import Transition
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

# The states in which these requests can be carried out.
_STATE_BY_REQUEST = {'configure': 'unconfigured', 'activate': 'inactive'}
_REQUEST_BY_ID = {
    Transition.TRANSITION_CONFIGURE: 'configure', Transition.TRANSITION_ACTIVATE: 'activate'}
_CHANGE_STATE = '/change_state'


class Autostart:
    """
    Configures and activates a node as soon as it is spun.

    Where a lifecycle manager requests the same, its requests fail: the first of them is followed
    by a warning that names the parameter.
    """

    def __init__(self, node: LifecycleNode):
        """Take a node that has lifecycle_state, a property with the name of its state."""
        self._node = node
        self._has_warned = False
        # On steady time: with use_sim_time, a node's own clock may stand still.
        self._timer = node.create_timer(0.0, self._start, clock=Clock(
            clock_type=ClockType.STEADY_TIME))
        for service in node.services:
            if service.srv_name.endswith(_CHANGE_STATE):
                service.callback = self._watched(service.callback)

    def _start(self):
        self._timer.cancel()
        node = self._node
        if node.lifecycle_state != 'unconfigured':
            self._warn('has requested transitions before the narrator could start by itself')
        elif node.trigger_configure() is not TransitionCallbackReturn.SUCCESS:
            node.get_logger().warning(
                'waits unconfigured: mend what was reported, then request the configure and '
                'activate transitions, or start it again')
        elif node.trigger_activate() is not TransitionCallbackReturn.SUCCESS:
            node.get_logger().warning(
                'waits inactive: mend what was reported, then request the activate transition')

    def _watched(self, change_state):
        def answer(request, response):
            state = self._node.lifecycle_state
            response = change_state(request, response)
            name = request.transition.label or _REQUEST_BY_ID.get(request.transition.id, '')
            if not response.success and state != _STATE_BY_REQUEST.get(name, state):
                self._warn(f'requested {name!r} while the narrator was {state} by itself')
            return response

        return answer

    def _warn(self, what_was_done):
        if not self._has_warned:
            self._has_warned = True
            self._node.get_logger().warning(
                f'a lifecycle manager {what_was_done}: autostart is true; start the narrator '
                'with autostart:=false and leave all transitions to the manager')
