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
Checks whether a machine can run the narrator: Python, packages, GPU, checkpoint, shared memory.

Settings and paths go in; each check comes out as one Finding. Nothing is imported before the check
that needs it, so that what is missing becomes a finding. Called by the doctor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
import os
from pathlib import Path
import sys
from xml.etree import ElementTree

from moss_ros.settings import NarratorSettings

# What requirements/runtime.txt brings, by the names under which it is imported.
PACKAGES = (
    'numpy', 'cv2', 'torch', 'safetensors', 'tokenizers', 'huggingface_hub', 'psutil', 'av', 'PIL',
    'tqdm', 'rosbags', 'mcap', 'lz4', 'zstandard', 'ruamel.yaml', 'jinja2', 'textual', 'aiohttp')
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)
# What the profile for large images asks of shared memory, for each process.
SEGMENT_BYTES = 64 * 2 ** 20
_FAST_DDS = 'rmw_fastrtps_cpp'
# Either variable names the file with Fast DDS's profiles; the second is the older name.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
# Cyclone DDS sends a picture of 1080p as UDP packets; the system's default holds 200 kB. With the
# package's own settings it does not start below the first, of which Linux gives twice as much.
_LEAST_RECEIVE_BUFFER_BYTES = 16 * 2 ** 20
_RECEIVE_BUFFER_BYTES = 64 * 2 ** 20


class Verdict(Enum):
    """OK: all well; WARN: it works, though not as well as it could; FAIL: it does not work."""

    OK = 'OK'
    WARN = 'WARN'
    FAIL = 'FAIL'


@dataclass(frozen=True)
class Finding:
    """What one check has found about a subject, and the way out where something is wrong."""

    verdict: Verdict
    subject: str
    text: str
    way_out: str = ''

    def line(self) -> str:
        """Return it as one line."""
        text = f'{self.subject}: {self.text}' + (f'; {self.way_out}' if self.way_out else '')
        return f'{self.verdict.value:<5}' + ' '.join(text.split())


