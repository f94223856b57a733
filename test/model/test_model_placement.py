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

"""Where a model goes: names of devices and types, and the memory that it needs and takes."""

import json
from pathlib import Path
import struct
import subprocess
import sys

from moss_ros.model import CheckpointError, free_memory, load_model, ModelConfig, placement
from moss_ros.model.weights import checkpoint_entries
import psutil
import pytest
from safetensors.torch import save_file
import torch

ROOT = Path(__file__).parents[2]
MEBIBYTE = 2 ** 20


def entry_shapes(values):
    """Return the shapes of a checkpoint's tensors by their published names."""
    config = ModelConfig.from_dict(values)
    with torch.device('meta'):
        parameters = dict(placement.VideoModel(config).named_parameters())
    return {entry.name: list(entry.rows_of(parameters[entry.parameter]).shape)
            for entry in checkpoint_entries(config)}


@pytest.fixture(scope='module')
def eleven_billion(tmp_path_factory):
    """Return a folder with the published sizes in bfloat16; its weights are a hole in a file."""
    folder = tmp_path_factory.mktemp('published')
    values = {'model_type': 'mllama', 'pool_stride': 4, 'vision_config': {'image_size': 560}}
    (folder / 'config.json').write_text(json.dumps(values))
    header, end = {}, 0
    for name, shape in entry_shapes(values).items():
        start, end = end, end + 2 * torch.Size(shape).numel()
        header[name] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [start, end]}
    text = json.dumps(header).encode()
    with (folder / 'model.safetensors').open('wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder


def free(monkeypatch, num_gigabytes):
    monkeypatch.setattr(placement, 'free_bytes', lambda device: num_gigabytes * 1e9)


@pytest.mark.parametrize('num_gigabytes, options, message', [
    (16.0, {'dtype': 'bfloat16'},
     'needs 21.3 GB, the device has 16.0 GB free; try quantization=int4 or quantization=int8'),
    (12.0, {'dtype': 'bfloat16'},
     'needs 21.3 GB, the device has 12.0 GB free; try quantization=int4'),
    (12.0, {'dtype': 'bfloat16', 'quantization': 'int8'},
     'needs 12.6 GB, the device has 12.0 GB free; try quantization=int4'),
    (8.0, {'dtype': 'bfloat16'},
     'needs 21.3 GB, the device has 8.0 GB free; free some of it, or take a device with more'),
    (8.0, {'dtype': 'bfloat16', 'quantization': 'int4'},
     'needs 8.5 GB, the device has 8.0 GB free; free some of it, or take a device with more'),
    (24.0, {'dtype': 'float32'}, 'needs 42.7 GB, the device has 24.0 GB free; try '
     'quantization=int4 or quantization=int8 or dtype=bfloat16'),
    (10.0, {'dtype': 'float32'}, 'needs 42.7 GB, the device has 10.0 GB free; try '
     'dtype=bfloat16 with quantization=int4'),
])
def test_too_little_memory_is_said_before_anything_is_read(eleven_billion, monkeypatch,
                                                           num_gigabytes, options, message):
    free(monkeypatch, num_gigabytes)
    with pytest.raises(CheckpointError) as caught:
        load_model(eleven_billion, **options)
    assert str(caught.value) == f'{eleven_billion} {message}'


def test_quantisation_that_is_not_possible_is_not_proposed(toy_model, toy_values, write_checkpoint,
                                                           monkeypatch):
    # The toy's 48 columns are no whole number of groups.
    folder = write_checkpoint(toy_model, toy_values)
    free(monkeypatch, 170e-6)
    with pytest.raises(CheckpointError, match='free; try quantization=int8 or dtype=bfloat16$'):
        load_model(folder)


def test_memory_that_nobody_tells_is_not_held_against_a_model(toy_model, toy_values,
                                                              write_checkpoint, monkeypatch):
    monkeypatch.setattr(placement, 'free_bytes', lambda device: None)
    load_model(write_checkpoint(toy_model, toy_values))


def test_free_memory_of_this_machine():
    assert 0 < placement.free_bytes(torch.device('cpu')) < psutil.virtual_memory().total


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a folder that stands for the system's; 4 GiB are available in it."""
    (tmp_path / 'meminfo').write_text(
        'MemTotal: 8388608 kB\nMemAvailable:  4194304 kB\n' + ''.join(
            f'{name}: 1024 kB\n' for name in (
                'MemFree', 'Buffers', 'Cached', 'Shmem', 'Active', 'Inactive')))
    (tmp_path / 'cgroup').write_text('1:cpu:/other\n0::/robots/narrator\n')
    monkeypatch.setattr(psutil, 'PROCFS_PATH', str(tmp_path))
    for name, path in (('_OWN_GROUP', 'cgroup'), ('_GROUPS', 'groups')):
        monkeypatch.setattr(free_memory, name, tmp_path / path)
    return tmp_path


def limit_group(machine, name, limit, current=0, file=0, shmem=0):
    group = machine / 'groups' / name
    group.mkdir(parents=True, exist_ok=True)
    (group / 'memory.max').write_text(f'{limit}\n')
    (group / 'memory.current').write_text(f'{current}\n')
    (group / 'memory.stat').write_text(f'anon 1\nfile {file}\nshmem {shmem}\n')


def test_free_memory_is_what_is_available(machine):
    assert placement.free_bytes(torch.device('cpu')) == 4 * 1024 ** 3
    limit_group(machine, 'robots/narrator', 'max')
    assert placement.free_bytes(torch.device('cpu')) == 4 * 1024 ** 3


@pytest.mark.parametrize('group', ['', 'robots', 'robots/narrator'])
def test_free_memory_ends_at_the_limit_of_a_container(machine, group):
    limit_group(machine, 'other', 1)
    limit_group(machine, group, 1000, current=700, file=300, shmem=100)
    assert placement.free_bytes(torch.device('cpu')) == 1000 - 700 + 200


def test_free_memory_is_never_negative(machine):
    limit_group(machine, 'robots', 1000, current=1200)
    assert placement.free_bytes(torch.device('cpu')) == 0


def test_free_memory_is_unknown_without_the_systems_files(machine):
    (machine / 'meminfo').unlink()
    assert placement.free_bytes(torch.device('cpu')) is None


def test_free_memory_of_a_gpu_counts_what_torch_keeps(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (5000, 9000))
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda device: 700)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: 300)
    assert placement.free_bytes(torch.device('cuda')) == 5400


