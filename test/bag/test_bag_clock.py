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

"""Which clock a bag is narrated by: its times, unless they are plainly no clock."""

import json
import time

from bag_making import (
    COMPRESSED, header, IMAGE_TOPIC, PROMPT_TOPIC, scene_messages, small_images, START_NS, STRING,
    string_message, TYPESTORE, with_prompts, write_bag, write_ros1_bag,
)
from moss_ros.bag import BagError, ExitCode, narrate_bag, NarrateOptions
from moss_ros.bag.command import main
from moss_ros.bag.reading import open_source
import pytest
from runs import hashes, narrate_in_parts, records_of

NUMBER = 60
HOUR_NS = 3600 * 10**9
STEP_NS = 10**8


def write(path, messages, storage):
    return write_ros1_bag(path, messages) if storage == 'ros1' else \
        write_bag(path, messages, storage)


def retimed(messages, time_of=None, stamp_of=None):
    """Return messages with time_of(index, time) and stamps of stamp_of(index, time)."""
    found = []
    for index, (topic, kind, time_ns, content) in enumerate(messages):
        if stamp_of is not None and kind == COMPRESSED:
            image = TYPESTORE.deserialize_cdr(content, kind)
            image.header = header(stamp_of(index, time_ns))
            content = TYPESTORE.serialize_cdr(image, kind)
        found.append((topic, kind, time_ns if time_of is None else time_of(index, time_ns),
                      content))
    return found


def images(time_of=None, stamp_of=None, number=NUMBER):
    return retimed(small_images(number), time_of, stamp_of)


