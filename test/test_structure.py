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

"""How the package is built: no private names of others, no import circles, small files."""

import ast
from collections import Counter
from pathlib import Path

from import_graph import circles, import_graph
import pytest
from tools.notices import NOTICE, source_files, without_notice

TEST = Path(__file__).parent
PACKAGE = TEST.parent / 'moss_ros'

MAX_LINES = 400
# For now: the tests of a module lie in one file, however many there are, until they are sorted.
MAX_TEST_LINES = 700
# The one way to end a process at once, and what transformers has no other switch for; what PyTorch
# documents under these names, and the products that its compiler calls.
PUBLIC_ALL_THE_SAME = {
    'os._exit', '_prepare_aspect_ratio_attention_mask', 'torch._subclasses.fake_tensor',
    'torch.utils._python_dispatch', '_linear_pointwise', '_reorder_linear_weight',
    '_weight_int8pack_mm'}


def private_accesses(source):
    """Return where a module's source touches what is another's own, in words."""
    return [f'line {node.lineno}: {text}' for node in ast.walk(ast.parse(source))
            for text in _private_names(node)]


def _private_names(node):
    if isinstance(node, ast.Attribute):
        text = ast.unparse(node)
        if _is_private(node.attr) and not _is_own(node.value) and text not in PUBLIC_ALL_THE_SAME:
            yield text
    elif isinstance(node, ast.ImportFrom) and node.module not in {
            '__future__', *PUBLIC_ALL_THE_SAME}:
        yield from (f'from {node.module} import {alias.name}' for alias in node.names
                    if any(_is_private(part) for part in _parts(node.module, alias.name)))
    elif isinstance(node, ast.Import):
        yield from (f'import {alias.name}' for alias in node.names
                    if any(_is_private(part) for part in _parts(alias.name)))
    elif isinstance(node, ast.Call) and len(node.args) > 1:
        # By a string it is touched no less.
        name = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
        if isinstance(name, str) and _is_private(name) and not _is_own(node.args[0]) \
                and name not in PUBLIC_ALL_THE_SAME and ast.unparse(node.func).split('.')[-1] in (
                    'getattr', 'setattr', 'delattr', 'hasattr'):
            yield ast.unparse(node)


def _parts(*names):
    return [part for name in names if name for part in name.split('.')]


def _is_private(name):
    return name.startswith('_') and not name.startswith('__')


def _is_own(node):
    return isinstance(node, ast.Name) and node.id in ('self', 'cls') or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id == 'super')


def files_of(*folders):
    files = [file for folder in folders for file in sorted(folder.rglob('*.py'))]
    assert len(files) > 50
    return files


def read(file):
    return file.read_text(encoding='utf-8')


def too_long(num_lines_by_name, max_lines):
    return [f'{name}: {num} lines, more than {max_lines}'
            for name, num in num_lines_by_name.items() if num > max_lines]


def names_that_come_twice(files):
    nums = Counter(file.name for file in files
                   if file.name not in ('__init__.py', '__main__.py'))
    return sorted(name for name, num in nums.items() if num > 1)


# The package and its tests

def test_nobody_touches_the_private_names_of_another():
    found = [f'{file.relative_to(TEST.parent)}: {access}' for file in files_of(PACKAGE, TEST)
             for access in private_accesses(read(file))]
    assert not found, '\n'.join(found)


def test_there_is_no_import_circle():
    graph = import_graph({
        '.'.join(('moss_ros', *file.relative_to(PACKAGE).with_suffix('').parts)): read(file)
        for file in files_of(PACKAGE)})
    assert any(others for others in graph.values())
    found = [' -> '.join([*circle, circle[0]]) for circle in circles(graph)]
    assert not found, '\n'.join(found)


@pytest.mark.parametrize(('folder', 'max_lines'), [
    (PACKAGE, MAX_LINES), (TEST, MAX_TEST_LINES)], ids=['package', 'tests'])
def test_no_file_is_too_long(folder, max_lines):
    found = too_long({str(file.relative_to(TEST.parent)):
                      len(read(file).removeprefix(NOTICE).strip().splitlines())
                      for file in files_of(folder)}, max_lines)
    assert not found, '\n'.join(found)


def test_every_file_has_the_notice_of_the_licence():
    found = without_notice(source_files(TEST.parent))
    assert not found, 'python -m tools.notices puts it in'


def test_a_file_without_the_notice_is_found(tmp_path):
    texts = {'a.py': f'{NOTICE}\n"""A."""\n', 'b.py': '"""B."""\n', 'c.py': ''}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert without_notice(source_files(tmp_path)) == [tmp_path / 'b.py']


