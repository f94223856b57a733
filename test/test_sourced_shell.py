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

"""Tests run in a shell with ROS sourced, whose plugins for pytest do not go together with it."""

import ast
from importlib.metadata import packages_distributions
import os
from pathlib import Path
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# As in launch_testing of Jazzy and Kilted, and in launch_testing_ros, which needs the first one.
PLUGINS = {
    'launch_testing': 'def pytest_pycollect_makemodule(path, parent):\n    return None\n',
    'launch_ros': 'def pytest_launch_collect_makemodule(path, parent, entrypoint):\n    return\n',
    'launch_pytest': 'def pytest_pycollect_makeitem(collector, name, obj, more):\n    return\n',
}


@pytest.fixture
def sourced(tmp_path):
    """Return the environment of a shell in which ROS 2 was sourced."""
    for name, source in PLUGINS.items():
        (tmp_path / f'{name}_plugin.py').write_text(source)
        info = tmp_path / f'{name}-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
        (info / 'entry_points.txt').write_text(f'[pytest11]\n{name} = {name}_plugin\n')
    return {**os.environ, 'PYTHONPATH': str(tmp_path)}


def run_pytest(environment, folder, *arguments):
    # Its cache lies elsewhere: other tests look at the folders of the repository meanwhile.
    cache = f'cache_dir={environment["PYTHONPATH"]}/cache'
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-o', cache, *arguments], cwd=folder,
        capture_output=True, text=True, env=environment, timeout=60)


def test_the_plugins_of_ros_do_not_keep_tests_from_running(sourced, tmp_path):
    results = tmp_path / 'results.xml'
    # As colcon test calls it.
    ended = run_pytest(sourced, REPOSITORY, '--tb=short', f'--junit-xml={results}',
                       'test/test_checks.py')
    assert ended.returncode == 0, ended.stdout + ended.stderr
    suite = ElementTree.parse(results).getroot().find('testsuite')
    assert int(suite.get('tests')) > 3 and suite.get('errors') == suite.get('failures') == '0'


def test_without_our_settings_they_would(sourced, tmp_path):
    (tmp_path / 'test_nothing.py').write_text('def test_nothing():\n    pass\n')
    ended = run_pytest(sourced, tmp_path, '--rootdir', str(tmp_path), 'test_nothing.py')
    assert ended.returncode != 0
    assert 'PluginValidationError' in ended.stdout + ended.stderr


def top_level_imports(folder):
    """Return the names of the modules that the files of a folder import."""
    found = set()
    for file in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition('.')[0])
    return found


def test_what_the_tests_import_comes_with_their_requirements():
    # So that one line, in CONTRIBUTING.md, brings all that colcon test needs.
    required = {re.split('[=<>;[]', line)[0].lower().replace('_', '-')
                for name in ('runtime', 'ros', 'test', 'cluster', 'quantization')
                for line in (REPOSITORY / 'requirements' / f'{name}.txt').read_text().splitlines()
                if line and line[0] not in '#-'}
    packages = packages_distributions()
    assert 'mcap' in top_level_imports(REPOSITORY / 'test')
    missing = []
    for module in sorted(top_level_imports(REPOSITORY / 'test') - set(sys.stdlib_module_names)):
        names = {name.lower().replace('_', '-') for name in packages.get(module, ())}
        # A file beside the tests belongs to no package, and ROS 2 brings its own.
        if names and not any(name.startswith('ros-') for name in names) and not names & required:
            missing.append(module)
    assert not missing
    assert 'requirements/test.txt' in (REPOSITORY / 'CONTRIBUTING.md').read_text()


def test_the_installation_runs_from_another_folder(tmp_path):
    # As colcon build --symlink-install does it: a link to setup.py, in a folder with little else.
    (tmp_path / 'setup.py').symlink_to(REPOSITORY / 'setup.py')
    told = subprocess.run([sys.executable, 'setup.py', '--name'], cwd=tmp_path,
                          capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.split()[-1] == 'moss_ros'
