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
Puts the notice of the licence at the head of each source file that has none.

Run by developers after they have made a file; a test says where it is missing. With --check it
changes nothing, and ends with status 1 where one is missing.
"""

import argparse
from pathlib import Path
import subprocess
import sys

REPOSITORY = Path(__file__).resolve().parents[1]
# In the words that ament_copyright looks for.
NOTICE = """\
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


def source_files(folder: Path) -> list[Path]:
    """Return the Python files of a repository, those that git does not know yet among them."""
    told = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '*.py'], cwd=folder,
        capture_output=True, text=True)
    if told.returncode == 0:
        return sorted(folder / name for name in set(told.stdout.splitlines())
                      if (folder / name).exists())
    return sorted(path for path in folder.rglob('*.py') if not any(
        part.startswith('.') or part in ('build', 'install', 'log') for part in path.parts))


def without_notice(files: list[Path]) -> list[Path]:
    """Return those of the files that have something in them, but no notice at their head."""
    texts = ((path, path.read_text(encoding='utf-8')) for path in files)
    return [path for path, text in texts if text and not text.startswith(NOTICE)]


def main(args=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog='python -m tools.notices', description=__doc__)
    parser.add_argument('--check', action='store_true', help='change nothing')
    is_check = parser.parse_args(args).check
    missing = without_notice(source_files(REPOSITORY))
    for path in missing:
        print(path.relative_to(REPOSITORY))
        if not is_check:
            path.write_text(f'{NOTICE}\n{path.read_text(encoding="utf-8")}', encoding='utf-8')
    return int(is_check and bool(missing))


if __name__ == '__main__':
    sys.exit(main())
