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

"""Whole runs: what is said of scenes with known truth, and that nothing else changes it."""

import hashlib
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

from bag_making import (
    COMPRESSED, compressed_data, IMAGE_TOPIC, make_scene_bag, PROMPT_TOPIC, scene_messages,
    START_NS, STRING, with_prompts, write_bag,
)
import cv2
from mcap.reader import make_reader
from moss_ros.bag import bag_run, BagError, ExitCode, narrate_bag, NarrateOptions
from moss_ros.bag.batch import BagTask, narrate_task
from moss_ros.bag.command import main, output_folders
from moss_ros.bag.outputs import write_vtt
from moss_ros.records import event_json, OUTPUT_TOPICS
from moss_ros.training.scoring import match_narration, split_sentences, TOLERANCE_FRAMES
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from runs import hashes, OPTIONS, OUTPUTS, records_of
import webvtt

REPOSITORY = Path(__file__).resolve().parents[2]


def test_what_happens_is_told_in_time(tmp_path):
    """As in the live evaluation: recall and precision of exact sentences, 2 frames late."""
    score = None
    for seed in (71, 72):
        bag = make_scene_bag(tmp_path / f'{seed}', seed, 40.0, storage='sqlite3')
        narrate_bag(bag.path, tmp_path / f'out{seed}', NarrateOptions())
        frame_s = 0.5
        said = [((record['first_stamp_ns'] - START_NS) / 1e9 / frame_s, sentence)
                for record in records_of(tmp_path / f'out{seed}', 'narration')
                for sentence in split_sentences(record['text'])]
        truth = [(int(event.time_s / frame_s) + 1, event.sentence) for event in bag.events
                 if event.time_s < bag.duration_s - (TOLERANCE_FRAMES + 1) * frame_s]
        scored = match_narration(truth, said, TOLERANCE_FRAMES)
        score = scored if score is None else score + scored
    assert score.num_events > 20
    assert score.event_recall >= 0.7 and score.sentence_precision >= 0.7


def test_a_record_has_all_that_is_to_be_known(narrated):
    records = records_of(narrated)
    assert [record['seq'] for record in records] == list(range(len(records)))
    times_ns = [record['bag_time_ns'] for record in records]
    assert times_ns == sorted(times_ns)
    prompt, = records_of(narrated, 'prompt')
    assert prompt['text'] == 'What do you see?' and prompt['prompt_id'] == 'prompt-1'
    assert prompt['first_bag_time_ns'] == START_NS + 12 * 10**9
    assert 0 <= prompt['bag_time_ns'] - prompt['first_bag_time_ns'] < 10**8
    # What the camera had sent then is seen with it.
    assert START_NS + 11.9e9 in {record['stamp_ns'] for record in records}
    answer, = (record for record in records_of(narrated, 'narration') if record['prompt_id'])
    assert answer['prompt_id'] == 'prompt-1' and answer['text']
    for record in records_of(narrated, 'narration'):
        is_asked = record['seq'] > prompt['seq']
        assert record['standing_prompt_id'] == ('prompt-1' if is_asked else None)
        assert record['first_bag_time_ns'] <= record['bag_time_ns']
        assert record['first_stamp_ns'] <= record['first_bag_time_ns']
        assert record['reason'] in (
            'silence', 'interrupted', 'limit', 'stopped', 'unanswered')
    tokens = [record['text'] for record in records_of(narrated, 'token')]
    narrations = [record['text'] for record in records_of(narrated, 'narration')]
    assert ''.join(tokens) == ''.join(narrations)


def test_run_json_counts_what_was_done(narrated):
    run = json.loads((narrated / 'run.json').read_text())
    assert run['is_complete'] and run['error'] is None and run['unusable'] == {}
    # One of them is shown out of turn, at the question.
    assert run['counts']['frames_read'] == 400 and run['counts']['frames_used'] == 81
    assert run['counts']['narrations'] == len(records_of(narrated, 'narration'))
    assert NarrateOptions(**run['options']) == OPTIONS
    model = REPOSITORY / 'moss_ros/checkpoints/demo/model.safetensors'
    assert run['checkpoint']['sha256']['model.safetensors'] == hashlib.sha256(
        model.read_bytes()).hexdigest()
    assert run['source']['image_topic'] == IMAGE_TOPIC and run['versions']['torch']


