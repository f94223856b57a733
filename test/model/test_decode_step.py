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
One token by the decode step equals one token by extend(), on every kind of kernels.

With Numba and without it. Without a GPU: the launches of Triton run in its interpreter where it is
installed; PyTorch's fake tensors on a device 'cuda' tell what would be launched, copied and waited
for; and a recorder of operations stands in for CUDA's graphs.
"""

from collections import Counter
import os
import subprocess
import sys

from moss_ros.model import ModelConfig, VideoModel
from moss_ros.model.decode_step import DecodeStep
from moss_ros.model.decoder import CrossAttentionLayer
from moss_ros.model.fused_kernels import FusedKernels
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

IMAGE = 40
TOLERANCE = 1e-5


def filled(model, num_frames, num_tokens=6, max_tokens=500, seed=3):
    """Return a cache with num_frames frames and num_tokens text tokens around them."""
    generator = torch.Generator().manual_seed(seed)
    cache = model.new_cache(max_tokens, max(1, num_frames))
    states = torch.randn((num_frames, model.config.num_frame_tokens,
                          model.config.text.hidden_size), generator=generator)
    ids = torch.randint(0, IMAGE, (num_tokens,), generator=generator).tolist()
    ids = ids[:2] + [IMAGE] * num_frames + ids[2:]
    model.extend(cache, ids, states.to(model.dtype) if num_frames else None)
    return cache


def assert_same(model, num_frames, tolerance=TOLERANCE, decode=None):
    """Assert that ten steps give what extend() gives, and leave the same cache behind."""
    decode = decode or model.decode
    ours, reference = (filled(model, num_frames) for _ in range(2))
    for token_id in range(10):
        expected = model.extend(reference, [token_id])
        [logits] = decode([ours], [token_id])
        assert (logits - expected).abs().max() < tolerance
        assert (ours.num_tokens, ours.num_frames) == (reference.num_tokens, num_frames)
    for mine, theirs in zip(ours.export(), reference.export()):
        assert torch.allclose(mine, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize('num_frames', [0, 1, 7])
def test_a_step_is_what_extend_does(toy_model, num_frames):
    assert_same(toy_model, num_frames)


def test_a_step_in_sixteen_bits_is_what_extend_does(toy_values):
    torch.manual_seed(1)
    model = VideoModel(ModelConfig.from_dict(toy_values)).to(torch.bfloat16).eval()
    assert_same(model, 3, tolerance=0.02)


@pytest.mark.parametrize('num_frames', [(2, 2, 2), (0, 5, 1), (0, 0, 0)])
def test_streams_in_one_step_do_not_disturb_each_other(toy_model, num_frames):
    together, alone = ([filled(toy_model, num, 4 + 3 * row, 50 + row, seed=row)
                        for row, num in enumerate(num_frames)] for _ in range(2))
    for token_id in range(5):
        ids = [token_id, token_id + 1, token_id + 7]
        logits = toy_model.decode(together, ids)
        for row, cache in enumerate(alone):
            expected = toy_model.extend(cache, ids[row:row + 1])
            assert (logits[row] - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize('num_frames', [0, 3])
def test_a_cache_that_is_given_several_times_takes_its_tokens_in_order(toy_model, num_frames):
    ours, other, reference = (filled(toy_model, num_frames) for _ in range(3))
    logits = toy_model.decode([ours, other, ours, ours], [4, 9, 5, 6])
    expected = toy_model.extend(reference, [4, 5, 6], last_only=False)
    assert (logits[[0, 2, 3]] - expected).abs().max() < TOLERANCE
    assert (ours.num_tokens, other.num_tokens) == (reference.num_tokens, reference.num_tokens - 2)


def test_streams_in_sixteen_bits_share_a_pass_and_take_tokens_in_order(toy_values):
    torch.manual_seed(1)
    model = VideoModel(ModelConfig.from_dict(toy_values)).to(torch.bfloat16).eval()
    for num_frames in ((3, 3), (0, 0), (0, 3)):
        ours, reference = ([filled(model, num, seed=row) for row, num in enumerate(num_frames)]
                           for _ in range(2))
        logits = model.decode([ours[0], ours[1], ours[0]], [4, 9, 5])
        expected = [model.extend(reference[row], [token_id])
                    for row, token_id in ((0, 4), (1, 9), (0, 5))]
        assert (logits - torch.stack(expected)).abs().max() < 0.02


@pytest.mark.parametrize('num_frames', [0, 2])
@pytest.mark.parametrize('ids', [
    [5], [IMAGE], [IMAGE, 3], [3, 4, IMAGE, 5, IMAGE, 6], [IMAGE, IMAGE, IMAGE], [7] * 32])
def test_what_a_live_stream_appends_is_what_extend_does(toy_model, num_frames, ids):
    ours, reference = (toy_model.new_cache(60, 6) for _ in range(2))
    generator = torch.Generator().manual_seed(5)
    for piece in ([2, *[IMAGE] * num_frames, 9], ids, ids[:1]):
        num_images = piece.count(IMAGE)
        states = torch.randn((num_images, toy_model.config.num_frame_tokens, 32),
                             generator=generator) if num_images else None
        expected = toy_model.extend(reference, piece, states, last_only=False)
        logits = toy_model.append(ours, piece, states, last_only=False)
        assert (logits - expected).abs().max() < TOLERANCE
        assert (ours.num_tokens, ours.num_frames) == (
            reference.num_tokens, reference.num_frames)
    for mine, theirs in zip(ours.export(), reference.export()):
        assert torch.allclose(mine, theirs, rtol=0, atol=TOLERANCE)
    before = ours.num_tokens, ours.num_frames
    with pytest.raises(ValueError, match='2 image tokens .* but frame_states has 0 frames'):
        toy_model.append(ours, [IMAGE, IMAGE])
    with pytest.raises(ValueError, match='61 more tokens do not fit'):
        toy_model.append(ours, [1] * 61)
    assert (ours.num_tokens, ours.num_frames) == before


def test_scores_may_be_far_apart(toy_values):
    torch.manual_seed(2)
    model = VideoModel(ModelConfig.from_dict(toy_values)).eval()
    with torch.no_grad():
        for layer in model.decoder.layers:
            if isinstance(layer, CrossAttentionLayer):
                layer.q_norm.weight.mul_(40.0)
            else:  # the queries alone
                layer.qkv_proj.weight[:layer.num_heads * layer.head_dim].mul_(1600.0)
    assert_same(model, 7, tolerance=1e-3)


WITHOUT_HELP = '''
import logging
import sys
import torch
from moss_ros.model import ModelConfig, VideoModel
sys.path.insert(0, {folder!r})
{spoil}
from test_decode_step import assert_same

logging.basicConfig(level=logging.WARNING, format='%(message)s')
torch.manual_seed(4)
model = VideoModel(ModelConfig.from_dict({config!r})).eval()
# The most frames are what a CPU reads by other operations.
for num_frames in (0, 5, 420):
    assert_same(model, num_frames)
'''
NO_FOLDER = '''
import numba
compile_one = numba.njit
def refuse(*arguments, cache=False, **options):
    if cache:
        raise RuntimeError('cannot cache function: no locator available')
    return compile_one(*arguments, **options)
numba.njit = refuse
'''


@pytest.mark.parametrize(('spoil', 'warning'), [
    ("sys.modules['numba'] = None", 'Numba cannot be imported'), (NO_FOLDER, '')])
def test_a_step_needs_neither_numba_nor_a_folder_for_machine_code(toy_values, spoil, warning):
    script = WITHOUT_HELP.format(
        folder=os.path.dirname(__file__), config=toy_values, spoil=spoil)
    result = subprocess.run([sys.executable, '-c', script], check=True, timeout=300,
                            capture_output=True, text=True)
    assert result.stderr.count('\n') == bool(warning) and warning in result.stderr


def test_what_is_returned_stays_as_it_is(toy_model):
    cache = filled(toy_model, 2)
    first = toy_model.decode([cache], [3])
    kept = first.clone()
    toy_model.decode([cache], [4])
    assert torch.equal(first, kept)


def test_other_weights_are_taken_over_by_eval(toy_values):
    torch.manual_seed(2)
    model = VideoModel(ModelConfig.from_dict(toy_values)).eval()
    assert_same(model, 2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(0.5 if 'gate' in name else 1.1)
    model.eval()
    assert_same(model, 2)


def test_what_a_step_refuses_leaves_the_caches_as_they_were(toy_model):
    cache, other = filled(toy_model, 2), filled(toy_model, 1, max_tokens=7)
    nearly = filled(toy_model, 1, max_tokens=8)
    before = cache.num_tokens
    for caches, ids, reason in (
            ([cache], [IMAGE], 'is an image token'),
            ([cache], [99], 'token id 99 is outside'),
            ([cache, other], [1, 2], '1 more tokens do not fit: the cache holds 7 of at most 7'),
            ([nearly, nearly], [1, 2], '2 more tokens do not fit: the cache holds 7 of at most 8'),
    ):
        with pytest.raises(ValueError, match=reason):
            toy_model.decode(caches, ids)
    assert cache.num_tokens == before


class _Recorder(TorchDispatchMode):
    """Remembers operations with their arguments, and repeats them into the same memory."""

    def __init__(self):
        super().__init__()
        self._calls = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        self._calls.append((function, arguments, keywords or {}, out))
        return out

    def replay(self):
        for function, arguments, keywords, out in self._calls:
            again = function(*arguments, **keywords)
            for old, new in zip(_tensors(out), _tensors(again)):
                if old is not new and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _tensors(value):
    return [value] if isinstance(value, torch.Tensor) else list(value)


def record(compute):
    with _Recorder() as recorder:
        out = compute()
    return recorder.replay, out


TRITON = '''
import sys
import torch
from moss_ros.model import ModelConfig, VideoModel
from moss_ros.model.decode_step import DecodeStep
from moss_ros.model.fused_kernels import FusedKernels
from moss_ros.model.step_graphs import StepGraphs
sys.path.insert(0, {folder!r})
sys.modules['numba'] = None  # or the caches would be laid out for the compiled step
from test_decode_step import assert_same, record

torch.manual_seed(4)
model = VideoModel(ModelConfig.from_dict({config!r})).eval()
num_recorded = []
for graphs in (None, StepGraphs(lambda compute: num_recorded.append(1) or record(compute))):
    step = DecodeStep(model.decoder, model.lm_head, graphs,
                      FusedKernels(model.config.text, torch.device('cpu')))
    for num_frames in (0, 5):
        assert_same(model, num_frames, decode=step.run)
assert len(num_recorded) == 2, num_recorded
'''


def test_launches_and_graphs_do_what_extend_does(toy_values):
    pytest.importorskip('triton', reason='the launches are written in Triton')
    script = TRITON.format(folder=os.path.dirname(__file__), config=toy_values)
    subprocess.run([sys.executable, '-c', script], check=True, timeout=300,
                   env={**os.environ, 'TRITON_INTERPRET': '1'})


class _Counter(TorchDispatchMode):
    """Counts what a GPU would be told to do, and what the host would wait for."""

    VIEWS = ('view', 'select', 'slice', 'transpose', 't', 'unsqueeze', 'squeeze', 'expand',
             'unbind', 'detach', 'narrow', 'alias', 'as_strided', 'split', 'permute',
             '_unsafe_view', 'empty', 'new_empty', 'empty_strided', 'device')

    def __init__(self):
        super().__init__()
        self.launches = Counter()
        self.copies = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        name = function.overloadpacket.__name__
        assert name not in ('_local_scalar_dense', 'nonzero', 'equal', 'item'), name
        devices = {tensor.device.type for value in (*arguments, *_flat(out)) for tensor in _flat(
            value)}
        if name in ('copy_', '_to_copy') and len(devices) == 2:
            self.copies.append(tuple(out.shape))
        elif 'cuda' in devices and name not in self.VIEWS:
            self.launches[name] += 1
        return out


def _flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in _flat(part)] if isinstance(
        value, (list, tuple)) else []


def test_a_step_on_cuda_copies_once_waits_never_and_launches_seven_times_a_layer(
        toy_values, monkeypatch):
    toy_values['text_config'].update(
        num_hidden_layers=40, cross_attention_layers=list(range(3, 40, 5)))
    # Gates are read from the device when a step is prepared; fake tensors hold no numbers.
    monkeypatch.setattr(CrossAttentionLayer, 'gates', lambda layer: (0.5, 0.25))
    # This method looks for a driver first, even with fake tensors; the operation does not.
    monkeypatch.setattr(torch.Tensor, 'copy_', lambda tensor, source, non_blocking=False: (
        torch.ops.aten.copy_.default(tensor, source, non_blocking)))
    with torch.device('meta'):
        model = VideoModel(ModelConfig.from_dict(toy_values)).to(torch.bfloat16)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cuda')
        step = DecodeStep(model.decoder, model.lm_head,
                          fused=FusedKernels(model.config.text, model.device))
        cache = model.new_cache(4096, 256)
        cache.num_tokens, cache.num_frames = 700, 250
        with _Counter() as counter:
            logits = step.run([cache], [7])
    assert (logits.shape, logits.device.type) == ((1, IMAGE), 'cuda')
    assert counter.copies == [(4,)]  # token id, position and two lengths
    assert sum(counter.launches.values()) == 40 * 7 + 2 <= 330, counter.launches
