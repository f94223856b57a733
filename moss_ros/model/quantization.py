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
Weight-only quantisation of the decoder's linear layers by torchao, to 8 or 4 bits a weight.

A weight goes in; a torchao tensor comes out that can be used in its place. Embedding, head and
vision encoder are not quantised. load_model() calls quantise() weight by weight, so that only one
weight at a time is in memory at full size.
"""

from __future__ import annotations

from importlib import import_module
import logging

from moss_ros.model.video_model import VideoModel
import torch
from torch import nn

QUANTIZATION_NAMES = ('int8', 'int4')
# Number of weights in a row that share a scale, best first; torchao's int4 kernels support these.
_GROUP_SIZES = (128, 64, 32)
_ROW_MULTIPLE = 16  # torchao's CPU kernel for int4 needs a multiple of this many rows
_MIN_CUDA_CAPABILITY = 8  # torchao's CUDA kernel for int4 needs this
_INSTALL = 'pip install "torchao==0.18.*"'


def decoder_weights(model: VideoModel) -> dict[str, torch.Tensor]:
    """Return the weights that can be quantised, [rows, columns] each, by parameter name."""
    return {f'decoder.layers.{name}.weight': module.weight
            for name, module in model.decoder.layers.named_modules()
            if isinstance(module, nn.Linear)}


def check_quantization(quantization: str | None, device: torch.device, dtype: torch.dtype,
                       model: VideoModel) -> None:
    """
    Raise ValueError, with the way out, if model can't be quantised this way for device and dtype.

    The model may be on the meta device. quantization None is always possible.
    """
    if quantization is None:
        return
    if quantization not in QUANTIZATION_NAMES:
        raise ValueError(f'quantization is {quantization!r}; allowed: None, '
                         f'{", ".join(QUANTIZATION_NAMES)}')
    _torchao('quantization')
    if quantization == 'int8':
        return
    if device.type == 'cuda':
        if dtype != torch.bfloat16:
            raise ValueError(f"quantization is 'int4', which on CUDA computes in bfloat16, but "
                             f'dtype is {str(dtype)[6:]}: use dtype=bfloat16 or quantization=int8')
        major, minor = torch.cuda.get_device_capability(device)
        if major < _MIN_CUDA_CAPABILITY:
            raise ValueError(f"quantization is 'int4', which needs compute capability "
                             f'{_MIN_CUDA_CAPABILITY}.0, but this GPU has {major}.{minor}: use '
                             f'quantization=int8')
    obstacle = shape_obstacle(quantization, model)
    if obstacle:
        raise ValueError(f"quantization is 'int4', which {obstacle}: use quantization=int8")


def shape_obstacle(quantization: str, model: VideoModel) -> str | None:
    """Return why the shapes of the model's weights prevent quantization; None if they don't."""
    if quantization == 'int8':
        return None
    for name, weight in decoder_weights(model).items():
        rows, columns = weight.shape
        if _group_size(columns) is None:
            return (f'needs columns in groups of {_GROUP_SIZES[-1]}, but {name} is '
                    f'{rows} x {columns}')
        if rows % _ROW_MULTIPLE:
            return f'needs a multiple of {_ROW_MULTIPLE} rows, but {name} is {rows} x {columns}'
    return None


def quantised_bytes(shape: tuple[int, int], quantization: str, dtype: torch.dtype) -> int:
    """Return the bytes of a quantised weight [rows, columns]; int4's scales are of dtype."""
    rows, columns = shape
    if quantization == 'int8':
        return rows * columns + 5 * rows  # a row has a float32 scale and an 8-bit zero point
    return rows * columns // 2 + 2 * rows * (columns // _group_size(columns)) * dtype.itemsize


def quantise(weight: torch.Tensor, quantization: str) -> nn.Parameter:
    """Return weight [rows, columns] quantised to 8 or 4 bits a number, on the same device."""
    if quantization == 'int8':
        api = _torchao('quantization')
        quantised = api.Int8Tensor.from_hp(weight, granularity=api.PerRow())
    else:
        if weight.device.type == 'cuda':
            tensor_class = _torchao('quantization').Int4TilePackedTo4dTensor
        else:
            tensor_class = _torchao('prototype.quantization.int4').Int4OpaqueTensor
        quantised = tensor_class.from_hp(weight, [1, _group_size(weight.shape[1])])
    return nn.Parameter(quantised, requires_grad=False)


def _group_size(num_columns):
    """Return the largest group size that divides num_columns; None if none does."""
    return next((size for size in _GROUP_SIZES if num_columns % size == 0), None)


def _torchao(module):
    # While it is imported, torchao warns of things that nobody here can change: binaries for other
    # machines, and its own use of torch.
    loggers = [logging.getLogger(name) for name in ('torchao', 'torch.utils._pytree')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        return import_module(f'torchao.{module}')
    except ImportError as error:
        raise ValueError(f'quantization needs torchao, which can not be imported ({error}): '
                         f'{_INSTALL}') from error
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
