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
Narrates one bag or video: opens it, begins or resumes the run, and writes the outputs.

A path and NarrateOptions go in; a folder of outputs and a RunRecord come out. While the model
speaks about one group of frames, a second thread encodes the next, and a third reads and decodes
the one after it. Keeps no state between two calls, so worker processes can run it. Called by
command.py and batch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
import queue
import shutil
import threading

import cv2
from moss_ros.bag.bag_error import BagError, ExitCode, writing
from moss_ros.bag.frame_chooser import FrameChooser, Group
from moss_ros.bag.journal import (
    checkpoint_hashes, FOLDER_NAME, Journal, package_versions, refuse_other_run,
    refuse_while_running, RunRecord,
)
from moss_ros.bag.narrate_options import NarrateOptions
from moss_ros.bag.outputs import EndedRun, OUTPUT_FILES, RUN_FILE, write_outputs
from moss_ros.bag.paced_narration import BagNarration
from moss_ros.bag.reading import open_source
from moss_ros.bag.source import Source
from moss_ros.bag.unusable import UnusableTally
from moss_ros.model import CheckpointError, choose_device, choose_dtype, VideoModel
from moss_ros.model.attention import flash_kernel
from moss_ros.stream import StreamCheckpoint, StreamSession, StreamSnapshot
import torch

_END = object()


class ReadAhead:
    """
    Runs an iterator ahead in a thread; iterate over this once, inside `with`, which ends it.

    An exception of the iterator is raised here after the items that came before it.
    """

    def __init__(self, iterator: Iterator, name: str, max_items: int = 2,
                 prepare_thread: Callable[[], object] = lambda: None):
        """Queue at most max_items ahead; prepare_thread is called first, in the thread, name."""
        self._iterator = iterator
        self._prepare_thread = prepare_thread
        self._queue: queue.Queue = queue.Queue(max_items)
        self._is_stop_wanted = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._is_stop_wanted.set()
        # A thread that waits for room in the queue gets it, and then sees that it is to end.
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                pass
        self._thread.join()

    def __iter__(self) -> Iterator:
        while (item := self._queue.get()) is not _END:
            yield item
        if self._error is not None:
            raise self._error

    def _run(self):
        try:
            self._prepare_thread()
            for item in self._iterator:
                self._queue.put(item)
                if self._is_stop_wanted.is_set():
                    return
        except BaseException as error:  # raised again by __iter__
            self._error = error
        self._queue.put(_END)


DEFAULT_SAVE_EVERY_S = 60.0

# Called with seconds of the bag that are done, and how long it is.
Progress = Callable[[float, float], None]


def narrate_bag(source: Path | str, output: Path | str, options: NarrateOptions,
                on_progress: Progress = lambda done_s, total_s: None, *,
                resume: bool = False, overwrite: bool = False,
                save_every_s: float = DEFAULT_SAVE_EVERY_S,
                should_stop: Callable[[], bool] = lambda: False) -> RunRecord:
    """
    Narrate the bag or video source into the folder output; return what run.json says.

    - resume: go on with an interrupted run of the same bag and options; if there is none, begin
      one. overwrite: forget any run that is there.
    - save_every_s: seconds of the bag between two saves; a resumed run repeats up to so much.
    - should_stop: called between groups of frames; once it returns True, the state is saved and
      a BagError (INTERRUPTED) is raised.

    Raises BagError. If the source breaks off (INCOMPLETE), the outputs are written first, with
    all that could be read.
    """
    source, output = Path(source), Path(output)
    _keep_recording(source, output)
    checkpoint = open_checkpoint(source, options)
    with open_source(source, options.image_topic, options.prompt_topic,
                     checkpoint.options.frame_rate_fps, options.clock) as opened:
        _check_against(source, opened, options)
        run = _describe(opened, options, checkpoint)
        if overwrite:
            _forget(output)
        elif (output / RUN_FILE).exists():
            record = refuse_other_run(output, output / RUN_FILE, run, resume)
            shutil.rmtree(output / FOLDER_NAME, ignore_errors=True)
            return _require_complete(source, record)
        with Journal(output, run, resume) as journal, _threads(options.num_threads):
            model, session = _make_session(source, options, checkpoint, journal)
            narration = _Run(opened, model, session, options, journal)
            error = narration.go(on_progress, save_every_s, should_stop)
            record = run.ended(*narration.counts(), error)
            write_outputs(output, EndedRun(journal, record, opened))
    return _require_complete(source, record)


