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
Keeps the state of a run in its output folder, for --resume, and defines what run.json says.

Records and thumbnails are written as they come. From time to time a snapshot is saved of all that
later records depend on; a resumed run cuts off the records after it and makes them again. Nothing
in run.json depends on the machine's speed, the time of day or chance. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
import fcntl
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
import os
from pathlib import Path
import shutil

from moss_ros.bag.bag_error import BagError, ExitCode, writing
from moss_ros.bag.unusable import UnusableTally
from moss_ros.images.jpeg import rgb_to_jpeg
from moss_ros.stream import StreamSnapshot
import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file

RUN_SCHEMA = 1
_PACKAGES = ('moss_ros', 'torch', 'numpy', 'opencv-python-headless', 'av', 'rosbags', 'mcap')
_READ_SIZE = 1 << 22


@dataclass(frozen=True)
class RunRecord:
    """
    What run.json says of a run; the fields from counts on are set when the run has ended.

    - versions: of the packages that the outputs may depend on, None for one not installed as a
      package. checkpoint: its name and the sha256 of each of its files. source: SourceInfo.
      options: NarrateOptions. stream: the resolved StreamOptions, device and dtype.
    - counts: 'frames_read', 'frames_used', 'unusable', 'prompts', 'narrations', 'tokens',
      'records'. unusable: numbers of images and prompts that could not be used, by reason;
      unusable_text: the same in words. pictures: 'stretches' in which they are frozen or blank,
      and 'num_left_out', of PictureNotes.
    - is_complete: whether the source was read to its end; error says why not.
    """

    source: dict
    options: dict
    checkpoint: dict
    stream: dict
    versions: dict
    counts: dict = field(default_factory=dict)
    unusable: dict = field(default_factory=dict)
    unusable_text: str = ''
    pictures: dict = field(default_factory=dict)
    is_complete: bool = False
    error: str | None = None
    schema: int = RUN_SCHEMA

    def to_json(self) -> str:
        """Return the text of run.json."""
        return json_text(asdict(self), indent=1, sort_keys=True) + '\n'

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """Return the record in the text of a run.json; ValueError or TypeError if it is none."""
        return cls(**json.loads(text))

    def ended(self, counts: dict, unusable: UnusableTally, pictures: dict,
              error: str | None) -> RunRecord:
        """Return the record of this run at its end; pictures: what PictureNotes found."""
        return replace(self, counts=counts, unusable=unusable.counts(),
                       unusable_text=unusable.told(), pictures={
                           name: pictures[name] for name in ('stretches', 'num_left_out')},
                       is_complete=error is None, error=error)

    def difference(self, other: RunRecord) -> str:
        """Return in words the first thing in which the other run differs; '' if it is the same."""
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


def json_text(value: object, **options) -> str:
    """Return a value as JSON that has a UTF-8, whatever half characters are in it."""
    # A file's name may have them; the way in which they are escaped is that of JSON.
    text = json.dumps(value, ensure_ascii=False, **options)
    return text.encode('utf-8', 'backslashreplace').decode()


def package_versions() -> dict[str, str | None]:
    """Return the versions of what the outputs of a run may depend on."""
    return {name: _version(name) for name in _PACKAGES}


