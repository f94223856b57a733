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

"""The counter of launches and of waits for the device, by what is known of some operations."""

from contextlib import nullcontext
from types import SimpleNamespace
import warnings

from moss_ros.benchmark.decode_measures import OwnDecoder
from moss_ros.benchmark.launches import (
    count_gpu_launches, count_host_syncs, count_launches, LaunchCounter,
)
from moss_ros.benchmark.presets import random_model
from moss_ros.model import ModelConfig
from moss_ros.model.quantization import quantise
import pytest
from scripted_model import tiny_config
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

CPU = torch.device('cpu')
X = torch.ones(4, 4)


@pytest.mark.parametrize(('step', 'num'), [
    (lambda: X @ X, 1),
    (lambda: F.linear(X, X, X[0]), 1),
    (lambda: F.rms_norm(X, (4,), X[0]), 1),
    (lambda: F.scaled_dot_product_attention(X[None], X[None], X[None]), 1),
    (lambda: X.clone().mul_(2).add_(1), 3),
    (lambda: X.clone().narrow(0, 0, 2).copy_(X[:2]), 2),
    (lambda: X.t().unsqueeze(0).expand(3, 4, 4)[1].chunk(2)[0].split(1)[0].view(2, 2), 0),
    (lambda: X.view(16).reshape(4, 4).detach(), 0),
    (lambda: X[:0].unbind(0), 0),
    (lambda: X.t().reshape(16), 1),  # a copy, since the columns do not lie side by side
    (lambda: (torch.empty(3), torch.empty_like(X), X.new_empty(2)), 0),
    (lambda: torch.zeros(3), 1),
    (lambda: int(X.argmax()), 1),
    (lambda: None, 0),
])
def test_what_computes_or_copies_counts_once(step, num):
    assert count_launches(step) == num


def test_of_a_quantised_weight_its_own_operations_count():
    weight = quantise(torch.ones(32, 32), 'int8')
    with torch.inference_mode(), LaunchCounter() as counter:
        F.linear(torch.ones(1, 32), weight)
    assert counter.num_launches > 1
    assert not any('linear' in name for name in counter.by_name)


def test_tensors_without_a_device_count_alike():
    with FakeTensorMode():
        x = torch.empty(4, 4, device='cuda')
        assert count_launches(lambda: (x @ x).t().reshape(16)) == 2
        assert count_launches(lambda: x.view(16)) == 0


def test_nothing_is_counted_outside():
    with LaunchCounter() as counter:
        X + X
    X + X
    assert counter.by_name == {'aten.add.Tensor': 1}


def test_a_decode_step_needs_more_for_a_frame_and_the_same_each_time():
    # In float32 the step of so small a model is compiled, and PyTorch sees nothing of it.
    model = random_model(ModelConfig.from_dict(tiny_config(20)), CPU, torch.bfloat16)
    decoder = OwnDecoder(model, 6, 2, 8)
    decoder.step()  # prepares what the others use
    first, second = count_launches(decoder.step), count_launches(decoder.step)
    assert first == second > 10
    assert count_launches(decoder.step_with_frame) > first
    decoder.rewind()
    assert (decoder.cache.num_tokens, decoder.cache.num_frames) == (6, 2)


def test_on_a_gpu_the_calls_that_launch_count(monkeypatch):
    names = ['cudaLaunchKernel', 'cuLaunchKernelEx', 'cudaGraphLaunch', 'cudaMemcpyAsync',
             'aten::mm', 'cudaStreamSynchronize', 'void gemv2T_kernel(...)', 'Memcpy DtoH']
    profile = SimpleNamespace(events=lambda: [SimpleNamespace(name=name) for name in names])
    monkeypatch.setattr(torch.profiler, 'profile', lambda activities: nullcontext(profile))
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda device: None)
    calls = []
    assert count_gpu_launches(lambda: calls.append(1), SimpleNamespace(type='cuda')) == 4
    assert calls == [1]
    assert count_gpu_launches(lambda: calls.append(1), CPU) is None


def test_a_cpu_has_nothing_to_wait_for():
    assert count_host_syncs(lambda: X.sum().item(), CPU) is None


def test_waits_are_those_that_the_debug_mode_warns_of(monkeypatch):
    modes = ['error']
    monkeypatch.setattr(torch.cuda, 'get_sync_debug_mode', lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)

    def step():
        assert modes[-1] == 'warn'
        for text in ('called a synchronizing CUDA operation (Triggered internally)',) * 2:
            warnings.warn(text)
        warnings.warn('something else')

    device = SimpleNamespace(type='cuda')
    assert count_host_syncs(step, device) == 2
    with pytest.raises(ZeroDivisionError):
        count_host_syncs(lambda: 1 / 0, device)
    assert modes == ['error', 'warn', 'error', 'warn', 'error']