def test_the_captions_are_those_of_the_narrations(narrated):
    captions = webvtt.read(narrated / 'narration.vtt').captions
    narrations = [record for record in records_of(narrated, 'narration') if record['text']]
    assert len(captions) == len(narrations) > 5
    end_s = 0.0
    for caption, record in zip(captions, narrations, strict=True):
        assert caption.text.splitlines()[-1] == record['text'].strip()
        begin_s = (record['first_bag_time_ns'] - START_NS - 5_000_000) / 1e9
        assert caption.start_in_seconds == pytest.approx(int(begin_s), abs=1)
        assert caption.end_in_seconds >= caption.start_in_seconds >= int(end_s)
        end_s = caption.end_in_seconds


def test_captions_are_text_whatever_was_said(tmp_path):
    text = 'a <b>bold</b> & --> claim\n\nNOTE no\n'
    write_vtt(tmp_path / 'x.vtt', [
        {'type': 'prompt', 'prompt_id': 'p', 'text': '<script>?'},
        {'type': 'narration', 'prompt_id': 'p', 'text': text, 'narration_id': 1,
         'first_bag_time_ns': 3_600_500_000_000, 'bag_time_ns': 3_601_000_000_000},
        {'type': 'narration', 'prompt_id': None, 'text': '', 'narration_id': 2,
         'first_bag_time_ns': 3_600_500_000_000, 'bag_time_ns': 3_601_000_000_000},
    ], 0)
    caption, = webvtt.read(tmp_path / 'x.vtt').captions
    assert caption.start == '01:00:00.500'
    assert caption.raw_text == (
        '<i>&lt;script&gt;?</i>\na &lt;b&gt;bold&lt;/b&gt; &amp; --&gt; claim NOTE no')


def test_the_narration_is_a_bag_for_mcap_and_rosbags(narrated, scene_bag):
    with (narrated / 'narration.mcap').open('rb') as file:
        by_topic = {}
        for schema, channel, message in make_reader(file).iter_messages():
            by_topic.setdefault((channel.topic, schema.name), []).append(message.log_time)
    types = {f'/narrator/{topic.name}': topic.message_type for topic in OUTPUT_TOPICS}
    assert set(by_topic) == {*types.items(), (IMAGE_TOPIC, COMPRESSED)}
    assert len(by_topic[IMAGE_TOPIC, COMPRESSED]) == 400
    records = records_of(narrated)
    read = {topic: [] for topic in types}
    with AnyReader([narrated / 'narration.mcap']) as reader:
        connections = [item for item in reader.connections if item.topic in read]
        for connection, time_ns, content in reader.messages(connections):
            message = reader.deserialize(content, connection.msgtype)
            read[connection.topic].append((time_ns, message.data))
    assert read['/narrator/narration'] == [
        (record['bag_time_ns'], record['text'].strip())
        for record in records if record['type'] == 'narration' and record['text']]
    assert read['/narrator/tokens'] == [
        (record['bag_time_ns'], record['text']) for record in records_of(narrated, 'token')]
    assert read['/narrator/silence'] == [
        (record['bag_time_ns'], record['state'] == 'silent')
        for record in records_of(narrated, 'state')]
    assert read['/narrator/events'] == [
        (record['bag_time_ns'], event_json(record)) for record in records]
    assert read['/narrator/silence'][0][1] is True


def test_the_same_run_twice_gives_the_same_files(narrated, scene_bag, tmp_path):
    """Also where the state is saved all the time, and by another folder's name."""
    narrate_bag(scene_bag.path, tmp_path / 'again', OPTIONS, save_every_s=1.0)
    assert hashes(tmp_path / 'again') == hashes(narrated)
    assert list(hashes(narrated)) == OUTPUTS


def with_bad_images(messages, first, last):
    """Cut the JPEG data of some messages off."""
    for index, (topic, kind, time_ns, content) in enumerate(messages):
        is_bad = first <= index < last
        yield topic, kind, time_ns, bytes(content)[:300] if is_bad else content


def test_an_unreadable_frame_is_counted_and_the_next_one_takes_its_place(tmp_path):
    messages = with_bad_images(scene_messages(3, 4.0, True), 10, 11)
    write_bag(tmp_path / 'bag', messages)
    record = narrate_bag(tmp_path / 'bag', tmp_path / 'out', NarrateOptions())
    assert sum(record.unusable.values()) == record.counts['unusable'] == 1
    assert record.counts['frames_used'] == 8 and record.is_complete
    error, = records_of(tmp_path / 'out', 'error')
    assert error['bag_time_ns'] == START_NS + 1_005_000_000


