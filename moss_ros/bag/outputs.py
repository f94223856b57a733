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
Writes the output files of a run that has ended: the journal's records in, all files out.

The files are written into the journal's folder and moved to their names when all are complete;
run.json comes last and says that the run has ended. narration.mcap holds the topics of the live
node at the original times, for Foxglove and `ros2 bag play`; the times in narration.vtt count from
the start of the bag (format: https://www.w3.org/TR/webvtt1/). Called by narrate_bag().
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
import heapq
import json
from pathlib import Path
import shutil

from moss_ros.bag.bag_error import BagError, ExitCode, writing
from moss_ros.bag.bag_source import cdr_of
from moss_ros.bag.journal import (
    Journal, json_text, replace_durably, RunRecord, thumbnail_file,
)
from moss_ros.bag.picture_notes import picture_note
from moss_ros.bag.ros_types import TYPESTORE
from moss_ros.bag.source import Source
from moss_ros.records import OUTPUT_TOPICS
from moss_ros.views.report import answers_text, report_page, ReportHead, utc
from moss_ros.views.timeline import Timeline, timeline_of
from moss_ros.views.times import duration_text, has_calendar
from rosbags.interfaces import (
    Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.serde import SerdeError

# The topics of a live node of the name narrator.
_TOPIC_BY_NAME = {f'/narrator/{topic.name}': topic for topic in OUTPUT_TOPICS}
_FORMAT_VERSION = 8  # which every distribution since Iron reads


def write_mcap(path: Path, records: Iterable[dict], images_of: Source | None = None) -> None:
    """
    Write what the live node would have published, as an MCAP file.

    images_of: a bag whose images are copied too; None: no images. Raises OSError if path can't be
    written, BagError if the bag can't be read.
    """
    # The writer makes a folder with one storage file, which is all that is wanted of it.
    folder = path.parent / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    with Writer(folder, version=_FORMAT_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            name: writer.add_connection(name, topic.message_type, typestore=TYPESTORE,
                                        offered_qos_profiles=[_qos(topic)])
            for name, topic in _TOPIC_BY_NAME.items()}
        streams = [_messages(records)]
        if images_of is not None:
            streams.append(_images(images_of, writer, connections))
        for time_ns, topic, content in heapq.merge(*streams, key=lambda item: item[0]):
            writer.write(connections[topic], time_ns, content)
    (folder / path.name).replace(path)
    shutil.rmtree(folder)


def _images(source, writer, connections):
    """Yield what _messages() does of the images of a source, as far as it goes."""
    topic = source.info.image_topic
    try:
        for item in source.recorded_messages():
            if item.is_prompt:
                continue
            key = f'{topic} {item.type}'  # of which one topic may have several
            if key not in connections:
                connections[key] = writer.add_connection(topic, item.type, typestore=TYPESTORE)
            with suppress(SerdeError):  # it is no image: told when it was narrated
                yield item.bag_time_ns, key, cdr_of(item)
    except BagError as error:
        if error.exit_code is not ExitCode.INCOMPLETE:
            raise


def _messages(records) -> Iterator[tuple[int, str, memoryview]]:
    """Yield (time in ns, topic, serialised message) of all topics, in order."""
    for record in records:
        for name, topic in _TOPIC_BY_NAME.items():
            data = topic.data_of(record)
            if data is not None:
                message = TYPESTORE.types[topic.message_type](data=data)
                yield record['bag_time_ns'], name, TYPESTORE.serialize_cdr(
                    message, topic.message_type, little_endian=True)


def _qos(topic):
    """Return what the live node offers on a topic."""
    unlimited = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST, topic.depth, QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if topic.is_latched else QosDurability.VOLATILE,
        unlimited, unlimited, QosLiveliness.AUTOMATIC, unlimited,
        avoid_ros_namespace_conventions=False)


# A caption stays at least this long, and this long for each character: people read about 17 a
# second.
_MIN_SHOWN_S = 1.5
_SHOWN_S_PER_CHARACTER = 0.06


def write_vtt(path: Path, records: Iterable[dict], start_ns: int) -> None:
    """
    Write a cue for each narration with words, named by its id; start_ns is when the bag starts.

    An answer has its question in italics above it. A cue stays until the narration has ended and
    people had time to read it, but no longer than to the next cue. Raises OSError if path can't be
    written.
    """
    with path.open('w', encoding='utf-8', newline='\n') as file:
        file.write('WEBVTT\n')
        waiting = None
        for cue in _cues(records, start_ns):
            if waiting is not None:
                file.write(_block(*waiting[:2], min(waiting[2], max(cue[1], waiting[1] + 1)),
                                  waiting[3]))
            waiting = cue
        if waiting is not None:
            file.write(_block(*waiting))


def _cues(records, start_ns) -> Iterator[tuple[int, int, int, str]]:
    """Yield (id, begin in ms, end in ms, text) of each narration, in order of their ends."""
    questions: dict[str, str] = {}
    newest_ms = 0
    for record in records:
        if record['type'] == 'prompt':
            questions[record['prompt_id']] = record['text']
        elif record['type'] == 'narration':
            question = questions.pop(record['prompt_id'], None)
            said = _escaped(record['text'])
            if not said:
                continue
            text = f'<i>{_escaped(question)}</i>\n{said}' if question else said
            begin_ms = max(newest_ms, (record['first_bag_time_ns'] - start_ns) // 1_000_000)
            newest_ms = begin_ms
            shown_ms = round(1000 * max(_MIN_SHOWN_S, _SHOWN_S_PER_CHARACTER * len(text)))
            end_ms = (record['bag_time_ns'] - start_ns) // 1_000_000
            yield record['narration_id'], begin_ms, max(end_ms, begin_ms + shown_ms), text


def _block(narration_id, begin_ms, end_ms, text):
    return f'\n{narration_id}\n{_time(begin_ms)} --> {_time(end_ms)}\n{text}\n'


def _time(time_ms):
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}'


def _escaped(text):
    """Return text as one line, escaped so that it can be neither markup nor the cue's end."""
    text = ' '.join(text.split()).replace('&', '&amp;')
    return text.replace('<', '&lt;').replace('>', '&gt;')


RUN_FILE = 'run.json'
_TIMES = ('bag_time_ns', 'first_bag_time_ns')


@dataclass(frozen=True)
class EndedRun:
    """What a writer of an output file gets: the records, the thumbnails and what run.json says."""

    journal: Journal
    record: RunRecord
    source: Source


def _write_jsonl(path: Path, run: EndedRun) -> None:
    with path.open('w', encoding='utf-8', newline='\n') as file:
        for record in run.journal.records():
            file.write(json_text(record) + '\n')


def _write_vtt(path: Path, run: EndedRun) -> None:
    write_vtt(path, run.journal.records(), run.record.source['start_ns'])


def _write_mcap(path: Path, run: EndedRun) -> None:
    write_mcap(path, run.journal.records(),
               run.source if run.record.options['with_images'] else None)


def _write_report(path: Path, run: EndedRun) -> None:
    timeline = timeline_of(_not_before(
        run.record.source['start_ns'], run.journal.records()))
    # A lone surrogate, which JSON can carry, cannot be encoded as UTF-8.
    with path.open('w', encoding='utf-8', errors='replace', newline='\n') as file:
        file.writelines(report_page(
            report_head(run.record, timeline), timeline,
            lambda narration_id: thumbnail_file(run.journal.folder, narration_id)))


# The function that writes each file; run.json is written after them.
WRITERS: dict[str, Callable[[Path, EndedRun], None]] = {
    'narration.jsonl': _write_jsonl,
    'narration.vtt': _write_vtt,
    'narration.mcap': _write_mcap,
    'report.html': _write_report,
}
OUTPUT_FILES = (*WRITERS, RUN_FILE)


def write_outputs(output: Path, run: EndedRun) -> None:
    """
    Write all files of a run into the folder output, and remove its journal.

    Raises BagError (OUTPUT) if it can't; the journal and what was in output then stay.
    """
    partial = run.journal.folder / 'outputs'
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, write in WRITERS.items():
            write(partial / name, run)
        (partial / RUN_FILE).write_text(run.record.to_json(), encoding='utf-8')
        for name in OUTPUT_FILES:
            replace_durably(partial / name, output / name)
    run.journal.remove()


def _not_before(start_ns, records):
    """Yield what was said and asked, with the start of the bag for times before it, if any."""
    for record in records:
        if record['type'] in ('narration', 'prompt'):
            yield {**record, **{key: max(record[key], start_ns) for key in _TIMES}}


def read_timeline(path: Path, start_ns: int) -> Timeline:
    """
    Return the timeline in a narration.jsonl of a bag that starts at start_ns.

    Raises BagError where that can't be read.
    """
    try:
        with path.open(encoding='utf-8') as lines:
            return timeline_of(_not_before(start_ns, map(json.loads, lines)))
    except OSError as error:
        raise BagError(path, f'cannot be read ({error.strerror})') from error
    except (ValueError, TypeError, KeyError) as error:
        raise BagError(path, f'is no narration of this program ({error!r})') from error


def report_head(run: RunRecord, timeline: Timeline) -> ReportHead:
    """Return what the page says about the bag as a whole."""
    start_ns, end_ns = run.source['start_ns'], run.source['end_ns']
    duration_ns = end_ns - start_ns
    figures = [
        ('Duration', duration_text(duration_ns)),
        ('Narrations', str(len(timeline.narrations))),
        ('Answers', answers_text(timeline)),
        ('Speaking', f'{timeline.spoken_ns / max(duration_ns, 1):.0%}'),
        ('Frames seen', str(run.counts['frames_used']))]
    return ReportHead(
        run.source['name'], subtitle(run), start_ns, duration_ns, figures,
        tuple(_facts(run)),
        run.error or '')


def subtitle(run: RunRecord) -> str:
    """Return one line about the source: its image topic and when it was recorded."""
    start_ns = run.source['start_ns']
    parts = [run.source['image_topic'] or 'video file']
    if has_calendar(start_ns):
        moment = utc(start_ns)
        parts.append(f'{moment.day} {moment:%B %Y, %H:%M:%S} UTC')
    return ', '.join(parts)


def _facts(run):
    counts, stream, options = run.counts, run.stream, run.options
    weights = [sha256 for name, sha256 in run.checkpoint['sha256'].items()
               if name.endswith('.safetensors')]
    yield 'Images', ' '.join(filter(None, (
        run.source['image_topic'], f'({run.source["image_type"] or "video"})')))
    if run.source['clock']:
        yield 'Clock', {'bag': "the bag's times", 'header': 'header stamps'}[run.source['clock']]
    for note in run.source['notes']:
        yield 'Note', note
    if note := picture_note(run.pictures):
        yield 'Pictures', note
    yield 'Frames', (f'{counts["frames_read"]} read, {counts["frames_used"]} shown to the model '
                     f'({stream["frame_rate_fps"]:g} a second)')
    if run.unusable:
        reasons = ', '.join(f'{number} {kind}' for kind, number in sorted(run.unusable.items()))
        yield 'Unusable', reasons
    yield 'Model', f'{run.checkpoint["name"]}, on {stream["device"]} in {stream["dtype"]}'
    yield 'Weights', f'sha256 {" ".join(weights)}'
    pace = options['tokens_per_second']
    yield 'Pace', f'{pace:g} tokens a second' if pace else 'all that it wants to say at each frame'
    yield 'Questions', f'open for {options["answer_within_s"]:g} s'
    yield 'Tokens', str(counts['tokens'])
    yield 'Seed', str(options['seed'])
    yield 'Versions', ', '.join(
        f'{name} {version}' for name, version in run.versions.items() if version)
