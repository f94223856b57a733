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

"""Parameters: every one is described, bounded and refused with the reason."""

import math

from moss_ros.nodes.parameters import declare_settings, read_settings
from moss_ros.settings import CameraSettings, NarratorSettings, refusal, ros_type, rows
import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

TYPE_BY_NAME = {
    'bool': ParameterType.PARAMETER_BOOL, 'int': ParameterType.PARAMETER_INTEGER,
    'double': ParameterType.PARAMETER_DOUBLE, 'string': ParameterType.PARAMETER_STRING}
LIVE = {name: row for name, row in rows(NarratorSettings).items() if row.is_live}


def make_node(host, settings_class=NarratorSettings, **given):
    """Return a node with the parameters of settings_class, some given at the start."""
    node = host.add(Node('node_under_test', parameter_overrides=[
        Parameter(name, value=value) for name, value in given.items()]))
    declare_settings(node, settings_class)
    return node


@pytest.mark.parametrize('settings_class', [NarratorSettings, CameraSettings])
def test_every_parameter_is_declared_with_all_that_is_known(host, settings_class):
    node = make_node(host, settings_class)
    for name, row in rows(settings_class).items():
        descriptor = node.describe_parameter(name)
        assert descriptor.description.endswith('.'), name
        assert descriptor.type == TYPE_BY_NAME[ros_type(settings_class, name)]
        assert descriptor.read_only is not row.is_live
        if ros_type(settings_class, name) in ('int', 'double'):
            bounds = [*descriptor.integer_range, *descriptor.floating_point_range]
            assert (bounds[0].from_value, bounds[0].to_value) == (row.minimum, row.maximum)
    assert read_settings(node, settings_class) == settings_class()


@pytest.mark.parametrize(('name', 'value'), [
    ('frame_rate', -0.5), ('frame_rate', 121.0), ('frame_rate', math.nan),
    ('num_threads', 0), ('dtype', 'float8'), ('device', 'tpu'), ('device', 'cuda:'),
    ('image_reliability', 'sometimes'), ('sampling', ''), ('top_k', -2), ('top_p', 1.5),
    ('temperature', math.inf), ('mailbox_size', 0), ('seed', -1)])
def test_a_bad_value_at_the_start_is_refused(host, name, value):
    with pytest.raises(InvalidParameterValueException, match=name):
        make_node(host, **{name: value})


def test_a_wrong_type_at_the_start_is_refused(host):
    with pytest.raises(InvalidParameterTypeException, match='num_threads'):
        make_node(host, num_threads='two')


@pytest.mark.parametrize(('name', 'value'), [
    ('device', 'cpu'), ('device', 'cuda'), ('device', 'cuda:1'), ('top_k', 0), ('top_p', 1.0),
    ('frame_rate', 120.0), ('image_reliability', 'reliable')])
def test_a_good_value_at_the_start_is_kept(host, name, value):
    node = make_node(host, **{name: value})
    assert getattr(read_settings(node, NarratorSettings), name) == value


@pytest.mark.parametrize('name', [name for name in rows(NarratorSettings) if name not in LIVE])
def test_what_is_read_at_the_start_cannot_be_changed_later(host, name):
    node = make_node(host)
    value = getattr(NarratorSettings, name)
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert 'read-only' in result.reason


def test_a_live_change_is_checked_and_applied(host):
    node = make_node(host)
    assert node.set_parameters([Parameter('frame_rate', value=4.0)])[0].successful
    result = node.set_parameters([Parameter('frame_rate', value=math.nan)])[0]
    assert not result.successful
    assert 'frame_rate' in result.reason and '120.0' in result.reason
    assert node.get_parameter('frame_rate').value == 4.0


def test_nan_is_refused_with_the_bounds():
    reason = refusal('frame_rate', rows(NarratorSettings)['frame_rate'], math.nan)
    assert reason == 'frame_rate is nan; allowed: 0.0 to 120.0'


def test_a_refused_group_changes_nothing(host):
    node = make_node(host)
    result = node.set_parameters_atomically([
        Parameter('prompt', value='Is anything moving?'),
        Parameter('frame_rate', value=-1.0)])
    assert not result.successful
    assert read_settings(node, NarratorSettings) == NarratorSettings()
