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

"""The command bench_stream: its figures, its table, and what it refuses."""

import json
from pathlib import Path
import re
from statistics import median
import subprocess
import sys

from moss_ros.benchmark import bench_stream, room
from moss_ros.benchmark.stream_measures import StreamError
from moss_ros.checkpoints import DEMO_CHECKPOINT
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = ['--seconds', '0.05', '--prompts', '2', '--ingest-fps', '0', '20', '--up-to', '64']


def run(capsys, *arguments):
    """Run the command here; return its status, stdout and stderr."""
    status = bench_stream.main([*map(str, arguments)])
    return status, *capsys.readouterr()


def refusal(capsys, *arguments):
    """Return the one line on stderr of a command that is refused with status 2."""
    with pytest.raises(SystemExit) as end:
        bench_stream.main([*map(str, arguments)])
    out, error = capsys.readouterr()
    assert (end.value.code, out) == (2, '')
    line, = error.splitlines()
    assert line.startswith('bench_stream: error: ')
    return line


@pytest.fixture(scope='module')
def whole_run():
    """Return stdout and stderr of the real command, with the peer."""
    pytest.importorskip('transformers')
    done = subprocess.run(
        [sys.executable, '-m', 'moss_ros.benchmark', '--preset', 'demo', '--frames', '3',
         '--peer', 'transformers', '--num-threads', '1', *QUICK[:-1], '128'],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope='module')
def figures(whole_run):
    return json.loads(whole_run[0].splitlines()[-1])


def test_each_figure_is_explained(figures):
    text = (REPOSITORY / 'docs' / 'benchmarks.md').read_text(encoding='utf-8')
    _, _, after = text.partition('\n## The figures\n')
    told = re.findall(r'^\| `(\w+)` \|', after.partition('\n## ')[0], re.MULTILINE)
    assert sorted(told) == sorted(figures)


def test_each_option_is_explained(capsys):
    with pytest.raises(SystemExit) as end:
        bench_stream.main(['--help'])
    assert end.value.code == 0
    options = set(re.findall(r'--[a-z]+(?:-[a-z]+)*', capsys.readouterr().out)) - {'--help'}
    text = (REPOSITORY / 'docs' / 'benchmarks.md').read_text(encoding='utf-8')
    assert options <= set(re.findall(r'--[a-z]+(?:-[a-z]+)*', text.partition('## The figures')[0]))


def test_the_share_is_of_the_floor_that_was_measured(figures):
    decode = figures['decode']
    floor_ms = 1e3 * decode['bytes'] / (figures['copy_gb_per_s'] * 1e9)
    assert decode['floor_ms'] == pytest.approx(floor_ms, rel=1e-3)
    assert decode['share_of_floor'] == pytest.approx(
        floor_ms / decode['step_ms']['p50'], rel=1e-3)
    assert decode['tokens_per_s'] == pytest.approx(1e3 / decode['step_ms']['p50'], rel=1e-3)


def test_the_peer_has_the_same_sizes_and_took_turns(figures):
    peer = figures['peer']
    assert peer['num_parameters'] == figures['model']['num_parameters']
    assert len(peer['pairs_ms']) == 5
    assert peer['ratio'] == pytest.approx(
        median(theirs / ours for ours, theirs in peer['pairs_ms']), rel=1e-3)


def test_streams_that_share_a_step_are_timed_beside_one_alone(figures):
    shared = figures['shared']
    assert shared['num_streams'] == 4
    assert shared['ratio'] > 0 and shared['tokens_per_s'] > 0


def test_a_stream_is_timed_with_and_without_frames(figures):
    assert figures['frames'] == 3
    assert figures['host_syncs'] is None
    # PyTorch sees the choice of a token, and nothing of the compiled step before it.
    assert figures['operations']['session'] >= figures['operations']['decode'] == 1
    assert figures['operations']['with_frame'] == 1
    for latency in (*figures['first_token_ms'].values(), figures['frame_to_token_ms']):
        assert 0 < latency['p50'] <= latency['p95'] and latency['num'] == 2
    idle, busy = figures['ingest']
    assert (idle['fps'], idle['num_arrived'], idle['share_of_idle']) == (0, 0, None)
    assert busy['num_arrived'] >= 1
    assert busy['share_of_idle'] == pytest.approx(
        busy['tokens_per_s'] / idle['tokens_per_s'], rel=1e-3)
    assert [row['num_rollovers'] for row in figures['ingest']] == [0, 0]
    assert [num for num, _ in figures['more_frames']['step_ms']] == [64, 128]


def test_the_table_tells_the_same(whole_run, figures):
    out, error = whole_run
    *table, _ = out.splitlines()
    rows = {line[2:36].strip(): line[37:] for line in table[2:]}
    assert rows['decode'].startswith(f'{figures["decode"]["tokens_per_s"]:.1f} tokens/s')
    shared = figures['shared']
    assert f'{shared["tokens_per_s"]:.1f} tokens/s in all, {shared["ratio"]:.2f} times one' in (
        rows.values())
    assert rows['times the rate of transformers'] == f'{figures["peer"]["ratio"]:.2f}'
    assert 'no device to wait for' in rows['host synchronisations a step']
    assert all(line.startswith('bench_stream: ') for line in error.splitlines())


