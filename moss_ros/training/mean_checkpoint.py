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
The mean of checkpoints of which one was trained on from the other, which is better than each.

    python -m moss_ros.training.mean_checkpoint FOLDER FOLDER ... --output FOLDER

Folders go in and one comes out, with weights in 16 bits. All have to have the same config.json and
tokenizer.json. Weights that were not trained on from the same ones have no mean worth anything.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
import shutil

from moss_ros.model import CheckpointError, load_model, save_model
import torch

SAME_FILES = ('config.json', 'tokenizer.json')


@torch.no_grad()
def write_mean(folders: Sequence[Path], output: Path) -> None:
    """
    Write the mean of the checkpoints in folders to output, which may be one of them.

    Raises CheckpointError for what is no checkpoint, and ValueError for fewer than two and for
    those that differ in more than their weights.
    """
    if len(folders) < 2:
        raise ValueError(f'a mean needs two checkpoints or more, and there is {len(folders)}')
    first, *others = folders
    mean = load_model(first, device='cpu', dtype='float32')
    for name in SAME_FILES:
        for folder in others:
            if (folder / name).read_bytes() != (first / name).read_bytes():
                raise ValueError(f'{folder / name} differs from {first / name}; only checkpoints '
                                 'of one model have a mean')
    for num_before, folder in enumerate(others, 1):
        parameters = load_model(folder, device='cpu', dtype='float32').parameters()
        for kept, parameter in zip(mean.parameters(), parameters, strict=True):
            kept.lerp_(parameter, 1 / (num_before + 1))
    output.mkdir(parents=True, exist_ok=True)
    for name in SAME_FILES:
        if not (output / name).is_file() or not (output / name).samefile(first / name):
            shutil.copyfile(first / name, output / name)
    save_model(mean, output, torch.float16)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog='python -m moss_ros.training.mean_checkpoint',
                                     description=__doc__.split('\n\n')[0])
    parser.add_argument('folders', type=Path, nargs='+', metavar='FOLDER')
    parser.add_argument('--output', type=Path, required=True, metavar='FOLDER')
    arguments = parser.parse_args()
    try:
        write_mean(arguments.folders, arguments.output)
    except (CheckpointError, OSError, ValueError) as error:
        parser.error(str(error))
    print(f'{arguments.output}: the mean of {len(arguments.folders)} checkpoints')


if __name__ == '__main__':
    main()
