"""The parameter files that ship with the package: names and values that the nodes take."""

from pathlib import Path

from moss_ros.nodes.parameters import declare_settings
from moss_ros.settings import CameraSettings, NarratorSettings, rows
import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
import yaml

CONFIG = Path(__file__).resolve().parents[2] / 'config'
SETTINGS_BY_NODE = {'narrator': NarratorSettings, 'demo_camera': CameraSettings}


@pytest.mark.parametrize('path', sorted(CONFIG.glob('*.yaml')), ids=lambda path: path.name)
def test_every_parameter_in_the_file_is_taken(host, path):
    for section, content in yaml.safe_load(path.read_text()).items():
        settings_class = SETTINGS_BY_NODE[section.rpartition('/')[2]]
        given = content['ros__parameters']
        assert set(given) <= set(rows(settings_class))
        # A value that is not allowed, or of another type, raises.
        node = host.add(Node('node_under_test', parameter_overrides=[
            Parameter(name, value=value) for name, value in given.items()]))
        declare_settings(node, settings_class)
        assert {name: node.get_parameter(name).value for name in given} == given
