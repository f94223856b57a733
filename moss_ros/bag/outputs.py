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
from moss_ros.bag.report_output import write_report
from moss_ros.bag.run_record import RunRecord
from moss_ros.bag.vtt import write_vtt
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
    write_report(path, run.journal.records(), run.record,
                 lambda narration_id: thumbnail_file(run.journal.folder, narration_id))


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
