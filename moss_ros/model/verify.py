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
Compares the model with the reference's outputs: python -m moss_ros.model.verify FOLDER...

Each folder is a golden folder: a checkpoint with the reference's outputs in expected.safetensors.
Prints one JSON line per folder. Exit status 1 if the logits of one differ by more than 1e-4, 2 if
one can't be read.

Letters: F frames, N states a frame, D text channels, T tokens, V vocabulary.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
import sys

from moss_ros.model.checkpoint import load_model
from moss_ros.model.config import CheckpointError
from moss_ros.model.video_model import VideoModel
from safetensors import SafetensorError
from safetensors.torch import load_file
import torch

TOLERANCE = 1e-4
# Stands for nan and infinity, which JSON does not have; it is larger than any tolerance.
NOT_A_NUMBER = 1e308
_EXPECTED_FILE = 'expected.safetensors'
_EXPECTED_TENSORS = (
    'pixel_values', 'input_ids', 'vision_features', 'cross_attention_states', 'logits')


@torch.inference_mode()
def verify_folder(folder: str | Path) -> dict:
    """
    Compare one golden folder, in float32 on the CPU; return the dict that is printed for it.

    The *_max_abs values are the largest absolute differences, or NOT_A_NUMBER if any is nan or
    infinite. 'full' is one forward pass without a cache, 'streamed' goes token by token with one;
    'ok' depends on these two. Raises CheckpointError if the folder can not be read.
    """
    expected = _read_expected(Path(folder))
    model = load_model(folder)
    try:
        features = model.vision(expected['pixel_values'])
        states = model.projector(model.pool_frames(features))
        full = model(expected['input_ids'][None], states[None])[0]
        streamed = streamed_logits(model, expected['input_ids'], states)
    except (ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(f'{folder}: {_EXPECTED_FILE} does not fit the model: '
                              f'{error}') from error
    result = {'folder': str(folder)}
    for key, ours, name in (('vision_max_abs', features, 'vision_features'),
                            ('states_max_abs', states, 'cross_attention_states'),
                            ('full_max_abs', full, 'logits'),
                            ('streamed_max_abs', streamed, 'logits')):
        result[key] = _max_abs(folder, name, ours, expected[name])
    result['ok'] = all(result[key] <= TOLERANCE for key in ('full_max_abs', 'streamed_max_abs'))
    return result


def streamed_logits(model: VideoModel, input_ids: torch.Tensor,
                    frame_states: torch.Tensor) -> torch.Tensor:
    """
    Return logits [T, V] of input_ids int64 [T], computed token by token with a cache.

    frame_states [F, N, D]: each frame is appended together with its image token.
    """
    cache = model.new_cache(len(input_ids), len(frame_states))
    logits = []
    for token_id in input_ids.tolist():
        frame = None
        if token_id == model.config.image_token_id:
            frame = frame_states[cache.num_frames:cache.num_frames + 1]
        logits.append(model.extend(cache, [token_id], frame))
    return torch.stack(logits)


def _read_expected(folder):
    file = folder / _EXPECTED_FILE
    if not folder.is_dir() or not file.is_file():
        raise CheckpointError(f'{folder} is not a golden folder: it has no {_EXPECTED_FILE}')
    try:
        expected = load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file} can not be read as safetensors: {error}') from error
    missing = [name for name in _EXPECTED_TENSORS if name not in expected]
    if missing:
        raise CheckpointError(f'{file} lacks the tensor {missing[0]}')
    if not expected['input_ids'].numel():
        raise CheckpointError(f'{file}: input_ids is empty')
    return expected


def _max_abs(folder, name, ours, reference):
    if ours.shape != reference.shape:
        raise CheckpointError(f'{folder}: {name} has shape {list(reference.shape)} in '
                              f'{_EXPECTED_FILE}, the model makes it {list(ours.shape)}')
    if not ours.numel():
        return 0.0
    difference = float((ours - reference).abs().max())
    return difference if math.isfinite(difference) else NOT_A_NUMBER


def main(arguments: list[str] | None = None) -> int:
    """Verify each folder on the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog='python -m moss_ros.model.verify',
        description='Compare the model with golden outputs of the reference implementation.')
    parser.add_argument('folders', nargs='+', metavar='FOLDER')
    status = 0
    for folder in parser.parse_args(arguments).folders:
        try:
            result = verify_folder(folder)
        except CheckpointError as error:
            print(f'error: {error}', file=sys.stderr)
            status = 2
            continue
        print(json.dumps(result), flush=True)
        status = max(status, 0 if result['ok'] else 1)
    return status


if __name__ == '__main__':
    sys.exit(main())
