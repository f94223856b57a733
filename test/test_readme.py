"""The README's tables against the code and the tree."""

import ast
import json
from pathlib import Path
import re

from moss_ros.nodes.parameters import (
    allowed_text, CameraSettings, ConsoleSettings, MultiCameraSettings, NarratorSettings, ros_type,
    rows,
)
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / 'README.md').read_text(encoding='utf-8')
DIRECTION_BY_CALL = {
    'create_subscription': 'in', 'create_publisher': 'out', 'create_lifecycle_publisher': 'out'}
PACKAGE_BY_TYPE = {
    'Bool': 'std_msgs', 'CompressedImage': 'sensor_msgs', 'DiagnosticArray': 'diagnostic_msgs',
    'Image': 'sensor_msgs', 'SetBool': 'std_srvs', 'String': 'std_msgs', 'Trigger': 'std_srvs'}
# Parts of a node in files of their own.
NODE_BY_FILE = {'diagnostics': 'narrator', 'image_input': 'narrator'}
TOP_LEVEL = ('Makefile', 'package.xml', 'setup.py', 'setup.cfg', 'LICENSE', '.ci/run')
FOLDERS = ('moss_ros', 'launch', 'config', 'docs', 'examples', 'requirements', 'resource')


def table(heading):
    """Return the rows of the first table after a heading, cells without back quotes."""
    _, _, after = README.partition(f'\n{heading}\n')
    lines = re.search(r'(?:^\|.*\n)+', after, re.MULTILINE).group().splitlines()
    return [tuple(cell.strip().strip('`') for cell in line.strip('|').split('|'))
            for line in lines[2:]]


def code_files():
    return sorted((REPOSITORY / 'moss_ros' / 'nodes').glob('*.py'))


def topic_of(expression):
    """Return the topic that an expression names, with <name> for what only the run knows."""
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
            if direction:
                message_type = call.args[0].id
                found.append((NODE_BY_FILE.get(path.stem, path.stem), topic_of(call.args[1]),
                              direction, f'{PACKAGE_BY_TYPE[message_type]}/{message_type}'))
    return found


def written_services():
    """Return (service, type) of every service that the nodes' source creates."""
    calls = [call for path in code_files()
             for call in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
             if isinstance(call, ast.Call)
             and getattr(call.func, 'attr', '') == 'create_service']
    return [(ast.literal_eval(call.args[1]),
             f'{PACKAGE_BY_TYPE[call.args[0].id]}/{call.args[0].id}') for call in calls]


def launch_arguments(path):
    """Return (name, default, description) of every argument that a launch file declares."""
    found = []
    for call in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'DeclareLaunchArgument':
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            default = given['default_value']
            if isinstance(default, ast.Constant):
                default_text = repr(default.value)
            else:
                # A path inside the package's share folder.
                parts = [part.value for part in ast.walk(default)
                         if isinstance(part, ast.Constant)]
                default_text = '/'.join(part for part in parts if part != 'moss_ros')
            found.append((ast.literal_eval(call.args[0]), default_text,
                          ast.literal_eval(given['description'])))
    return found


def test_topics_are_those_of_the_nodes():
    assert sorted(row[:4] for row in table('## Topics')) == sorted(written_topics())


def test_services_are_those_of_the_nodes():
    assert sorted(row[:2] for row in table('## Services')) == sorted(written_services())


@pytest.mark.parametrize(('heading', 'settings_class'), [
    ('### Parameters of the narrator', NarratorSettings),
    ('### Parameters of the demo camera', CameraSettings),
    ('### Parameters of the console', ConsoleSettings),
    ('### Parameters of multi_camera', MultiCameraSettings)])
def test_parameters_are_those_that_are_declared(heading, settings_class):
    expected = []
    for name, row in rows(settings_class).items():
        default = getattr(settings_class, name)
        default_text = f"'{default}'" if isinstance(default, str) else json.dumps(default)
        expected.append((
            name, ros_type(settings_class, name), default_text, allowed_text(row) or '-',
            'yes' if row.is_live else 'no', row.description))
    assert table(heading) == expected


def test_every_launch_file_is_described():
    names = sorted(path.name for path in (REPOSITORY / 'launch').iterdir() if path.is_file())
    assert sorted(re.findall(r'^### Arguments of (\S+)$', README, re.MULTILINE)) == names


@pytest.mark.parametrize('path', sorted((REPOSITORY / 'launch').glob('*.py')),
                         ids=lambda path: path.name)
def test_launch_arguments_are_those_that_are_declared(path):
    assert table(f'### Arguments of {path.name}') == launch_arguments(path)


def test_every_file_has_its_line():
    paths = [row[0] for row in table('## Files')]
    assert len(paths) == len(set(paths))
    missing = [path for path in paths if not (REPOSITORY / path).exists()]
    assert not missing, f'listed, but not there: {missing}'
    folders = tuple(path for path in paths if path.endswith('/'))
    there = [*TOP_LEVEL, *(
        str(path.relative_to(REPOSITORY)) for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts and path.name != '__init__.py')]
    unlisted = [path for path in there if path not in paths and not path.startswith(folders)]
    assert not unlisted, f'not listed in README.md: {unlisted}'


def test_make_targets_are_those_of_the_makefile():
    makefile = (REPOSITORY / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z-]+):.*## ', makefile, re.MULTILINE)) - {'help'}
    assert {row[0] for row in table('## The demo')} == {f'make {name}' for name in targets}


def test_links_lead_to_headings():
    anchors = {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-')
               for heading in re.findall(r'^#+ (.*)$', README, re.MULTILINE)}
    links = set(re.findall(r'\]\(#([^)]*)\)', README))
    assert links and links <= anchors
