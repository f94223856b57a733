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

"""Which kernels compute attention: what is chosen, what is refused, and that the numbers agree."""

import sys
from types import SimpleNamespace

from moss_ros.model import load_model
from moss_ros.model.attention import attend, flash_kernel
import pytest
import torch

IMAGE = 40
CPU, CUDA = torch.device('cpu'), torch.device('cuda')


class FakeFlash:
    """flash-attn's function by its documentation, computed step by step; counts its calls."""

    def __init__(self):
        self.num_calls = 0
        self.num_causal = 0

    def __call__(self, query, keys, values, causal=False):
        """Attend from [B, T, H, K] to two [B, L, Hkv, K]; causal is aligned to the last key."""
        self.num_calls += 1
        self.num_causal += causal
        assert query.dim() == keys.dim() == values.dim() == 4
        assert query.stride(-1) == keys.stride(-1) == values.stride(-1) == 1
        num_rows, length, num_heads, head_dim = query.shape
        assert keys.shape == values.shape == (num_rows, keys.shape[1], keys.shape[2], head_dim)
        keys, values = (heads.repeat_interleave(num_heads // heads.shape[2], 2)
                        for heads in (keys, values))
        scores = torch.einsum('bthk,blhk->bhtl', query, keys) / head_dim ** 0.5
        if causal:
            hidden = torch.ones(length, keys.shape[1], dtype=torch.bool).triu(
                1 + keys.shape[1] - length)
            scores = scores.masked_fill(hidden, -1e30)
        return torch.einsum('bhtl,blhk->bthk', scores.softmax(-1), values)


@pytest.fixture
def flash_on_a_gpu(monkeypatch):
    """Pretend that there is a new GPU and that flash-attn is installed; return its function."""
    flash = FakeFlash()
    monkeypatch.setitem(sys.modules, 'flash_attn', SimpleNamespace(
        flash_attn_func=flash, __version__='2.8.3.post1'))
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (8, 7))
    return flash


@pytest.mark.parametrize('length, num_keys, is_causal', [
    (1, 9, True), (1, 9, False), (7, 7, True), (7, 9, False), (5, 9, True)])
def test_flash_and_sdpa_agree(length, num_keys, is_causal):
    generator = torch.Generator().manual_seed(2)
    query = torch.randn((2, 4, length, 8), generator=generator)
    keys, values = (torch.randn((2, 2, num_keys, 8), generator=generator) for _ in range(2))
    mask = None
    if is_causal and 1 < length < num_keys:
        mask = torch.ones(length, num_keys, dtype=torch.bool).tril(num_keys - length).repeat(2, 1)
    flash = FakeFlash()
    expected = attend(query, keys, values, mask, is_causal)
    assert (attend(query, keys, values, mask, is_causal, flash) - expected).abs().max() < 1e-6
    assert flash.num_calls == 1


def test_masks_that_flash_does_not_know_are_left_to_sdpa():
    query, keys = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 5, 8)
    mask = torch.tensor([[True, False, True, False, True]]).expand(6, 5)
    flash = FakeFlash()
    assert torch.equal(attend(query, keys, keys, mask, flash=flash),
                       attend(query, keys, keys, mask))
    assert flash.num_calls == 0


def test_the_model_gives_the_same_logits_by_flash(toy_model):
    ids = [1, 2, IMAGE, 3, IMAGE, 4, 5]
    pixels = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(3))

    def run():
        frames = toy_model.encode_frames(pixels)
        cache = toy_model.new_cache(16, 4)
        streamed = [toy_model.extend(cache, ids[:3], frames[:1], last_only=False),
                    toy_model.extend(cache, ids[3:], frames[1:], last_only=False)]
        return (frames, torch.cat(streamed), toy_model.extend(cache, [6]),
                toy_model(torch.tensor([ids]), frames[None]))

    plain = run()
    flash = FakeFlash()
    toy_model.use_flash(flash)
    assert toy_model.attention == 'flash'
    for ours, expected in zip(run(), plain):
        assert (ours - expected).abs().max() < 1e-5
    # Vision, text layers of two prefills, a step and a forward, frames where every token sees all.
    assert flash.num_calls > 8
    assert flash.num_causal == 4 * 2
    toy_model.use_flash(None)
    assert toy_model.attention == 'sdpa'
    assert all(torch.equal(ours, expected) for ours, expected in zip(run(), plain))


@pytest.mark.parametrize('attention', ['auto', 'sdpa'])
def test_the_cpu_gets_sdpa(toy_model, toy_values, write_checkpoint, attention):
    model = load_model(write_checkpoint(toy_model, toy_values), attention=attention)
    assert model.attention == 'sdpa'


def test_flash_is_refused_on_the_cpu(toy_model, toy_values, write_checkpoint):
    with pytest.raises(ValueError, match="attention is 'flash', but flash-attn needs a CUDA "
                                         "device and the model goes to 'cpu': use device=cuda or "
                                         'attention=sdpa'):
        load_model(write_checkpoint(toy_model, toy_values), attention='flash')


def test_an_unknown_attention_is_named(toy_model, toy_values, write_checkpoint):
    with pytest.raises(ValueError, match="attention is 'eager'; allowed: auto, sdpa, flash"):
        load_model(write_checkpoint(toy_model, toy_values), attention='eager')


def test_an_installed_flash_attn_is_taken_on_a_gpu(flash_on_a_gpu):
    assert flash_kernel('auto', CUDA, torch.bfloat16) is flash_on_a_gpu
    assert flash_kernel('flash', CUDA, torch.float16) is flash_on_a_gpu
    assert flash_kernel('sdpa', CUDA, torch.bfloat16) is None


def test_flash_is_refused_in_full_precision(flash_on_a_gpu):
    assert flash_kernel('auto', CUDA, torch.float32) is None
    with pytest.raises(ValueError, match="'flash', but flash-attn does not compute in float32: "
                                         'use dtype=bfloat16'):
        flash_kernel('flash', CUDA, torch.float32)


def test_flash_is_refused_on_an_old_gpu(flash_on_a_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (7, 5))
    assert flash_kernel('auto', CUDA, torch.bfloat16) is None
    with pytest.raises(ValueError, match='needs compute capability 8.0 and this GPU has 7.5: use '
                                         'attention=sdpa'):
        flash_kernel('flash', CUDA, torch.bfloat16)


@pytest.mark.parametrize('version', ['1.0.9', '2.0.8'])
def test_a_flash_attn_that_aligns_otherwise_is_refused(flash_on_a_gpu, version):
    sys.modules['flash_attn'].__version__ = version
    with pytest.raises(ValueError, match=f'flash-attn {version} aligns .* install 2.1 or newer'):
        flash_kernel('flash', CUDA, torch.bfloat16)
    assert flash_kernel('auto', CUDA, torch.bfloat16) is None


@pytest.mark.parametrize('version', ['2.1', '2.10.0', '3.0.0b1'])
def test_newer_versions_are_taken(flash_on_a_gpu, version):
    sys.modules['flash_attn'].__version__ = version
    assert flash_kernel('flash', CUDA, torch.bfloat16) is flash_on_a_gpu


def test_a_missing_flash_attn_is_an_error_that_says_how_to_get_it(flash_on_a_gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, 'flash_attn', None)  # importing it fails now
    assert flash_kernel('auto', CUDA, torch.bfloat16) is None
    with pytest.raises(ValueError, match='flash-attn can not be imported .*: install it with "pip '
                                         'install flash-attn --no-build-isolation"'):
        flash_kernel('flash', CUDA, torch.bfloat16)
