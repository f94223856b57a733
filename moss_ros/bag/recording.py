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
A bag as one thing, whatever it lies in: a storage file, or a folder of several with their index.

A path in; channels, times and messages of all its files out, one behind the other. Finds the
files, unpacks those that are compressed and opens each by what it is. Called by bag_source.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
import re
import sqlite3

from moss_ros.bag.bag_error import BagError
from moss_ros.bag.file_kinds import FileKind, kind_of, STORAGE_KINDS, ZSTD_MAGIC
from moss_ros.bag.mcap_storage import McapStorage
from moss_ros.bag.ros1_storage import Ros1Storage
from moss_ros.bag.sqlite_storage import SqliteStorage
from moss_ros.bag.storage import Channel, Storage
from moss_ros.bag.unpacking import PrivateFolder
import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
import zstandard

INDEX_NAME = 'metadata.yaml'
# How rosbag2 numbers the files of a bag.
_NUMBERED = re.compile(r'(.+)_(\d+)((?:\.\w+)*)')


@dataclass(frozen=True)
class _Files:
    """The storage files of a bag in their order, what is missing, and what is to be told."""

    paths: list[Path]
    broken: str = ''
    notes: tuple[str, ...] = ()


class Recording:
    """
    All storage files of a bag. One thread at a time.

    - channels: of all files; one that several have is one here, with the messages of all.
    - broken: why it ends before its time, known since it was opened; '' where it does not.
    - notes: what is to be told about how it was opened. is_one_file: whether it has an index that
      orders all of it. kind: 'rosbag2' or 'rosbag1'.
    """

    def __init__(self, path: Path):
        """Open a folder or a file; BagError with the way out where nothing of it can be read."""
        self.kind = 'rosbag2'
        self.broken = ''
        self._stack = ExitStack()
        self._folder = PrivateFolder()
        self._stack.callback(self._folder.close)
        self._storages: list[Storage] = []
        try:
            files = _files_of_folder(path) if path.is_dir() else _Files([path])
            self.notes = files.notes
            self._open_all(path, files)
        except BaseException:
            self.close()
            raise
        self.broken = self.broken or files.broken or next(
            (storage.broken for storage in self._storages if storage.broken), '')
        self.is_one_file = len(self._storages) == 1 and not self.broken
        numbers: Counter[tuple[str, str, str]] = Counter()
        for storage in self._storages:
            for channel in storage.channels:
                numbers[channel.key] += channel.num_messages
        self.channels = [Channel(*key, number) for key, number in numbers.items()]

    @property
    def damage(self) -> str:
        """Return the first part that was passed over while it was read, so far; '' for none."""
        return next((storage.damage for storage in self._storages if storage.damage), '')

    def close(self) -> None:
        """Close the files; may be called twice."""
        self._stack.close()

    def times_ns(self, channels: Iterable[Channel]) -> np.ndarray:
        """Return the bag times i64 of the messages of channels, in the order of the files."""
        return np.concatenate([np.zeros(0, np.int64), *(
            storage.times_ns(list(found)) for storage, found in self._wanted(channels))])

    def messages(self, channels: Iterable[Channel], start_ns: int = 0,
                 in_file_order: bool = False) -> Iterator[tuple[Channel, int, bytes]]:
        """
        Yield (channel, bag time in ns, content) from start_ns on.

        File by file, each ordered by time; or by where in it they stand.
        """
        for storage, found in self._wanted(channels):
            for number, time_ns, content in storage.messages(
                    list(found), start_ns, in_file_order):
                yield found[number], time_ns, _plain(found[number], content)

    def _wanted(self, channels):
        by_key = {channel.key: channel for channel in channels}
        for storage in self._storages:
            found = {channel.id: by_key[channel.key] for channel in storage.channels
                     if channel.key in by_key}
            if found:
                yield storage, found

    def _open_all(self, path, files):
        error = None
        for file in files.paths:
            try:
                self._storages.append(self._open(file))
            except BagError as problem:
                if len(files.paths) == 1:
                    raise BagError(file, problem.text) from problem
                error = error or problem
                self.broken = self.broken or f'lacks {file.name}, which {problem.text}'
        if not self._storages:
            raise error or BagError(path, f'has no file that can be read: it {files.broken}')

    def _open(self, path: Path, problem: str = '') -> Storage:
        kind = kind_of(path)
        if kind is FileKind.ZSTD:
            if self._folder.holds(path):
                raise BagError(path, 'is compressed by zstd twice: unpack it first')
            inner, problem = self._folder.unpacked(path)
            try:
                return self._open(inner, problem)
            except BagError as error:
                raise BagError(path, f'holds what {problem or error.text}') from error
        try:
            storage = self._open_kind(kind, path)
        except BagError:
            raise
        except Exception as error:  # each library has errors of its own
            raise BagError(path, f'is no {kind.value} that can be read: '
                           f'{error} ({type(error).__name__})') from error
        self._stack.callback(storage.close)
        storage.broken = problem or storage.broken
        return storage

    def _open_kind(self, kind, path) -> Storage:
        if kind is FileKind.MCAP:
            return McapStorage(path)
        if kind is FileKind.ROS1:
            self.kind = 'rosbag1'
            return Ros1Storage(path)
        if kind is FileKind.SQLITE:
            # What a recorder that was killed has not yet put into the database itself.
            logs = [file for suffix in ('-wal', '-journal')
                    if (file := path.with_name(path.name + suffix)).is_file()
                    and file.stat().st_size]
            if not logs:
                return SqliteStorage(path)
            try:
                return SqliteStorage(self._folder.copied(path, *logs), is_copy=True)
            except (OSError, sqlite3.Error) as error:
                raise BagError(path, f'has a log of changes beside it, {logs[0].name}, with which '
                               f'it cannot be read: {error}') from error
        raise BagError(path, 'is no storage file of a bag')


