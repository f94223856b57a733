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

"""Imports go one way, from model over stream to nodes and bag; none unpickles."""

import ast
from pathlib import Path
import re

import pytest

PACKAGE = Path(__file__).parents[1] / 'moss_ros'

# What each part may import of moss_ros, besides checks.py, which all may. '' is what lies in the
# package itself: records and settings.
ALLOWED_PARTS = {
    'checks': set(),
    '': {'', 'checkpoints', 'generator', 'model', 'stream'},
    'checkpoints': {'checkpoints'},
    'model': {'model'},
    'stream': {'', 'model', 'stream'},
    'images': {'images'},
    'media': {'media'},
    'views': {'stream', 'views'},
    'desk': {'desk', 'views'},
    'engines': {'', 'checkpoints', 'engines', 'model', 'remote', 'stream'},
    'generator': {'', 'checkpoints', 'generator', 'media', 'model', 'stream'},
    'remote': {'', 'remote', 'stream'},
    'training': {
        'checkpoints', 'generator', 'images', 'media', 'model', 'stream', 'training'},
    'benchmark': {'benchmark', 'checkpoints', 'model', 'stream'},
    'nodes': {'', 'desk', 'engines', 'images', 'media', 'nodes', 'stream', 'training', 'views'},
    'bag': {
        '', 'bag', 'checkpoints', 'images', 'media', 'model', 'stream', 'training', 'views'},
}
ROS_MODULES = re.compile(
    r'(rclpy|rcl_interfaces|rpyutils|rosidl_\w+|ros2\w+|rosbag2_py|ament_\w+|launch(_\w+)?'
    r'|\w+_msgs|std_srvs|builtin_interfaces|tf2\w*|cv_bridge|image_transport|diagnostic_updater)')
PICKLING_MODULES = {'pickle', '_pickle', 'cPickle', 'cloudpickle', 'dill', 'joblib', 'shelve'}


def part_of(path):
    """Return the part of the package that a file of it belongs to."""
    parts = path.relative_to(PACKAGE).parts
    if len(parts) > 1:
        return parts[0]
    return path.stem if path.stem in ALLOWED_PARTS else ''