class _Run:
    """One run from where its journal stands to the end of the source."""

    def __init__(self, source: Source, model: VideoModel, session: StreamSession,
                 options: NarrateOptions, journal: Journal):
        self._source = source
        self._journal = journal
        self._options = options
        self._chooser = FrameChooser(source, model, session.options.frame_rate_fps,
                                     _prompts(options, source.info.start_ns))
        self._narration = BagNarration(
            session, options.tokens_per_second, journal.append, journal.keep_thumbnail)
        # The newest that was narrated, or the snapshot's: what it leaves behind is what is saved.
        self._group: Group | None = None
        snapshot = journal.load()
        if snapshot is not None:
            self._restore(snapshot)

    def go(self, on_progress, save_every_s, should_stop) -> str | None:
        """Narrate all that is left; return what is wrong where the source breaks off."""
        info = self._source.info
        total_s = (info.end_ns - info.start_ns) / 1e9
        saved_s = None
        try:
            # One group of pictures waits: they may be large.
            with ReadAhead(self._chooser.groups(), 'moss-read-ahead', 1) as read, \
                    ReadAhead(self._chooser.encoded(read), 'moss-encode-ahead',
                              prepare_thread=self._prepare) as groups:
                for group in groups:
                    self._narration.take(group.items)
                    self._group = group
                    done_s = (group.chooser_state['position']['bag_time_ns']
                              - info.start_ns) / 1e9
                    on_progress(min(max(done_s, 0.0), total_s), total_s)
                    saved_s = done_s if saved_s is None else saved_s
                    is_stopped = should_stop()
                    if is_stopped or done_s - saved_s >= save_every_s:
                        self._save()
                        saved_s = done_s
                    if is_stopped:
                        raise BagError(self._journal.folder.parent, 'interrupted; --resume goes '
                                       'on where it stopped', ExitCode.INTERRUPTED)
        except BagError as error:
            if error.exit_code is not ExitCode.INCOMPLETE:
                raise
            self._narration.finish()
            return self._error_text(error.text)
        self._narration.finish()
        on_progress(total_s, total_s)
        return self._error_text()

    def counts(self) -> tuple[dict, UnusableTally, dict]:
        """Return counts, unusable and pictures of the RunRecord."""
        state, unusable = self._group.chooser_state, self._unusable()
        return {
            'frames_read': state['num_read'],
            'frames_used': state['num_used'],
            'unusable': sum(unusable.counts().values()),
            **self._narration.counts,
        }, unusable, state['pictures']

    def _unusable(self):
        return UnusableTally(self._group.chooser_state['unusable']).joined(self._narration.refused)

    def _error_text(self, break_text=''):
        """Return all that is wrong with a run that did not see all, None where it is well."""
        state, unusable = self._group.chooser_state, self._unusable()
        parts = [break_text] if break_text else []
        if not state['num_used'] and not (break_text and not state['num_read']):
            reasons = unusable.told(is_prompt=False)
            parts.append(f'none of its {state["num_read"]} images could be used'
                         + (f': {reasons}' if reasons else ''))
            refused = unusable.told(is_prompt=True)
            parts += [f'prompts that could not be asked: {refused}'] if refused else []
        elif break_text and unusable.counts():
            parts.append(f'messages that could not be used: {unusable.told()}')
        return '; '.join(parts) or None

    def _save(self):
        snapshot = self._narration.snapshot()
        tensors = dict(snapshot.tensors)
        if self._group.frame_before is not None:
            tensors['chooser_frame_before'] = self._group.frame_before
        self._journal.save(StreamSnapshot(
            {**snapshot.state, 'chooser': self._group.chooser_state}, tensors))

    def _restore(self, snapshot):
        try:
            self._narration.restore(snapshot)
            group = Group([], snapshot.state['chooser'], [],
                          snapshot.tensors.get('chooser_frame_before'))
            self._chooser.restore(group.chooser_state, group.frame_before)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BagError(
                self._journal.folder, f'its snapshot is damaged ({error!r}); start over with '
                '--overwrite', ExitCode.RESUME) from error
        self._group = group

    def _prepare(self):
        torch.set_num_threads(self._options.num_threads)


