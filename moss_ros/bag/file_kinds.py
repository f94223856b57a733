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
What a file is, by what it begins with and never by its name: a bag of some kind, or a video.

A path in; its kind out, or one sentence why it can be neither and what to do about it.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from enum import Enum
from pathlib import Path

import av
from moss_ros.bag.bag_error import BagError


class FileKind(Enum):
    """What can be opened; OTHER may be a video."""

    MCAP = 'MCAP file'
    SQLITE = 'sqlite3 database'
    ROS1 = 'ROS 1 bag'
    ZSTD = 'file compressed by zstd'
    OTHER = 'other file'


STORAGE_KINDS = (FileKind.MCAP, FileKind.SQLITE, FileKind.ZSTD)

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_MCAP_MAGIC = b'\x89MCAP0\r\n'
_KIND_BY_MAGIC = {
    _MCAP_MAGIC: FileKind.MCAP,
    b'SQLite format 3\0': FileKind.SQLITE,
    b'#ROSBAG V': FileKind.ROS1,
    ZSTD_MAGIC: FileKind.ZSTD,
}
_ARCHIVES = {
    b'\x1f\x8b': ('gzip', 'gunzip'),
    b'BZh': ('bzip2', 'bunzip2'),
    b'\xfd7zXZ\0': ('xz', 'unxz'),
    b'\x04\x22\x4d\x18': ('lz4', 'unlz4'),
    b'PK\3\4': ('zip', 'unzip'),
    b'7z\xbc\xaf\x27\x1c': ('7-Zip', '7z x'),
    b'Rar!': ('rar', 'unrar x'),
}
# Demuxers of FFmpeg that take many a file for theirs, by its name or by a few bytes anywhere in
# it; a file is theirs only where it begins as they say.
_START_CODES = (b'\0\0\1', b'\0\0\0\1')
_STARTS_BY_WEAK_FORMAT = {
    'mjpeg': (b'\xff\xd8\xff',), 'jpeg_pipe': (b'\xff\xd8\xff',),
    **dict.fromkeys(('h264', 'hevc', 'vvc', 'm4v', 'mpegvideo', 'mpeg', 'cavsvideo', 'vc1'),
                    _START_CODES),
    'dv': (b'\x1f\7\0',), 'obu': (b'\x12\0',), 'av1': (b'\x12\0',), 'dirac': (b'BBCD',),
    'gif': (b'GIF8',), 'png_pipe': (b'\x89PNG',), 'apng': (b'\x89PNG',), 'ivf': (b'DKIF',),
    'image2': (b'\xff\xd8\xff', b'\x89PNG', b'BM', b'GIF8', b'RIFF', b'II*\0', b'MM\0*'),
    'yuv4mpegpipe': (b'YUV4MPEG2',), 'webp_pipe': (b'RIFF',),
}
_NEVER_VIDEOS = (
    'h261', 'h263', 'rawvideo', 'tty', 'bin', 'adf', 'idf', 'xbin', 'mp3', 'loas',
    'aac', 'ac3', 'eac3', 'vobsub', 'concat', 'hls', 'dash', 'ffmetadata', 'sdp', 'v210', 'bfi')
_HEAD_SIZE = 4096


def kind_of(path: Path) -> FileKind:
    """Return what a file is; BagError where it is certainly nothing that can be narrated."""
    if not path.is_file():
        raise BagError(path, 'is no regular file')
    try:
        with path.open('rb') as file:
            head = file.read(_HEAD_SIZE)
    except OSError as error:
        raise BagError(path, f'cannot be read ({error.strerror})') from error
    for magic, kind in _KIND_BY_MAGIC.items():
        if head.startswith(magic):
            return kind
    reason = _hopeless(head, path)
    if reason:
        raise BagError(path, reason)
    return FileKind.OTHER


def require_video(path: Path) -> None:
    """Raise BagError where FFmpeg would take the bytes of something else for a video."""
    with path.open('rb') as file:
        head = file.read(_HEAD_SIZE)
    try:
        with av.open(f'file:{path}') as container:
            names = container.format.name.split(',')
    except (av.FFmpegError, ValueError):
        return  # which its reader tells better
    for name in names:
        starts = _STARTS_BY_WEAK_FORMAT.get(name)
        if name in _NEVER_VIDEOS or name.endswith('_pipe') and starts is None \
                or starts is not None and not head.startswith(starts):
            raise BagError(path, 'is neither a bag nor a video that can be read: it begins like '
                           'none of the formats that are known')


def _hopeless(head: bytes, path: Path) -> str:
    if not head:
        return 'has no bytes: it was never written to, or its copy was interrupted'
    if _MCAP_MAGIC.startswith(head):
        return (f'was never closed: its {len(head)} bytes are the beginning of an MCAP file, '
                'without a header')
    if head.startswith(b'\x89MCAP'):
        return f'is an MCAP file of a version that is not known ({head[5:6]!r})'
    if not head.strip(b'\0'):
        return 'begins with nothing but zeros: what was recorded did not reach the disk'
    if head.startswith(b'version https://git-lfs'):
        return "is a Git LFS pointer, not the file itself: 'git lfs pull' fetches it"
    for magic, (name, command) in _ARCHIVES.items():
        if head.startswith(magic):
            return f"is compressed by {name}: unpack it first, by '{command}'"
    if head[257:262] == b'ustar':
        return "is a tar archive: unpack it first, by 'tar -xf'"
    if _is_text(head):
        if b'rosbag2_bagfile_information' in head:
            return f'is the index of a bag: name its folder, {path.resolve().parent}'
        return 'is a text file, so it is neither a bag nor a video'
    return ''


def _is_text(head):
    if head.startswith(b'YUV4MPEG2'):  # whose pictures may be of any bytes
        return False
    if any(byte < 32 and byte not in b'\t\n\v\f\r\x1b' for byte in head):
        return False
    try:
        # The last character may be cut in half.
        getincrementaldecoder('utf-8')().decode(head, final=len(head) < _HEAD_SIZE)
    except UnicodeDecodeError:
        return False
    return True
