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

"""Launch files: what they start and with what; launched for real where ROS 2 has its launch."""

from pathlib import Path
import re
import signal
import subprocess

import launch_stand_in
from launch_stand_in import description_of, started
from moss_ros.nodes.launching import ARGUMENTS, NARRATOR_PARAMETERS
from moss_ros.nodes.node_process import profile_path
from moss_ros.settings import (
    CameraSettings, DeskSettings, MultiCameraSettings, NarratorSettings, rows,
)
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((REPOSITORY / 'launch').glob('*.launch.py'))
NARRATOR, MULTI_CAMERA, DEMO = (
    REPOSITORY / 'launch' / f'{name}.launch.py' for name in ('narrator', 'multi_camera', 'demo'))
COMMANDS = set(re.findall(r"'(\w+) = moss_ros\.", (REPOSITORY / 'setup.py').read_text()))
PARAMETERS_BY_COMMAND = {
    'narrator': set(rows(NarratorSettings)),
    'multi_camera': {*rows(MultiCameraSettings), *rows(NarratorSettings)},
    'demo_camera': set(rows(CameraSettings)),
}
FAST_DDS = 'FASTDDS_DEFAULT_PROFILES_FILE'
MALLOC = {'MALLOC_MMAP_THRESHOLD_': '1073741824', 'MALLOC_TRIM_THRESHOLD_': '1073741824'}

REASON = 'launch, launch_ros and ros2 launch come with ROS 2 from apt only'
NODES_BY_FILE = {
    'narrator.launch.py': {'/narrator'},
    'demo.launch.py': {'/demo_camera', '/narrator'},
    'multi_camera.launch.py': {'/multi_camera', '/front/narrator', '/rear/narrator'},
}


each_file = pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)


@pytest.fixture
def launch(monkeypatch):
    """Have launch at hand, the real one or a stand-in."""
    launch_stand_in.install(monkeypatch)


def given_to(path, command, **arguments):
    """Return the parameters that a launch file gives to a node, apart from those of files."""
    return {name: value for item in started(path, **arguments)[command]['parameters']
            if isinstance(item, dict) for name, value in item.items()}


@each_file
def test_what_is_started_is_installed(launch, path):
    nodes = started(path)
    assert nodes and set(nodes) <= COMMANDS
    assert all(node['package'] == 'moss_ros' for node in nodes.values())
    assert {node['name'] for node in nodes.values()} == {
        name if name != 'multi_camera' else None for name in nodes}


@each_file
def test_every_argument_is_told(launch, path):
    arguments = description_of(path).get_launch_arguments()
    names = [item.name for item in arguments]
    assert len(names) == len(set(names))
    assert {'params_file', 'namespace', 'use_sim_time', 'log_level', 'large_images', 'checkpoint',
            'prompt', 'frame_rate', 'image_transport', 'autostart'} <= set(names)
    assert all(item.description for item in arguments)


@each_file
def test_what_is_not_given_sets_nothing(launch, path):
    # So that a parent's SetParameter holds: what a launch file sets on a node would win over it.
    for node in started(path).values():
        assert node['parameters'] == [] and node['arguments'] == []


@each_file
@pytest.mark.parametrize(('text', 'value'), [
    ('true', True), ('True', True), ('1', True), ('false', False), ('False', False)])
def test_the_time_of_a_simulator_is_taken_in_every_spelling(launch, path, text, value):
    for command in started(path):
        assert given_to(path, command, use_sim_time=text) == {'use_sim_time': value}


@each_file
def test_every_parameter_of_the_narrator_is_passed_on(launch, path):
    command = 'multi_camera' if path == MULTI_CAMERA else 'narrator'
    values = {'autostart': False, 'checkpoint': '0123', 'device': 'cpu', 'frame_rate': 2.0,
              'image_transport': 'compressed', 'image_reliability': 'reliable',
              'prompt': 'count: how many?'}
    assert set(values) == set(NARRATOR_PARAMETERS)
    texts = {**values, 'frame_rate': '2', 'autostart': 'False'}
    given = given_to(path, command, **texts)
    assert given == values
    # A text must not become a number on its way, nor a number a text.
    assert [type(given[name]) for name in values] == [type(value) for value in values.values()]
    assert set(given) <= PARAMETERS_BY_COMMAND[command]


