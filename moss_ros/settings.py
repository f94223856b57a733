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
The parameters of the nodes: one settings dataclass for each node.

Each field is one parameter with its default, description and bounds. Plain data without ROS, so
that engines and tests can make settings too; nodes/parameters.py declares them on a node.
"""

from dataclasses import dataclass, field, fields
import math
import re

_DEVICE = re.compile(r'auto|cpu|cuda(:\d+)?')
_NAME = r'[A-Za-z]\w*'
_NAMESPACES = re.compile(rf'{_NAME}(/{_NAME})*(,{_NAME}(/{_NAME})*)*')
_NARRATORS = re.compile(rf'(/?{_NAME}(/{_NAME})*(,/?{_NAME}(/{_NAME})*)*)?')
_HOSTS = re.compile(r'([\w.:\[\]-]+(,[\w.:\[\]-]+)*)?')
_ROS_TYPE_BY_TYPE = {bool: 'bool', int: 'int', float: 'double', str: 'string'}
TABLE_KEY = 'parameter'


@dataclass(frozen=True)
class ParameterRow:
    """
    One parameter, without its name and default.

    - description: one sentence for `ros2 param describe` and docs/parameters.md.
    - is_live: may be changed while the node runs; all others are read when it starts.
    - minimum, maximum: inclusive bounds of a number. choices: all values a string may take.
    - pattern: a string must match it; pattern_text says in words what is allowed.
    """

    description: str
    is_live: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: re.Pattern | None = None
    pattern_text: str = ''


def parameter(default, description: str, **row):
    """Return a dataclass field that is a parameter; row are fields of ParameterRow."""
    return field(default=default, metadata={TABLE_KEY: ParameterRow(description, **row)})


@dataclass(frozen=True)
class NarratorSettings:
    """Parameters of the narrator."""

    autostart: bool = parameter(
        True, 'Configure and activate by itself; off: a lifecycle manager does it.')
    checkpoint: str = parameter(
        '', 'Checkpoint folder, or its name on the Hugging Face hub; empty: the embedded model.')
    backend: str = parameter(
        'own', "Whose code runs the model: this package's own, or the checkpoint's (remote_code), "
        'in a process of its own.', choices=('own', 'remote_code'))
    trust_remote_code: bool = parameter(
        False, 'Allow the backend remote_code to run the Python code that lies in the checkpoint.')
    remote_python: str = parameter(
        '', "Python of the environment that the checkpoint's code needs; empty: the node's own.")
    remote_frames: str = parameter(
        'image', "What the checkpoint's code gets for a frame: a PIL image, or a pair of image "
        'and seconds.', choices=('image', 'image_seconds'))
    device: str = parameter(
        'auto', 'Where the model runs: auto (a GPU where there is one), cpu, cuda or cuda:N.',
        pattern=_DEVICE, pattern_text='auto, cpu, cuda or cuda:N')
    dtype: str = parameter(
        'auto', 'Number format of the weights; auto: float32 on a CPU, bfloat16 on a GPU.',
        choices=('auto', 'float32', 'bfloat16', 'float16'))
    attention: str = parameter(
        'auto', 'Attention kernel; auto: flash-attn where it is installed and can be used.',
        choices=('auto', 'sdpa', 'flash'))
    quantization: str = parameter(
        'none', "Bits of the decoder's weights, for small devices; needs torchao.",
        choices=('none', 'int8', 'int4'))
    eager: bool = parameter(
        False, 'On a GPU, record and replay no CUDA graphs: slower, with errors where they arise.')
    num_threads: int = parameter(
        1, 'CPU threads of the model; more help with large models only.', minimum=1, maximum=256)
    frame_rate: float = parameter(
        0.0, "Frames a second shown to the model, by header stamp; 0: the checkpoint's own.",
        is_live=True, minimum=0.0, maximum=120.0)
    image_reliability: str = parameter(
        'best_effort', 'Reliability asked of the camera; best_effort matches every camera.',
        choices=('best_effort', 'reliable'))
    image_transport: str = parameter(
        'raw', 'raw: pictures as they are, on image; compressed: JPEG or PNG, on '
        'image/compressed; compressedDepth: depth, on image/compressedDepth; video: H.264, H.265 '
        'or AV1, on image/ffmpeg or image.',
        choices=('raw', 'compressed', 'compressedDepth', 'video'))
    depth_min_m: float = parameter(
        0.0, 'Depth that is shown black, as is what is nearer or not measured, metres.',
        minimum=0.0, maximum=10000.0)
    depth_max_m: float = parameter(
        10.0, 'Depth that is shown white, as is what is farther, metres.',
        minimum=0.0, maximum=10000.0)
    stale_after_s: float = parameter(
        5.0, 'Time without any image after which a warning says why, seconds.',
        minimum=0.1, maximum=3600.0)
    mailbox_size: int = parameter(
        8, 'Frames that may wait for the model; one more drops the oldest.',
        minimum=1, maximum=1000)
    system_prompt: str = parameter(
        '', "System prompt of the stream; empty: the checkpoint's own.")
    prompt: str = parameter(
        '', 'Standing prompt, asked when a stream begins and when it is set; empty: none.',
        is_live=True)
    prompt_mode: str = parameter(
        'follow', 'A prompt message is asked once beside the standing prompt (follow), or becomes '
        'it (replace).', choices=('follow', 'replace'), is_live=True)
    sampling: str = parameter(
        'checkpoint', "How tokens are chosen: as the checkpoint's settings say, the most likely "
        'one (greedy), or drawn at random.',
        choices=('checkpoint', 'greedy', 'random'), is_live=True)
    temperature: float = parameter(
        0.0, "Spread of random sampling; 0: the checkpoint's own.",
        minimum=0.0, maximum=10.0, is_live=True)
    top_k: int = parameter(
        -1, "Most likely tokens to draw from, 0: all; -1: the checkpoint's own.",
        minimum=-1, maximum=1000000, is_live=True)
    top_p: float = parameter(
        0.0, "Probability mass to draw from; 0: the checkpoint's own.",
        minimum=0.0, maximum=1.0, is_live=True)
    repetition_penalty: float = parameter(
        0.0, "Above 1: words said before become less likely; 0: the checkpoint's own.",
        minimum=0.0, maximum=10.0, is_live=True)
    max_tokens_between_frames: int = parameter(
        0, "Tokens without a new frame that end a narration; 0: the checkpoint's own.",
        minimum=0, maximum=100000, is_live=True)
    answer_within_s: float = parameter(
        30.0, 'Stream time after which a question to which nothing was said counts as '
        'unanswered, seconds.', minimum=1.0, maximum=86400.0, is_live=True)
    max_step_s: float = parameter(
        0.5, 'Time to encode waiting frames, between two looks at prompts and requests, seconds.',
        minimum=0.01, maximum=60.0, is_live=True)
    max_tokens_per_second: float = parameter(
        0.0, 'Pace of speaking, to read along or for speech output; 0: as fast as it goes.',
        minimum=0.0, maximum=1000.0, is_live=True)
    seed: int = parameter(
        0, 'Seed of random sampling.', minimum=0, maximum=2 ** 31 - 1)


@dataclass(frozen=True)
class CameraSettings:
    """Parameters of the demo camera."""

    width: int = parameter(320, 'Width of the picture, pixels.', minimum=16, maximum=7680)
    height: int = parameter(240, 'Height of the picture, pixels.', minimum=16, maximum=4320)
    rate: float = parameter(10.0, 'Pictures a second.', minimum=0.1, maximum=240.0)
    seed: int = parameter(
        1, 'Which scene: the same seed shows the same.', minimum=0, maximum=2 ** 31 - 1)
    scene: str = parameter(
        'random', 'random: things happen; static: the picture is still.',
        choices=('random', 'static'))
    frame_id: str = parameter(
        'camera_optical', 'Frame id in the header of each picture: z forward, x right, y down.')


@dataclass(frozen=True)
class ConsoleSettings:
    """Parameters of the console."""

    view: str = parameter(
        'auto', 'screen: a full-screen view in the terminal; plain: lines as they come; auto: '
        'the screen where there is a terminal.', choices=('auto', 'screen', 'plain'))


@dataclass(frozen=True)
class DeskSettings:
    """Parameters of the desk."""

    address: str = parameter(
        '127.0.0.1', 'Address of this machine to serve on; any but loopback needs the token in '
        'the printed link.')
    port: int = parameter(
        8088, 'Port to serve on; 0: any that is free.', minimum=0, maximum=65535)
    hosts: str = parameter(
        '', 'Further names by which browsers reach it, such as that of a reverse proxy, separated '
        'by commas; with any, the token is needed.', pattern=_HOSTS,
        pattern_text='names like robot.example.org,desk.local')
    narrators: str = parameter(
        '', 'Narrators to follow, separated by commas; empty: all that are found.',
        pattern=_NARRATORS, pattern_text='names like narrator or front/narrator,rear/narrator')
    picture_rate: float = parameter(
        10.0, 'Pictures a second of each camera, at most.', minimum=0.1, maximum=60.0)
    picture_width: int = parameter(
        960, 'Width to which larger pictures are scaled down, pixels.', minimum=16, maximum=7680)
    thumbnails: bool = parameter(
        True, 'Follow the cameras all the time, for a small picture of each narration; off: only '
        'while somebody looks.')


@dataclass(frozen=True)
class MultiCameraSettings:
    """Parameters of the process that narrates several cameras."""

    cameras: str = parameter(
        'front,rear', 'Namespaces of the narrators, one for each camera, separated by commas.',
        pattern=_NAMESPACES, pattern_text='names like front,rear or robot/front,robot/rear')


def rows(settings_class) -> dict[str, ParameterRow]:
    """Return the table of a settings class: rows by name, in order."""
    return {item.name: item.metadata[TABLE_KEY] for item in fields(settings_class)}


def ros_type(settings_class, name: str) -> str:
    """Return the type of a parameter as ROS calls it, such as 'double'."""
    return _ROS_TYPE_BY_TYPE[type(getattr(settings_class, name))]


def allowed_text(row: ParameterRow) -> str:
    """Return in words which values a parameter may have; '' if all are allowed."""
    if row.choices:
        return ', '.join(row.choices)
    if row.minimum is not None:
        return f'{row.minimum} to {row.maximum}'
    return row.pattern_text


def refusal(name: str, row: ParameterRow, value) -> str:
    """Return why value is not allowed, with the allowed values; '' if it is allowed."""
    # rclpy checks the bounds, but not every version of it refuses nan.
    is_allowed = not isinstance(value, float) or math.isfinite(value)
    if is_allowed and row.choices:
        is_allowed = value in row.choices
    if is_allowed and row.pattern is not None:
        is_allowed = row.pattern.fullmatch(value) is not None
    return '' if is_allowed else f'{name} is {value!r}; allowed: {allowed_text(row)}'