def test_a_bag_of_unreadable_frames_is_reported(tmp_path):
    write_bag(tmp_path / 'bag', with_bad_images(scene_messages(3, 1.0, True), 0, 10))
    with pytest.raises(BagError, match='none of its 10 images could be used') as caught:
        narrate_bag(tmp_path / 'bag', tmp_path / 'out', NarrateOptions())
    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert list(hashes(tmp_path / 'out')) == OUTPUTS


def test_why_nothing_could_be_used_is_told_in_the_one_line_and_in_run_json(tmp_path, capsys):
    """The most frequent reason with its first text, and every kind of refused prompt."""
    images = [
        (topic, kind, time_ns, compressed_data(b'\xff\xd8\xff', time_ns) if index < 8 else b'no')
        for index, (topic, kind, time_ns, _) in enumerate(scene_messages(3, 1.0, True))]
    write_bag(tmp_path / 'bag', with_prompts(images, (0.45, 'What?'), (0.55, ' ')))
    status = main([str(tmp_path / 'bag'), '--quiet', '--output', str(tmp_path / 'out'),
                   '--prompt-topic', 'prompt'])
    line, = capsys.readouterr().err.splitlines()
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert status == ExitCode.INCOMPLETE and line.endswith(run['error'])
    first = records_of(tmp_path / 'out', 'error')[0]['text']
    kind = next(kind for kind, number in run['unusable'].items() if number == 8)
    assert f'none of its 10 images could be used: 8 {kind} (the first: {first}), ' in line
    assert ', 2 bad_message; ' in line
    assert 'prompts that could not be asked: 1 empty_prompt (the first: at 0.5 s, ' in line


def test_pictures_that_do_not_change_are_noted(tmp_path, capsys):
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    data = cv2.imencode('.png', pixels)[1].tobytes()
    write_bag(tmp_path / 'bag', [
        (IMAGE_TOPIC, COMPRESSED, time_ns, compressed_data(data, time_ns, 'png'))
        for time_ns in range(START_NS, START_NS + 7 * 10**9, 5 * 10**8)])
    status = main([str(tmp_path / 'bag'), '--quiet', '--output', str(tmp_path / 'out')])
    assert status == ExitCode.OK
    note = 'its pictures are identical from 0.0 to 6.5 s'
    assert note in capsys.readouterr().out
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert run['pictures'] == {
        'num_left_out': 0, 'stretches': [{'what': 'frozen', 'start_s': 0.0, 'end_s': 6.5}]}
    assert note in (tmp_path / 'out' / 'report.html').read_text()


def test_a_refused_prompt_is_told_where_all_else_is_well(tmp_path, capsys):
    bad = (PROMPT_TOPIC, STRING, START_NS + 10**9, b'no')
    messages = with_prompts(
        scene_messages(5, 3.0, True), (0.5, 'x' * 900), (1.5, ' '), (2.5, 'What do you see?'))
    write_bag(tmp_path / 'bag', sorted([*messages, bad], key=lambda message: message[2]))
    status = main([str(tmp_path / 'bag'), '--quiet', '--output', str(tmp_path / 'out'),
                   '--prompt-topic', 'prompt'])
    line, = capsys.readouterr().err.splitlines()
    assert status == ExitCode.OK and '3 messages could not be used: ' in line
    assert '1 bad_message of a prompt (the first: at 1.0 s, ' in line
    assert "1 refused_prompt (the first: prompt 'prompt-1' is refused: it is " in line
    assert '1 empty_prompt (the first: at 1.5 s, ' in line
    assert json.loads((tmp_path / 'out' / 'run.json').read_text())['unusable'] == {
        'bad_message': 1, 'empty_prompt': 1, 'refused_prompt': 1}


def test_files_with_names_in_no_encoding_are_narrated(short_bag, tmp_path, capsys):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9'))
    shutil.copytree(short_bag.path, path)
    status = main([str(path), str(short_bag.path), '--quiet', '--output', str(tmp_path / 'out')])
    assert status == ExitCode.OK and capsys.readouterr().err == ''
    assert './caf%E9/report.html' in (tmp_path / 'out' / 'index.html').read_text()
    run = json.loads((tmp_path / 'out' / path.name / 'run.json').read_text(encoding='utf-8'))
    assert run['source']['name'] == path.name


