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
The command line that narrates recordings: `narrate_bag`, or `python -m moss_ros.bag`.

Arguments go in; a folder of outputs for each recording comes out, with progress and one-line
errors on stderr. The exit status is an ExitCode.
"""

from __future__ import annotations

from dataclasses import fields
import io
import os
from pathlib import Path
import signal
import sys
import time

from moss_ros.bag.bag_error import BagError, ExitCode, unexpected
from moss_ros.bag.bag_run import DEFAULT_SAVE_EVERY_S, narrate_bag, open_checkpoint
from moss_ros.bag.batch import BagTask, ENGINES, INDEX_FILE, narrate_many, write_index
from moss_ros.bag.clock import CLOCKS
from moss_ros.bag.journal import RunRecord
from moss_ros.bag.narrate_options import DEFAULT_TOKENS_PER_SECOND, NarrateOptions
from moss_ros.bag.outputs import RUN_FILE
from moss_ros.bag.own_stderr import own_stderr
from moss_ros.bag.picture_notes import picture_note
from moss_ros.checks import require_count, require_number
from moss_ros.one_line_parser import OneLineParser
from moss_ros.stream.conversation import DEFAULT_ANSWER_WITHIN_S
from tqdm import tqdm


_MOST_JOBS = 1000
_MOST_SAVE_EVERY_S = 1_000_000


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    try:
        options = _options(given)
        require_number('save_every', given.save_every, minimum=0, maximum=_MOST_SAVE_EVERY_S)
        if given.jobs is not None:
            require_count('jobs', given.jobs, maximum=_MOST_JOBS)
    except ValueError as error:
        parser.error(str(error))
    _take_any_path()
    with own_stderr():
        try:
            with _StopSignal() as stop:
                if len(given.bags) > 1 or given.engine != ENGINES[0]:
                    return _narrate_many(options, given, stop, parser.prog)
                _narrate(given.bags[0], given.output, options, given, stop)
        except BagError as error:
            failure = error
        except Exception as error:
            failure = unexpected(given.bags[0], given.output, error)
        else:
            return ExitCode.OK
        print(f'{parser.prog}: error: {failure}', file=sys.stderr)
        return failure.exit_code


def output_folders(sources: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """
    Return each source with its own output folder.

    For a single source that is output itself; for several, a folder in output with the name of
    the source, and a number where that name is taken.
    """
    if len(sources) == 1:
        return [(sources[0], output)]
    pairs, names = [], {INDEX_FILE}
    for source in sources:
        name = stem = source.resolve().name
        number = 1
        while name in names:
            number += 1
            name = f'{stem}-{number}'
        names.add(name)
        pairs.append((source, output / name))
    return pairs


def _take_any_path():
    """Let lines with the name of a file be printed, also one that is in no encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