def test_a_checkpoint_is_measured_with_its_own_weights(capsys):
    status, out, _ = run(capsys, '--checkpoint', DEMO_CHECKPOINT, '--frames', '0', *QUICK)
    assert status == 0
    figures = json.loads(out.splitlines()[-1])
    assert figures['model']['is_random'] is False
    assert figures['model']['name'] == str(DEMO_CHECKPOINT)
    assert (figures['peer'], figures['frames']) == (None, 0)
    assert figures['ingest'][0]['tokens_per_s'] > 0


def test_without_memory_single_layers_are_measured(capsys, monkeypatch):
    monkeypatch.setattr(room, 'free_bytes', lambda device: 7_000_000)
    status, out, error = run(capsys, '--preset', 'demo', *QUICK)
    assert status == 0
    assert 'demo needs 0.0 GB, and 0.0 GB are free: one layer of each kind' in error
    figures = json.loads(out.splitlines()[-1])
    assert figures['decode'] is None and 'single layers' in figures['note']
    rows = {row['kind']: row for row in figures['layers']}
    assert {kind: row['num_in_model'] for kind, row in rows.items()} == {
        'self': 5, 'cross': 2, 'vision_local': 3, 'vision_global': 1}
    assert rows['self']['bytes'] > 4 * 128 * (3 * 320 + 4 * 128)
    assert all(row['ms'] > 0 for row in rows.values())
    assert rows['vision_local']['share_of_floor'] is None
    assert 'NOT the whole model' in out


def test_a_peer_needs_memory_for_two_models(capsys, monkeypatch):
    pytest.importorskip('transformers')
    monkeypatch.setattr(room, 'free_bytes', lambda device: 7_000_000)
    assert 'leave it out' in refusal(capsys, '--preset', 'demo', '--peer', 'transformers')
    monkeypatch.setattr(room, 'free_bytes', lambda device: 20_000_000)
    line = refusal(capsys, '--preset', 'demo', '--peer', 'transformers')
    assert 'needs 0.0 GB more' in line and 'leave it out' in line
    line = refusal(capsys, '--preset', 'demo', '--frames', '900')
    assert '--frames 900 needs 0.3 GB besides the weights' in line and 'take fewer' in line


def test_without_transformers_there_is_no_peer(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    line = refusal(capsys, '--peer', 'transformers')
    assert 'needs transformers, which can not be imported' in line
    assert 'pip install transformers==' in line


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_cuda_is_refused(capsys):
    line = refusal(capsys, '--device', 'cuda')
    assert "device is 'cuda', but torch sees 0 GPUs: use device=cpu" in line


@pytest.mark.parametrize(('arguments', 'told'), [
    (['--preset', '7b'], "'7b'"),
    (['--preset', 'demo', '--checkpoint', '.'], 'not allowed with argument --preset'),
    (['--checkpoint', '/nowhere/at/all'], '/nowhere/at/all'),
    (['--checkpoint', ''], 'neither a folder nor an id'),
    (['--device', 'tpu'], "device is 'tpu'; allowed: auto, cpu, cuda"),
    (['--dtype', 'float8'], "dtype is 'float8'; allowed: auto, float32"),
    (['--quantization', 'int3'], "'int3'"),
    (['--attention', 'flash', '--device', 'cpu'], 'flash-attn needs a CUDA device'),
    (['--frames', '-1'], '--frames is -1; a whole number of at least 0'),
    (['--frames', 'many'], "'many'"),
    (['--ingest-fps', '0', '-5'], '--ingest-fps is -5.0; a number of at least 0'),
    (['--seconds', '0'], '--seconds is 0.0; a number above 0'),
    (['--seconds', 'nan'], '--seconds is nan'),
    (['--prompts', '0'], '--prompts is 0'),
    (['--up-to', '-64'], '--up-to is -64'),
    (['--pairs', '4'], '--pairs is 4; a whole number of at least 5'),
    (['--num-threads', '0'], '--num-threads is 0'),
    (['--seed', '-1'], '--seed is -1'),
    (['--peer', 'vllm'], "'vllm'"),
    (['--speed'], '--speed'),
])
def test_what_can_not_be_measured_is_refused_in_one_line(capsys, arguments, told):
    assert told in refusal(capsys, *arguments)


def test_a_folder_that_is_no_checkpoint_is_refused(capsys, tmp_path):
    assert f'{tmp_path} has no config.json' in refusal(capsys, '--checkpoint', tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "llava"}')
    assert "model_type is 'llava'" in refusal(capsys, '--checkpoint', tmp_path)


@pytest.mark.parametrize(('error', 'told'), [
    (StreamError('the stream failed: broken'), 'the stream failed: broken'),
    (torch.OutOfMemoryError('Tried to allocate\n9 GB'), 'take fewer --frames')])
def test_what_fails_while_it_is_measured_is_told_in_one_line(capsys, monkeypatch, error, told):
    def fail(*_):
        raise error

    monkeypatch.setattr(bench_stream, 'measure', fail)
    status, out, errors = run(capsys, '--preset', 'demo')
    assert (status, out) == (1, '')
    line = errors.splitlines()[-1]
    assert line.startswith('bench_stream: error: ') and told in line