@contextmanager
def _threads(num_threads):
    # Torch keeps this number for each thread, and the caller may have another one. OpenCV's
    # threads would take the cores from the model, for pictures that one thread shrinks in no time.
    num_before, num_before_cv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(num_threads)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_before)
        cv2.setNumThreads(num_before_cv)


def _require_complete(source, record) -> RunRecord:
    if not record.is_complete:
        raise BagError(source, record.error, ExitCode.INCOMPLETE)
    return record


def open_checkpoint(source: Path, options: NarrateOptions) -> StreamCheckpoint:
    """
    Return the checkpoint that options name, once it is known that it can run here.

    Raises BagError: MODEL where there is no such checkpoint, USAGE, about source, for options
    that this machine or the checkpoint does not allow.
    """
    try:
        checkpoint = options.open_checkpoint()
        device = choose_device(options.device)
        flash_kernel(options.attention, device, choose_dtype(options.dtype, device))
    except CheckpointError as error:
        raise BagError(options.checkpoint or 'the embedded model', str(error),
                       ExitCode.MODEL) from error
    except ValueError as error:
        raise BagError(source, str(error), ExitCode.USAGE) from error
    return checkpoint


def _make_session(source, options, checkpoint, journal) -> tuple[VideoModel, StreamSession]:
    try:
        model = checkpoint.load_model(
            options.device, options.dtype, options.attention, options.quantization or None)
        session = checkpoint.session(model)
        for text in (options.prompt, *(text for _, text in options.prompts_at)):
            session.require_prompt(text)
    except (CheckpointError, ImportError) as error:
        journal.forget_if_new()
        raise BagError(checkpoint.folder, str(error), ExitCode.MODEL) from error
    except ValueError as error:
        journal.forget_if_new()
        raise BagError(source, str(error), ExitCode.USAGE) from error
    return model, session


def _check_against(source, opened, options):
    """Raise BagError for options that make no sense with this source."""
    info = opened.info
    duration_s = (info.end_ns - info.start_ns) / 1e9
    for time_s, text in options.prompts_at:
        if time_s > duration_s:
            raise BagError(source, f'lasts {duration_s:.1f} s, so {text!r} cannot be asked at '
                           f'{time_s:g} s', ExitCode.USAGE)
    if options.with_images and not info.image_topic:
        raise BagError(source, 'is a video, whose images narration.mcap cannot have; leave out '
                       '--with-images', ExitCode.USAGE)


def _keep_recording(source, output):
    """Raise BagError for an output folder in which the recording itself would be changed."""
    files = {output, *(output / name for name in OUTPUT_FILES)}
    if source.resolve() in {file.resolve() for file in files}:
        raise BagError(output, f'has the recording {source}, which is never changed; name another '
                       '--output', ExitCode.USAGE)


def _describe(opened, options, checkpoint) -> RunRecord:
    try:
        device = choose_device(options.device)
        dtype = choose_dtype(options.dtype, device)
        hashes = checkpoint_hashes(checkpoint.folder)
    except OSError as error:
        raise BagError(checkpoint.folder, str(error), ExitCode.MODEL) from error
    return RunRecord(
        source=opened.info.to_json(), options=options.to_json(),
        checkpoint={'name': options.checkpoint or 'embedded', 'sha256': hashes},
        stream={**asdict(checkpoint.options), 'device': str(device),
                'dtype': str(dtype).removeprefix('torch.')},
        versions=package_versions())


def _forget(output):
    """Remove the run in output, whether or not it has ended; its files stay until replaced."""
    refuse_while_running(output)
    with writing(output):
        (output / RUN_FILE).unlink(missing_ok=True)
        if (output / FOLDER_NAME).exists():
            shutil.rmtree(output / FOLDER_NAME)


def _prompts(options, start_ns):
    if options.prompt.strip():
        yield start_ns, options.prompt
    for time_s, text in options.prompts_at:
        yield start_ns + round(time_s * 1e9), text
