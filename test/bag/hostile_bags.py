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
Bags as recorders of every kind leave them, whole and broken, and what a run over each must do.

hostile_bags() is a hypothesis strategy of HostileBag, which is plain data; write() makes its
files, oracle.py says from the data alone what is to be shown. Knows nothing of how bags are
narrated.
"""

from dataclasses import dataclass
from functools import cache
import json
from pathlib import Path
import struct

from bag_making import (
    COMPRESSED, compressed_data, header, IMAGE, IMAGE_TOPIC, PROMPT_TOPIC, ros1_message, START_NS,
    STRING, string_message, TYPESTORE, write_bag, write_ros1_bag,
)
import cv2
from hypothesis import strategies as st
from mcap.writer import CompressionType, IndexType, Writer as McapWriter
import numpy as np
from video_packets import encode_video, moving_pictures

HOUR_NS = 3_600 * 10**9
MS = 10**6
# How the files lie: folders of rosbag2, one file of it alone, an MCAP of another writer, ROS 1.
STORAGES = ('mcap folder', 'sqlite3 folder', 'mcap file', 'sqlite3 file', 'bare mcap', 'ros1')
COMPRESSIONS = {
    'mcap folder': ('', 'file', 'message', 'storage'), 'sqlite3 folder': ('', 'file', 'message'),
    'mcap file': ('', 'storage'), 'sqlite3 file': ('',), 'bare mcap': ('', 'lz4', 'zstd'),
    'ros1': ('', 'bz2', 'lz4')}
RAW_FORMS = ('rgb8', 'bgr8', 'mono8', 'bgra8', 'mono16', 'bayer_rggb8', 'yuv422_yuy2', '16UC1')
COMPRESSED_FORMS = ('jpeg', 'grey jpeg', 'junky jpeg', 'png', 'depth png')
# What makes each of them undecodable; 'headless' ones have not even a stamp.
RAW_DAMAGES = ('short', 'unknown encoding', 'no pixels', 'cut message', 'headless')
COMPRESSED_DAMAGES = ('cut', 'bad png', 'text', 'zeros', 'huge', 'cut message', 'headless')
SIZE_PX = (32, 24)
# Packets of coded video, and from key frame to key frame.
NUM_CODED, GOP = 16, 5
# Bag times and header stamps, by what goes wrong with them; see _times().
CLOCKS = (
    'plain', 'plain', 'jitter', 'zero stamps', 'frozen stamps', 'camera restarts', 'gap of hours',
    'zero bag time', 'equal bag time', 'bag time jumps', 'simulated')
# Those by which a prompt has its place among the images.
CLEAR_CLOCKS = ('plain', 'jitter', 'zero stamps', 'gap of hours', 'simulated')
OTHERS = ('strings', 'unknown type', 'stray at zero', 'second camera', 'json', 'empty channel',
          'second channel')
TEXTS = ('What do you see?', 'Is anything moving?', 'Was ist das? \U0001f916')
# More than the context of the embedded model holds.
LONG_TEXT = 'x' * 300


@dataclass(frozen=True)
class Image:
    """
    An image message.

    form: its encoding. damage: why it can't be shown, '' where it can. number: of its picture.
    """

    bag_ns: int
    stamp_ns: int
    form: str
    damage: str = ''
    number: int = 0


@dataclass(frozen=True)
class RecordedPrompt:
    """A String on the prompt topic; is_message: whether its bytes are one."""

    bag_ns: int
    text: str
    is_message: bool = True


@dataclass(frozen=True)
class HostileBag:
    """
    A bag, and how it is narrated.

    - clock: which of CLOCKS its times are. others: which of OTHERS are in it beside the images.
    - prompt, prompts_at (seconds, text), frame_rate_fps, names_topic, clock_option: given on the
      command line.
    - cut: of which file how much is left, 0 to 1: 'storage', 'metadata'; '': of none.
    """

    storage: str
    compression: str
    is_compressed: bool
    clock: str
    images: tuple[Image, ...]
    prompts: tuple[RecordedPrompt, ...] = ()
    prompt: str = ''
    prompts_at: tuple[tuple[float, str], ...] = ()
    others: tuple[str, ...] = ()
    frame_rate_fps: float = 2.0
    names_topic: bool = True
    clock_option: str = ''
    cut: str = ''
    left: float = 1.0

    @property
    def start_ns(self):
        return min(image.bag_ns for image in self.images)

    @property
    def end_ns(self):
        return max(item.bag_ns for item in (*self.images, *self.prompts))

    def arguments(self, path, output):
        """Return the arguments of the command line."""
        given = [path, '--output', output, '--frame-rate', self.frame_rate_fps]
        if self.names_topic:
            given += ['--image-topic', IMAGE_TOPIC]
        if self.prompts:
            given += ['--prompt-topic', PROMPT_TOPIC]
        if self.clock_option:
            given += ['--clock', self.clock_option]
        if self.prompt:
            given += ['--prompt', self.prompt]
        for time_s, text in self.prompts_at:
            given += ['--prompt-at', time_s, text]
        return [str(argument) for argument in given]


@st.composite
def hostile_bags(draw):
    """Return a HostileBag."""
    storage = draw(st.sampled_from(STORAGES))
    kind = draw(st.sampled_from(('raw', 'compressed', 'compressed', 'coded')))
    is_compressed = kind != 'raw'
    clock = draw(st.sampled_from(CLOCKS)) if kind != 'coded' else 'plain'
    images = _coded_images(draw) if kind == 'coded' else _images(draw, clock, is_compressed)
    others = draw(st.lists(st.sampled_from(OTHERS), max_size=2, unique=True))
    others = [other for other in others if storage == 'bare mcap' or other in OTHERS[:4]]
    if storage == 'ros1' and 'stray at zero' in others:
        others.remove('stray at zero')  # ROS 1 has no such time
    prompts, prompts_at = (), ()
    if clock in CLEAR_CLOCKS and images:
        prompts = _recorded_prompts(draw, images)
        prompts_at = _prompts_at(draw, images)
    cut = draw(st.sampled_from(
        ('', '', '', 'storage', 'metadata' if storage.endswith('folder') else 'storage')))
    return HostileBag(
        storage, draw(st.sampled_from(COMPRESSIONS[storage])), is_compressed, clock, images,
        prompts, draw(st.sampled_from(('', '', TEXTS[0]))), prompts_at, tuple(others),
        draw(st.sampled_from((2.0, 0.5, 1.0, 3.7, 10.0))),
        draw(st.booleans()),
        '' if prompts or prompts_at else draw(st.sampled_from(('', '', 'bag', 'header'))), cut,
        draw(st.floats(0.0, 0.999)) if cut else 1.0)


def _images(draw, clock, is_compressed):
    num = draw(st.integers(0, 16))
    forms, damages = (COMPRESSED_FORMS, COMPRESSED_DAMAGES) if is_compressed else (
        RAW_FORMS, RAW_DAMAGES)
    # Of some bags nothing can be shown.
    num_whole = draw(st.sampled_from((8, 8, 30, 0)))
    damages = ('',) * num_whole + damages
    return tuple(
        Image(bag_ns, stamp_ns, draw(st.sampled_from(forms)), draw(st.sampled_from(damages)),
              number % 5)
        for number, (bag_ns, stamp_ns) in enumerate(_times(draw, clock, num)))


def _coded_images(draw):
    """Return packets of H.264, of which some were lost: those up to the next key frame too."""
    lost = draw(st.sets(st.integers(0, NUM_CODED - 1), max_size=2)) | set(
        range(draw(st.integers(0, 4))))
    images, is_broken = [], True
    for number, (bag_ns, stamp_ns) in enumerate(_times(draw, 'plain', NUM_CODED)):
        is_broken = number in lost or (is_broken and number % GOP > 0)
        if number not in lost:
            images.append(Image(
                bag_ns, stamp_ns, 'h264', 'no picture' if is_broken else '', number))
    return tuple(images)


def _times(draw, clock, num):
    """Return (bag time, stamp) of num images: stamps by the camera, bag times a bit later."""
    interval_ns = draw(st.sampled_from((33, 100, 250, 500, 1300))) * MS
    start_ns = 0 if clock == 'simulated' else START_NS
    stamps_ns = [start_ns + (index + 1) * interval_ns for index in range(num)]
    delay_ns = draw(st.sampled_from((0, 5, 60))) * MS
    bags_ns = [stamp_ns + delay_ns for stamp_ns in stamps_ns]
    at = draw(st.integers(0, max(0, num - 1)))
    if clock == 'jitter':
        stamps_ns = [stamp_ns + draw(st.integers(-40, 40)) * MS for stamp_ns in stamps_ns]
    elif clock == 'zero stamps':
        stamps_ns = [0] * num
    elif clock == 'frozen stamps':
        stamps_ns = [START_NS] * num
    elif clock == 'camera restarts':
        back_ns = draw(st.integers(2_000, 100_000)) * MS + interval_ns
        stamps_ns = [
            stamp_ns - back_ns * (index >= at) for index, stamp_ns in enumerate(stamps_ns)]
    elif clock == 'gap of hours':
        gap_ns = draw(st.integers(1, 100)) * HOUR_NS
        stamps_ns, bags_ns = (
            [time_ns + gap_ns * (index >= at) for index, time_ns in enumerate(times_ns)]
            for times_ns in (stamps_ns, bags_ns))
    elif clock == 'zero bag time':
        bags_ns = [0] * num
    elif clock == 'equal bag time':
        bags_ns = [START_NS] * num
    elif clock == 'bag time jumps':
        bags_ns = [bag_ns + 20 * HOUR_NS * (index >= at) for index, bag_ns in enumerate(bags_ns)]
    return list(zip(bags_ns, stamps_ns, strict=True))


def _recorded_prompts(draw, images):
    """Return prompts at times at which there is no image."""
    taken = {image.bag_ns for image in images}
    first_ns, last_ns = images[0].bag_ns, images[-1].bag_ns
    prompts = []
    for _ in range(draw(st.integers(0, 3))):
        time_ns = draw(st.integers(first_ns + 1, last_ns + 2 * 10**9))
        if time_ns in taken:
            continue
        taken.add(time_ns)
        prompts.append(RecordedPrompt(
            time_ns, draw(st.sampled_from((*TEXTS, LONG_TEXT, '', ' \t\n'))),
            draw(st.integers(0, 4)) > 0))
    return tuple(sorted(prompts, key=lambda prompt: prompt.bag_ns))


def _prompts_at(draw, images):
    first_ns, last_ns = images[0].bag_ns, images[-1].bag_ns
    prompts = []
    for _ in range(draw(st.integers(0, 2))):
        # Whole milliseconds and a half: never the time of an image. A few are beyond the end.
        time_ms = draw(st.integers(0, (last_ns - first_ns) // MS)) + 0.5
        prompts.append((time_ms / 1000, draw(st.sampled_from(TEXTS))))
    return tuple(prompts)


def write(bag: HostileBag, folder: Path) -> Path:
    """Write a bag into folder; return the path to narrate."""
    messages = sorted(_messages(bag), key=lambda message: message[2])
    if bag.storage == 'ros1':
        path = write_ros1_bag(folder / 'bag.bag', messages, bag.compression,
                              lambda content, _: content)
        return _cut(bag, path, [path])
    if bag.storage == 'bare mcap':
        path = _write_bare(folder / 'bag.mcap', messages, bag)
        return _cut(bag, path, [path])
    kind, _, form = bag.storage.partition(' ')
    path = write_bag(folder / 'bag', messages, kind, bag.compression)
    storage = [item for item in path.iterdir() if item.name != 'metadata.yaml']
    if form == 'file':
        return _cut(bag, storage[0], storage)
    return _cut(bag, path, storage if bag.cut == 'storage' else [path / 'metadata.yaml'])


def _cut(bag, path, files):
    if bag.cut:
        for file in files:
            file.write_bytes(file.read_bytes()[:int(file.stat().st_size * bag.left)])
    return path


def _messages(bag):
    """Yield (topic, type, time, content as CDR) in the order in which they are recorded."""
    kind = COMPRESSED if bag.is_compressed else IMAGE
    for image in bag.images:
        make = _compressed_content if bag.is_compressed else _raw_content
        left = {'cut message': 30, 'headless': 6}.get(image.damage)
        yield IMAGE_TOPIC, kind, image.bag_ns, _serialised(bag, make(image), kind)[:left]
    for prompt in bag.prompts:
        yield PROMPT_TOPIC, STRING, prompt.bag_ns, _serialised(
            bag, string_message(prompt.text), STRING)[:None if prompt.is_message else 3]
    if 'strings' in bag.others:
        for image in bag.images:
            yield '/chatter', STRING, image.bag_ns, _serialised(
                bag, string_message('12'), STRING)
    if 'stray at zero' in bag.others:
        yield '/chatter', STRING, 0, bytes(string_message('12'))
    if 'unknown type' in bag.others and bag.images:
        yield '/odd', 'std_msgs/msg/ColorRGBA', bag.images[0].bag_ns, b'\0\1\0\0' + bytes(16)
    if 'second camera' in bag.others:
        for image in bag.images:
            yield '/rear', IMAGE, image.bag_ns, _serialised(bag, _raw_content(
                Image(image.bag_ns, image.stamp_ns, 'rgb8')), IMAGE)


@cache
def _picture(number, num_values, bits):
    """Return a picture [H, W, num_values] in which nothing is as elsewhere."""
    width, height = SIZE_PX
    generator = np.random.default_rng(number)
    return generator.integers(1, 1 << bits, (height, width, num_values),
                              np.uint16 if bits > 8 else np.uint8)


@cache
def _encoded(form, number):
    """Return the bytes of a whole JPEG or PNG."""
    bits, num_values = (16, 1) if form == 'depth png' else (8, 1 if form == 'grey jpeg' else 3)
    suffix = '.png' if form.endswith('png') else '.jpg'
    data = cv2.imencode(suffix, _picture(number, num_values, bits))[1].tobytes()
    # Which decoders take, but write to standard error about.
    return data[:-2] + b'junk' + data[-2:] if form == 'junky jpeg' else data


@cache
def _packets():
    return encode_video('h264', moving_pictures(NUM_CODED, *reversed(SIZE_PX)), GOP)


def _compressed_content(image):
    if image.form == 'h264':
        return compressed_data(_packets()[image.number].data, image.stamp_ns, 'h264')
    data = _encoded(image.form, image.number)
    png = _encoded('png', 0)
    damaged = {
        'bad png': png[:200] + bytes(100) + png[300:], 'cut': data[:len(data) * 2 // 5],
        'text': b'no picture at all', 'zeros': bytes(500),
        # The header of a picture that would take gigabytes.
        'huge': png[:16] + struct.pack('>II', 60_000, 60_000) + bytes(200)}
    data = damaged.get(image.damage, data)
    text = {'depth png': '16UC1; png compressed ', 'png': 'png'}.get(image.form, 'jpeg')
    return compressed_data(data, image.stamp_ns, text)


def _raw_content(image):
    num_values, bits = {
        'rgb8': (3, 8), 'bgr8': (3, 8), 'bgra8': (4, 8), 'yuv422_yuy2': (2, 8), 'mono16': (1, 16),
        '16UC1': (1, 16)}.get(image.form, (1, 8))
    data = _picture(image.number, num_values, bits).astype('<u2' if bits > 8 else 'u1').tobytes()
    width, height = SIZE_PX
    is_empty = image.damage == 'no pixels'
    if image.damage == 'short':
        data = data[:len(data) // 2]
    message = TYPESTORE.types[IMAGE](
        header=header(image.stamp_ns), height=0 if is_empty else height, width=width,
        encoding='rgb9' if image.damage == 'unknown encoding' else image.form, is_bigendian=0,
        step=width * num_values * bits // 8, data=np.frombuffer(data, np.uint8))
    return TYPESTORE.serialize_cdr(message, IMAGE)


def _serialised(bag, content, kind):
    return bytes(ros1_message(content, kind) if bag.storage == 'ros1' else content)


def _write_bare(path, messages, bag):
    """Write an MCAP as other programs than rosbag2 do, with channels of other encodings."""
    compression = {'': CompressionType.NONE, 'lz4': CompressionType.LZ4,
                   'zstd': CompressionType.ZSTD}[bag.compression]
    with path.open('wb') as file:
        writer = McapWriter(
            file, compression=compression, chunk_size=2_000, use_chunking=bag.frame_rate_fps != 1,
            index_types=IndexType.NONE if bag.compression == 'lz4' else IndexType.ALL)
        writer.start(profile='ros2', library='other')
        channels = {}
        if 'json' in bag.others:
            schema = writer.register_schema('Odd', 'jsonschema', b'{"type": "object"}')
            channel = writer.register_channel('/odd_json', 'json', schema)
            writer.add_message(channel, START_NS, json.dumps({'a': 1}).encode(), START_NS)
        for number, (topic, kind, time_ns, content) in enumerate(messages):
            # Recorders that reconnect make a channel more for the same topic.
            is_second = 'second channel' in bag.others and number % 2
            if (topic, is_second) not in channels:
                schema = writer.register_schema(
                    kind, 'ros2msg', TYPESTORE.generate_msgdef(kind)[0].encode())
                channels[topic, is_second] = writer.register_channel(topic, 'cdr', schema)
                if 'empty channel' in bag.others:
                    writer.register_channel(topic, 'cdr', schema, {'offered_qos_profiles': ''})
            writer.add_message(channels[topic, is_second], time_ns, content, time_ns)
        writer.finish()
    return path
