"""
Narrations as WebVTT captions: records in, narration.vtt out.

Times count from the start of the bag. Knows neither sources nor models. Called when a run ends.
See https://www.w3.org/TR/webvtt1/ for the format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

# Seconds that a caption stays at least, and for each character: about 17 a second are read.
_MIN_SHOWN_S = 1.5
_SHOWN_S_PER_CHARACTER = 0.06


def write_vtt(path: Path, records: Iterable[dict], start_ns: int) -> None:
    """
    Write a cue for each narration, named by its id; start_ns is when the bag starts.

    An answer has its question in italics above it. A cue stays until it was said and can be read,
    but no longer than to the next one. Raises OSError where path can't be written.
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
    """Return one line that is data, whatever is in it: neither markup nor the end of the cue."""
    text = ' '.join(text.split()).replace('&', '&amp;')
    return text.replace('<', '&lt;').replace('>', '&gt;')
