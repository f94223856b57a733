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

"""What `make venv` installs, and what it says before."""

from collections import namedtuple
import os
from pathlib import Path
import subprocess
import sys

import pytest
from tools.make_venv import (
    choose_torch, CPU, CUDA, disk_obstacle, has_nvidia_gpu, main, TORCH_INDEX, torch_version,
)

REPOSITORY = Path(__file__).resolve().parents[1]
Usage = namedtuple('Usage', 'total used free')
PINNED = f'torch=={torch_version()}'


def nothing_else(arguments):
    """Be asked nothing: who chooses knows it already."""
    pytest.fail(f'pip is asked for {arguments}')


def test_a_gpu_gets_the_usual_torch():
    choice = choose_torch(True, '', 'x86_64', nothing_else)
    assert (choice.build, choice.pip_arguments) == (CUDA, [])


def test_without_a_gpu_the_build_for_the_cpu_is_taken_where_it_can_be_had():
    asked = []
    for num_refused, expected in enumerate((
            [f'{PINNED}+cpu'], ['--extra-index-url', TORCH_INDEX, f'{PINNED}+cpu'])):
        asked.clear()
        choice = choose_torch(
            False, '', 'x86_64',
            lambda arguments, n=num_refused: asked.append(arguments) or len(asked) > n)
        assert (choice.build, choice.pip_arguments) == (CPU, expected)
        assert choice.remark == ''
    choice = choose_torch(False, '', 'x86_64', lambda arguments: False)
    assert (choice.build, choice.pip_arguments) == (CUDA, [])
    for part in ('no NVIDIA GPU', f'{PINNED}+cpu', TORCH_INDEX, 'TORCH_INDEX=URL'):
        assert part in choice.remark


def test_other_machines_have_one_build_only():
    choice = choose_torch(False, '', 'aarch64', nothing_else)
    assert (choice.build, choice.pip_arguments) == (CPU, [])


@pytest.mark.parametrize(('index', 'build'), [
    ('https://wheels.example/torch', CUDA), ('https://wheels.example/cpu', CPU)])
def test_a_place_of_ones_own_is_used_for_a_gpu(index, build):
    choice = choose_torch(True, index, 'x86_64', nothing_else)
    assert choice.build is build
    assert choice.pip_arguments == ['--extra-index-url', index, PINNED]


@pytest.mark.parametrize('has_one', [True, False])
def test_a_place_of_ones_own_is_asked_for_the_build_for_the_cpu(has_one):
    index = 'https://wheels.example/torch'
    for_cpu = ['--extra-index-url', index, f'{PINNED}+cpu']
    asked = []
    choice = choose_torch(False, index, 'x86_64',
                          lambda arguments: asked.append(arguments) or has_one)
    assert asked == [for_cpu]
    assert (choice.build, choice.pip_arguments) == (
        (CPU, for_cpu) if has_one else (CUDA, ['--extra-index-url', index, PINNED]))
    assert (index in choice.remark) is not has_one


@pytest.mark.parametrize('build', [CPU, CUDA])
def test_a_disk_that_is_too_small_is_said_with_the_sizes(build, tmp_path):
    free = build.needed_gb * 1e9
    assert disk_obstacle(build, tmp_path, lambda folder: Usage(0, 0, free)) == ''
    text = disk_obstacle(build, tmp_path, lambda folder: Usage(0, 0, free - 1e8))
    for part in (str(tmp_path), f'{build.needed_gb - 0.1:.1f} GB free',
                 f'needs {build.needed_gb:.1f} GB', f'{build.installed_gb:.1f} GB afterwards'):
        assert part in text
    assert ('TORCH_INDEX' in text) is (build is CUDA)


def test_a_gpu_is_known_by_its_driver(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    assert not has_nvidia_gpu(tmp_path / 'nvidia')
    assert has_nvidia_gpu(tmp_path)
    (tmp_path / 'nvidia-smi').touch(mode=0o755)
    assert has_nvidia_gpu(tmp_path / 'nvidia')


def test_the_sizes_are_those_that_the_pages_name():
    for page in ('README.md', 'CONTRIBUTING.md'):
        text = (REPOSITORY / page).read_text()
        assert f'{CPU.installed_gb:.1f} GB' in text and f'{CUDA.installed_gb:.1f} GB' in text


def test_pip_is_told_what_was_chosen(tmp_path, monkeypatch, capfd):
    told = []

    def run(command, **options):
        told.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr('tools.make_venv.subprocess.run', run)
    monkeypatch.setattr('tools.make_venv.has_nvidia_gpu', lambda: False)
    monkeypatch.setattr('tools.make_venv.platform.machine', lambda: 'x86_64')
    monkeypatch.setattr('tools.make_venv.shutil.disk_usage', lambda folder: Usage(0, 0, 1e11))
    monkeypatch.delenv('TORCH_INDEX', raising=False)
    assert main([str(tmp_path / 'env')]) == 0
    assert told[0][1:] == ['-m', 'venv', str(tmp_path / 'env')]
    assert '--dry-run' in told[1] and f'{PINNED}+cpu' in told[1]
    assert f'{PINNED}+cpu' in told[2] and '--dry-run' not in told[2]
    assert [Path(name).name for name in told[2] if name.endswith('.txt')] == [
        'constraints.txt', 'runtime.txt', 'ros.txt', 'test.txt']
    assert f'{CPU.installed_gb} GB, with torch for the CPU' in capfd.readouterr().out


def test_make_refuses_a_python_that_was_not_tried(tmp_path):
    python = tmp_path / 'python3.14'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; '
                      'sys.version_info = (3, 14); sys.argv = [\'-c\']; exec(open(0).read())" '
                      '<<EOF\n$2\nEOF\n')
    python.chmod(0o755)
    refused = subprocess.run(
        ['make', '--no-print-directory', 'venv', f'PYTHON={python}', f'VENV={tmp_path / "env"}'],
        cwd=REPOSITORY, capture_output=True, text=True, env=dict(os.environ))
    assert refused.returncode != 0
    assert 'Python 3.11 to 3.13 is needed' in refused.stderr
    assert not (tmp_path / 'env').exists()


def test_make_does_not_take_an_environment_of_another_python_for_the_one_asked_for(tmp_path):
    environment = tmp_path / 'env'
    (environment / 'bin').mkdir(parents=True)
    pythons = environment / 'bin' / 'python', tmp_path / 'python3.12', tmp_path / 'python3.13'
    for python, version in zip(pythons, ('3.12.1', '3.12.1', '3.13.0')):
        python.write_text(f'#!/bin/sh\necho Python {version}\n')
        python.chmod(0o755)
    (environment / '.installed').touch()
    # Without what the make hands on that these tests may run in.
    variables = {name: value for name, value in os.environ.items() if 'MAKE' not in name}
    same, other, unsaid = (subprocess.run(
        ['make', '--no-print-directory', 'venv', f'VENV={environment}', *said],
        cwd=REPOSITORY, capture_output=True, text=True, env=variables)
        for said in ([f'PYTHON={pythons[1]}'], [f'PYTHON={pythons[2]}'], []))
    assert same.returncode == unsaid.returncode == 0, same.stderr + unsaid.stderr
    assert other.returncode != 0
    assert 'is there with Python 3.12.1' in other.stderr and 'make clean' in other.stderr
