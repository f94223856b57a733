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

"""The doctor, as a command: without a camera, with one, and with a checkpoint that is missing."""

import os
from pathlib import Path
import signal
import subprocess
import sys

from moss_ros.nodes.doctor import main
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

REPOSITORY = Path(__file__).resolve().parents[2]
LARGE_IMAGES = REPOSITORY / 'config' / 'fastdds_large_images.xml'


def doctor(*arguments, **environment):
    """Run the doctor; return its exit status, and its lines by what they are about."""
    ended = subprocess.run(
        [sys.executable, '-m', 'moss_ros.nodes.doctor', *arguments], cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment})
    assert 'Traceback' not in ended.stderr, ended.stderr
    return checked(ended.returncode, ended.stdout)


def checked(status, output):
    """Return status and lines of the doctor, which must go together."""
    *lines, summary = output.splitlines()
    assert all(line[:5] in ('OK   ', 'WARN ', 'FAIL ') for line in lines)
    verdicts = [line.split()[0] for line in lines]
    assert summary.split()[0] == str(verdicts.count('OK'))
    assert status == int('FAIL' in verdicts)
    return status, {line[5:].partition(':')[0]: line for line in lines}


def test_without_a_camera_it_says_what_to_do(host, listener):
    listener.create_publisher(Image, 'usb/image_raw', QoSProfile(depth=1))
    status, lines = doctor('--wait', '4')
    assert status == 1
    assert lines['camera'].startswith('FAIL camera: nobody publishes Image on /image')
    assert "remap 'image'" in lines['camera'] and 'there is /usb/image_raw' in lines['camera']
    assert [name for name, line in lines.items() if line.startswith('FAIL')] == ['camera']
    assert {'ROS', 'Python', 'packages', 'torch', 'GPU', 'checkpoint', 'shared memory',
            'DDS profile', 'cv_bridge'} <= set(lines)


def test_with_a_camera_all_is_well(start_process):
    # In its own process, over DDS; the doctor finds it by the remapping that a narrator gets.
    start_process('demo_camera', '-p', 'width:=64', '-p', 'height:=48')
    status, lines = doctor('--ros-args', '-r', 'image:=image_raw',
                           FASTDDS_DEFAULT_PROFILES_FILE=str(LARGE_IMAGES))
    assert status == 0, lines
    assert '/image_raw sends 64x48 rgb8' in lines['camera']
    assert '/demo_camera (reliable, volatile)' in lines['QoS']
    assert str(LARGE_IMAGES) in lines['DDS profile']


def test_a_checkpoint_that_is_missing_is_named(capsys):
    status, lines = checked(
        main(['--wait', '0.2', '--checkpoint', '/nowhere/moss']), capsys.readouterr().out)
    assert status == 1
    assert lines['checkpoint'].startswith('FAIL') and '/nowhere/moss' in lines['checkpoint']
    assert 'config.json' in lines['checkpoint']


def test_arguments_that_cannot_be_used_are_a_finding(tmp_path, capsys):
    status, lines = checked(
        main(['--ros-args', '--params-file', str(tmp_path / 'robot.yaml')]),
        capsys.readouterr().out)
    assert status == 1
    assert 'robot.yaml' in lines['parameters'] and 'camera' not in lines


def test_a_depth_range_that_cannot_be_used_is_a_finding(capsys):
    status, lines = checked(
        main(['--ros-args', '-p', 'depth_min_m:=9.0', '-p', 'depth_max_m:=2.0']),
        capsys.readouterr().out)
    assert status == 1
    assert 'depth_min_m is 9 and depth_max_m 2' in lines['parameters']
    assert lines['checkpoint'].startswith('OK') and 'camera' not in lines


def test_a_package_that_is_missing_is_not_taken_for_ros(tmp_path):
    (tmp_path / 'av.py').write_text("raise ImportError('no FFmpeg here')\n")
    status, lines = doctor(PYTHONPATH=str(tmp_path))
    assert status == 1 and 'ROS' not in lines
    assert 'no FFmpeg here' in lines['narrator']
    assert 'av (ImportError: no FFmpeg here)' in lines['packages']
    assert 'requirements/runtime.txt' in lines['packages']
    assert lines['checkpoint'].startswith('OK')


def test_ctrl_c_ends_it_while_it_waits_for_a_camera():
    running = subprocess.Popen(
        [sys.executable, '-u', '-m', 'moss_ros.nodes.doctor', '--wait', '60'], cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        assert any('cv_bridge' in line for line in iter(running.stdout.readline, ''))
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert 'Traceback' not in errors


def test_without_ros_the_rest_is_looked_at(tmp_path):
    (tmp_path / 'rclpy.py').write_text("raise ImportError('not built for this Python')\n")
    status, lines = doctor(PYTHONPATH=str(tmp_path))
    assert status == 1
    assert 'not built for this Python' in lines['ROS'] and 'setup.sh' in lines['ROS']
    assert lines['checkpoint'].startswith('OK')
