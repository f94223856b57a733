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

"""What all tests share: one CPU thread, ROS domains, a babbling checkpoint and a browser."""

import os

import pytest
from ros_domains import domains
from tools.browser import Browser, find_program

# Before anything imports torch or rclpy.
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['ROS_DOMAIN_ID'], OTHER_DOMAIN_ID = map(str, domains())
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


@pytest.fixture(autouse=True, scope='module')
def usual_scheduling():
    """Fail a file of tests that leaves the process in another scheduling class."""
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before, 'an encoder ran without kept_priorities()'


@pytest.fixture
def elsewhere():
    """Return the environment of a program that has a ROS domain of its own."""
    return {**os.environ, 'ROS_DOMAIN_ID': OTHER_DOMAIN_ID}


@pytest.fixture(scope='session')
def babbling_checkpoint(tmp_path_factory):
    """Return a folder with random weights that never chooses silence."""
    from random_checkpoint import write_random_checkpoint  # loads torch
    folder = tmp_path_factory.mktemp('babbling')
    write_random_checkpoint(folder, seed=12, silence_logit_bias=-100.0)
    return folder


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    """Return a Browser for all tests of a file; they are skipped where there is no Chromium."""
    program = find_program()
    if program is None:
        pytest.skip('no chromium here')
    browser = Browser(program, tmp_path_factory.mktemp('profile'))
    yield browser
    browser.close()