def test_parameters_of_the_other_nodes_are_passed_on(launch):
    assert given_to(DEMO, 'demo_camera', seed='3') == {'seed': 3}
    assert given_to(MULTI_CAMERA, 'multi_camera', cameras='left,right') == {
        'cameras': 'left,right'}


@pytest.mark.parametrize(('argument', 'text', 'reason'), [
    ('use_sim_time', 'perhaps', 'neither true nor false'),
    ('large_images', 'big', 'neither true nor false'),
    ('autostart', 'maybe', 'neither true nor false'),
    ('frame_rate', 'fast', "'fast'"),
    ('image_transport', 'jpeg', 'raw, compressed'),
    ('params_file', '/nowhere/robot.yaml', "'/nowhere/robot.yaml' is not there"),
    ('prompt', '/ask', 'prompt_topic:=/ask'),
])
def test_a_value_that_is_not_allowed_is_named(launch, argument, text, reason):
    with pytest.raises(ValueError) as caught:
        started(NARRATOR, **{argument: text})
    assert f'launch argument {argument}' in str(caught.value) and reason in str(caught.value)


@each_file
def test_the_desk_comes_when_it_is_asked_for(launch, path):
    assert 'desk' not in started(path) and 'desk' not in started(path, desk='False')
    desk = started(path, desk='true', namespace='robot')['desk']
    assert (desk['name'], desk['namespace'], desk['parameters']) == ('desk', 'robot', [])
    given = given_to(path, 'desk', desk='1', desk_address='0.0.0.0', desk_port='9000',
                     desk_hosts='robot.example.org')
    assert given == {'address': '0.0.0.0', 'port': 9000, 'hosts': 'robot.example.org'}
    assert set(given) <= set(rows(DeskSettings))
    with pytest.raises(ValueError, match='launch argument desk: .*neither true nor false'):
        started(path, desk='perhaps')


@each_file
def test_names_and_files_are_passed_on(launch, path, tmp_path):
    file = tmp_path / 'robot.yaml'
    file.write_text('')
    for command, node in started(path, namespace='robot', params_file=str(file),
                                 log_level='debug', prompt_topic='/ask', autostart='no').items():
        assert node['namespace'] == 'robot'
        # The arguments come last, and so win over the file.
        assert node['parameters'][0] == str(file)
        assert node['arguments'] == ['--ros-args', '--log-level', 'debug']
        if command != 'demo_camera':
            assert ('prompt', '/ask') in node['remappings']


@pytest.mark.parametrize('path', [NARRATOR, MULTI_CAMERA], ids=lambda path: path.name)
def test_the_camera_is_chosen_by_an_argument(launch, path):
    node, = started(path, image='camera/image_raw').values()
    assert ('image', 'camera/image_raw') in node['remappings']


@each_file
def test_only_our_own_nodes_are_prepared_for_large_images(launch, path):
    # That nothing else is, started() looks at.
    for node in started(path, environment={'HOME': '/home/robot'}).values():
        assert node['additional_env'] == {FAST_DDS: str(profile_path()), **MALLOC}
    for node in started(path, environment={FAST_DDS: '/my.xml'}).values():
        assert node['additional_env'] == MALLOC
    for node in started(path, environment={}, large_images='False').values():
        assert node['additional_env'] == {}


def test_no_argument_is_without_a_launch_file(launch):
    declared = {item.name for path in LAUNCH_FILES
                for item in description_of(path).get_launch_arguments()}
    assert declared == set(ARGUMENTS)


@each_file
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
