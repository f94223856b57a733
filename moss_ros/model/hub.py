"""
Names of checkpoints: a folder, or a model of the Hugging Face hub, which becomes a folder.

A name goes in, the path of a folder comes out: from the local cache where the model is complete
there, else downloaded, JSON and safetensors files only. It does not know what a model is;
whoever calls load_model() asks it first.
"""

from __future__ import annotations

from pathlib import Path
import re

from .config import CheckpointError
from .weight_files import weight_files

_HUB_ID = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*')
# Nothing that could run code is fetched, and nothing of the folders in which other formats are.
_WANTED, _UNWANTED = ('*.json', '*.safetensors'), ('*/*',)


def resolve_checkpoint(name: str | Path) -> Path:
    """
    Return the folder of a checkpoint that is named by its path or its id 'owner/name' on the hub.

    An existing folder comes first, then the local cache, then the network, unless HF_HUB_OFFLINE
    is set. Blocks while it downloads. Raises CheckpointError that says what to do where the name
    leads nowhere.
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


def _snapshot(name, local_files_only):
    from huggingface_hub import snapshot_download
    return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED,
                                  local_files_only=local_files_only))


def _complete(folder):
    """Return folder; CheckpointError where a download that broke off has left it incomplete."""
    for name in ('config.json', 'tokenizer.json'):
        if not (folder / name).is_file():
            raise CheckpointError(f'{folder} has no {name}')
    weight_files(folder)
    return folder