class _StopSignal:
    """Notes SIGINT or SIGTERM inside `with`; the second one ends the process at once."""

    def __enter__(self):
        self.has_come = False
        self._handlers = {number: signal.signal(number, self._take)
                          for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _take(self, number, _):
        if self.has_come:
            os._exit(ExitCode.INTERRUPTED)
        self.has_come = True


def _narrate(source, output, options, given, stop) -> RunRecord:
    begin_s = time.monotonic()
    with tqdm(desc=source.name, unit='s', total=0, disable=given.quiet,
              bar_format='{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s '
                         '[{elapsed}<{remaining}{postfix}]') as bar:
        def show(done_s, total_s):
            bar.total = total_s
            elapsed_s = time.monotonic() - begin_s
            bar.set_postfix_str(f'{done_s / elapsed_s:.0f} x real time', refresh=False)
            bar.update(done_s - bar.n)

        try:
            record = narrate_bag(
                source, output, options, show, resume=given.resume, overwrite=given.overwrite,
                save_every_s=given.save_every, should_stop=lambda: stop.has_come)
        except BagError as error:
            bar.clear()
            _print_notes_of_incomplete(output, error.exit_code)
            raise
    _print_end(output, record)
    return record


def _narrate_many(options, given, stop, prog) -> ExitCode:
    """Narrate all bags, write an index of several; return the first failure's exit code."""
    if given.engine == ENGINES[0]:
        open_checkpoint(given.bags[0], options)  # what is wrong with all is told once
    tasks = [
        BagTask(source, output, options, given.resume, given.overwrite, given.save_every)
        for source, output in output_folders(given.bags, given.output)]
    parts = [0.0] * len(tasks)
    with tqdm(desc=f'{len(tasks)} bags', total=len(tasks), disable=given.quiet,
              bar_format='{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]') as bar:
        def show(index, part):
            parts[index] = part
            bar.update(sum(parts) - bar.n)

        def tell(outcome):
            show(tasks.index(outcome.task), 1.0)
            bar.clear()
            if outcome.record is not None:
                _print_end(outcome.task.output, outcome.record)
            else:
                _print_notes_of_incomplete(outcome.task.output, outcome.exit_code)
                print(f'{prog}: error: {outcome.error}', file=sys.stderr)
            bar.refresh()

        outcomes = narrate_many(
            tasks, given.engine, given.jobs or 0, show, tell, lambda: stop.has_come)
    if stop.has_come:
        raise BagError(given.output, 'interrupted; --resume goes on where it stopped',
                       ExitCode.INTERRUPTED)
    if len(tasks) > 1:
        write_index(given.output, outcomes)
        print(f'{given.output / INDEX_FILE}: {len(tasks)} bags')
    return next((outcome.exit_code for outcome in outcomes if outcome.error), ExitCode.OK)


def _print_end(output, record):
    counts = record.counts
    print(f'{output}: {counts["narrations"]} narrations of {counts["frames_used"]} of '
          f'{counts["frames_read"]} frames')
    _print_notes(record)
    if record.unusable:
        print(f'{output}: {counts["unusable"]} messages could not be used: '
              f'{record.unusable_text}', file=sys.stderr)


def _print_notes(record):
    note = picture_note(record.pictures)
    for note in [*record.source['notes'], *([note] if note else [])]:
        print(f'{record.source["name"]}: {note}')


def _print_notes_of_incomplete(output, exit_code):
    """Print what is odd about a bag that was narrated as far as it goes."""
    if exit_code is ExitCode.INCOMPLETE:
        text = (output / RUN_FILE).read_text(encoding='utf-8')
        _print_notes(RunRecord.from_json(text))


def _options(given) -> NarrateOptions:
    names = {option.name for option in fields(NarrateOptions)} - {'prompts_at'}
    return NarrateOptions(
        prompts_at=tuple(_prompt_at(*pair) for pair in given.prompt_at),
        **{name: getattr(given, name) for name in names})


def _prompt_at(time_text, text):
    try:
        return float(time_text), text
    except ValueError as error:
        raise ValueError(f"--prompt-at takes seconds and a text, such as 12.5 'What is there?', "
                         f'not {time_text!r}') from error


def _make_parser():
    parser = OneLineParser(
        prog='narrate_bag', description='Narrate recordings: bags of ROS 2 and ROS 1 (folders, '
        '.mcap, .db3 or .bag files) and videos become captions, records and a bag with the '
        'narration.')
    parser.add_argument('bags', metavar='BAG', type=Path, nargs='+')
    parser.add_argument('--output', metavar='DIR', type=Path, required=True,
                        help='folder of the outputs; with several bags, of a folder for each')
    parser.add_argument('--resume', action='store_true',
                        help='go on with a run that was interrupted')
    parser.add_argument('--overwrite', action='store_true', help='forget a run that is there')
    parser.add_argument('--jobs', metavar='N', type=int,
                        help='of several bags, how many at a time (default: 1; all with ray)')
    parser.add_argument('--engine', choices=ENGINES, default=ENGINES[0],
                        help='where several bags are narrated: in processes of this machine '
                             '(default), or by ray on the machines of its cluster')
    parser.add_argument('--quiet', action='store_true', help='show no progress')
    parser.add_argument('--save-every', metavar='S', type=float, default=DEFAULT_SAVE_EVERY_S,
                        help='seconds of the bag between two saves for --resume (default '
                             '%(default)g)')
    what = parser.add_argument_group('what to look at')
    what.add_argument('--image-topic', metavar='TOPIC', default='',
                      help='needed where there are several')
    what.add_argument('--clock', choices=CLOCKS, default=CLOCKS[0],
                      help="time of a bag: its messages' (bag) or the stamps of its images "
                           '(header); default: the first, unless it is plainly no clock')
    what.add_argument('--frame-rate', metavar='FPS', type=float, default=0.0,
                      dest='frame_rate_fps',
                      help="frames a second shown to the model (default: the checkpoint's own)")
    what.add_argument('--prompt', metavar='TEXT', default='', help='asked at the first frame')
    what.add_argument('--prompt-at', metavar=('S', 'TEXT'), nargs=2, action='append', default=[],
                      help='asked S seconds after the start; may be repeated')
    what.add_argument('--prompt-topic', metavar='TOPIC', default='',
                      help='std_msgs/String messages, asked when they were recorded')
    how = parser.add_argument_group('how to speak')
    how.add_argument('--tokens-per-second', metavar='N', type=float,
                     default=DEFAULT_TOKENS_PER_SECOND,
                     help="pace of the model in the bag's time (default %(default)g); 0: as much "
                          'as it wants at each frame')
    how.add_argument('--answer-within', metavar='SECONDS', type=float,
                     default=DEFAULT_ANSWER_WITHIN_S, dest='answer_within_s',
                     help='a question to which nothing was said for so long is unanswered '
                          '(default %(default)g)')
    how.add_argument('--max-tokens-between-frames', metavar='N', type=int, default=0,
                     help="end a narration after so many (default: the checkpoint's own)")
    how.add_argument('--system-prompt', metavar='TEXT', default='')
    how.add_argument('--sampling', choices=('checkpoint', 'greedy', 'random'),
                     default='checkpoint')
    how.add_argument('--seed', type=int, default=0, help='of random sampling')
    how.add_argument('--with-images', action='store_true',
                     help='copy the images into narration.mcap')
    model = parser.add_argument_group('the model')
    model.add_argument('--checkpoint', metavar='FOLDER', default='',
                       help='folder or Hugging Face name (default: the embedded model)')
    model.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:1 ...')
    model.add_argument('--dtype', default='auto', help='auto, float32, bfloat16 or float16')
    model.add_argument('--attention', default='auto', help='auto (default), sdpa or flash')
    model.add_argument('--quantization', default='', help='int8 or int4 (default: none)')
    model.add_argument('--num-threads', metavar='N', type=int, default=1,
                       help='CPU threads of the model (default 1); another number may change '
                            'words')
    return parser
