"""
The file report.html of a run that has ended: its records and thumbnails in, the page out.

Puts what run.json says into words. Knows neither sources nor models. Called when a run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from moss_ros.bag.run_record import RunRecord
from moss_ros.views.report import (
    answers_text, duration_text, has_calendar, report_page, ReportHead, utc,
)
from moss_ros.views.timeline import Timeline, timeline_of


def write_report(path: Path, records: Iterable[dict], run: RunRecord,
                 thumbnail_file: Callable[[int], Path]) -> None:
    """
    Write the page of a run.

    thumbnail_file: where the JPEG of a narration is, by its id. Raises OSError where path can't
    be written.
    """
    timeline = timeline_of(records)
    # Half a character pair, which JSON can carry, has no UTF-8.
    with path.open('w', encoding='utf-8', errors='replace', newline='\n') as file:
        file.writelines(report_page(report_head(run, timeline), timeline, thumbnail_file))


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
