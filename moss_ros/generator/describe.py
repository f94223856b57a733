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
Command line that asks a model about a video or pictures: python -m moss_ros.generator.describe.

Files and a prompt go in; the answer comes out on stdout, piece by piece or as one JSON object,
and the progress on stderr. Exit status 0; 2 with one line on stderr if something can't be asked
or read; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path
import sys
import time

from moss_ros.generator.generator import Generator, load_generator
from moss_ros.media import MediaError
from moss_ros.model import CheckpointError
from moss_ros.one_line_parser import OneLineParser
import torch
from tqdm import tqdm

_INTERRUPTED = 130  # what a shell reports after Ctrl-C
# Small, so that the progress bar moves on a slow machine too.
_CHUNK_LENGTH = 8


def describe(generator: Generator, query: dict, chunk_length: int, write_piece) -> dict:
    """
    Answer a query of the queue protocol; call write_piece(str) with each piece of the answer.

    Shows a progress bar on stderr while frames are encoded. Returns the fields of the JSON
    object: answer, num_frames, encode_s (seconds until the last frame was encoded) and total_s.
    Raises MediaError and ValueError as Generator.answer does.
    """
    begin_s = time.monotonic()
    result = {'answer': '', 'num_frames': 0, 'encode_s': 0.0}
    bar = None

    def show(num_done, num_frames):
        nonlocal bar
        if bar is None:
            bar = tqdm(desc='encoding', unit=' frames', total=num_frames)
        bar.update(num_done - bar.n)
        if num_done == num_frames:
            bar.close()  # before the answer begins on the same terminal
            result['num_frames'] = num_frames
            result['encode_s'] = round(time.monotonic() - begin_s, 3)

    try:
        for piece in generator.answer(query, chunk_length, show):
            result['answer'] += piece
            write_piece(piece)
    finally:
        if bar is not None:
            bar.close()
    result['total_s'] = round(time.monotonic() - begin_s, 3)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if not options.prompt or not options.prompt.strip():
        parser.error('--prompt is missing: say what to answer, such as --prompt "What happens?"')
    if not options.video and not options.image:
        parser.error('nothing to look at: name a file by --video or --image')
    logging.basicConfig(format=f'{parser.prog}: %(message)s', level=logging.WARNING)
    if options.num_threads:
        torch.set_num_threads(options.num_threads)
    try:
        return _run(options)
    except (MediaError, CheckpointError, ValueError) as error:
        parser.error(' '.join(str(error).split()))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has closed it. Keep Python from failing again in its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(options):
    _require_files(options)
    generator = load_generator(
        options.checkpoint, options.device, options.dtype, options.attention,
        options.quantization)
    write_piece = (lambda piece: None) if options.json else _write_piece
    result = describe(generator, _query(options), options.chunk_length, write_piece)
    if options.json:
        print(json.dumps({
            'prompt': options.prompt, **result, 'videos': options.video, 'images': options.image,
            'checkpoint': str(options.checkpoint or 'embedded')}))
    else:
        print()
    return 0


def _write_piece(piece):
    sys.stdout.write(piece)
    sys.stdout.flush()


def _require_files(options):
    # Called before the model is loaded, which may take a minute.
    for path in [*options.video, *options.image]:
        if not Path(path).is_file():
            raise MediaError(f'{path} does not exist or is no file')


def _query(options):
    media = {'video_fps': options.fps, 'video_minlen': options.min_frames,
             'video_maxlen': options.max_frames}
    generation = {name: getattr(options, name) for name in (
        'max_new_tokens', 'do_sample', 'temperature', 'top_k', 'top_p', 'repetition_penalty')}
    return {
        'prompt': options.prompt, 'videos': options.video, 'images': options.image,
        'media_kwargs': media, 'system_prompt_type': options.system_prompt_type,
        'thinking_mode': options.thinking_mode,
        'generate_kwargs': {
            name: value for name, value in generation.items() if value is not None}}


def _make_parser():
    parser = OneLineParser(prog='describe', description='Ask a model about a video or pictures.')
    media = parser.add_argument_group('what to ask')
    media.add_argument('--prompt', metavar='TEXT', help='question, such as "What happens?"')
    media.add_argument('--video', metavar='FILE', action='append', default=[],
                       help='a video of any format that FFmpeg reads; may be repeated')
    media.add_argument('--image', metavar='FILE', action='append', default=[],
                       help='a picture of any format that Pillow reads; may be repeated')
    media.add_argument('--fps', type=float,
                       help="frames a second to look at (default: the checkpoint's own)")
    media.add_argument('--min-frames', type=int, metavar='N',
                       help='frames of a video to look at, at least (default 8)')
    media.add_argument('--max-frames', type=int, metavar='N',
                       help="at most, and never more than the checkpoint's own limit "
                            '(default 256)')
    media.add_argument('--system-prompt-type', metavar='TYPE',
                       help='video or text_image (default: by what is shown)')
    media.add_argument('--thinking-mode', metavar='MODE',
                       help='no_thinking (default) or deep_thinking: chooses the system prompt')
    answer = parser.add_argument_group('how to answer')
    answer.add_argument('--json', action='store_true',
                        help='print one JSON object at the end, not the text as it is said')
    answer.add_argument('--max-new-tokens', type=int, metavar='N', help='default 1024')
    answer.add_argument('--do-sample', action=argparse.BooleanOptionalAction, default=None,
                        help='draw tokens at random (default: say the most likely ones)')
    for name, kind in (('temperature', float), ('top-k', int), ('top-p', float),
                       ('repetition-penalty', float)):
        answer.add_argument(f'--{name}', type=kind, metavar='X')
    model = parser.add_argument_group('the model')
    model.add_argument('--checkpoint', metavar='FOLDER',
                       help='folder or Hugging Face id (default: the embedded model)')
    model.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:1 ...')
    model.add_argument('--dtype', default='auto',
                       help='auto (default), float32, bfloat16 or float16')
    model.add_argument('--attention', default='auto', help='auto (default), sdpa or flash')
    model.add_argument('--quantization', help='int8 or int4 (default: none)')
    model.add_argument('--chunk-length', type=int, default=_CHUNK_LENGTH, metavar='N',
                       help='frames encoded at a time (default %(default)s)')
    model.add_argument('--num-threads', type=int, metavar='N',
                       help='CPU threads (default: as torch chooses)')
    return parser


if __name__ == '__main__':
    sys.exit(main())