def test_what_libraries_write_stays_off_the_terminal(tmp_path):
    """OpenCV writes a line for every JPEG with some bytes too many, and shows it all the same."""
    messages = []
    for topic, kind, time_ns, _ in scene_messages(3, 1.0, True):
        jpeg = cv2.imencode('.jpg', np.full((24, 32, 3), 9, np.uint8))[1].tobytes()
        messages.append((topic, kind, time_ns, compressed_data(
            jpeg[:-2] + b'junk' + jpeg[-2:], time_ns)))
    write_bag(tmp_path / 'bag', messages)
    ended = subprocess.run(
        [sys.executable, '-m', 'moss_ros.bag', str(tmp_path / 'bag'), '--output',
         str(tmp_path / 'out'), '--quiet'], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=120)
    assert (ended.returncode, ended.stderr) == (ExitCode.OK, '')
    assert '2 of 10 frames' in ended.stdout


def test_what_nobody_foresaw_is_one_line_too(short_bag, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bag_run, 'open_source', lambda *_: 1 / 0)
    status, line = refused(short_bag, tmp_path, capsys)
    assert status == ExitCode.FAILED and 'ZeroDivisionError' in line
    outcome = narrate_task(
        BagTask(short_bag.path, tmp_path / 'task', NarrateOptions()), print, bool)
    assert outcome.exit_code is ExitCode.FAILED and 'ZeroDivisionError' in outcome.error
    assert 'Traceback' in (tmp_path / 'out' / 'unexpected_error.txt').read_text()


def test_of_a_bag_that_breaks_off_the_rest_is_narrated(tmp_path):
    path = write_bag(tmp_path / 'bag', scene_messages(3, 12.0), 'mcap', 'storage')
    file = next(path.glob('*.mcap'))
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle:middle + 4096] = bytes(4096)
    file.write_bytes(content)
    with pytest.raises(BagError, match='breaks off') as caught:
        narrate_bag(path, tmp_path / 'out', NarrateOptions())
    assert caught.value.exit_code is ExitCode.INCOMPLETE and str(path) in str(caught.value)
    run = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert not run['is_complete'] and 'breaks off' in run['error']
    assert 4 < run['counts']['frames_used'] < 24
    with pytest.raises(BagError, match='breaks off'):
        narrate_bag(path, tmp_path / 'out', NarrateOptions(), resume=True)


def test_a_camera_that_began_anew_is_narrated_anew(tmp_path):
    late = [(topic, kind, time_ns + 20 * 10**9, content)
            for topic, kind, time_ns, content in scene_messages(3, 2.0, True)]
    write_bag(tmp_path / 'bag', [*scene_messages(4, 4.0, True), *late])
    record = narrate_bag(tmp_path / 'bag', tmp_path / 'out', NarrateOptions())
    assert record.counts['frames_used'] == 12
    error, = records_of(tmp_path / 'out', 'error')
    assert 'went back by 3.9 s' in error['text']