def findings(settings: NarratorSettings, environment: Mapping[str, str],
             profile: str) -> Iterable[Finding]:
    """
    Yield what all checks find that need no ROS, each as soon as it is done.

    profile: where the package's own profile for Fast DDS is.
    """
    for check in (check_python, check_packages, check_torch, check_numba,
                  lambda: check_gpu(settings.device), lambda: check_checkpoint(settings),
                  check_shared_memory, lambda: check_transport(environment, profile)):
        yield check()


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Look whether this Python is one that the package was tried with."""
    text = '{}.{}'.format(*version)
    if version < _OLDEST_PYTHON:
        return Finding(Verdict.FAIL, 'Python', f'{text} is too old',
                       'take 3.11 or later, as in ROS 2 Jazzy')
    if version > _NEWEST_PYTHON:
        return Finding(Verdict.WARN, 'Python', f'{text} has not been tried',
                       'take 3.11 to 3.13 where something does not work')
    return Finding(Verdict.OK, 'Python', text)


def check_packages(names: Iterable[str] = PACKAGES,
                   import_one: Callable[[str], object] = import_module) -> Finding:
    """Look whether the packages can be imported."""
    broken = {}
    for name in names:
        try:
            import_one(name)
        except Exception as error:  # a package that was built for another one raises anything
            broken[name] = f'{name} ({type(error).__name__}: {error})'
    if broken:
        return Finding(Verdict.FAIL, 'packages',
                       f'cannot be imported: {", ".join(broken.values())}',
                       'pip install -r requirements/runtime.txt, in the environment of colcon')
    return Finding(Verdict.OK, 'packages', f'all {len(tuple(names))} can be imported')


def check_torch() -> Finding:
    """Say which torch this is, and for which device it was built."""
    try:
        torch = import_module('torch')
    except Exception as error:
        return Finding(Verdict.FAIL, 'torch', f'cannot be imported ({error})',
                       'install it as README.md says, in the environment of colcon')
    built_for = 'the CPU'
    if torch.version.cuda or torch.version.hip:
        built_for = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'ROCm'
    return Finding(Verdict.OK, 'torch', f'{torch.__version__}, built for {built_for}')


def check_numba(import_one: Callable[[str], object] = import_module) -> Finding:
    """Look for what compiles the step of a small model on a CPU."""
    try:
        import_one('numba')
    except Exception as error:
        return Finding(Verdict.WARN, 'Numba', f'cannot be imported ({error}), so the embedded '
                       'model is several times slower than it could be',
                       'pip install -r requirements/runtime.txt, in the environment of colcon')
    return Finding(Verdict.OK, 'Numba', 'can be imported')


def check_gpu(device: str = 'auto', driver: Path = Path('/proc/driver/nvidia')) -> Finding:
    """Look whether the device that the settings name is there. driver: of NVIDIA, if it is."""
    try:
        torch = import_module('torch')
        num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = [torch.cuda.get_device_name(index) for index in range(num_gpus)]
    except Exception as error:
        return Finding(Verdict.FAIL, 'GPU', f'torch cannot be asked ({error})', 'mend torch first')
    index = int(device.partition(':')[2] or 0)
    if device.startswith('cuda') and index >= num_gpus:
        return Finding(Verdict.FAIL, 'GPU',
                       f'device is {device!r}, but torch sees {num_gpus} GPUs',
                       'set device to cpu, or install the torch that fits the GPU and its driver')
    if num_gpus:
        return Finding(Verdict.OK, 'GPU', ', '.join(names))
    if driver.exists() and device == 'auto':
        return Finding(Verdict.WARN, 'GPU', 'there is one of NVIDIA, but torch does not see it',
                       'install a torch that is built for CUDA, or set device to cpu')
    return Finding(Verdict.OK, 'GPU', 'none: the model runs on the CPU')


def check_checkpoint(settings: NarratorSettings) -> Finding:
    """Look whether the checkpoint is there and whole, and fits into memory; reads no weights."""
    name = settings.checkpoint or 'the embedded model'
    try:
        if settings.backend != 'own':
            folder = Path(settings.checkpoint).expanduser()
            if not (settings.checkpoint and (folder / 'config.json').is_file()):
                raise ValueError(f'{settings.checkpoint!r} is no folder with a config.json')
            return Finding(Verdict.OK, 'checkpoint', f'{name}, of whose code the memory is not '
                           'known beforehand')
        from moss_ros.engines.loading import open_checkpoint
        from moss_ros.model import is_to_be_downloaded, memory_of
        if is_to_be_downloaded(settings.checkpoint):  # which a check must not do
            return Finding(Verdict.FAIL, 'checkpoint', f'{name} is neither a folder nor in the '
                           "hub's cache on this machine", f'fetch it by  hf download {name}')
        needed, free = memory_of(
            open_checkpoint(settings).folder, settings.device, settings.dtype, settings.attention,
            None if settings.quantization == 'none' else settings.quantization)
    except Exception as error:
        return Finding(Verdict.FAIL, 'checkpoint', str(error),
                       "set the parameter checkpoint to a folder; see 'docs/checkpoints.md'")
    free_text = 'an unknown size is' if free is None else f'{free / 1e9:.1f} GB are'
    return Finding(Verdict.OK, 'checkpoint',
                   f'{name} needs {needed / 1e9:.2g} GB of memory, {free_text} free')


def check_shared_memory(path: str | Path = '/dev/shm',
                        statvfs: Callable[[str | Path], os.statvfs_result] = os.statvfs,
                        segment_bytes: int = SEGMENT_BYTES) -> Finding:
    """Look whether shared memory has room for the segments of camera and narrator."""
    subject = 'shared memory'
    way_out = 'give the container --shm-size 1g or --ipc host, or remount it larger'
    try:
        figures = statvfs(path)
    except OSError as error:
        return Finding(Verdict.FAIL, subject, f'{path}: {error.strerror}', way_out)
    free, size = (number * figures.f_frsize for number in (figures.f_bavail, figures.f_blocks))
    text = f'{path} has {free / 2 ** 20:.0f} MiB free of {size / 2 ** 20:.0f} MiB'
    if free <= segment_bytes:
        return Finding(Verdict.FAIL, subject, f'{text}: too little for large images, which need '
                       f'{segment_bytes / 2 ** 20:.0f} MiB for each process', way_out)
    if free <= 2 * segment_bytes:
        return Finding(Verdict.WARN, subject, f'{text}: too little for camera and narrator, which '
                       f'need {segment_bytes / 2 ** 20:.0f} MiB each', way_out)
    return Finding(Verdict.OK, subject, text)


def check_transport(environment: Mapping[str, str], profile: str = '',
                    receive_buffer: Path = Path('/proc/sys/net/core/rmem_max')) -> Finding:
    """
    Look whether what carries the images is set up for large ones.

    profile: where the package's own profile for Fast DDS is, for the way out.
    """
    transport = environment.get('RMW_IMPLEMENTATION') or _FAST_DDS
    if transport == 'rmw_cyclonedds_cpp':
        return _check_receive_buffer(receive_buffer)
    if not transport.startswith('rmw_fastrtps'):
        return Finding(Verdict.OK, 'transport', f"{transport}; 'docs/deploy.md' has its settings")
    name = next((name for name in PROFILE_VARIABLES if environment.get(name)), None)
    if name is None:
        return Finding(
            Verdict.WARN, 'DDS profile', 'none is set here: large images get lost, unless the '
            'launch files start the narrator and the camera has the profile too',
            f'export {PROFILE_VARIABLES[0]}={profile or "config/fastdds_large_images.xml"}')
    try:
        ElementTree.parse(environment[name])
    except (OSError, ElementTree.ParseError) as error:
        return Finding(Verdict.FAIL, 'DDS profile', f'{name} is {environment[name]!r}: {error}',
                       'name a file with Fast DDS profiles, or unset it')
    return Finding(Verdict.OK, 'DDS profile', f'{environment[name]}; the camera needs it as well')


def _check_receive_buffer(path):
    try:
        size = int(path.read_text())
    except (OSError, ValueError) as error:
        return Finding(Verdict.WARN, 'transport', f'rmw_cyclonedds_cpp; {path}: {error}',
                       "see 'docs/deploy.md'")
    if size < _LEAST_RECEIVE_BUFFER_BYTES:
        return Finding(Verdict.WARN, 'transport', f'rmw_cyclonedds_cpp, but the system allows '
                       f'receive buffers of {size} bytes only: large images get lost',
                       f'sysctl -w net.core.rmem_max={_RECEIVE_BUFFER_BYTES}')
    return Finding(Verdict.OK, 'transport', 'rmw_cyclonedds_cpp with large receive buffers')
