"""
What run.json says of a run: nothing in it depends on the machine's speed, on time or on luck.

Plain data, made by narrate_bag, read by the page and the index. Knows no models and no sources.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
from pathlib import Path

RUN_SCHEMA = 1
_PACKAGES = ('moss_ros', 'torch', 'numpy', 'opencv-python-headless', 'av', 'rosbags')
_READ_SIZE = 1 << 22


@dataclass(frozen=True)
class RunRecord:
    """
    A run that has ended.

    - versions: of the packages that the outputs may depend on, None for one not installed as a
      package. checkpoint: its name and the sha256 of each of its files. source: SourceInfo.
      options: NarrateOptions. stream: the resolved StreamOptions, device and dtype.
    - counts: 'frames_read', 'frames_used', 'frames_unusable', 'prompts', 'narrations', 'tokens',
      'records'. unusable: frames and prompts that could not be used, by reason.
    - is_complete: whether the source was read to its end; error says why not.
    """

    source: dict
    options: dict
    checkpoint: dict
    stream: dict
    versions: dict
    counts: dict = field(default_factory=dict)
    unusable: dict = field(default_factory=dict)
    is_complete: bool = False
    error: str | None = None
    schema: int = RUN_SCHEMA

    def to_json(self) -> str:
        """Return the text of run.json."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + '\n'

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """Return the record in the text of a run.json; ValueError or TypeError if it is none."""
        return cls(**json.loads(text))

    def ended(self, counts: dict, unusable: dict, error: str | None) -> RunRecord:
        """Return the record of this run at its end."""
        return replace(self, counts=counts, unusable=unusable, is_complete=error is None,
                       error=error)

    def difference(self, other: RunRecord) -> str:
        """Return in words in what the other run is to be another one; '' if in nothing."""
        for name in ('schema', 'source', 'options', 'checkpoint', 'stream', 'versions'):
            mine, theirs = (json.loads(json.dumps(getattr(run, name))) for run in (self, other))
            if mine == theirs:
                continue
            if isinstance(mine, dict) and isinstance(theirs, dict):
                key = next(key for key in sorted({*mine, *theirs})
                           if mine.get(key) != theirs.get(key))
                name, mine, theirs = f'{name}: {key}', mine.get(key), theirs.get(key)
            return f'{name} was {_shortened(mine)} and is now {_shortened(theirs)}'
        return ''


def package_versions() -> dict[str, str | None]:
    """Return the versions of what the outputs of a run may depend on."""
    return {name: _version(name) for name in _PACKAGES}


def checkpoint_hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a checkpoint that counts, by name."""
    files = [*folder.glob('*.json'), *folder.glob('*.safetensors')]
    return {file.name: _sha256(file) for file in sorted(files)}


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _sha256(file):
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while data := stream.read(_READ_SIZE):
            digest.update(data)
    return digest.hexdigest()


def _shortened(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f'{text[:57]}...'
