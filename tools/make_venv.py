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
Makes the virtual environment of `make venv`: the torch that fits, its size, disk space, then pip.

Run by the Makefile with the Python that the environment is to be of; needs nothing but that. Where
there is no NVIDIA GPU it takes torch's build for the CPU, a third of the size, if it can be had.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys

REPOSITORY = Path(__file__).resolve().parents[1]
REQUIREMENTS = REPOSITORY / 'requirements'
# Where PyTorch has its builds for the CPU; the variable of the same name replaces it.
TORCH_INDEX = 'https://download.pytorch.org/whl/cpu'
GB = 1e9


@dataclass(frozen=True)
class TorchBuild:
    """
    A build of torch and what the environment takes with it, on x86_64.

    - installed_gb: of the environment (measured).
    - needed_gb: of the disk meanwhile, with what is downloaded.
    """

    text: str
    installed_gb: float
    needed_gb: float


CPU = TorchBuild('torch for the CPU', 2.1, 3.0)
CUDA = TorchBuild('torch for CUDA', 6.1, 9.0)


@dataclass(frozen=True)
class Choice:
    """The build that is installed, pip's arguments for it, and what is to be said of it."""

    build: TorchBuild
    pip_arguments: list[str]
    remark: str = ''


def torch_version() -> str:
    """Return the pinned version of torch."""
    text = (REQUIREMENTS / 'runtime.txt').read_text(encoding='utf-8')
    return re.search(r'^torch==(\S+)$', text, re.MULTILINE).group(1)


def has_nvidia_gpu(driver: Path = Path('/proc/driver/nvidia')) -> bool:
    """Return whether this machine has a GPU of NVIDIA with its driver."""
    return driver.exists() or shutil.which('nvidia-smi') is not None


def choose_torch(has_gpu: bool, index: str, machine: str,
                 can_be_had: Callable[[list[str]], bool]) -> Choice:
    """
    Return which torch to install.

    - index: a place of one's own that has torch; '': the usual ones.
    - machine: as platform.machine() calls it.
    - can_be_had: whether pip finds what its arguments say.
    """
    version = torch_version()
    pinned, for_cpu = f'torch=={version}', f'torch=={version}+cpu'
    extra = ['--extra-index-url', index or TORCH_INDEX]
    usual = [*extra, pinned] if index else []
    if has_gpu:
        return Choice(CPU if 'cpu' in index else CUDA, usual)
    if machine not in ('x86_64', 'AMD64'):
        return Choice(CPU, usual)  # built for the CPU anyway
    for arguments in ([*extra, for_cpu],) if index else ([for_cpu], [*extra, for_cpu]):
        if can_be_had(arguments):
            return Choice(CPU, arguments)
    return Choice(
        CUDA, usual,
        f'There is no NVIDIA GPU here, but {for_cpu} cannot be had for this Python from '
        f'{index or TORCH_INDEX}. The torch for CUDA works without a GPU too. For a smaller one:  '
        'make venv TORCH_INDEX=URL')


def disk_obstacle(build: TorchBuild, folder: Path,
                  disk_usage: Callable[[Path], object] | None = None) -> str:
    """Return why the disk of a folder does not do, with the way out; '' where it does."""
    free_gb = (disk_usage or shutil.disk_usage)(folder).free / GB
    if free_gb >= build.needed_gb:
        return ''
    way_out = 'free some'
    if build is CUDA:
        way_out += ', or name an index with torch for the CPU: make venv TORCH_INDEX=URL'
    return (f'{folder} has {free_gb:.1f} GB free, and the environment needs '
            f'{build.needed_gb:.1f} GB while it is made ({build.installed_gb:.1f} GB afterwards, '
            f'with {build.text}): {way_out}')


def main(args=None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog='make_venv.py', description=__doc__)
    parser.add_argument('folder', type=Path)
    folder = parser.parse_args(args).folder
    if subprocess.run([sys.executable, '-m', 'venv', str(folder)]).returncode:
        print('No virtual environment: on Debian and Ubuntu  apt install python3-venv  helps.',
              file=sys.stderr)
        return 1
    pip = [str(folder / 'bin' / 'python'), '-m', 'pip', 'install', '--quiet',
           '--disable-pip-version-check']

    def can_be_had(arguments):
        return not subprocess.run(
            [*pip, '--dry-run', '--no-deps', '--retries', '0', '--timeout', '10', *arguments],
            capture_output=True).returncode

    choice = choose_torch(has_nvidia_gpu(), os.environ.get('TORCH_INDEX', ''),
                          platform.machine(), can_be_had)
    obstacle = disk_obstacle(choice.build, folder.resolve())
    if obstacle:
        print(obstacle, file=sys.stderr)
        return 1
    if choice.remark:
        print(choice.remark, flush=True)
    print(f'Installing the pinned packages into {folder} (once; about '
          f'{choice.build.installed_gb:.1f} GB, with {choice.build.text}) ...', flush=True)
    files = [part for name in ('runtime', 'ros', 'test')
             for part in ('-r', str(REQUIREMENTS / f'{name}.txt'))]
    return subprocess.run([*pip, '-c', str(REQUIREMENTS / 'constraints.txt'),
                           *choice.pip_arguments, *files]).returncode


if __name__ == '__main__':
    sys.exit(main())
