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

"""A narrator that starts by itself, where a lifecycle manager drives it as well."""

from lifecycle_msgs.msg import State, Transition
import pytest

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
WARNING = 'a lifecycle manager'


@pytest.fixture
def logged(capfd):
    """Return a function that returns all that was logged so far."""
    texts = []

    def text():
        texts.append(capfd.readouterr().err)
        return ''.join(texts)

    return text


def test_one_warning_names_the_parameter_that_is_in_the_way(robot, logged):
    robot = robot()
    robot.wait_active()
    assert not robot.change(CONFIGURE)
    assert not robot.change(ACTIVATE)
    assert robot.state == State.PRIMARY_STATE_ACTIVE
    text = logged()
    assert text.count(WARNING) == 1
    assert 'autostart:=false' in text and "'configure' while the narrator was active" in text


def test_a_manager_that_is_first_is_told_too(host, robot, logged):
    robot = robot()
    # Before anything is spun: the manager's request is there when the node's own timer is due.
    robot.narrator.trigger_configure()
    host.until(lambda: WARNING in logged(), what='the warning')
    assert 'autostart:=false' in logged()
    assert robot.state == State.PRIMARY_STATE_INACTIVE


def test_who_may_change_the_state_is_not_warned(robot, logged):
    robot = robot()
    robot.wait_active()
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    assert robot.change(ACTIVATE)
    assert not robot.change(Transition.TRANSITION_CLEANUP)  # not from active: whoever asked
    assert WARNING not in logged()


def test_without_autostart_the_manager_alone_is_heard(robot, logged):
    robot = robot(autostart=False)
    assert not robot.change(ACTIVATE)
    assert robot.change(CONFIGURE) and robot.change(ACTIVATE)
    assert not robot.change(CONFIGURE)
    assert WARNING not in logged()
