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

"""What the doctor finds of a machine, by machines that are made up."""

import os
from types import SimpleNamespace

from moss_ros.engines.machine_checks import (
    check_checkpoint, check_gpu, check_numba, check_packages, check_python,
    check_shared_memory, check_transport, Finding, findings, Verdict,
)
from moss_ros.settings import NarratorSettings
import pytest

MIB = 2 ** 20
FAST_DDS = 'FASTDDS_DEFAULT_PROFILES_FILE'


def memory(size_mib, free_mib):
    """Return what os.statvfs() would say of a file system."""
    return lambda path: SimpleNamespace(
        f_frsize=4096, f_blocks=size_mib * MIB // 4096, f_bavail=free_mib * MIB // 4096)


@pytest.mark.parametrize(('size_mib', 'free_mib', 'verdict'), [
    (64, 64, Verdict.FAIL), (64, 60, Verdict.FAIL), (1024, 10, Verdict.FAIL),
    (100, 100, Verdict.WARN), (1024, 128, Verdict.WARN), (1024, 1000, Verdict.OK)])
def test_shared_memory_must_hold_large_images(size_mib, free_mib, verdict):
    finding = check_shared_memory('/shm', memory(size_mib, free_mib))
    assert finding.verdict is verdict
    assert f'/shm has {free_mib} MiB free of {size_mib} MiB' in finding.text
    assert ('--shm-size' in finding.way_out) is (verdict is not Verdict.OK)


def test_shared_memory_that_is_not_there_is_a_failure(tmp_path):
    finding = check_shared_memory(tmp_path / 'shm')
    assert finding.verdict is Verdict.FAIL and str(tmp_path / 'shm') in finding.text


def test_real_shared_memory_is_measured(tmp_path):
    figures = os.statvfs(tmp_path)
    size_mib = figures.f_blocks * figures.f_frsize / MIB
    assert f'of {size_mib:.0f} MiB' in check_shared_memory(tmp_path).text


@pytest.mark.parametrize(('version', 'verdict'), [
    ((3, 10), Verdict.FAIL), ((3, 11), Verdict.OK), ((3, 13), Verdict.OK),
    ((3, 15), Verdict.WARN)])
def test_a_python_that_was_not_tried_is_told(version, verdict):
    assert check_python(version).verdict is verdict


def test_every_package_that_is_broken_is_named():
    def import_one(name):
        if name == 'numpy':
            raise AttributeError('_ARRAY_API not found')
        if name == 'torch':
            raise ImportError('no torch')

    finding = check_packages(('numpy', 'cv2', 'torch'), import_one)
    assert finding.verdict is Verdict.FAIL
    assert 'numpy (AttributeError: _ARRAY_API not found)' in finding.text
    assert 'torch (' in finding.text and 'cv2' not in finding.text
    assert 'requirements/runtime.txt' in finding.way_out


def test_without_numba_it_works_though_slower():
    def import_one(name):
        raise ImportError('Numba needs an older NumPy')

    assert check_numba().verdict is Verdict.OK
    finding = check_numba(import_one)
    assert finding.verdict is Verdict.WARN and 'needs an older NumPy' in finding.text


def test_a_gpu_that_torch_does_not_see_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert check_gpu('auto', tmp_path / 'none').verdict is Verdict.OK
    assert check_gpu('auto', tmp_path).verdict is Verdict.WARN
    assert check_gpu('cpu', tmp_path).verdict is Verdict.OK
    finding = check_gpu('cuda:1', tmp_path / 'none')
    assert finding.verdict is Verdict.FAIL and "'cuda:1'" in finding.text


def test_a_gpu_that_is_seen_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 1)
    monkeypatch.setattr('torch.cuda.get_device_name', lambda index: 'Orin')
    assert check_gpu('cuda', tmp_path) == Finding(Verdict.OK, 'GPU', 'Orin')
    assert check_gpu('cuda:1', tmp_path).verdict is Verdict.FAIL


@pytest.mark.parametrize(('checkpoint', 'words'), [
    ('nowhere', "'nowhere'"), ('/nowhere/moss', "'/nowhere/moss'"),
    ('nobody/nothing-of-this-name', 'hf download nobody/nothing-of-this-name')])
def test_a_checkpoint_that_is_missing_is_a_failure(checkpoint, words):
    finding = check_checkpoint(NarratorSettings(checkpoint=checkpoint))
    assert finding.verdict is Verdict.FAIL
    assert words in finding.line()


def test_a_checkpoint_that_is_not_whole_is_a_failure(babbling_checkpoint, tmp_path):
    for name in ('config.json', 'tokenizer.json'):
        (tmp_path / name).write_bytes((babbling_checkpoint / name).read_bytes())
    finding = check_checkpoint(NarratorSettings(checkpoint=str(tmp_path)))
    assert finding.verdict is Verdict.FAIL and str(tmp_path) in finding.text


def test_a_checkpoint_that_does_not_fit_is_a_failure(babbling_checkpoint, monkeypatch):
    monkeypatch.setattr('moss_ros.model.placement.free_bytes', lambda device: 10)
    finding = check_checkpoint(NarratorSettings(checkpoint=str(babbling_checkpoint)))
    assert finding.verdict is Verdict.FAIL
    assert 'GB free' in finding.text and str(babbling_checkpoint) in finding.text


def test_a_checkpoint_of_other_code_needs_its_folder(babbling_checkpoint):
    settings = NarratorSettings(backend='remote_code', checkpoint=str(babbling_checkpoint))
    assert check_checkpoint(settings).verdict is Verdict.OK
    for checkpoint in ('', '/nowhere/moss'):
        assert check_checkpoint(NarratorSettings(
            backend='remote_code', checkpoint=checkpoint)).verdict is Verdict.FAIL


@pytest.mark.parametrize(('content', 'verdict'), [
    ('<dds/>', Verdict.OK), ('<dds>', Verdict.FAIL), (None, Verdict.FAIL)])
def test_a_profile_must_be_a_file_with_profiles(tmp_path, content, verdict):
    file = tmp_path / 'profile.xml'
    if content is not None:
        file.write_text(content)
    finding = check_transport({FAST_DDS: str(file)})
    assert finding.verdict is verdict and str(file) in finding.text


def test_no_profile_is_told_with_the_way_to_one():
    finding = check_transport({}, '/share/profile.xml')
    assert finding.verdict is Verdict.WARN
    assert finding.way_out == f'export {FAST_DDS}=/share/profile.xml'


@pytest.mark.parametrize(('content', 'verdict'), [
    ('212992\n', Verdict.WARN), ('16777216\n', Verdict.OK), ('many', Verdict.WARN)])
def test_cyclone_needs_large_buffers_of_the_system(tmp_path, content, verdict):
    file = tmp_path / 'rmem_max'
    file.write_text(content)
    finding = check_transport({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, '', file)
    assert finding.verdict is verdict


def test_every_check_is_one_line(babbling_checkpoint):
    lines = [finding.line() for finding in findings(
        NarratorSettings(checkpoint=str(babbling_checkpoint)), {}, 'profile.xml')]
    assert len(lines) == 8
    assert not any('\n' in line for line in lines)
    assert Finding(Verdict.FAIL, 'x', 'two\nlines', 'a\nway').line() == 'FAIL x: two lines; a way'