@pytest.mark.parametrize(('arguments', 'exit_code', 'hint'), [
    (['{bag}', '--output', '{file}/out'], ExitCode.OUTPUT, 'cannot be written'),
    (['{missing}', '--output', '{out}'], ExitCode.SOURCE, 'missing: does not exist'),
    (['{bag}', '--output', '{out}', '--image-topic', 'x'], ExitCode.SOURCE, 'has no topic /x'),
    (['{bag}', '--output', '{bag}'], ExitCode.USAGE, 'which is never changed; name another'),
    (['{bag}', '--output', '{out}', '--prompt-at', '99', 'Why?'], ExitCode.USAGE,
     "lasts 2.9 s, so 'Why?' cannot be asked at 99 s"),
    (['{bag}', '--output', '{out}', '--checkpoint', '/missing'], ExitCode.MODEL, '/missing'),
    (['{bag}', '--output', '{out}', '--tokens-per-second', '1'], ExitCode.USAGE,
     'tokens_per_second is 1, but each of 2 frames a second takes one token at least; 2 to 10000'),
    (['{bag}', '--output', '{out}', '--prompt-at', 'soon', 'Why?'], ExitCode.USAGE, "'soon'"),
    (['{bag}', '--output', '{out}', '--seed', '-1'], ExitCode.USAGE, 'seed is -1;'),
    (['{bag}', '--output', '{out}', '--answer-within', '0'], ExitCode.USAGE,
     'answer_within_s is 0.0; a number above 0 is needed'),
    (['{bag}', '--output', '{out}', '--answer-within', '-2'], ExitCode.USAGE,
     'answer_within_s is -2.0; a number above 0 is needed'),
    (['{bag}', '--output', '{out}', '--prompt', 'caf\udce9'], ExitCode.USAGE,
     'text that UTF-8 can carry is needed'),
    (['{bag}'], ExitCode.USAGE, '--output'),
])
def test_errors_are_one_line_with_a_status(short_bag, tmp_path, capsys, arguments, exit_code,
                                           hint):
    (tmp_path / 'file').write_text('')
    places = {'bag': short_bag.path, 'file': tmp_path / 'file', 'out': tmp_path / 'out',
              'missing': tmp_path / 'missing'}
    try:
        status = main(['--quiet', *(argument.format(**places) for argument in arguments)])
    except SystemExit as stop:
        status = stop.code
    errors = capsys.readouterr().err.splitlines()
    assert status == exit_code and len(errors) == 1 and hint in errors[0], errors


def refused(short_bag, tmp_path, capsys, *arguments):
    """Return the status and the one line of a run with these options."""
    try:
        status = main([str(short_bag.path), '--output', str(tmp_path / 'out'), '--quiet',
                       *arguments])
    except SystemExit as stop:
        status = stop.code
    line, = capsys.readouterr().err.splitlines()
    return status, line


@pytest.mark.parametrize(('option', 'value', 'hint'), [
    ('--num-threads', '0', 'of at least 1 is needed, 256 at most'),
    ('--num-threads', '100000', 'num_threads is 100000; a whole number of at least 1 is needed'),
    ('--num-threads', '9' * 20, '256 at most'),
    ('--seed', '9223372036854775808', '9223372036854775807 at most'),
    ('--seed', '9' * 3000, '9223372036854775807 at most'),
    ('--frame-rate', 'nan', 'of at least 1e-05 is needed, 1000 at most'),
    ('--frame-rate', '1e-300', '1000 at most'),
    ('--frame-rate', '1e308', '1000 at most'),
    ('--tokens-per-second', 'inf', 'a number of at least 0 is needed, 10000 at most'),
    ('--answer-within', '1e300', 'a number above 0 is needed, 1000000 at most'),
    ('--max-tokens-between-frames', '99999999', '1000000 at most'),
    ('--max-tokens-between-frames', '2000', 'at most 211 max_tokens_between_frames'),
    ('--save-every', 'nan', 'save_every is nan; a number of at least 0 is needed'),
    ('--jobs', '0', 'jobs is 0; a whole number of at least 1 is needed, 1000 at most'),
    ('--jobs', '1001', '1000 at most'),
    ('--device', 'cuda:77', 'torch sees'),
    ('--device', 'cpu:5', 'allowed: auto, cpu, cuda'),
    ('--dtype', 'int8', 'allowed: auto, float32'),
    ('--attention', 'fast', 'allowed: auto, sdpa, flash'),
    ('--quantization', 'int3', 'allowed: int8, int4'),
    ('--prompt', ' ', 'something besides whitespace'),
    ('--prompt', 'x' * 900, 'tokens too long for a context of 240 tokens'),
])
def test_an_option_out_of_range_is_refused_with_the_range(
        short_bag, tmp_path, capsys, option, value, hint):
    status, line = refused(short_bag, tmp_path, capsys, option, value)
    assert status == ExitCode.USAGE and hint in line and len(line) < 500
    # Nothing is left that would stand in the way of a second try.
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def test_the_ranges_are_those_of_the_docs(short_bag, tmp_path, capsys):
    """What is one more than the docs allow is refused, with the number that they give."""
    page = (REPOSITORY / 'docs' / 'bags.md').read_text(encoding='utf-8')
    table = page.split('| Option | Range |\n')[1].split('\n\n')[0]
    rows = re.findall(r'^\| `(--[a-z-]+)` \| .*?(?: to (\d+))?[ ;|]', table, re.MULTILINE)
    assert len(rows) == len(table.splitlines()) - 1 > 5
    for option, most in re.findall(r'^\| `(--[a-z-]+)` \|.* to (\d+)', table, re.MULTILINE):
        status, line = refused(short_bag, tmp_path, capsys, option, str(int(most) + 1))
        assert status == ExitCode.USAGE and f'{most} at most' in line
    with pytest.raises(SystemExit):
        main(['--help'])
    options = set(re.findall(r'--[a-z-]+', capsys.readouterr().out))
    assert {option for option, _ in rows} <= options