def test_no_two_files_have_one_name():
    assert not names_that_come_twice(files_of(PACKAGE))


# The checks

@pytest.mark.parametrize('source', [
    'worker._state',
    'self.worker._state',
    'self._worker._state',
    'self._worker._state = 1',
    'self._state[0]._of_another()',
    'del other._thread',
    'super_of._run()',
    'Session._step',
    'def f(other):\n    return other._options',
    'os._exit._code',
    'from moss_ros.stream.session import _LIVE_OPTIONS',
    'from moss_ros.stream import _private',
    'from ._private import f',
    'from . import _private',
    'import moss_ros._private',
    'import moss_ros.stream._private as private',
    "getattr(worker, '_state')",
    "monkeypatch.setattr(session, '_step', f)",
])
def test_a_touch_of_private_names_is_caught(source):
    assert private_accesses(source)


@pytest.mark.parametrize('source', [
    'self._state',
    'cls._names = 1',
    'super()._run()',
    'import os\nos._exit(3)',
    'worker.state',
    'worker.__class__.__name__',
    'type(self).__name__',
    '_state = 1\nprint(_state)',
    'from __future__ import annotations',
    'from . import __version__',
    "getattr(self, '_state')",
    "monkeypatch.setattr(session, 'step', f)",
    "'a string with worker._state'",
])
def test_what_is_ones_own_is_no_touch_of_private_names(source):
    assert not private_accesses(source)


@pytest.mark.parametrize(('sources', 'circle'), [
    ({'p.a': 'import p.b', 'p.b': 'from p import a'}, ['p.a', 'p.b']),
    ({'p.a': 'from .b import B', 'p.b': 'from .c import C', 'p.c': 'from .a import A'},
     ['p.a', 'p.b', 'p.c']),
    ({'p.a': 'from p.b import B', 'p.b': 'def f():\n    from p.a import A'}, ['p.a', 'p.b']),
    ({'p.a': 'if TYPE_CHECKING:\n    from p.b import B', 'p.b': 'import p.a'}, ['p.a', 'p.b']),
    # By what the package passes on, under another name too.
    ({'p.__init__': 'from .a import A\nfrom .b import B', 'p.a': 'from p import B',
      'p.b': 'from p import A'}, ['p.a', 'p.b']),
    ({'p.__init__': 'from .q import A', 'p.q.__init__': 'from .a import B as A',
      'p.q.a': 'from p.b import B', 'p.b': 'from p import A'}, ['p.b', 'p.q.a']),
    # Of what it defines itself, it is the one that is imported.
    ({'p.__init__': 'from .a import A\nVERSION = 1', 'p.a': 'from . import VERSION'},
     ['p.__init__', 'p.a']),
    ({'p.__init__': 'from .a import A', 'p.a': 'import p'}, ['p.__init__', 'p.a']),
    ({'p.__init__': 'from .a import A', 'p.a': 'from p import *'}, ['p.__init__', 'p.a']),
    ({'p.a': 'import p.a'}, ['p.a']),
    ({'p.q.a': 'from ..b import B', 'p.b': 'from .q import a'}, ['p.b', 'p.q.a']),
])
def test_an_import_circle_is_found(sources, circle):
    assert circles(import_graph(sources)) == [circle]


@pytest.mark.parametrize('sources', [
    {'p.a': 'import p.b', 'p.b': 'import p.c', 'p.c': 'import os'},
    {'p.__init__': 'from .a import A\nfrom .b import B', 'p.a': 'from p import B', 'p.b': ''},
    {'p.__init__': 'from .a import A', 'p.b': 'from p import A', 'p.a': 'import other'},
    {'p.a': 'from p.b import B, C', 'p.c': 'from p.a import A', 'p.b': 'import numpy'},
    {'p.__init__': '', 'p.a': 'from . import b', 'p.b': 'import p'},
])
def test_imports_without_a_circle_are_left_alone(sources):
    assert not circles(import_graph(sources))


def test_files_that_are_too_long_are_named():
    assert too_long({'a.py': 400, 'b.py': 401, 'c.py': 1}, 400) == [
        'b.py: 401 lines, more than 400']


def test_names_that_come_twice_are_found():
    files = [Path(name) for name in (
        'a/__init__.py', 'b/__init__.py', 'a/__main__.py', 'b/__main__.py', 'a/session.py',
        'b/session.py', 'b/frame.py')]
    assert names_that_come_twice(files) == ['session.py']
