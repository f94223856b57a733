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

"""Packets of coded video made from known pictures, as encoders of cameras and robots send them."""

from dataclasses import dataclass
from fractions import Fraction

import av
from moss_ros.images import PacketDecoder
import numpy as np
from thread_priorities import kept_priorities

CODECS = ('h264', 'hevc', 'av1')
FPS = 30
GOP = 10
_ENCODERS = {
    'h264': ('libx264', {'preset': 'ultrafast', 'tune': 'zerolatency'}, 'x264-params'),
    'hevc': ('libx265', {'preset': 'ultrafast', 'tune': 'zerolatency'}, 'x265-params'),
    'av1': ('libsvtav1', {'preset': '10'}, 'svtav1-params')}
# Of encoders that may look ahead: pictures are sent in another order than they are shown in.
_REORDERING = {
    'h264': {'preset': 'veryfast', 'bf': '3'}, 'hevc': {'preset': 'fast', 'bf': '3'},
    'av1': {'preset': '10'}}
_PARAMETERS = {
    'h264': 'scenecut=0:b-adapt=0', 'hevc': 'log-level=none:scenecut=0:b-adapt=0', 'av1': ''}


@dataclass(frozen=True)
class VideoPacket:
    """A packet, and the number of the picture in it."""

    data: bytes
    picture: int


def moving_pictures(number, height_px=72, width_px=96, seed=4):
    """Return pictures u8 [H, W, 3] of which each is quite unlike the others."""
    draw = np.random.default_rng(seed)
    blocks = draw.integers(0, 256, (height_px // 8, width_px // 8, 3), np.uint8)
    texture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    return [np.roll(texture, (8 * index, 5 * index), (0, 1)) for index in range(number)]


def encode_video(codec, pictures, gop=GOP, is_reordered=False, parameters=''):
    """Return a VideoPacket for each picture, in the order of the stream."""
    name, options, key = _ENCODERS[codec]
    options = dict(_REORDERING[codec] if is_reordered else options)
    if codec == 'av1':
        own = f'keyint={gop}' + ('' if is_reordered else ':pred-struct=1')
    else:
        own = _PARAMETERS[codec] + (':open-gop=0' if codec == 'hevc' and not is_reordered else '')
    options[key] = ':'.join(filter(None, (own, parameters)))
    encoder = av.CodecContext.create(name, 'w')
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.gop_size = 'yuv420p', gop
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    encoder.options = options
    packets = []
    with kept_priorities():
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = index
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    assert len(packets) == len(pictures)
    return [VideoPacket(bytes(packet), packet.pts) for packet in packets]


def decode_video(codec, packets, has_clock=False):
    """Return (number of the picture, picture u8 or kind of error) of each packet, as they come."""
    decoder = PacketDecoder(codec)
    known = []
    for packet in packets:
        known += decoder.decode(packet.data, packet, stamp_of(packet) if has_clock else None)
    known += decoder.finish()
    assert sorted(item.tag.picture for item in known) == sorted(
        packet.picture for packet in packets)
    return [(item.tag.picture, item.error.kind if item.picture is None
             else item.picture.to_rgb()) for item in known]


def stamp_of(packet):
    """Return the header stamp of a packet, ns: that of its picture."""
    return 1_700_000_000_000_000_000 + packet.picture * 10**9 // FPS


def nearest(picture, pictures):
    """Return the number of the picture that one looks most like."""
    return int(np.argmin([np.abs(picture.astype(int) - other).mean() for other in pictures]))
