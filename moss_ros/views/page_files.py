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

"""
The files of which pages are made: style, scripts, templates.

Names go in, contents come out. The desk's files are served as they are; reports and index pages
are made of templates, with the same style inside. Called by moss_ros/desk and by report.py.
"""

from pathlib import Path

TEMPLATES = Path(__file__).parent / 'templates'
_TYPE_BY_SUFFIX = {'.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript',
                   '.svg': 'image/svg+xml'}
# What both have in common, and its dark colours.
SHARED_STYLES = ('style.css', 'dark.css')


def desk_files() -> dict[str, tuple[str, bytes]]:
    """Return content type and content by name of all that makes up the desk's page."""
    paths = [*(TEMPLATES / name for name in SHARED_STYLES), *sorted(TEMPLATES.glob('desk*'))]
    return {path.name: (_TYPE_BY_SUFFIX[path.suffix], path.read_bytes()) for path in paths}


def report_style() -> str:
    """Return the style of reports and index pages, which have it inside."""
    shared, dark, own = ((TEMPLATES / name).read_text(encoding='utf-8')
                         for name in (*SHARED_STYLES, 'page.css'))
    return f'{shared}@media (prefers-color-scheme: dark) {{\n{dark}}}\n{own}'
