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
Finds, loads and saves checkpoints of the video model.

resolve_checkpoint() turns a folder name or a Hugging Face id into a folder, load_model() turns
the folder into a VideoModel, save_model() writes one back. Only JSON and safetensors files are
downloaded. Loading is strict: the files must hold exactly the tensors of the model, in their
shapes; the error says which one is wrong. Nothing is ever unpickled.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
import os
from pathlib import Path
import re

from moss_ros.model.attention import flash_kernel
from moss_ros.model.config import CheckpointError, ModelConfig
from moss_ros.model.placement import (
    check_memory, choose_device, choose_dtype, free_bytes, required_bytes, warn_of_slow_dtype,
)
from moss_ros.model.preprocess import check_processor_config
from moss_ros.model.quantization import check_quantization, decoder_weights, quantise
from moss_ros.model.video_model import VideoModel
from moss_ros.model.weights import (
    checkpoint_entries, HEAD_NAME, opened, stored_tensors, weight_files, WEIGHTS_FILE,
)
from safetensors.torch import save_file
import torch
from torch import nn

_HUB_ID = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*')
# Do not fetch files that could run code, nor subfolders, which hold other formats.
_WANTED, _UNWANTED = ('*.json', '*.safetensors'), ('*/*',)


def resolve_checkpoint(name: str | Path) -> Path:
    """
    Return the folder of a checkpoint. name is a path, or an id 'owner/name' on the hub.

    Looks for an existing folder first, then in the local cache, then on the network, unless
    HF_HUB_OFFLINE is set. Blocks while it downloads. Raises CheckpointError that says what to do
    if nothing is found.
    """
    path = Path(name).expanduser()
    if name and path.is_dir():  # the path of '' would be the working folder
        return path
    if not _HUB_ID.fullmatch(str(name)):
        raise CheckpointError(f"{str(name)!r} is neither a folder nor an id 'owner/name' of the "
                              f'Hugging Face hub; a checkpoint is a folder that holds '
                              f'config.json and model.safetensors')
    # Imported late: it takes half a second, and most checkpoints are folders.
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError
    try:
        return _complete(_snapshot(name, local_files_only=True))
    except LocalEntryNotFoundError:
        missing = 'there is no whole copy of it'
    except CheckpointError as error:
        missing = f'it is not complete ({error})'
    place = f'{name} is no folder; in the cache {constants.HF_HUB_CACHE} {missing}'
    if constants.HF_HUB_OFFLINE:
        raise CheckpointError(f'{place}; HF_HUB_OFFLINE forbids to download it: unset it, or copy '
                              f'the checkpoint here and name its folder')
    try:
        return _complete(_snapshot(name, local_files_only=False))
    except Exception as error:  # networks fail in many ways, and the client passes most of them on
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise CheckpointError(f'{place}; downloading it failed ({reason}): check the id, the '
                              f'network and "hf auth login", or copy the checkpoint here and '
                              f'name its folder') from error


def is_to_be_downloaded(name: str | Path) -> bool:
    """Return whether resolve_checkpoint(name) would go to the network; looks at the disk only."""
    if Path(name).expanduser().is_dir() or not _HUB_ID.fullmatch(str(name)):
        return False
    from huggingface_hub.errors import LocalEntryNotFoundError
    try:
        _complete(_snapshot(name, local_files_only=True))
    except (LocalEntryNotFoundError, CheckpointError):
        return True
    return False


def _snapshot(name, local_files_only):
    from huggingface_hub import snapshot_download
    return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED,
                                  local_files_only=local_files_only))


def _complete(folder):
    """Return folder; CheckpointError if files are missing, as after a download that broke off."""
    for name in ('config.json', 'tokenizer.json'):
        if not (folder / name).is_file():
            raise CheckpointError(f'{folder} has no {name}')
    weight_files(folder)
    return folder


_FLOAT_TYPES = ('F64', 'F32', 'F16', 'BF16')


def load_model(folder: str | Path, device: str | torch.device = 'cpu',
               dtype: str | torch.dtype = torch.float32, attention: str = 'auto',
               quantization: str | None = None) -> VideoModel:
    """
    Return the model of a checkpoint folder, in eval mode and without gradients.

    The folder holds config.json and model.safetensors, or shards with
    model.safetensors.index.json. resolve_checkpoint() finds the folder of a name.

    - device: 'auto' (CUDA if available), 'cpu', 'cuda', 'cuda:1' or a torch.device.
    - dtype: 'auto' (float32 on the CPU, bfloat16 on CUDA), 'float32', 'bfloat16', 'float16' or a
      torch.dtype. On a CPU that is slower in this type than in float32, a warning is logged.
    - attention: 'auto' (flash-attn if it is installed and can be used), 'sdpa', 'flash'.
    - quantization: 'int8' or 'int4', for the weights of the decoder's layers; needs torchao. It
      saves memory. On the CPU, 'int4' with bfloat16 also saves time; the others do not.

    Besides the model itself, one shard at a time is mapped into host memory. Raises
    CheckpointError that names the folder, file or tensor at fault, and, before any weight is
    read, if there is too little memory; ValueError for options that are not possible.
    """
    folder, device = Path(folder), choose_device(device)
    dtype = choose_dtype(dtype, device)
    warn_of_slow_dtype(dtype, device)
    model, flash, entries, stored = _prepared(folder, device, dtype, attention, quantization)
    check_memory(folder, model, device, dtype, quantization)
    _fill(model, entries, stored, device, dtype, quantization)
    model.use_flash(flash)
    model.quantization = quantization
    return model


