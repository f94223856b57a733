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

"""The README, the pages of docs/ and CONTRIBUTING.md against the code and the tree."""

import ast
import json
from pathlib import Path
import re
import runpy
import subprocess

from moss_ros.bag.bag_error import ExitCode
from moss_ros.generator.query import GENERATION_KEYS
from moss_ros.nodes.image_topic import INPUT_TOPICS
from moss_ros.nodes.launching import ARGUMENTS
from moss_ros.nodes.node_main import ExitStatus
from moss_ros.records import bag_record_of, event_json, OUTPUT_TOPICS, record_of
from moss_ros.settings import (
    allowed_text, CameraSettings, ConsoleSettings, DeskSettings, MultiCameraSettings,
    NarratorSettings, ros_type, rows,
)
from moss_ros.stream import SilenceEvent
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = 'README.md'
MAX_README_LINES = 200
DIRECTION_BY_CALL = {
    'create_subscription': 'in', 'create_publisher': 'out', 'create_lifecycle_publisher': 'out'}
PACKAGE_BY_TYPE = {
    'Bool': 'std_msgs', 'CameraInfo': 'sensor_msgs', 'CompressedImage': 'sensor_msgs',
    'DiagnosticArray': 'diagnostic_msgs',
    'Image': 'sensor_msgs', 'SetBool': 'std_srvs', 'String': 'std_msgs', 'Trigger': 'std_srvs'}
# Parts of a node in files of their own.
NODE_BY_FILE = {
    **dict.fromkeys(('activation', 'diagnostics', 'image_input', 'output_topics'), 'narrator'),
    'narrator_feed': 'desk'}
# Keys of rosdep that are not named as the package is; setuptools comes with colcon.
ROSDEP_KEYS = {'pillow': 'python3-pil', 'setuptools': None}
# What builds and runs leave behind.
UNTOLD_FOLDERS = {'.pytest_cache', '.venv', 'build', 'install', 'log', '__pycache__'}


def page(name):
    """Return the text of a page, by its path in the repository."""
    return (REPOSITORY / name).read_text(encoding='utf-8')


def table(name, heading):
    """Return the rows of the first table after a page's heading, cells without back quotes."""
    _, found, after = page(name).partition(f'\n{heading}\n')
    assert found, f'{name} has no heading {heading!r}'
    lines = re.search(r'(?:^\|.*\n)+', after, re.MULTILINE).group().splitlines()
    return [tuple(cell.strip().strip('`') for cell in line.strip('|').split('|'))
            for line in lines[2:]]


def code_files():
    """Return the sources that may make topics: of the nodes, and of what developers run."""
    return sorted([*(REPOSITORY / 'moss_ros' / 'nodes').glob('*.py'),
                   *(REPOSITORY / 'tools').glob('*.py')])


def topic_of(expression):
    """Return the topic that an expression names, with <name> for what only the run knows."""
    if isinstance(expression, ast.Name):
        return f'<{expression.id}>'
    if isinstance(expression, ast.JoinedStr):
        return ''.join(part.value if isinstance(part, ast.Constant)
                       else f'<{ast.unparse(part.value)}>' for part in expression.values)
    return ast.literal_eval(expression)


def written_topics():
    """Return (node, topic, direction, type) of every topic that a node's source creates."""
    found = []
    for path in code_files():
        for call in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            direction = DIRECTION_BY_CALL.get(call.func.attr)
            # Those of a table are named there.
            if direction and isinstance(call.args[0], ast.Name):
                message_type = call.args[0].id
                found.append((NODE_BY_FILE.get(path.stem, path.stem), topic_of(call.args[1]),
                              direction, f'{PACKAGE_BY_TYPE[message_type]}/{message_type}'))
    return found + [
        ('narrator', f'~/{topic.name}', 'out', topic.message_type.replace('/msg/', '/'))
        for topic in OUTPUT_TOPICS] + [
        ('narrator', topic.topic, 'in', topic.type.replace('/msg/', '/'))
        for topic in INPUT_TOPICS]


def written_services():
    """Return (service, type) of every service that the nodes' source creates."""
    calls = [call for path in code_files()
             for call in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
             if isinstance(call, ast.Call)
             and getattr(call.func, 'attr', '') == 'create_service']
    return [(ast.literal_eval(call.args[1]),
             f'{PACKAGE_BY_TYPE[call.args[0].id]}/{call.args[0].id}') for call in calls]


