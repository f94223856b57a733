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

"""The linters of ament, as colcon test runs them on a machine with ROS 2 from apt."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = [str(REPOSITORY / name) for name in ('examples', 'launch', 'moss_ros', 'test', 'tools')]
FILES = [*FOLDERS, str(REPOSITORY / 'setup.py')]
REASON = 'the linters of ament come with ROS 2'


def linter(name):
    """Return the main function of a linter; skip the test where it is not installed."""
    return pytest.importorskip(f'ament_{name}.main', reason=REASON).main


def test_every_file_has_its_notice():
    assert linter('copyright')(argv=FILES) == 0


def test_the_docstrings_are_as_ament_wants_them():
    assert linter('pep257')(argv=FILES) == 0


def test_the_style_is_as_ament_wants_it():
    # By our settings: they allow methods such as open(), and modules such as mailbox.py.
    assert linter('flake8')(argv=['--config', str(REPOSITORY / 'setup.cfg'), *FILES]) == 0


def test_the_manifest_is_one_by_its_schema():
    # The schema is fetched from the network.
    assert linter('xmllint')(argv=[str(REPOSITORY / 'package.xml')]) == 0
