"""The evaluation, and what the shipped checkpoint reaches on a few scenes it never saw."""

import json
import subprocess
import sys

from moss_ros.checkpoints import DEMO_CHECKPOINT
import pytest


def run_evaluate(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'moss_ros.training.evaluate', *arguments],
        capture_output=True, text=True, timeout=300)


def test_the_shipped_checkpoint_narrates_truly():
    """A small sample of `make evaluate`; the bounds leave room for its smallness."""
    result = run_evaluate('--num-scenes', '12', '--num-frames', '40', '--seed', '77')
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures['num_frames'] == 480 and figures['num_scenes'] == 12
    assert figures['event_recall'] > 0.75
    assert figures['sentence_precision'] > 0.75
    assert figures['silence_kept'] > 0.95
    assert figures['frames_per_s'] > 0


def test_the_shipped_checkpoint_is_small():
    """The three files stay below 10 MB together, and there are no others."""
    files = {path.name: path.stat().st_size for path in DEMO_CHECKPOINT.iterdir()}
    assert set(files) == {'config.json', 'tokenizer.json', 'model.safetensors'}
    assert sum(files.values()) < 10e6


def test_trace_shows_what_happened_and_what_was_said():
    """--trace names the scene and its events on stderr; stdout stays one JSON line."""
    result = run_evaluate('--num-scenes', '1', '--num-frames', '24', '--seed', '5', '--trace')
    assert 'scene 50000' in result.stderr and 'The ' in result.stderr
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize('arguments, message', [
    (('--seed', '100000'), 'seed is 100000; take one from 0 to 99999'),
    (('--num-scenes', '0'), 'num_scenes is 0'),
    (('--num-frames', '3'), 'num_frames is 3; a scene needs at least 8'),
    (('--checkpoint', '/nowhere'), '/nowhere is not a folder'),
])
def test_bad_arguments_are_refused(arguments, message):
    """Exit status 2 and a message with the value and the way out."""
    result = run_evaluate(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
