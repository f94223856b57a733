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
As much of ROS 2's launch as our launch files use, for machines without it.

install() puts it in place of the modules that are missing, or leaves the real ones; either way
started() says what a launch file would start, as the keyword arguments of each node.
"""

from importlib import import_module
from importlib.util import find_spec
import os
import runpy
import sys
from types import ModuleType, SimpleNamespace

# Of launch itself the folder of our launch files has the name.
IS_MISSING = find_spec('launch_ros') is None


class LaunchDescription:
    """A list of entities."""

    def __init__(self, entities):
        self.entities = entities

    def get_launch_arguments(self):
        return [entity for entity in self.entities if isinstance(entity, DeclareLaunchArgument)]


class DeclareLaunchArgument:
    """Sets a launch configuration to its default, unless it is set."""

    def __init__(self, name, *, default_value, description):
        self.name, self.default_value, self.description = name, default_value, description

    def visit(self, context):
        context.launch_configurations.setdefault(self.name, self.default_value)


class OpaqueFunction:
    """Returns the entities that a function of the context gives."""

    def __init__(self, *, function):
        self._function = function

    def visit(self, context):
        return self._function(context)


class ParameterValue:
    """A value with its type."""

    def __init__(self, value, *, value_type):
        self.value, self.value_type = value, value_type


class Recorded:
    """In place of launch_ros's Node, of the real one too: keeps what it is given."""

    def __init__(self, **given):
        self.given = given


class RecordedValue(ParameterValue):
    """In place of launch_ros's ParameterValue, of the real one too."""


def install(monkeypatch):
    """Have launch and launch_ros imported from here where they are missing."""
    if IS_MISSING:
        for name, contents in {
                'launch': {'LaunchDescription': LaunchDescription},
                'launch.actions': {'DeclareLaunchArgument': DeclareLaunchArgument,
                                   'OpaqueFunction': OpaqueFunction},
                'launch_ros': {}, 'launch_ros.actions': {},
                'launch_ros.parameter_descriptions': {}}.items():
            module = ModuleType(name)
            vars(module).update(contents)
            monkeypatch.setitem(sys.modules, name, module)
    for name, attribute, recorder in (
            ('launch_ros.actions', 'Node', Recorded),
            ('launch_ros.parameter_descriptions', 'ParameterValue', RecordedValue)):
        monkeypatch.setattr(import_module(name), attribute, recorder, raising=False)


def description_of(path):
    """Return the launch description of a file."""
    return runpy.run_path(str(path))['generate_launch_description']()


def started(path, environment=None, **arguments):
    """
    Return what each node of a launch file is started with, by the name of its executable.

    environment: variables that are set already; None: those of this process. Values are plain.
    """
    if IS_MISSING:
        context = SimpleNamespace(launch_configurations={}, environment={})
    else:
        from launch import LaunchContext
        context = LaunchContext()
    # Before, since the real context's environment is that of the process.
    saved = dict(os.environ)
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    try:
        if isinstance(context, SimpleNamespace):
            context.environment.update(os.environ)
        context.launch_configurations.update(arguments)
        nodes = [entity for action in description_of(path).entities
                 for entity in action.visit(context) or ()]
        assert dict(context.environment) == dict(os.environ)
        if environment is not None:
            assert dict(os.environ) == environment  # nothing of ours is left for later nodes
    finally:
        os.environ.clear()
        os.environ.update(saved)
    assert all(isinstance(node, Recorded) for node in nodes)
    return {node.given['executable']: {
        **node.given, 'parameters': [_plain(item) for item in node.given['parameters']]}
        for node in nodes}


def _plain(parameters):
    if isinstance(parameters, str):
        return parameters
    return {name: value.value_type(value.value) if isinstance(value, RecordedValue) else value
            for name, value in parameters.items()}
