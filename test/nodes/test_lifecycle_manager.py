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

"""A lifecycle manager of nav2 brings the narrator up as docs/launch.md says; here its part."""

from pathlib import Path
import re

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
import yaml

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'launch.md'


def example():
    """Return the text of the parameters in the docs."""
    block, = re.findall(r'^```yaml\n(.*?)^```', PAGE.read_text(encoding='utf-8'),
                        re.DOTALL | re.MULTILINE)
    return block


def test_the_narrator_is_brought_up_without_a_bond(host, start_process, tmp_path):
    """Its manager asks for state and transitions by these services, in this order."""
    parameters = yaml.safe_load(example())
    manager = parameters['lifecycle_manager_narrator']['ros__parameters']
    assert manager['bond_timeout'] == 0.0 and isinstance(manager['bond_timeout'], float)
    file = tmp_path / 'parameters.yaml'
    file.write_text(example())
    start_process('narrator', '--params-file', str(file))
    node = host.add(Node('lifecycle_manager_narrator'))
    for name in manager['node_names']:
        get_state = node.create_client(GetState, f'{name}/get_state')
        change_state = host.client_of_process(node, ChangeState, f'{name}/change_state')
        for before, transition in (
                (State.PRIMARY_STATE_UNCONFIGURED, Transition.TRANSITION_CONFIGURE),
                (State.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_ACTIVATE)):
            assert host.call(get_state, GetState.Request()).current_state.id == before
            request = ChangeState.Request(transition=Transition(id=transition))
            assert host.call(change_state, request).success
        assert host.call(
            get_state, GetState.Request()).current_state.id == State.PRIMARY_STATE_ACTIVE
    assert not node.count_publishers('/bond')