def imported_names(tree, package):
    """Yield every dotted name that is imported anywhere in tree, a module of package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')
            base = '.'.join(parents[:len(parents) - node.level + 1]) if node.level else ''
            module = '.'.join(filter(None, (base, node.module)))
            yield from (f'{module}.{alias.name}' for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            if ast.unparse(node.func).split('.')[-1] in ('import_module', '__import__'):
                yield str(node.args[0].value)


def offences(source, part, package):
    """Return what in the source of a module breaks the rule, in words."""
    tree = ast.parse(source)
    found = []
    for name in imported_names(tree, package):
        top, *inner = name.split('.')
        if top == 'moss_ros':
            other = inner[0] if inner and inner[0] in ALLOWED_PARTS else ''
            if other != 'checks' and other not in ALLOWED_PARTS.get(part, ()):
                found.append(f'{part or "the package"} must not import {name}')
        elif top == 'tools':
            found.append(f'tools/ is not installed, but {name} is imported')
        elif ROS_MODULES.fullmatch(top) and part != 'nodes':
            found.append(f'only nodes may import {name}')
        elif top == 'rosbags' and part != 'bag':
            found.append(f'only bag may import {name}')
        elif top in PICKLING_MODULES or name == 'torch.load':
            found.append(f'nothing may be unpickled, but {name} is imported')
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == 'torch.load':
            found.append('nothing may be unpickled, but torch.load is called')
        elif isinstance(node, ast.keyword) and node.arg == 'allow_pickle' \
                and ast.unparse(node.value) != 'False':
            found.append('nothing may be unpickled, but allow_pickle is given')
    return found


def test_every_module_keeps_the_rule():
    files = sorted(PACKAGE.rglob('*.py'))
    assert len(files) > 20
    broken = []
    for file in files:
        package = '.'.join(('moss_ros', *file.relative_to(PACKAGE).parts[:-1]))
        broken += [
            f'{file.relative_to(PACKAGE.parent)}: {offence}'
            for offence in offences(file.read_text(encoding='utf-8'), part_of(file), package)]
    assert not broken, '\n'.join(broken)


def test_every_part_has_a_rule():
    parts = {part_of(file) for file in PACKAGE.rglob('*.py')}
    assert parts <= set(ALLOWED_PARTS), 'a new part of the package needs its line in ALLOWED_PARTS'


@pytest.mark.parametrize(('part', 'source'), [
    ('model', 'from moss_ros.stream import Frame'),
    ('model', 'import moss_ros.training.scenes'),
    ('model', 'from moss_ros import nodes'),
    ('model', 'import moss_ros'),
    ('checks', 'from moss_ros.records import record_of'),
    ('nodes', 'from moss_ros.model import load_model'),
    ('engines', 'from moss_ros.nodes import narrator'),
    ('engines', 'import rclpy'),
    ('model', 'from ..stream import Frame'),
    ('model', 'from .. import stream'),
    ('model', 'def f():\n    from ..stream.frame import Frame'),
    ('stream', 'if True:\n    from moss_ros.training import scoring'),
    ('stream', 'import importlib\nimportlib.import_module("moss_ros.nodes.narrator")'),
    ('stream', 'from moss_ros.checkpoints import DEMO_CHECKPOINT'),
    ('training', 'from moss_ros.nodes import narrator'),
    ('nodes', 'import moss_ros.bag'),
    ('bag', 'from ..nodes import conversions'),
    ('generator', 'from moss_ros.training.scenes import Scene'),
    ('benchmark', 'from moss_ros.training.scenes import Scene'),
    ('benchmark', 'from moss_ros.nodes import narrator'),
    ('checkpoints', 'from moss_ros.model import load_model'),
    ('', 'from moss_ros.nodes import narrator'),
    ('stream', 'import rclpy.node'),
    ('views', 'from moss_ros.nodes import narrator'),
    ('desk', 'from std_msgs.msg import String'),
    ('desk', 'from moss_ros.stream import Frame'),
    ('stream', 'from moss_ros.views import overlay'),
    ('media', 'from moss_ros.model import load_model'),
    ('nodes', 'from tools.scene_recording import record_scene'),
    ('training', 'from sensor_msgs.msg import Image'),
    ('bag', 'import rclpy'),
    ('model', 'from cv_bridge import CvBridge'),
    ('bag', 'from std_srvs.srv import Trigger'),
    ('nodes', 'from rosbags.highlevel import AnyReader'),
    ('model', 'import pickle'),
    ('nodes', 'from pickle import loads'),
    ('training', 'import torch\ntorch.load("x.pt")'),
    ('training', 'from torch import load'),
    ('training', 'import numpy\nnumpy.load("x.npy", allow_pickle=True)'),
])
def test_the_rule_catches(part, source):
    assert offences(source, part, f'moss_ros.{part}'.rstrip('.'))


@pytest.mark.parametrize(('part', 'source'), [
    ('stream', 'from moss_ros.checks import require_count'),
    ('model', 'from .config import ModelConfig\nimport torch'),
    ('stream', 'from moss_ros.model import VideoModel\nfrom . import frame'),
    ('training', 'from moss_ros.checkpoints import DEMO_CHECKPOINT'),
    ('benchmark', 'from moss_ros.stream import Frame\nfrom moss_ros.model import VideoModel'),
    ('nodes', 'import rclpy\nfrom moss_ros.training import scenes\nfrom ..stream import Frame'),
    ('bag', 'from rosbags.highlevel import AnyReader\nfrom moss_ros.stream import Frame'),
    ('training', 'import numpy\nnumpy.load("x.npy", allow_pickle=False)'),
])
def test_the_rule_allows(part, source):
    assert not offences(source, part, f'moss_ros.{part}')
