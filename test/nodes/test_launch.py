"""Launch files: what they start is there; launched for real where ROS 2's launch is installed."""

import ast
from pathlib import Path
import re
import runpy
import signal
import subprocess

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((REPOSITORY / 'launch').glob('*.launch.py'))
COMMANDS = set(re.findall(r"'(\w+) = moss_ros\.", (REPOSITORY / 'setup.py').read_text()))


REASON = 'launch, launch_ros and ros2 launch come with ROS 2 from apt only'
NODES_BY_FILE = {
    'narrator.launch.py': {'/narrator'},
    'demo.launch.py': {'/demo_camera', '/narrator'},
    'multi_camera.launch.py': {'/multi_camera', '/front/narrator', '/rear/narrator'},
}


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
    launch = pytest.importorskip('launch', reason=REASON)
    pytest.importorskip('launch_ros', reason=REASON)
    description = runpy.run_path(str(path))['generate_launch_description']()
    assert isinstance(description, launch.LaunchDescription)
    arguments = description.get_launch_arguments()
    assert {'params_file', 'namespace', 'use_sim_time', 'large_images'} <= {
        item.name for item in arguments}
    assert all(item.description for item in arguments)


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launched_nodes_come_up_and_end_cleanly(path, host, listener, tmp_path):
    pytest.importorskip('ros2launch', reason=REASON)
    packages = pytest.importorskip('ament_index_python.packages', reason=REASON)
    try:
        packages.get_package_prefix('moss_ros')
    except packages.PackageNotFoundError:
        pytest.skip('launch finds installed packages only: colcon build, then colcon test')

    def names():
        return {f'{namespace.rstrip("/")}/{name}'
                for name, namespace in listener.get_node_names_and_namespaces()}

    log = tmp_path / 'launch.log'
    with log.open('w') as output:
        launched = subprocess.Popen(
            ['ros2', 'launch', str(path)], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True)
    try:
        host.until(lambda: NODES_BY_FILE[path.name] <= names(), what=NODES_BY_FILE[path.name])
        launched.send_signal(signal.SIGINT)
        launched.wait(10.0)
    finally:
        launched.kill()
        launched.wait()
    assert 'process has finished cleanly' in log.read_text()
    assert 'process has died' not in log.read_text()