# Prints by how much loading raises the highest resident memory of its own process, in bytes.
MEASURE = """
import sys, torch
from moss_ros.model import load_model
def highest():
    lines = open('/proc/self/status').read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))
load_model(sys.argv[1], dtype=sys.argv[3])
before = highest()
model = load_model(sys.argv[2], dtype=sys.argv[3])
print(highest() - before)
"""


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs /proc')
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_loading_takes_the_model_and_at_most_one_shard(toy_model, toy_values, write_checkpoint,
                                                       tmp_path, dtype):
    small = write_checkpoint(toy_model, toy_values, 'small')
    toy_values['text_config'].update(vocab_size=8000, hidden_size=512, intermediate_size=2048)
    folder = tmp_path / 'large'
    folder.mkdir()
    (folder / 'config.json').write_text(json.dumps(toy_values))
    shards = [{}]
    for name, shape in entry_shapes(toy_values).items():
        if sum(tensor.nbytes for tensor in shards[-1].values()) > 16 * MEBIBYTE:
            shards.append({})
        shards[-1][name] = torch.full(shape, 0.01)
    weight_map = {}
    for index, tensors in enumerate(shards):
        save_file(tensors, folder / f'model-{index}.safetensors')
        weight_map.update(dict.fromkeys(tensors, f'model-{index}.safetensors'))
    (folder / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': weight_map}))
    sizes = [path.stat().st_size for path in folder.glob('*.safetensors')]
    model_size = sum(sizes) if dtype == 'float32' else sum(sizes) / 2
    assert len(sizes) > 4
    result = subprocess.run([sys.executable, '-c', MEASURE, small, folder, dtype], cwd=ROOT,
                            capture_output=True, text=True, check=True, timeout=300)
    taken = int(result.stdout)
    # Importing has peaked a little above what stays, so that less than the model may be seen.
    assert 0.5 * model_size < taken < model_size + 1.2 * max(sizes)


@pytest.mark.parametrize('device', ['auto', 'cpu', torch.device('cpu')])
def test_devices_of_a_machine_without_a_gpu(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert placement.choose_device(device) == torch.device('cpu')


def test_devices_of_a_machine_with_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    for name, device in (('auto', 'cuda'), ('cuda', 'cuda'), ('cuda:1', 'cuda:1'), ('cpu', 'cpu')):
        assert placement.choose_device(name) == torch.device(device)
    with pytest.raises(ValueError, match="device is 'cuda:2', but torch sees 2 GPUs"):
        placement.choose_device('cuda:2')


@pytest.mark.parametrize('device, message', [
    ('gpu', "device is 'gpu'; allowed: auto, cpu, cuda, cuda:0"), ('', "device is ''; allowed"),
    ('meta', "device is 'meta'; allowed"), (None, "device is 'None'; allowed"),
    ('cuda', "device is 'cuda', but torch sees 0 GPUs: use device=cpu, or install torch for")])
def test_devices_that_are_not_there_are_named(toy_model, toy_values, write_checkpoint, monkeypatch,
                                              device, message):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=message):
        load_model(write_checkpoint(toy_model, toy_values), device=device)


@pytest.mark.parametrize('dtype, expected', [
    ('auto', torch.float32), ('float32', torch.float32), ('bfloat16', torch.bfloat16),
    (torch.float16, torch.float16)])
def test_types_by_name(toy_model, toy_values, write_checkpoint, dtype, expected):
    assert load_model(write_checkpoint(toy_model, toy_values), dtype=dtype).dtype == expected


@pytest.mark.parametrize('dtype', ['auto', 'float32', 'bfloat16'])
@pytest.mark.parametrize('ratio', [0.4, 3.41])
def test_a_type_that_slows_a_cpu_down_is_warned_of(toy_model, toy_values, write_checkpoint, caplog,
                                                   monkeypatch, dtype, ratio):
    monkeypatch.setattr(placement, 'cpu_time_ratio', lambda dtype: ratio)
    model = load_model(write_checkpoint(toy_model, toy_values), dtype=dtype)
    if dtype == 'bfloat16' and ratio > 1:
        assert 'dtype is bfloat16, which is 3.4 times slower than float32' in caplog.text
    else:
        assert not caplog.records
    if dtype == 'auto':
        assert model.dtype == torch.float32


def test_how_much_slower_a_type_is_on_this_cpu_is_measured():
    assert 0 < placement.cpu_time_ratio(torch.bfloat16) < 1000


def test_a_gpu_computes_in_bfloat16_unless_told_otherwise():
    assert placement.choose_dtype('auto', torch.device('cuda')) == torch.bfloat16


@pytest.mark.parametrize('dtype', ['int8', 'fp8', '', torch.int8, None])
def test_types_that_are_not_allowed_are_named(toy_model, toy_values, write_checkpoint, dtype):
    with pytest.raises(ValueError) as caught:
        load_model(write_checkpoint(toy_model, toy_values), dtype=dtype)
    assert str(caught.value) == \
        f'dtype is {str(dtype)!r}; allowed: auto, float32, bfloat16, float16'
