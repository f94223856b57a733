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

"""The parameter files that ship with the package: examples, commented out, that nodes take."""

from pathlib import Path
import re

from moss_ros.nodes.parameters import declare_settings
from moss_ros.settings import CameraSettings, NarratorSettings, rows
import pytest
from rclpy.node import Node
import yaml

CONFIG = Path(__file__).resolve().parents[2] / 'config'
SETTINGS_BY_KEY = {
    '/**': NarratorSettings, '/**/narrator': NarratorSettings, '/front/narrator': NarratorSettings,
    '/**/demo_camera': CameraSettings}

each_file = pytest.mark.parametrize(
    'path', sorted(CONFIG.glob('*.yaml')), ids=lambda path: path.name)


def example_in(path):
    """Return the text of a parameter file without the # before its example."""
    return re.sub(r'^#(?=/|  )', '', path.read_text(), flags=re.MULTILINE)


@each_file
def test_as_it_ships_the_file_sets_nothing(path):
    assert yaml.safe_load(path.read_text()) is None


@each_file
def test_every_parameter_of_the_example_is_taken_and_no_default(host, path, tmp_path):
    file = tmp_path / path.name
    file.write_text(example_in(path))
    sections = yaml.safe_load(file.read_text())
    for key, content in sections.items():
        settings_class = SETTINGS_BY_KEY[key]
        given = content['ros__parameters']
        assert set(given) <= set(rows(settings_class))
        assert not [name for name, value in given.items()
                    if value == getattr(settings_class, name)]
        # A value that is not allowed, or of another type, raises.
        namespace, _, name = key.rpartition('/')
        node = host.add(Node(
            name.replace('**', 'narrator'), namespace=namespace.replace('/**', '/front'),
            cli_args=['--ros-args', '--params-file', str(file)]))
        declare_settings(node, settings_class)
        assert {name: node.get_parameter(name).value for name in given} == given


@each_file
def test_a_node_takes_the_file_as_it_ships(host, path):
    declare_settings(host.add(Node(
        'narrator', cli_args=['--ros-args', '--params-file', str(path)])), NarratorSettings)
