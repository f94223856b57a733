"""
The files of a run that has ended: records in, all files in the output folder at once out.

Each is written beside the journal, and gets its final name when all are complete; run.json comes
last and says that the run has ended. Knows no models. Called by narrate_bag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import shutil

from moss_ros.bag.bag_error import BagError, writing
from moss_ros.bag.journal import Journal, replace_durably, thumbnail_file
from moss_ros.bag.mcap_output import write_mcap
from moss_ros.bag.reading import Source
from moss_ros.bag.run_record import RunRecord
from moss_ros.bag.vtt import write_vtt
from moss_ros.views.report import (
    answers_text, duration_text, has_calendar, report_page, ReportHead, utc,
)
from moss_ros.views.timeline import Timeline, timeline_of

RUN_FILE = 'run.json'


@dataclass(frozen=True)
class EndedRun:
    """What a writer of an output file gets: the records, the thumbnails and what run.json says."""

    journal: Journal
    record: RunRecord
    source: Source


def _write_jsonl(path: Path, run: EndedRun) -> None:
    with path.open('w', encoding='utf-8', newline='\n') as file:
        for record in run.journal.records():
            file.write(json.dumps(record, ensure_ascii=False) + '\n')


def _write_vtt(path: Path, run: EndedRun) -> None:
    write_vtt(path, run.journal.records(), run.record.source['start_ns'])


def _write_mcap(path: Path, run: EndedRun) -> None:
    write_mcap(path, run.journal.records(),
               run.source if run.record.options['with_images'] else None)


def _write_report(path: Path, run: EndedRun) -> None:
    timeline = timeline_of(run.journal.records())
    # Half a character pair, which JSON can carry, has no UTF-8.
    with path.open('w', encoding='utf-8', errors='replace', newline='\n') as file:
        file.writelines(report_page(
            report_head(run.record, timeline), timeline,
            lambda narration_id: thumbnail_file(run.journal.folder, narration_id)))


# What each file is written by; run.json comes after them.
WRITERS: dict[str, Callable[[Path, EndedRun], None]] = {
    'narration.jsonl': _write_jsonl,
    'narration.vtt': _write_vtt,
    'narration.mcap': _write_mcap,
    'report.html': _write_report,
}


def write_outputs(output: Path, run: EndedRun) -> None:
    """
    Write all files of a run into the folder output, and remove its journal.

    Raises BagError (OUTPUT), with the journal and whatever was in output left, where it can't.
    """
    partial = run.journal.folder / 'outputs'
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, write in WRITERS.items():
            write(partial / name, run)
        (partial / RUN_FILE).write_text(run.record.to_json(), encoding='utf-8')
        for name in (*WRITERS, RUN_FILE):
            replace_durably(partial / name, output / name)
    run.journal.remove()


def read_timeline(path: Path) -> Timeline:
    """Return the timeline in a narration.jsonl; BagError where that can't be read."""
    try:
        with path.open(encoding='utf-8') as lines:
            return timeline_of(map(json.loads, lines))
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
