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

"""Links, anchors, paths and commands of README.md, CONTRIBUTING.md and the pages of docs/."""

from importlib.util import find_spec
from pathlib import Path
import re

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([REPOSITORY / 'README.md', REPOSITORY / 'CONTRIBUTING.md',
                *(REPOSITORY / 'docs').glob('*.md')])
LINK = re.compile(r'\]\(([^)\s]+)\)')
# A path in the repository, as it is named in running text or in a command.
PATH = re.compile(
    r'(?<![\w/$~{}.-])'
    r'((?:moss_ros|tools|test|docs|config|launch|examples|deploy|requirements)/[\w./-]*[\w/])')
MODULE = re.compile(r'python -m ((?:moss_ros|tools|examples)[\w.]*\w)')
COMMAND = re.compile(r'ros2 run moss_ros (\w+)')
LAUNCH_FILE = re.compile(r'ros2 launch moss_ros (\S+)')
MAKE_TARGET = re.compile(r'`make ([a-z-]+)|^ +make ([a-z-]+)', re.MULTILINE)

each_page = pytest.mark.parametrize(
    'path', PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))


def read(path):
    return path.read_text(encoding='utf-8')


def anchors(path):
    """Return the anchors that a page's headings get, as on GitHub."""
    text = re.sub(r'^```.*?^```', '', read(path), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-')
            for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE)}


@each_page
def test_links_lead_to_files_and_headings(path):
    links = LINK.findall(read(path))
    assert links
    broken = []
    for link in links:
        if link.startswith(('https://', 'http://')):
            continue
        name, _, anchor = link.partition('#')
        target = (path.parent / name).resolve() if name else path
        if not target.is_relative_to(REPOSITORY) or not target.exists() \
                or anchor and anchor not in anchors(target):
            broken.append(link)
    assert not broken


@each_page
def test_anchors_are_told_apart(path):
    headings = re.findall(r'^#+ (.*)$', read(path), re.MULTILINE)
    assert len(anchors(path)) == len(headings)


@each_page
def test_paths_that_are_named_exist(path):
    missing = [name for name in PATH.findall(read(path)) if not (REPOSITORY / name).exists()]
    assert not missing


@each_page
def test_modules_that_are_run_exist(path):
    names = MODULE.findall(read(path))
    missing = [name for name in names if find_spec(name) is None]
    assert not missing
    packages = [name for name in names if find_spec(name).submodule_search_locations]
    assert all(find_spec(f'{name}.__main__') for name in packages)


@each_page
def test_commands_and_launch_files_are_installed(path):
    installed = set(re.findall(r"'(\w+) = moss_ros\.", read(REPOSITORY / 'setup.py')))
    assert set(COMMAND.findall(read(path))) <= installed
    assert all((REPOSITORY / 'launch' / name).is_file()
               for name in LAUNCH_FILE.findall(read(path)))


@each_page
def test_make_targets_that_are_named_exist(path):
    targets = set(re.findall(r'^([a-z-]+):', read(REPOSITORY / 'Makefile'), re.MULTILINE))
    named = {first or second for first, second in MAKE_TARGET.findall(read(path))}
    assert named <= targets


def test_every_picture_of_docs_is_shown():
    shown = {(path.parent / link).resolve() for path in PAGES for link in LINK.findall(read(path))}
    pictures = {path for path in (REPOSITORY / 'docs').iterdir() if path.suffix != '.md'}
    assert pictures <= shown


def test_the_installation_needs_no_docs():
    assert 'docs' not in read(REPOSITORY / 'setup.py')


@pytest.mark.parametrize('text', ['see `moss_ros/nodes/gone.py`.', 'in tools/gone/, say'])
def test_a_path_that_is_gone_would_be_found(text):
    assert not (REPOSITORY / PATH.findall(text)[0]).exists()
