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

"""Nodes that cannot start: one line on stderr with reason and way out, and an exit status."""

import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ('narrator', 'multi_camera', 'demo_camera', 'console')


def run(module, *arguments, **environment):
    """Run a node that ends by itself; return its exit status and the lines of its stderr."""
    ended = subprocess.run(
        [sys.executable, '-m', f'moss_ros.nodes.{module}', *arguments], cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment})
    assert 'Traceback' not in ended.stderr
    # What rcl logs begins with a severity.
    return ended.returncode, [
        line for line in ended.stderr.splitlines() if not line.startswith('[')]


@pytest.mark.parametrize('module', MODULES)
def test_every_node_refuses_a_wrong_log_level(module):
    status, lines = run(module, '--ros-args', '--log-level', 'loud')
    assert status == 2
    line, = lines
    assert 'cannot start' in line and 'loud' in line and 'debug, info, warn, error' in line


@pytest.mark.parametrize(('argument', 'content', 'way_out'), [
    ('--params-file={file}', None, 'whether the file is there'),
    ('--params-file={file}', 'narrator:\n  checkpoint: a\n', 'ros__parameters'),
    ('--params-file={file}', '/**:\n  ros__parameters: [\n', 'ros__parameters'),
    ('-r=image_raw:=', None, '-r FROM:=TO'),
    ('-r=__ns:=front', None, '__ns:=/NAME'),
    ('-r=__node:=a-b', None, 'letters, digits and _'),
    ('-p=width', None, '-p NAME:=VALUE'),
    ('-p=width:=[1,', None, '-p NAME:=VALUE'),
    ('--params-file', None, '--params-file FILE'),
    ('--bogus', None, '--ros-args'),
])
def test_arguments_that_cannot_be_used_are_named(tmp_path, argument, content, way_out):
    file = tmp_path / 'my_robot.yaml'
    if content is not None:
        file.write_text(content)
    parts = argument.format(file=file).split('=', 1)
    status, lines = run('demo_camera', '--ros-args', *parts)
    assert status == 2
    line, = lines
    assert all(part in line for part in parts)
    assert way_out in line


def test_arguments_that_ros_would_ignore_are_named():
    status, lines = run('demo_camera', '--width', '640')
    assert status == 2
    assert len(lines) == 1 and '--width' in lines[0] and '--ros-args' in lines[0]


@pytest.mark.parametrize(('environment', 'reason'), [
    ({'ROS_DOMAIN_ID': 'seven'}, 'ROS_DOMAIN_ID'),
    ({'ROS_LOG_DIR': '/proc/nowhere'}, '/proc/nowhere')])
def test_an_environment_that_cannot_be_used_is_named(environment, reason):
    status, lines = run('demo_camera', **environment)
    assert status == 1
    assert len(lines) == 1 and reason in lines[0]


@pytest.mark.parametrize('argument', ['use_sim_time:=maybe', 'rate:=fast', 'width:=3'])
def test_a_parameter_that_is_not_allowed_is_named(argument):
    status, lines = run('demo_camera', '--ros-args', '-p', argument)
    assert status == 1
    assert len(lines) == 1 and argument.partition(':=')[0] in lines[0]


@pytest.mark.parametrize('is_command', [False, True], ids=['module', 'command'])
def test_an_interrupt_of_the_imports_is_that_of_the_process(tmp_path, is_command):
    # In place of torch, which takes seconds: it is known when its import has begun.
    (tmp_path / 'torch.py').write_text(
        "import signal\nprint('importing', flush=True)\nsignal.pause()\n")
    command = tmp_path / 'narrator'  # as colcon and pip install it
    command.write_text('from moss_ros.nodes.narrator import main\nmain()\n')
    process = subprocess.Popen(
        [sys.executable, *([str(command)] if is_command else ['-m', 'moss_ros.nodes.narrator'])],
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{REPOSITORY}'})
    try:
        assert process.stdout.readline() == 'importing\n'
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert not errors


HANGS_AT_ITS_END = '''
import ctypes
import sys
import time
from moss_ros.nodes.node_main import run_node
from rclpy.node import Node


class Thing:
    def __del__(self):
        ctypes.PyDLL(None).pause()  # with the lock of Python, as a call of rclpy


class Camera(Node):
    def __init__(self):
        super().__init__('camera')
        self.thing = Thing()
        print('here', flush=True)
        time.sleep(float(sys.argv[1]))


run_node(Camera, ['camera'])
'''


@pytest.mark.parametrize('made_in_s', [0, 60], ids=['spinning', 'being_made'])
def test_a_node_that_hangs_in_dds_at_its_end_ends_all_the_same(made_in_s):
    process = subprocess.Popen(
        [sys.executable, '-c', HANGS_AT_ITS_END, str(made_in_s)], stdout=subprocess.PIPE,
        text=True, cwd=REPOSITORY)
    assert process.stdout.readline() == 'here\n'
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0


def test_without_ros_a_node_says_that_it_is_missing():
    # As python -m does it, but with an rclpy that is nowhere.
    code = """
import importlib.util
import runpy
import sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == 'rclpy' else find_spec(name)
sys.orig_argv[:] = ['python', '-m', 'moss_ros.nodes.narrator']
runpy.run_module('moss_ros.nodes.narrator', run_name='__main__')
"""
    ended = subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True,
                           text=True, timeout=60)
    assert ended.returncode == 1
    line, = ended.stderr.splitlines()
    assert line.startswith('narrator cannot start') and 'setup.sh' in line


def test_who_only_imports_the_nodes_keeps_its_handling_of_interrupts():
    code = ('import signal, moss_ros.nodes.node_process\n'
            'assert signal.getsignal(signal.SIGINT) is signal.default_int_handler')
    assert subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY).returncode == 0