def memory_of(folder: str | Path, device: str | torch.device = 'cpu',
              dtype: str | torch.dtype = torch.float32, attention: str = 'auto',
              quantization: str | None = None) -> tuple[int, int | None]:
    """
    Return the bytes that load_model() would need, and those that are free; None: not known.

    It reads no weights, but checks all that load_model() checks before, and raises the same.
    """
    folder, device = Path(folder), choose_device(device)
    dtype = choose_dtype(dtype, device)
    model, *_ = _prepared(folder, device, dtype, attention, quantization)
    check_memory(folder, model, device, dtype, quantization)
    return required_bytes(model, dtype, quantization), free_bytes(device)


def _prepared(folder, device, dtype, attention, quantization):
    """Return an empty model on the meta device, its kernel, and what is to be read into it."""
    flash = flash_kernel(attention, device, dtype)
    config = ModelConfig.from_folder(folder)
    check_processor_config(folder, config.vision.image_size)
    with torch.device('meta'):
        model = VideoModel(config).requires_grad_(False).eval()
    check_quantization(quantization, device, dtype, model)
    entries, stored = list(checkpoint_entries(config)), stored_tensors(folder)
    _check(folder, model, entries, stored)
    return model, flash, entries, stored


def save_model(model: VideoModel, folder: str | Path, dtype: torch.dtype | None = None) -> None:
    """
    Write folder/model.safetensors under the published names, in dtype or the model's own.

    The file is written to a temporary name first, so it is never seen incomplete. The caller
    writes config.json. Raises ValueError for a quantised model, whose original weights are gone.
    """
    if model.quantization is not None:
        raise ValueError(f'the model was quantised to {model.quantization} and can not be saved; '
                         f'load it with quantization=None')
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parameters = dict(model.named_parameters())
    tensors = {}
    for entry in checkpoint_entries(model.config):
        rows = entry.rows_of(parameters[entry.parameter].detach())
        tensors[entry.name] = rows.to('cpu', dtype or rows.dtype).contiguous()
    partial = folder / f'{WEIGHTS_FILE}.partial'
    save_file(tensors, partial, metadata={'format': 'pt'})
    os.replace(partial, folder / WEIGHTS_FILE)


def _fill(model, entries, stored, device, dtype, quantization):
    """Replace the meta parameters by the files' tensors, one file and one tensor at a time."""
    quantised = set(decoder_weights(model)) if quantization else set()
    num_missing = Counter(entry.parameter for entry in entries)

    def place(entry):  # weights to quantise come first: their full size is freed before the others
        return entry.parameter not in quantised, stored[entry.name].file

    for (_, file), entries_there in groupby(sorted(entries, key=place), key=place):
        with opened(file) as tensors:
            for entry in entries_there:
                parameter = model.get_parameter(entry.parameter)
                if parameter.is_meta:
                    parameter = torch.empty(parameter.shape, device=device, dtype=dtype)
                    _replace(model, entry.parameter, parameter)
                entry.rows_of(parameter).copy_(tensors.get_tensor(stored[entry.name].name))
                num_missing[entry.parameter] -= 1
                if entry.parameter in quantised and not num_missing[entry.parameter]:
                    _replace(model, entry.parameter, quantise(parameter, quantization))


def _replace(model, name, tensor):
    owner, _, attribute = name.rpartition('.')
    setattr(model.get_submodule(owner), attribute, nn.Parameter(tensor, requires_grad=False))


def _check(folder, model, entries, stored):
    """Raise CheckpointError unless stored tensors and entries agree in names, shapes, types."""
    parameters = dict(model.named_parameters())
    needed = {entry.name for entry in entries}
    missing = [entry.name for entry in entries if entry.name not in stored]
    if missing == [HEAD_NAME] and model.config.tie_word_embeddings:
        raise CheckpointError(
            f'{folder}: tie_word_embeddings is true and {HEAD_NAME} is missing; '
            f'the embedding table has other rows than the head, so they can not be tied: export '
            f'the head as a tensor of its own')
    if missing:
        raise CheckpointError(f'{folder} lacks {_listed(missing)}; config.json and weights do not '
                              f'belong together, or the files are not complete')
    unexpected = [name for name in stored if name not in needed]
    if unexpected:
        first = stored[unexpected[0]]
        names = [stored[name].name for name in unexpected]
        raise CheckpointError(f'{first.file} holds {_listed(names)} that a model of this '
                              f'config.json does not have')
    for entry in entries:
        found, shape = stored[entry.name], tuple(entry.rows_of(parameters[entry.parameter]).shape)
        if found.shape != shape:
            raise CheckpointError(f'{found.file}: tensor {found.name} has shape '
                                  f'{list(found.shape)}, but config.json makes it {list(shape)}')
        if found.dtype not in _FLOAT_TYPES:
            raise CheckpointError(f'{found.file}: tensor {found.name} is {found.dtype}; only '
                                  f'{", ".join(_FLOAT_TYPES)} are read, quantised files are not')


def _listed(names: list[str]) -> str:
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    return f'tensor {names[0]}{more}'