def launch_arguments(path):
    """Return (name, default, description) of every argument that a launch file has."""
    return [(name, repr(ARGUMENTS[name].default), ARGUMENTS[name].description)
            for name in runpy.run_path(str(path))['ARGUMENTS']]


def test_topics_are_those_of_the_nodes():
    found = [row[:4] for row in table('docs/topics.md', '## Topics')]
    assert sorted(found) == sorted(written_topics())


def test_services_are_those_of_the_nodes():
    found = [row[:2] for row in table('docs/topics.md', '## Services')]
    assert sorted(found) == sorted(written_services())


def test_keys_of_events_are_those_that_are_written():
    record = json.loads(event_json(record_of(SilenceEvent(stamp_ns=1, received_ns=1), 0, 2)))
    assert [row[0] for row in table('docs/topics.md', '## Events')] == list(record)


def keys_that_are_written(name, key):
    """Return the keys of the dict with this key that is written out in a source file."""
    found = [[item.value for item in node.keys if isinstance(item, ast.Constant)]
             for node in ast.walk(ast.parse(page(name))) if isinstance(node, ast.Dict)]
    written, = [keys for keys in found if key in keys]
    return written


def test_keys_of_the_truth_are_those_that_are_written():
    found = [row[0] for row in table('docs/topics.md', '## The truth of the demo camera')]
    assert found == keys_that_are_written('moss_ros/nodes/demo_camera.py', 'sentence')


def test_keys_of_a_bags_records_are_those_of_events_and_two_more():
    events = {row[0] for row in table('docs/topics.md', '## Events')} - {'latency_ms'}
    _, _, after = page('docs/bags.md').partition('A record of `narration.jsonl`')
    own = re.findall(r'^\| `(\w+)` \|', after.partition('\n## ')[0], re.MULTILINE)
    assert len(own) == 2
    written = bag_record_of(SilenceEvent(stamp_ns=1, received_ns=0), 0, bag_time_ns=1,
                            first_bag_time_ns=None, narration_id=None, state='silent')
    assert events | set(own) == set(written)


@pytest.mark.parametrize(('heading', 'settings_class'), [
    ('## Parameters of the narrator', NarratorSettings),
    ('## Parameters of the demo camera', CameraSettings),
    ('## Parameters of the console', ConsoleSettings),
    ('## Parameters of the desk', DeskSettings),
    ('## Parameters of multi_camera', MultiCameraSettings)])
def test_parameters_are_those_that_are_declared(heading, settings_class):
    expected = []
    for name, row in rows(settings_class).items():
        default = getattr(settings_class, name)
        default_text = f"'{default}'" if isinstance(default, str) else json.dumps(default)
        expected.append((
            name, ros_type(settings_class, name), default_text, allowed_text(row) or '-',
            'yes' if row.is_live else 'no', row.description))
    assert table('docs/parameters.md', heading) == expected


def test_every_launch_file_is_described():
    names = sorted(path.name for path in (REPOSITORY / 'launch').iterdir() if path.is_file())
    headings = re.findall(r'^### Arguments of (\S+)$', page('docs/launch.md'), re.MULTILINE)
    assert sorted(headings) == names


@pytest.mark.parametrize('path', sorted((REPOSITORY / 'launch').glob('*.py')),
                         ids=lambda path: path.name)
def test_launch_arguments_are_those_that_are_declared(path):
    found = table('docs/launch.md', f'### Arguments of {path.name}')
    assert found == launch_arguments(path)


def test_exit_statuses_are_those_of_narrate_bag():
    found = [int(row[0]) for row in
             table('docs/bags.md', '## Interruptions, and what may go wrong')]
    assert found == list(ExitCode)


def test_exit_statuses_are_those_of_the_nodes():
    found = [int(row[0]) for row in table('docs/launch.md', '## Exit statuses')]
    assert found == list(ExitStatus)


def test_generation_arguments_are_those_that_are_taken():
    live = {name for row in table('docs/without_ros.md', '### Live')
            for name in re.findall(r'\w+', row[0])}
    assert set(GENERATION_KEYS) <= live


