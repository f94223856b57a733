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

"""Processes that share the tests of a run do not hear each other over DDS."""

import os

import pytest
from ros_domains import domains, NUM_DOMAINS


@pytest.mark.parametrize('run', [1, 49, 50, 4711, 32_767])
def test_each_process_of_a_run_has_domains_of_its_own(run):
    used = [domain for worker in range(8) for domain in domains(
        {'PYTEST_XDIST_WORKER': f'gw{worker}'}, process_id=run + 7 * worker, parent_id=run)]
    assert len(set(used)) == len(used) == 16
    assert min(used) >= 1 and max(used) <= NUM_DOMAINS
    # Those of the run that has one process are the first of them.
    assert domains({}, process_id=run, parent_id=3) == tuple(used[:2])


def test_the_tests_of_this_process_are_in_their_domain(elsewhere):
    assert (os.environ['ROS_DOMAIN_ID'], elsewhere['ROS_DOMAIN_ID']) == tuple(map(str, domains()))