def what_is_told(path, prompt_topic='', clock='auto'):
    """Return the SourceInfo, and (bag time, stamp) of all messages, in ms since START_NS."""
    with open_source(path, '', prompt_topic, clock=clock) as source:
        times_ns = [(message.bag_time_ns,
                     None if message.is_prompt else source.stamp_ns(message))
                    for message in source.messages()]
    return source.info, [tuple(
        None if time_ns is None else (time_ns - START_NS) // 10**6 for time_ns in pair)
        for pair in times_ns]


IN_ORDER = [(100 * index, 100 * index) for index in range(NUMBER)]
NO_CLOCKS = {
    'all the same': lambda index, time_ns: START_NS + 7,
    'zeros': lambda index, time_ns: 0,
    'forward': lambda index, time_ns: time_ns + (3 * HOUR_NS if index >= 20 else 0),
    'back': lambda index, time_ns: time_ns - (3 * HOUR_NS if index >= 20 else 0),
    'begins at zero': lambda index, time_ns: 0 if index < 20 else time_ns,
    'to zero and back': lambda index, time_ns: 0 if 20 <= index < 25 else time_ns,
    'one at zero': lambda index, time_ns: 0 if index == 30 else time_ns,
}


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3', 'ros1'])
@pytest.mark.parametrize('name', NO_CLOCKS)
def test_where_bag_times_are_no_clock_the_header_stamps_are(tmp_path, name, storage):
    path = write(tmp_path / 'bag', images(NO_CLOCKS[name]), storage)
    info, told = what_is_told(path)
    assert told == IN_ORDER
    assert info.clock == 'header' and 'header stamps' in info.notes[0]
    assert info.start_ns == START_NS and info.end_ns == START_NS + 59 * STEP_NS
    info, _ = what_is_told(path, clock='bag')
    assert info.clock == 'bag'


@pytest.mark.parametrize(('time_of', 'stamp_of'), [
    (None, None),
    # The camera has a clock of its own, which is set in between.
    (None, lambda index, time_ns: time_ns - START_NS + 1 + (HOUR_NS * 9 if index > 30 else 0)),
    # Both clocks were set: there is none that goes on.
    (lambda index, time_ns: time_ns + (HOUR_NS * 9 if index > 30 else 0),
     lambda index, time_ns: time_ns + (HOUR_NS * 9 if index > 30 else 0)),
    # Sim time.
    (None, lambda index, time_ns: (time_ns - START_NS) // 2 + 1),
    (lambda index, time_ns: time_ns - START_NS, None),
])
def test_bag_times_are_the_clock_otherwise(tmp_path, time_of, stamp_of):
    messages = images(time_of, stamp_of)
    info, told = what_is_told(write_bag(tmp_path / 'bag', messages))
    assert info.clock == 'bag'
    assert [time_ms * 10**6 + START_NS for time_ms, _ in told] == [
        message[2] for message in messages]
    assert info.start_ns == messages[0][2] and info.end_ns == messages[-1][2]


def test_header_stamps_that_never_change_leave_the_times_of_the_bag(tmp_path):
    path = write_bag(tmp_path / 'bag', images(stamp_of=lambda *_: START_NS - HOUR_NS))
    info, told = what_is_told(path)
    assert told == IN_ORDER and info.clock == 'bag'
    assert 'header stamps of its images never change' in info.notes[0] and len(info.notes) == 1
    with pytest.raises(BagError, match='--clock header: its header stamps never change'):
        open_source(path, clock='header')
    nowhere = write_bag(tmp_path / 'nowhere', images(
        lambda *_: START_NS, lambda *_: START_NS))
    info, told = what_is_told(nowhere)
    assert told == [(0, 0)] * NUMBER and 'neither' in info.notes[0]
    unset = write_bag(tmp_path / 'unset', images(stamp_of=lambda *_: 0))
    info, told = what_is_told(unset)
    assert told == IN_ORDER and not info.notes


def test_a_stamp_that_is_missing_does_not_begin_the_stream_anew(tmp_path):
    # By a clock of their own, as of a simulation.
    path = write_bag(tmp_path / 'bag', images(
        stamp_of=lambda index, time_ns: 0 if index % 7 == 3 else time_ns - START_NS + 10**9))
    output = tmp_path / 'out'
    narrate_bag(path, output, NarrateOptions())
    run = json.loads((output / 'run.json').read_text())
    assert run['counts']['frames_used'] == 12 and not run['unusable']
    assert not records_of(output, 'error')


def test_the_clock_can_be_forced_and_is_told(tmp_path, capsys):
    path = write_bag(tmp_path / 'bag', images(lambda index, _: START_NS + HOUR_NS))
    for clock, expected in (('auto', 'header'), ('header', 'header'), ('bag', 'bag')):
        output = tmp_path / f'said_{clock}'
        assert main([str(path), '--output', str(output), '--quiet', '--clock', clock]) == 0
        run = json.loads((output / 'run.json').read_text())
        assert run['options']['clock'] == clock and run['source']['clock'] == expected
        told = capsys.readouterr()
        assert told.err == ''
        assert ('header stamps' in told.out) == (clock == 'auto')
        assert told.out.count('\n') == (2 if clock == 'auto' else 1)
    with pytest.raises(SystemExit) as caught:
        main([str(path), '--output', str(tmp_path / 'none'), '--clock', 'wall'])
    assert caught.value.code == ExitCode.USAGE
    with pytest.raises(ValueError, match="clock is 'wall'; allowed: auto, bag, header"):
        NarrateOptions(clock='wall')
    with pytest.raises(BagError, match='source: clock was "bag" and is now "header"') as error:
        narrate_bag(path, tmp_path / 'said_bag', NarrateOptions(clock='header'), resume=True)
    assert error.value.exit_code is ExitCode.RESUME


@pytest.mark.parametrize('num_bags', [1, 2])
def test_the_clock_is_told_also_where_a_bag_breaks_off(tmp_path, num_bags, capsys):
    path = write_bag(tmp_path / 'bag', images(lambda index, _: START_NS)) / 'bag.mcap'
    path.write_bytes(path.read_bytes()[:-40])
    arguments = [str(path)] * num_bags + ['--output', str(tmp_path / 'out'), '--quiet']
    assert main(arguments) == ExitCode.INCOMPLETE
    told = capsys.readouterr()
    assert told.out.count('header stamps') == num_bags
    assert told.err.count('\n') == num_bags and 'never closed' in told.err


# Prompts

def test_prompts_are_told_by_the_clock_of_the_images(tmp_path):
    asked = [(STRING, index) for index in (0, 25, 59)]
    messages = images(lambda *_: START_NS)
    for number, (kind, index) in enumerate(asked):
        messages.insert(index + number, (PROMPT_TOPIC, kind, START_NS, string_message('What?')))
    info, told = what_is_told(write_bag(tmp_path / 'bag', messages), PROMPT_TOPIC)
    assert info.clock == 'header' and info.start_ns == START_NS
    prompts = [time_ms for time_ms, stamp_ms in told if stamp_ms is None]
    assert prompts == [0, 2400, 5800]


def test_what_went_by_since_the_last_image_counts_for_a_prompt(tmp_path):
    messages = images(lambda index, time_ns: time_ns + 5 * HOUR_NS)
    messages.insert(30, (PROMPT_TOPIC, STRING, messages[29][2] + 33_000_000,
                         string_message('What?')))
    path = write_bag(tmp_path / 'bag', messages)
    _, told = what_is_told(path, PROMPT_TOPIC, 'header')
    assert told[30] == (2933, None)


# Times astray

def test_a_message_at_time_zero_of_another_topic_moves_nothing(tmp_path):
    messages = list(scene_messages(71, 12.0, True))
    stray = ('/chatter', STRING, 0, string_message('I came before the clock did'))
    late = ('/chatter', STRING, 2**63 - 2, string_message('and I after it'))
    for name, bag in (('plain', messages), ('stray', [stray, *messages, late])):
        narrate_bag(write_bag(tmp_path / name / 'bag', bag), tmp_path / f'{name}_out',
                    NarrateOptions(prompts_at=((3.0, 'What do you see?'),)))
    assert (tmp_path / 'plain_out/narration.vtt').read_bytes() == \
        (tmp_path / 'stray_out/narration.vtt').read_bytes()
    assert hashes(tmp_path / 'plain_out')['report.html'] == \
        hashes(tmp_path / 'stray_out')['report.html']


@pytest.mark.parametrize('has_stamp', [True, False])
def test_an_image_or_a_prompt_at_time_zero_moves_nothing(tmp_path, has_stamp):
    messages = list(with_prompts(scene_messages(71, 12.0, True), (3.0, 'What do you see?')))
    plain = tmp_path / 'plain'
    options = NarrateOptions(prompt_topic=PROMPT_TOPIC)
    narrate_bag(write_bag(tmp_path / 'a' / 'bag', messages), plain, options)
    topic, kind, time_ns, content = messages[0]
    if not has_stamp:
        content = retimed([messages[0]], stamp_of=lambda *_: 0)[0][3]
    messages[0] = (topic, kind, 0, content)
    stray = tmp_path / 'stray'
    narrate_bag(write_bag(tmp_path / 'b' / 'bag', messages), stray, options)
    run = json.loads((stray / 'run.json').read_text())
    assert run['source']['end_ns'] - run['source']['start_ns'] == pytest.approx(12e9, abs=3e8)
    begins = [[line[:9] for line in (output / 'narration.vtt').read_text().splitlines()
               if '-->' in line] for output in (plain, stray)]
    assert len(begins[0]) == len(begins[1]) > 1
    assert all(line.startswith('00:00:') for line in begins[1])


def test_the_start_is_the_first_image_or_prompt(tmp_path):
    before = [('/tf', STRING, START_NS - 5 * 10**9, string_message('earlier')),
              (PROMPT_TOPIC, STRING, START_NS - 10**9, string_message('What?'))]
    path = write_bag(tmp_path / 'bag', [*before, *images()])
    assert what_is_told(path)[0].start_ns == START_NS
    assert what_is_told(path, PROMPT_TOPIC)[0].start_ns == START_NS - 10**9


# Gaps

@pytest.mark.parametrize('clock', ['auto', 'header'])
def test_a_gap_of_hours_is_told_and_costs_nothing(tmp_path, clock):
    gap_ns = 20 * HOUR_NS
    messages = list(scene_messages(71, 20.0, True))
    messages = retimed(
        messages, lambda index, time_ns: time_ns + (gap_ns if index >= 100 else 0),
        lambda index, time_ns: time_ns + (gap_ns if index >= 100 else 0))
    path = write_bag(tmp_path / 'bag', messages)
    begin_s = time.monotonic()
    shown = []
    narrate_bag(path, tmp_path / 'out', NarrateOptions(
        clock=clock, prompts_at=((9.9, 'What do you see?'), (36_000.0, 'And now?'))),
        lambda done_s, total_s: shown.append((done_s, total_s)))
    assert time.monotonic() - begin_s < 30
    run = json.loads((tmp_path / 'out/run.json').read_text())
    note, = run['source']['notes']
    assert 'pause for 20.0 h after 9.9 s' in note
    assert run['counts']['frames_used'] <= 43 and run['counts']['frames_read'] == 200
    assert shown[-1][0] == shown[-1][1] == pytest.approx(72_019.9, abs=0.1)
    assert shown == sorted(shown)
    # Times are those of the bag: nothing was said in the gap but the answer to what was asked.
    times_s = [(record['bag_time_ns'] - START_NS) / 1e9 for record in records_of(tmp_path / 'out')
               if record['type'] in ('token', 'narration')]
    assert times_s and times_s == sorted(times_s)
    assert not [time_s for time_s in times_s if 60 < time_s < 35_999]
    captions = (tmp_path / 'out/narration.vtt').read_text()
    assert '00:00:0' in captions and '20:00:1' in captions
    codes = narrate_in_parts(path, tmp_path / 'parts', NarrateOptions(
        clock=clock, prompts_at=((9.9, 'What do you see?'), (36_000.0, 'And now?'))))
    assert codes[-1] is ExitCode.OK and codes.count(ExitCode.INTERRUPTED) > 2
    assert hashes(tmp_path / 'out') == hashes(tmp_path / 'parts')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3', 'ros1'])
def test_a_run_by_header_stamps_goes_on_to_the_same_bytes(tmp_path, storage):
    messages = list(with_prompts(scene_messages(72, 30.0, True), (12.0, 'What do you see?')))
    path = write(tmp_path / 'bag', retimed(messages, lambda *_: START_NS), storage)
    options = NarrateOptions(prompt_topic=PROMPT_TOPIC, seed=7, sampling='random',
                             with_images=True)
    narrate_bag(path, tmp_path / 'whole', options)
    codes = narrate_in_parts(path, tmp_path / 'parts', options)
    assert codes[-1] is ExitCode.OK and codes.count(ExitCode.INTERRUPTED) > 3
    assert hashes(tmp_path / 'whole') == hashes(tmp_path / 'parts')
    # What is said is what is said of the bag with a clock.
    narrate_bag(write(tmp_path / 'good', messages, storage), tmp_path / 'plain', options)
    said = [[record['text'] for record in records_of(tmp_path / name, 'narration')]
            for name in ('whole', 'plain')]
    assert said[0] == said[1] and len(said[0]) > 3


def test_topics_are_still_chosen_by_name(tmp_path):
    path = write_bag(tmp_path / 'bag', [
        *images(), *small_images(3, topic='/rear')])
    with open_source(path, IMAGE_TOPIC) as source:
        assert source.info.num_images == NUMBER