def test_make_targets_are_those_of_the_makefile():
    targets = set(re.findall(r'^([a-z-]+):.*## ', page('Makefile'), re.MULTILINE)) - {'help'}
    found = {row[0] for row in table('CONTRIBUTING.md', '## Make targets')}
    assert found == {f'make {name}' for name in targets}


def files_of_the_repository():
    """Return the paths of its files: those that git knows, or all where there is no git."""
    told = subprocess.run(['git', 'ls-files'], cwd=REPOSITORY, capture_output=True, text=True)
    if told.returncode == 0:
        return [Path(name) for name in told.stdout.splitlines()]
    return [path.relative_to(REPOSITORY) for path in REPOSITORY.rglob('*') if path.is_file()
            and UNTOLD_FOLDERS.isdisjoint(path.relative_to(REPOSITORY).parts)]


def test_every_folder_has_its_line_in_the_readme():
    listed = [row[0] for row in table(README, '## Folders')]
    assert len(listed) == len(set(listed))
    missing = [name for name in listed if not (REPOSITORY / name).is_dir()]
    assert not missing
    paths = [path.parts for path in files_of_the_repository() if (REPOSITORY / path).exists()]
    there = {f'{parts[0]}/' for parts in paths if len(parts) > 1} - {'moss_ros/'}
    there |= {f'moss_ros/{parts[1]}/' for parts in paths
              if parts[0] == 'moss_ros' and len(parts) > 2}
    assert there == set(listed)


@pytest.mark.parametrize('name', [README, 'docs/design.md'])
def test_classes_and_functions_that_are_named_exist(name):
    source = '\n'.join(path.read_text(encoding='utf-8')
                       for path in (REPOSITORY / 'moss_ros').rglob('*.py'))
    text = page(name)
    classes = set(re.findall(r'[`*]((?:[A-Z][a-z]+){2,})[`*]', text)) - {'ValueError'}
    functions = set(re.findall(r'`(?:\w+\.)?(\w+)\(\)', text))
    assert classes
    assert classes <= set(re.findall(r'^ *class (\w+)', source, re.MULTILINE))
    assert functions <= set(re.findall(r'^ *def (\w+)', source, re.MULTILINE))


def test_every_page_is_among_those_that_the_readme_lists():
    _, _, after = page(README).partition('\n## Documentation\n')
    pages = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / 'docs').glob('*.md')}
    assert set(re.findall(r'\]\(([^)#]+)\)', after)) == {
        *pages, 'CONTRIBUTING.md', 'CHANGELOG.rst', 'LICENSE'}


def test_the_readme_is_short():
    assert len(page(README).splitlines()) <= MAX_README_LINES


def test_each_requirement_comes_by_rosdep_or_as_the_readme_says_by_pip():
    by_rosdep = set(re.findall(r'<exec_depend>(.*)</exec_depend>', page('package.xml')))
    text = re.search(r"rosdep can't bring.*?\(PyTorch,(.*?);", page(README), re.DOTALL).group(1)
    by_pip = {'torch', *re.findall(r'\w+', text)} - {'and'}
    required = set(re.findall(r'^([\w.]+)==', page('requirements/runtime.txt'), re.MULTILINE))
    keys = {name: ROSDEP_KEYS.get(name, f'python3-{name}') for name in required - by_pip}
    assert by_pip < required
    assert {key for key in keys.values() if key} <= by_rosdep


def test_the_readme_begins_with_two_commands():
    commands = re.findall(r'^    (\S.*)$', page(README), re.MULTILINE)
    assert commands[0] == 'make demo'
    assert commands[1].startswith('ros2 launch moss_ros narrator.launch.py ')


def test_the_changelog_is_of_this_package():
    lines = page('CHANGELOG.rst').splitlines()
    version = re.search(r'<version>(.*)</version>', page('package.xml')).group(1)
    assert lines[1] == 'Changelog for package moss_ros'
    assert lines[0] == lines[2] == '^' * len(lines[1])
    headings = [(line, under) for line, under in zip(lines, lines[1:])
                if line and under and set(under) == {'-'}]
    assert headings[0][0] == 'Forthcoming'
    assert re.fullmatch(rf'{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)', headings[1][0])
    assert all(len(line) == len(under) for line, under in headings)
