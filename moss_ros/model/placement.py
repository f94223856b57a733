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
Chooses a model's device and dtype, and checks that there is enough memory for it.

Names from parameters and command lines go in; torch's devices and dtypes come out, or errors that
say what is possible. load_model() calls all of this before it reads any weights.
"""

from __future__ import annotations

from functools import cache
import logging
from pathlib import Path
import time

from moss_ros.model.config import CheckpointError
from moss_ros.model.free_memory import free_bytes
from moss_ros.model.quantization import decoder_weights, quantised_bytes, shape_obstacle
from moss_ros.model.video_model import VideoModel
import torch

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
# Bytes per weight that torchao needs besides the weight and the result (measured: 6 to 8).
_WORKING_BYTES = 8
# A matrix product of this size takes milliseconds, even in a dtype that the CPU must emulate.
_PROBE_SIZE = 192
_NUM_PROBES = 3
# A smaller ratio of times may be noise.
_SLOWER_RATIO = 1.1

_LOGGER = logging.getLogger(__name__)


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device of this name; 'auto' is CUDA if available. ValueError if not possible."""
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if isinstance(device, str) and device == 'auto':
        return torch.device('cuda' if num_gpus else 'cpu')
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is None or chosen.type not in ('cpu', 'cuda') or (
            chosen.type == 'cpu' and chosen.index):
        raise ValueError(f'device is {str(device)!r}; allowed: auto, cpu, cuda, cuda:0 and so on')
    if chosen.type == 'cuda' and (chosen.index or 0) >= num_gpus:
        raise ValueError(f'device is {str(device)!r}, but torch sees {num_gpus} GPUs: use '
                         f"device=cpu, or install torch for this machine's GPU")
    return chosen


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of this name; 'auto': float32 on CPU, bfloat16 on CUDA. Else ValueError."""
    if isinstance(dtype, str) and dtype == 'auto':
        return torch.float32 if device.type == 'cpu' else torch.bfloat16
    chosen = DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if chosen not in DTYPES.values():
        raise ValueError(f'dtype is {str(dtype)!r}; allowed: auto, {", ".join(DTYPES)}')
    return chosen


def warn_of_slow_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """Warn if this CPU computes slower in dtype than in float32; measures for under 100 ms."""
    if device.type != 'cpu' or dtype == torch.float32:
        return
    ratio = cpu_time_ratio(dtype)
    if ratio >= _SLOWER_RATIO:
        name = next(name for name, known in DTYPES.items() if known == dtype)
        _LOGGER.warning(
            'dtype is %s, which is %.1f times slower than float32 on this CPU (measured with a '
            'matrix product): use dtype=float32 or auto where there is memory for it', name, ratio)


@cache
def cpu_time_ratio(dtype: torch.dtype) -> float:
    """Return the time of a matrix product in dtype over that in float32; measured only once."""
    return _product_s(dtype) / _product_s(torch.float32)


def _product_s(dtype):
    """Return the seconds that a small matrix product takes on the CPU, the best of a few runs."""
    left, right = (torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype) for _ in range(2))
    times_s = []
    with torch.inference_mode():
        torch.mm(left, right)
        for _ in range(_NUM_PROBES):
            begin_s = time.perf_counter()
            torch.mm(left, right)
            times_s.append(time.perf_counter() - begin_s)
    return max(1e-9, min(times_s))


def required_bytes(model: VideoModel, dtype: torch.dtype, quantization: str | None) -> int:
    """
    Return the peak of the bytes that the model's weights need while they are loaded.

    The model may be on the meta device.
    """
    quantised = decoder_weights(model) if quantization else {}
    num_quantised = sum(quantised_bytes(weight.shape, quantization, dtype)
                        for weight in quantised.values())
    num_plain = sum(parameter.numel() for name, parameter in model.named_parameters()
                    if name not in quantised) * dtype.itemsize
    # Weights are quantised first. The working memory for that is free again for the others.
    num_working = max((weight.numel() for weight in quantised.values()), default=0)
    return num_quantised + max(num_plain, num_working * (dtype.itemsize + _WORKING_BYTES))


def check_memory(folder: Path, model: VideoModel, device: torch.device, dtype: torch.dtype,
                 quantization: str | None) -> None:
    """Raise CheckpointError if the weights exceed the free memory; it names options that fit."""
    needed, free = required_bytes(model, dtype, quantization), free_bytes(device)
    if free is None or needed <= free:
        return
    smaller = [name for name in ('int4', 'int8')
               if quantization in (None, 'int8') and name != quantization
               and shape_obstacle(name, model) is None]
    one_change = [(f'quantization={name}', dtype, name) for name in smaller]
    two_changes = []
    if dtype == torch.float32:
        one_change.append(('dtype=bfloat16', torch.bfloat16, quantization))
        two_changes = [(f'dtype=bfloat16 with quantization={name}', torch.bfloat16, name)
                       for name in smaller]
    way_out = 'free some of it, or take a device with more'
    for options in (one_change, two_changes):
        fitting = [text for text, *change in options if required_bytes(model, *change) <= free]
        if fitting:
            way_out = f'try {" or ".join(fitting)}'
            break
    raise CheckpointError(f'{folder} needs {needed / 1e9:.1f} GB, the device has '
                          f'{free / 1e9:.1f} GB free; {way_out}')