def _plain(channel, content):
    """Return a message as it was before a recorder compressed it by itself."""
    # No serialisation of ROS 2 begins like this; the index of the bag need not say it.
    if channel.encoding == 'cdr' and content[:len(ZSTD_MAGIC)] == ZSTD_MAGIC:
        with suppress(zstandard.ZstdError):  # then it is no message, which is told where it is due
            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content


def _files_of_folder(path: Path) -> _Files:
    if not (path / INDEX_NAME).is_file():
        found = _without_index(path)
        storage = 'sqlite3' if '.db3' in found.paths[0].suffixes else 'mcap'
        return replace(found, notes=(
            f"it has no {INDEX_NAME} ('ros2 bag reindex -s {storage} {path.resolve().name}' makes "
            'one); its files are read in the order of their names',))
    try:
        information = YAML(typ='safe').load((path / INDEX_NAME).read_text(encoding='utf-8'))
        information = information['rosbag2_bagfile_information']
        names = [str(name) for name in information['relative_file_paths']]
        mode = str(information.get('compression_mode') or 'none').lower()
        compression = str(information.get('compression_format') or 'zstd')
    except (YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        return replace(_without_index(path), notes=(
            f'its {INDEX_NAME} cannot be read ({reason[:120]}); its files are read in the order '
            'of their names',))
    if mode != 'none' and compression != 'zstd':
        raise BagError(path, f'is compressed by {compression}, which only rosbag2 with its plugin '
                       f"can unpack: 'ros2 bag convert -i {path.resolve().name} -o options.yaml' "
                       'writes it anew')
    if not names:
        raise BagError(path, f'holds no messages: its {INDEX_NAME} names no file')
    files, missing = [], []
    for name in names:
        file = next((candidate for candidate in _places(path, name) if candidate.is_file()), None)
        if file is None:
            missing.append(PurePath(name).name)
        else:
            files.append(file)
    if not files:
        others = [file.name for file in _storage_files(path)]
        hint = f'; the folder has {", ".join(others)}: name that' if others else ''
        raise BagError(path, f'lacks the files that its {INDEX_NAME} names; missing: '
                       f'{", ".join(missing)}{hint}')
    return _Files(files, missing and f'lacks {", ".join(missing)}, which its {INDEX_NAME} names; '
                  'that is missing' or '')


def _places(path, name):
    """Yield where a file that an index names may lie, also if it was unpacked by hand."""
    plain = PurePath(name).name
    yield path / plain
    yield path / name
    if plain.endswith('.zstd'):
        yield path / plain.removesuffix('.zstd')
    else:
        yield path / f'{plain}.zstd'


def _without_index(path: Path) -> _Files:
    files = _storage_files(path)
    if not files:
        raise BagError(path, f'is a folder with no bag in it{_what_is_in(path)}')
    parts = [_NUMBERED.fullmatch(file.name) for file in files]
    if len(files) > 1 and (not all(parts) or len({part[1] for part in parts}) > 1):
        raise BagError(path, f'has no index ({INDEX_NAME}) that says what belongs together: name '
                       f'one of its files, {", ".join(file.name for file in files[:5])}')
    if len(files) > 1:
        files.sort(key=lambda file: int(_NUMBERED.fullmatch(file.name)[2]))
    return _Files(files)


def _storage_files(path) -> list[Path]:
    files = []
    for file in sorted(path.iterdir()):
        if not file.is_file():
            continue
        try:
            if kind_of(file) in STORAGE_KINDS:
                files.append(file)
        except BagError:
            if file.suffix in ('.mcap', '.db3'):  # what it lacks shall be told
                files.append(file)
    return files


def _what_is_in(path):
    bags = sorted(item.name for item in path.iterdir() if
                  (item / INDEX_NAME).is_file() or item.suffix in ('.bag', '.active'))
    return f'; name one of those in it: {", ".join(bags[:5])}' if bags else \
        f' (no {INDEX_NAME}, .mcap or .db3)'
