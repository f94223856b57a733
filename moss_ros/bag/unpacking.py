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
A private folder for storage files that must be unpacked before they can be read.

Files of a bag in, copies that can be read out; the folder goes when it is closed. A bag itself is
never written to.
"""

from __future__ import annotations

from pathlib import Path
import shutil
import tempfile

from moss_ros.bag.bag_error import BagError
import zstandard

_READ_SIZE = 1 << 20
# What other programs shall find free on the disk.
_SPARED_BYTES = 64 << 20


class PrivateFolder:
    """A folder in the system's place for temporary files ($TMPDIR), made when it is needed."""

    def __init__(self):
        self._folder: tempfile.TemporaryDirectory | None = None
        self._num_files = 0

    def close(self) -> None:
        """Remove it with all that is in it; may be called twice."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def holds(self, path: Path) -> bool:
        """Return whether a file lies in it."""
        return self._folder is not None and Path(self._folder.name) in path.parents

    def unpacked(self, path: Path) -> tuple[Path, str]:
        """
        Return what a file compressed by zstd holds, and why it breaks off; '' where it does not.

        Raises BagError where there is no room for it.
        """
        copy = self._place(path, path.stem)
        with path.open('rb') as packed, copy.open('wb') as file:
            try:
                size = zstandard.frame_content_size(packed.read(64))
                packed.seek(0)
                self._require_room(path, max(size, 0))
                problem = self._unpack(path, packed, file)
            except zstandard.ZstdError as error:
                problem = f'is damaged: it cannot be decompressed to its end ({error})'
            except OSError as error:
                raise BagError(path, f'cannot be unpacked into {copy.parent} '
                               f'({error.strerror})') from error
        return copy, problem

    def copied(self, path: Path, *beside: Path) -> Path:
        """Return a copy of a file, with copies of those beside it; BagError without room."""
        copy = self._place(path, path.name)
        self._require_room(path, sum(file.stat().st_size for file in (path, *beside)))
        for file in (path, *beside):
            shutil.copyfile(file, copy.parent / file.name)
        return copy

    def _place(self, path, name):
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix='moss-bag-')
            self._num_files += 1
            folder = Path(self._folder.name, str(self._num_files))
            folder.mkdir()
        except OSError as error:
            raise BagError(path, f'cannot be unpacked: no folder for temporary files '
                           f'({error.strerror}); TMPDIR names another') from error
        return folder / name

    def _unpack(self, path, packed, file) -> str:
        rest, num_written = packed.read(_READ_SIZE), 0
        while rest:
            frame = zstandard.ZstdDecompressor().decompressobj()
            while rest and not frame.eof:
                data = frame.decompress(rest)
                rest = frame.unused_data if frame.eof else packed.read(_READ_SIZE)
                if (num_written + len(data)) // _SPARED_BYTES > num_written // _SPARED_BYTES:
                    self._require_room(path, len(data))
                num_written += file.write(data)
            if not frame.eof:
                return 'is cut off: the end of what zstd compressed is missing'
            rest = rest or packed.read(_READ_SIZE)
        return ''

    def _require_room(self, path, num_bytes):
        free = shutil.disk_usage(self._folder.name).free
        if num_bytes + _SPARED_BYTES > free:
            raise BagError(
                path, f'needs {num_bytes / 1e9:.1f} GB to be unpacked in '
                f'{Path(self._folder.name).parent}, where {free / 1e9:.1f} GB are free; TMPDIR '
                'names another folder')
