"""
The safetensors files of a checkpoint folder: which there are, and what their headers say.

A folder goes in, a description of every stored tensor comes out; files whose reading could run
code are refused. It knows neither the model nor what the tensors are for; checkpoint.py and
hub.py call it.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from safetensors import safe_open, SafetensorError

from .config import CheckpointError
from .weight_names import published_name

WEIGHTS_FILE = 'model.safetensors'
INDEX_FILE = 'model.safetensors.index.json'
_PICKLED_SUFFIXES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl')


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as a file holds it."""

    file: Path
    name: str  # as written there, in either layout
    shape: tuple[int, ...]
    dtype: str


def opened(file: Path) -> safe_open:
    """
    Open a safetensors file, a context manager; CheckpointError where it is cut off or damaged.

    What is read is mapped memory, which leaves with the file: keep one open at a time.
    """
    try:
        return safe_open(file, framework='pt', device='cpu')
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file} can not be read as safetensors ({error}); it is truncated '
                              f'or damaged: copy it again') from error


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder; CheckpointError where there are none to trust."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    index = folder / INDEX_FILE
    if index.is_file():
        return _shards(index)
    pickled = sorted(path.name for path in folder.iterdir()
                     if path.suffix in _PICKLED_SUFFIXES)
    if pickled:
        raise CheckpointError(f'{folder} has its weights in {pickled[0]}, which is a pickle and '
                              f'could run any code: refused; convert them to {WEIGHTS_FILE}')
    shards = sorted(path.name for path in folder.glob('*-of-*.safetensors'))
    if shards:
        raise CheckpointError(f'{folder} has {shards[0]}, but neither {WEIGHTS_FILE} nor '
                              f'{INDEX_FILE}; copy the index that belongs to the shards')
    raise CheckpointError(f'{folder} has no weights: neither {WEIGHTS_FILE} nor {INDEX_FILE}')


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f'{index} is not an index of shards ({error!r}); '
                              f'copy it again') from error
    for name in names:
        if not name.endswith('.safetensors') or Path(name).name != name:
            raise CheckpointError(f'{index} names {name!r} as a shard; only safetensors files '
                                  f'beside it are read')
        if not (index.parent / name).is_file():
            raise CheckpointError(f'{index} names the shard {name}, which is missing; copy it '
                                  f'into {index.parent}')
    return [index.parent / name for name in names]


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Read the headers of all files; published name -> what is stored."""
    stored = {}
    for file in weight_files(folder):
        with opened(file) as tensors:
            for name in tensors.keys():
                view = tensors.get_slice(name)
                key = published_name(name)
                if key in stored:
                    raise CheckpointError(f'{file} holds {name}, which {stored[key].file} holds '
                                          f'already as {stored[key].name}')
                stored[key] = StoredTensor(file, name, tuple(view.get_shape()), view.get_dtype())
    return stored
