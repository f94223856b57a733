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
What the launch files share: one table of arguments, and how nodes are started with them.

A launch file names its arguments and its nodes; launch_description() makes of them what `ros2
launch` runs. An argument that is not given sets nothing: the parameter file, the launch file that
includes ours, or the node itself say what holds then. launch is imported only where it is used, so
that the table can be read without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moss_ros.nodes.node_process import large_image_environment, PACKAGE_NAME
from moss_ros.settings import (
    CameraSettings, DeskSettings, MultiCameraSettings, NarratorSettings, refusal, rows,
)

_BOOL_BY_WORD = {
    'true': True, '1': True, 'yes': True, 'on': True,
    'false': False, '0': False, 'no': False, 'off': False}
# Of the narrator's parameters, what differs from robot to robot.
NARRATOR_PARAMETERS = (
    'autostart', 'checkpoint', 'device', 'frame_rate', 'image_transport', 'image_reliability',
    'prompt')


@dataclass(frozen=True)
class LaunchArgument:
    """
    One argument of the launch files, as `ros2 launch --show-args` shows it.

    read: from what was given to the value of a parameter; raises ValueError with the reason.
    """

    description: str
    default: str = ''
    read: Callable[[str], object] = str


@dataclass(frozen=True)
class NodeStart:
    """
    One node that a launch file starts.

    - executable: its command; name: that of the node, '' where it has several.
    - parameters: arguments by the parameter that each one sets.
    - remappings: by topic, the argument that has its new name, or that name itself after '='.
    - condition: an argument that must be true for it to be started; '': always.
    """

    executable: str
    name: str = ''
    parameters: Mapping[str, str] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    condition: str = ''


def read_bool(text: str) -> bool:
    """Return what a word means, in ROS's spelling or in Python's; ValueError for others."""
    if text.strip().lower() not in _BOOL_BY_WORD:
        raise ValueError(f'{text!r} is neither true nor false')
    return _BOOL_BY_WORD[text.strip().lower()]


def _existing_file(text):
    path = Path(text).expanduser()
    # launch would go on without it.
    if not path.is_file():
        raise ValueError(f'{text!r} is not there; name a YAML file')
    return str(path)


def _parameter(settings_class, name):
    """Return the argument that sets a parameter of this name."""
    row = rows(settings_class)[name]
    read_type = {bool: read_bool}.get(
        type(getattr(settings_class, name)), type(getattr(settings_class, name)))

    def read(text):
        value = read_type(text)
        reason = refusal(name, row, value)
        if reason:
            raise ValueError(reason)
        return value

    return LaunchArgument(row.description, read=read)


def _standing_prompt():
    argument = _parameter(NarratorSettings, 'prompt')

    def read(text):
        # The argument of this name used to be the topic.
        if text.startswith('/') and not any(map(str.isspace, text)):
            raise ValueError(f'{text!r} looks like a topic; give that as prompt_topic:={text}')
        return argument.read(text)

    return LaunchArgument(argument.description, read=read)


ARGUMENTS: dict[str, LaunchArgument] = {
    'params_file': LaunchArgument(
        'YAML file with parameters, such as a copy of one in config/.', read=_existing_file),
    'namespace': LaunchArgument('Namespace of the nodes and their relative topics.'),
    'use_sim_time': LaunchArgument(
        'Take the time from /clock, as for a bag or a simulator: true or false.', read=read_bool),
    'image': LaunchArgument('Topic of the camera, such as /camera/image_raw.', 'image'),
    'prompt_topic': LaunchArgument('Topic of the prompts, such as /prompt.', 'prompt'),
    **{name: _parameter(NarratorSettings, name) for name in NARRATOR_PARAMETERS},
    'prompt': _standing_prompt(),
    'cameras': _parameter(MultiCameraSettings, 'cameras'),
    'seed': _parameter(CameraSettings, 'seed'),
    'desk': LaunchArgument(
        'Serve the page for browsers too, and print its link: true or false.', 'false', read_bool),
    'desk_address': _parameter(DeskSettings, 'address'),
    'desk_port': _parameter(DeskSettings, 'port'),
    'desk_hosts': _parameter(DeskSettings, 'hosts'),
    'log_level': LaunchArgument(
        'Least severity that is logged: debug, info, warn, error or fatal.'),
    'large_images': LaunchArgument(
        'Shared memory and allocator for large images, unless set already: true or false.',
        'true', read_bool),
}
# Every launch file has these, and starts this node too where it is asked for.
COMMON_ARGUMENTS = (
    'desk', 'desk_address', 'desk_port', 'desk_hosts', 'params_file', 'namespace', 'use_sim_time',
    'log_level', 'large_images')
DESK = NodeStart(
    'desk', name='desk', condition='desk', parameters={
        'address': 'desk_address', 'port': 'desk_port', 'hosts': 'desk_hosts'})


def node_options(node: NodeStart, given: Mapping[str, str],
                 environment: Mapping[str, str]) -> dict | None:
    """
    Return how to start a node, as keyword arguments of launch_ros.actions.Node.

    given: what each argument of the launch file is, '' for one without a value. environment: the
    variables that are set already. None where its condition is not true. Raises ValueError that
    names the argument, its value and what is allowed.
    """
    if node.condition and not _value(node.condition, given):
        return None
    parameters = {name: _value(argument, given) for name, argument in
                  {'use_sim_time': 'use_sim_time', **node.parameters}.items() if given[argument]}
    params_file = [_value('params_file', given)] if given['params_file'] else []
    level = given['log_level']
    return {
        'package': PACKAGE_NAME,
        'executable': node.executable,
        'name': node.name or None,
        'namespace': given['namespace'],
        'output': 'screen',
        'emulate_tty': True,
        'parameters': [*params_file, *([parameters] if parameters else [])],
        'remappings': [(topic, to[1:] if to.startswith('=') else given[to])
                       for topic, to in node.remappings.items()],
        'arguments': ['--ros-args', '--log-level', level] if level else [],
        # Of this node alone: whatever else the including launch file starts has none of it.
        'additional_env': large_image_environment(environment)
        if _value('large_images', given) else {},
    }


def _value(argument, given):
    try:
        return ARGUMENTS[argument].read(given[argument])
    except ValueError as error:
        raise ValueError(f'launch argument {argument}: {error}') from error


def launch_description(arguments: Sequence[str], nodes: Sequence[NodeStart]):
    """Return the LaunchDescription of a launch file with these arguments, by name, and nodes."""
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    def start(context):
        given = {name: context.launch_configurations[name] for name in arguments}
        options = [node_options(node, given, context.environment) for node in nodes]
        return [_node(each) for each in options if each is not None]

    return LaunchDescription([
        *[DeclareLaunchArgument(name, default_value=ARGUMENTS[name].default,
                                description=ARGUMENTS[name].description) for name in arguments],
        OpaqueFunction(function=start),
    ])


def _node(options):
    from launch_ros.actions import Node
    from launch_ros.parameter_descriptions import ParameterValue
    # Without its type, launch would take a text such as '2' or 'yes' for something else.
    parameters = [
        item if isinstance(item, str) else {
            name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
            for name, value in item.items()}
        for item in options['parameters']]
    return Node(**{**options, 'parameters': parameters})