def checkpoint_hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each .json and .safetensors file of a checkpoint, by file name."""
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


FOLDER_NAME = '.narration_run'
_RECORDS, _IDENTITY, _LOCK = 'records.jsonl', 'run.json', 'lock'
# The one before is kept: a disk that loses power may lose what it said was written.
_SNAPSHOT, _SNAPSHOT_BEFORE = 'snapshot.safetensors', 'snapshot_before.safetensors'
_THUMBNAILS = 'thumbnails'
_JPEG_QUALITY = 80


class Journal:
    """
    The folder FOLDER_NAME in the output folder of one run; it is gone when the run has ended.

    Every method that writes raises BagError (OUTPUT) if it cannot.
    """

    def __init__(self, output: Path, run: RunRecord, may_resume: bool):
        """
        Begin, or go on with, the run that is described by run (without its counts).

        Raises BagError (RESUME) if the folder holds a run and may_resume is false, if that is a
        different run, or if another process is narrating into it.
        """
        self.folder = output / FOLDER_NAME
        self._file = None
        self._is_new = False
        with writing(output):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _THUMBNAILS).mkdir(exist_ok=True)
            self._lock = (self.folder / _LOCK).open('w')
        try:
            self._begin(run, may_resume)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; may be called twice."""
        if self._file is not None:
            with suppress(OSError):  # such as a full disk, which was reported already
                self._file.close()
        self._lock.close()

    def append(self, record: dict) -> None:
        """Append a record."""
        with writing(self.folder):
            self._file.write(json_text(record).encode() + b'\n')

    def keep_thumbnail(self, narration_id: int, thumbnail: np.ndarray | None) -> None:
        """Write the picture u8 [h, w, 3] RGB of a narration as JPEG; None: there is none."""
        if thumbnail is None:
            return
        jpeg = rgb_to_jpeg(thumbnail, thumbnail.shape[1], _JPEG_QUALITY)
        with writing(self.folder):
            thumbnail_file(self.folder, narration_id).write_bytes(jpeg)

    def save(self, snapshot: StreamSnapshot) -> None:
        """Save the point from which a resumed run goes on; atomic."""
        with writing(self.folder):
            self._file.flush()
            os.fsync(self._file.fileno())
            state = {'num_bytes': self._file.tell(), 'state': snapshot.state}
            partial = self.folder / f'{_SNAPSHOT}.partial'
            tensors = {name: tensor.cpu().contiguous()
                       for name, tensor in snapshot.tensors.items()}
            try:
                save_file(tensors, partial, {'state': json.dumps(state)})
            except OSError:
                raise
            except Exception as error:  # safetensors has an error of its own for a full disk
                raise OSError(None, str(error), str(partial)) from error
            with suppress(FileNotFoundError):
                os.replace(self.folder / _SNAPSHOT, self.folder / _SNAPSHOT_BEFORE)
            replace_durably(partial, self.folder / _SNAPSHOT)

    def load(self) -> StreamSnapshot | None:
        """
        Return what was saved last, None where nothing was; to be called first, once.

        What was appended after it is cut off. Where it is damaged, what was saved before it
        counts; raises BagError (RESUME) where that is so too.
        """
        num_bytes, snapshot, damage = 0, None, None
        num_there = self._num_bytes_of_records()
        for path in (self.folder / _SNAPSHOT, self.folder / _SNAPSHOT_BEFORE):
            if not path.exists():
                continue
            try:
                num_bytes, snapshot = _read_snapshot(path)
                if num_bytes > num_there:
                    raise ValueError(f'{_RECORDS} ends before it')
            except Exception as error:  # of three libraries
                damage = damage or BagError(
                    path, f'cannot be read ({error}); start over with --overwrite',
                    ExitCode.RESUME)
                snapshot = None
                continue
            break
        if snapshot is None and damage is not None:
            raise damage
        with writing(self.folder):
            self._file = (self.folder / _RECORDS).open('ab')
            self._file.truncate(num_bytes)
            self._file.seek(num_bytes)
        return snapshot

    def _num_bytes_of_records(self):
        try:
            return (self.folder / _RECORDS).stat().st_size
        except FileNotFoundError:
            return 0

    def records(self) -> Iterator[dict]:
        """Yield all records; call it when no more are appended."""
        with writing(self.folder):
            self._file.flush()
        with (self.folder / _RECORDS).open(encoding='utf-8') as lines:
            yield from map(json.loads, lines)

    def remove(self) -> None:
        """Remove the folder: the run has ended and its outputs are in place."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def forget_if_new(self) -> None:
        """Remove the folder where the run began with this journal: it can't go on."""
        if self._is_new:
            self.remove()

    def _begin(self, run, may_resume):
        _take_lock(self._lock, self.folder.parent)
        identity = self.folder / _IDENTITY
        if identity.exists():
            refuse_other_run(self.folder.parent, identity, run, may_resume)
            return
        with writing(self.folder):
            partial = identity.with_suffix('.partial')
            partial.write_text(run.to_json(), encoding='utf-8')
            replace_durably(partial, identity)
        self._is_new = True


def refuse_while_running(output: Path) -> None:
    """Raise BagError (RESUME) where another process is narrating into output."""
    with suppress(FileNotFoundError), (output / FOLDER_NAME / _LOCK).open('r+') as lock:
        _take_lock(lock, output)


def _take_lock(lock, output):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BagError(output, 'another process is narrating into it',
                       ExitCode.RESUME) from error


def _read_snapshot(path):
    """Return (bytes of records before it, StreamSnapshot); any exception where it is none."""
    with safe_open(path, 'pt') as file:
        saved = json.loads(file.metadata()['state'])
        return saved['num_bytes'], StreamSnapshot(
            saved['state'], {name: file.get_tensor(name) for name in file.keys()})


def refuse_other_run(output: Path, file: Path, run: RunRecord, may_resume: bool) -> RunRecord:
    """
    Return the run that file describes; BagError (RESUME) unless it is run and may be resumed.

    output is the folder to name in the error.
    """
    if not may_resume:
        raise BagError(output, 'holds a run already; go on with it by --resume, start over with '
                       '--overwrite, or name another --output', ExitCode.RESUME)
    try:
        there = RunRecord.from_json(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, TypeError) as error:
        raise BagError(file, f'cannot be read ({error}); start over with --overwrite',
                       ExitCode.RESUME) from error
    difference = there.difference(run)
    if difference:
        raise BagError(output, f'is of another run: {difference}; start over with --overwrite, '
                       'or name another --output', ExitCode.RESUME)
    return there


def thumbnail_file(folder: Path, narration_id: int) -> Path:
    """Return where in a journal's folder the thumbnail of a narration is, if there is one."""
    return folder / _THUMBNAILS / f'{narration_id:06d}.jpg'


def replace_durably(partial: Path, final: Path) -> None:
    """Give the file partial its final name once it is on the disk; OSError where it can't be."""
    with partial.open('rb') as file:
        os.fsync(file.fileno())
    os.replace(partial, final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