def test_options_that_would_end_the_process_do_not(short_bag, tmp_path):
    """OpenMP would, within the libraries, with an error of its own."""
    ended = subprocess.run(
        [sys.executable, '-m', 'moss_ros.bag', str(short_bag.path), '--output',
         str(tmp_path / 'out'), '--quiet', '--num-threads', '256', '--seed', str(2**63 - 1),
         '--sampling', 'random'], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (ExitCode.OK, '')


def test_what_is_wrong_for_all_bags_is_told_once(short_bag, tmp_path, capsys):
    status = main([str(short_bag.path)] * 2 + ['--output', str(tmp_path), '--device', 'cuda:77'])
    line, = capsys.readouterr().err.splitlines()
    assert status == ExitCode.USAGE and 'torch sees' in line


@pytest.fixture(scope='module')
def short_bag(tmp_path_factory):
    return make_scene_bag(tmp_path_factory.mktemp('short') / 'short', 5, 3.0, is_compressed=True)


def test_a_bad_bag_among_others_does_not_stop_them(short_bag, tmp_path, capsys):
    status = main([str(tmp_path / 'missing'), str(short_bag.path), '--quiet', '--output',
                   str(tmp_path / 'out')])
    assert status == ExitCode.SOURCE
    assert 'missing: does not exist' in capsys.readouterr().err
    assert list(hashes(tmp_path / 'out' / 'short')) == OUTPUTS


def test_each_of_several_bags_has_its_folder():
    sources = [Path('/a/one'), Path('/b/one'), Path('/c/two.mp4')]
    assert output_folders(sources, Path('out')) == [
        (Path('/a/one'), Path('out/one')), (Path('/b/one'), Path('out/one-2')),
        (Path('/c/two.mp4'), Path('out/two.mp4'))]
    assert output_folders(sources[:1], Path('out')) == [(Path('/a/one'), Path('out'))]


def test_prompts_of_the_command_line_are_asked(short_bag, tmp_path):
    main([str(short_bag.path), '--quiet', '--output', str(tmp_path), '--prompt', 'What is there?',
          '--prompt-at', '1.2', 'Is anything moving?', '--answer-within', '12.5'])
    asked = [(record['text'], round((record['bag_time_ns'] - START_NS) / 1e9, 1))
             for record in records_of(tmp_path, 'prompt')]
    assert asked == [('What is there?', 0.0), ('Is anything moving?', 1.2)]
    run = json.loads((tmp_path / 'run.json').read_text())
    assert run['options']['answer_within_s'] == run['stream']['answer_within_s'] == 12.5
    assert 'open for 12.5 s' in (tmp_path / 'report.html').read_text(encoding='utf-8')


def test_prompts_keep_their_order_with_recorded_ones(tmp_path):
    write_bag(tmp_path / 'bag', with_prompts(
        scene_messages(5, 3.0, True), (1.0, 'What do you see?'), (2.0, ' ')))
    record = narrate_bag(tmp_path / 'bag', tmp_path / 'out', NarrateOptions(
        prompt_topic='/prompt', prompts_at=((0.5, 'Is anything moving?'),)))
    assert [item['text'] for item in records_of(tmp_path / 'out', 'prompt')] == [
        'Is anything moving?', 'What do you see?']
    assert record.unusable == {'empty_prompt': 1} and record.counts['prompts'] == 2


@pytest.mark.parametrize('given, source', [
    ('', 'stream_config.system_prompt of config.json'),
    ('Watch.', 'the parameter system_prompt'),
])
def test_the_log_says_truly_where_the_system_prompt_is_from(caplog, given, source):
    with caplog.at_level('INFO', logger='moss_ros.stream'):
        checkpoint = NarrateOptions(system_prompt=given).open_checkpoint()
    assert caplog.messages == [f'live system prompt of {checkpoint.folder}: {source}']
    assert checkpoint.options.system_prompt == given or not given
