"""Launch files: what they start is there; described by launch itself where it is installed."""

import ast
from pathlib import Path
import re
import runpy

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((REPOSITORY / 'launch').glob('*.launch.py'))
COMMANDS = set(re.findall(r"'(\w+) = moss_ros\.", (REPOSITORY / 'setup.py').read_text()))


def keyword_values(path, name):
    """Return the constant values that calls in a file give to a keyword."""
    return {keyword.value.value for call in ast.walk(ast.parse(path.read_text()))
            if isinstance(call, ast.Call) for keyword in call.keywords
            if keyword.arg == name and isinstance(keyword.value, ast.Constant)}


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_what_is_started_is_installed_and_has_parameters(path):
    executables = keyword_values(path, 'executable')
    assert executables and executables <= COMMANDS
    config = REPOSITORY / 'config' / path.name.replace('.launch.py', '.yaml')
    assert f"'{config.name}'" in path.read_text()
    sections = yaml.safe_load(config.read_text())
    assert {name.rpartition('/')[2] for name in sections} >= keyword_values(path, 'name')


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_large_images_are_prepared_for(path):
    text = ast.unparse(ast.parse(path.read_text()))
    assert "DeclareLaunchArgument('large_images', default_value='true'" in text
    # What is set before a node is started holds for that node.
    assert -1 < text.find('large_image_environment(os.environ)') < text.find('Node(')


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_accepts_the_file(path):
    reason = 'launch and launch_ros come with ROS 2 from apt only'
    launch = pytest.importorskip('launch', reason=reason)
    pytest.importorskip('launch_ros', reason=reason)
    description = runpy.run_path(str(path))['generate_launch_description']()
    assert isinstance(description, launch.LaunchDescription)
    arguments = description.get_launch_arguments()
    assert {'params_file', 'namespace', 'use_sim_time', 'large_images'} <= {
        item.name for item in arguments}
    assert all(item.description for item in arguments)
