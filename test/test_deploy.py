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

"""What is in deploy/ against the code, and by the linters that are there."""

import configparser
from pathlib import Path
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

from moss_ros.nodes.launching import ARGUMENTS
from moss_ros.nodes.node_main import ExitStatus
from moss_ros.records import OUTPUT_TOPICS
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
DEPLOY = REPOSITORY / 'deploy'
UNIT = DEPLOY / 'narrator.service'
CONTAINERFILES = sorted(DEPLOY.glob('Containerfile.*'))


def linter(name):
    """Return the path of a program, of the environment first; skip the test where it is not."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or pytest.skip(f'{name} is not installed')


def test_the_linter_finds_nothing_in_the_containerfiles():
    assert len(CONTAINERFILES) == 2
    checked = subprocess.run(
        [linter('hadolint'), *map(str, CONTAINERFILES)], capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stdout, checked.stdout


@pytest.mark.parametrize('path', CONTAINERFILES, ids=lambda path: path.name)
def test_what_the_containerfiles_use_is_there(path):
    text = path.read_text()
    copied = re.findall(r'^COPY (\S+)', text, re.MULTILINE)
    assert '.' in copied and all((REPOSITORY / name).exists() for name in copied)
    launch_file, = re.findall(r'"(\w+\.launch\.py)"', text)
    assert (REPOSITORY / 'launch' / launch_file).is_file()


def test_the_unit_is_one_that_systemd_takes():
    checked = subprocess.run(
        [linter('systemd-analyze'), 'verify', str(UNIT)], capture_output=True, text=True)
    assert checked.returncode == 0 and UNIT.name not in checked.stderr, checked.stderr


def test_the_unit_goes_with_what_the_node_does():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string(UNIT.read_text())
    service = unit['Service']
    assert service['Type'] == 'notify' and int(service['WatchdogSec']) > 0
    assert int(service['RestartPreventExitStatus']) == ExitStatus.WRONG_ARGUMENTS
    # exec: the node is the process that systemd listens to.
    command, = re.findall(r'exec \S+/lib/moss_ros/(\w+) --ros-args', service['ExecStart'])
    assert f"'{command} = moss_ros." in (REPOSITORY / 'setup.py').read_text()
    assert '/config/fastdds_large_images.xml' in UNIT.read_text()


def test_a_recording_takes_all_that_a_narrator_says():
    overrides = yaml.safe_load((DEPLOY / 'record_narration.yaml').read_text())
    assert set(overrides) == {f'/narrator/{topic.name}' for topic in OUTPUT_TOPICS}
    for topic in OUTPUT_TOPICS:
        qos = overrides[f'/narrator/{topic.name}']
        assert qos['reliability'] == 'reliable' and qos['depth'] >= topic.depth
        # A subscriber that asks for more than is offered hears nothing.
        assert (qos.get('durability') == 'transient_local') == topic.is_latched
    page = (REPOSITORY / 'docs' / 'deploy.md').read_text()
    assert all(name in page for name in overrides)


def test_the_settings_of_middleware_are_xml():
    for path in DEPLOY.glob('*.xml'):
        ElementTree.parse(path)


def test_arguments_that_the_page_gives_to_launch_files_exist():
    page = (REPOSITORY / 'docs' / 'deploy.md').read_text().replace('\\\n', ' ')
    commands = re.findall(r'ros2 launch .*', page)
    assert len(commands) > 1
    given = {name for command in commands for name in re.findall(r'(\w+):=', command)}
    assert given and given <= set(ARGUMENTS)
