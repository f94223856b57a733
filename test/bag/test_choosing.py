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

"""Which frames are shown: those of the sampler, and what was to be seen at a question."""

import json

import av
from bag_making import (
    IMAGE, image_message, IMAGE_TOPIC, PROMPT_TOPIC, START_NS, STRING, string_message, write_bag,
)
from moss_ros.bag import frame_chooser
from moss_ros.bag.bag_source import BagSource
from moss_ros.bag.frame_chooser import (
    AskedPrompt, ChosenFrame, FrameChooser, StreamRestart, UnusableMessage,
)
from moss_ros.bag.picture_notes import picture_note
from moss_ros.bag.reading import open_source
from moss_ros.bag.unusable import UnusableTally
from moss_ros.stream import EncodedFrame
import numpy as np
import pytest
import torch

# An image is recorded so long after its stamp.
DELAY_MS = 5


class PixelEncoder:
    """Takes a pixel of a frame for its states; its frame before is the number of frames."""

    def __init__(self, model):
        self.frame_before = None

    def reset(self, frame_before=None):
        self.frame_before = frame_before

    def encode(self, frames):
        for _ in frames:
            self.frame_before = torch.tensor(
                1 if self.frame_before is None else int(self.frame_before) + 1)
        return [EncodedFrame(torch.tensor([[frame.image[0, 0, 0]]]), frame.stamp_ns)
                for frame in frames]


@pytest.fixture(autouse=True, params=[1, 2])
def no_model(monkeypatch, request):
    """Let frames be encoded without a model, and few frames make a group."""
    monkeypatch.setattr(frame_chooser, 'FrameEncoder', PixelEncoder)
    monkeypatch.setattr(frame_chooser, 'FRAMES_PER_GROUP', request.param)


def image(stamp_ms, recorded_ms=None, is_cut=False):
    """Return the message of an image, whose pixels tell its stamp."""
    stamp_ns = START_NS + stamp_ms * 10**6
    recorded_ms = stamp_ms + DELAY_MS if recorded_ms is None else recorded_ms
    picture = np.full((8, 8, 3), stamp_ms // 100, np.uint8)
    content = bytes(image_message(picture, stamp_ns))
    return (IMAGE_TOPIC, IMAGE, START_NS + recorded_ms * 10**6,
            content[:-20] if is_cut else content)


def camera(num=20, start_ms=0):
    """Return the messages of a camera of 10 Hz."""
    return [image(start_ms + index * 100) for index in range(num)]


def recorded(time_ms, text):
    return PROMPT_TOPIC, STRING, START_NS + time_ms * 10**6, string_message(text)


def in_order(messages):
    return sorted(messages, key=lambda message: message[2])


def told(items):
    """Return items in words: times are in ms since START_NS."""
    for item in items:
        time_ms = (item.bag_time_ns - START_NS) // 10**6
        if isinstance(item, ChosenFrame):
            stamp_ms = (item.frame.stamp_ns - START_NS) // 10**6
            assert item.thumbnail[0, 0, 0] == item.frame.states[0, 0] == stamp_ms // 100
            yield 'frame', time_ms, stamp_ms
        elif isinstance(item, AskedPrompt):
            yield 'prompt', time_ms, item.text
        elif isinstance(item, UnusableMessage):
            yield 'unusable', time_ms, item.kind
        else:
            assert isinstance(item, StreamRestart)
            yield 'restart', time_ms, None


def encoded_groups(chooser):
    """Yield the groups of a FrameChooser as the narration takes them."""
    return chooser.encoded(chooser.groups())


def choose(path, prompts=(), prompt_topic='', clock='auto'):
    """
    Return all items in words, and the counts, of a bag looked at twice a second.

    prompts: (ms since START_NS, text). What every group leaves behind goes through JSON, and what
    a new chooser makes of it must be the same.
    """
    prompts = [(START_NS + time_ms * 10**6, text) for time_ms, text in prompts]
    with open_source(path, '', prompt_topic, clock=clock) as source:
        groups = list(encoded_groups(FrameChooser(source, None, 2.0, prompts)))
        items = [list(told(group.items)) for group in groups]
        for index, group in enumerate(groups):
            chooser = FrameChooser(source, None, 2.0, prompts)
            chooser.restore(json.loads(json.dumps(group.chooser_state)), group.frame_before)
            rest = list(encoded_groups(chooser))
            if index + 1 < len(groups):
                assert [list(told(later.items)) for later in rest] == items[index + 1:]
            assert rest[-1].chooser_state == groups[-1].chooser_state
            assert rest[-1].frame_before == groups[-1].frame_before
    state = groups[-1].chooser_state
    counts = [state['num_read'], state['num_used'], UnusableTally(state['unusable']).counts()]
    return [item for group_items in items for item in group_items], counts


def test_without_a_question_the_sampler_chooses(tmp_path):
    items, counts = choose(write_bag(tmp_path / 'bag', camera()))
    assert items == [('frame', stamp + DELAY_MS, stamp) for stamp in (0, 500, 1000, 1500)]
    assert counts == [20, 4, {}]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('is_recorded', [True, False])
def test_a_question_is_followed_by_the_last_image_before_it(tmp_path, is_recorded, storage):
    asked = [(750, 'What?'), (1204, 'Where?')]
    messages = [*camera(), *(recorded(*pair) for pair in asked if is_recorded)]
    items, counts = choose(write_bag(tmp_path / 'bag', in_order(messages), storage),
                           *(([], PROMPT_TOPIC) if is_recorded else (reversed(asked),)))
    assert items == [
        ('frame', 5, 0), ('frame', 505, 500),
        ('prompt', 750, 'What?'), ('frame', 750, 700),
        # That of 1200 is recorded a millisecond too late, but is due as well.
        ('prompt', 1204, 'Where?'), ('frame', 1204, 1100),
        ('frame', 1605, 1600)]
    assert counts == [20, 5, {}]


def test_an_image_that_was_shown_is_not_shown_again(tmp_path):
    items, counts = choose(write_bag(tmp_path / 'bag', camera(12)), [
        (550, 'What?'), (560, 'Where?'), (730, 'Who?'), (740, 'Why?')])
    assert items == [
        ('frame', 5, 0), ('frame', 505, 500),
        ('prompt', 550, 'What?'), ('prompt', 560, 'Where?'),
        ('prompt', 730, 'Who?'), ('frame', 730, 700), ('prompt', 740, 'Why?')]
    assert counts == [12, 3, {}]


@pytest.mark.parametrize('is_first', [True, False])
def test_an_image_of_the_very_time_of_a_question_is_shown_behind_it(tmp_path, is_first):
    messages = camera(14)
    messages.insert(12 if is_first else 13, recorded(1205, 'Recorded?'))
    items, _ = choose(write_bag(tmp_path / 'bag', messages), [
        (305, 'Left out?'), (805, 'Chosen?')], PROMPT_TOPIC)
    assert items == [
        ('frame', 5, 0), ('prompt', 305, 'Left out?'), ('frame', 305, 300),
        ('prompt', 805, 'Chosen?'), ('frame', 805, 800),
        ('prompt', 1205, 'Recorded?'), ('frame', 1205, 1200)]


def test_questions_at_the_start_stand_before_the_first_frame(tmp_path):
    begun = [recorded(0, 'Recorded?'), *camera(7)]
    items, _ = choose(write_bag(tmp_path / 'bag', begun), [(0, 'First?'), (0, 'Second?')],
                      PROMPT_TOPIC)
    assert items == [
        ('prompt', 0, 'First?'), ('prompt', 0, 'Second?'), ('prompt', 0, 'Recorded?'),
        ('frame', 5, 0), ('frame', 505, 500)]
    items, _ = choose(write_bag(tmp_path / 'other', camera(7)), [(DELAY_MS, 'First?')])
    assert items == [('prompt', 5, 'First?'), ('frame', 5, 0), ('frame', 505, 500)]


@pytest.mark.parametrize(('num', 'shown'), [(8, [('frame', 900, 700)]), (6, [])])
def test_a_question_behind_the_last_image_is_followed_by_it(tmp_path, num, shown):
    items, _ = choose(write_bag(tmp_path / 'bag', camera(num)), [
        (900, 'What?'), (950, 'And now?')])
    assert items == [('frame', 5, 0), ('frame', 505, 500), ('prompt', 900, 'What?'),
                     *shown, ('prompt', 950, 'And now?')]


def test_an_image_that_cannot_be_decoded_is_counted_once(tmp_path):
    messages = camera(13)
    messages[7] = image(700, is_cut=True)
    items, counts = choose(write_bag(tmp_path / 'bag', messages), [
        (750, 'What?'), (760, 'Where?')])
    assert items == [
        ('frame', 5, 0), ('frame', 505, 500), ('prompt', 750, 'What?'),
        ('unusable', 750, 'bad_message'), ('prompt', 760, 'Where?'), ('frame', 1005, 1000)]
    assert counts == [13, 3, {'bad_message': 1}]


def test_the_next_image_takes_the_place_of_one_that_cannot_be_decoded(tmp_path):
    """As if it had not been there, as for a live camera: also for what is late and the grid."""
    messages = camera(20)
    messages[5] = image(600, 505, is_cut=True)
    messages[6] = image(550, 605)
    items, counts = choose(write_bag(tmp_path / 'bag', messages))
    assert items == [('frame', 5, 0), ('unusable', 505, 'bad_message'), ('frame', 605, 550),
                     ('frame', 1005, 1000), ('frame', 1505, 1500)]
    assert counts == [20, 4, {'bad_message': 1}]


def test_where_the_image_of_a_question_cannot_be_decoded_it_is_the_one_before(tmp_path):
    messages = camera(12)
    messages[8] = image(800, is_cut=True)
    items, counts = choose(write_bag(tmp_path / 'bag', messages), [(805, 'What?')])
    assert items == [
        ('frame', 5, 0), ('frame', 505, 500), ('prompt', 805, 'What?'),
        ('unusable', 805, 'bad_message'), ('frame', 805, 700)]
    assert counts == [12, 3, {'bad_message': 1}]


def test_a_prompt_that_cannot_be_asked_is_counted_by_what_is_wrong(tmp_path):
    cut = (PROMPT_TOPIC, STRING, START_NS + 250 * 10**6, bytes(string_message('What?'))[:-4])
    messages = in_order([*camera(4), recorded(150, ' \n'), cut])
    items, counts = choose(write_bag(tmp_path / 'bag', messages), prompt_topic=PROMPT_TOPIC)
    assert items == [
        ('frame', 5, 0), ('unusable', 150, 'empty_prompt'), ('unusable', 250, 'bad_message')]
    assert counts == [4, 1, {'bad_message': 1, 'empty_prompt': 1}]


def test_an_image_that_nobody_needs_is_not_decoded(tmp_path, monkeypatch):
    decoded = []
    picture = BagSource.picture
    monkeypatch.setattr(BagSource, 'picture', lambda source, message: decoded.append(
        message.bag_time_ns) or picture(source, message))
    path = write_bag(tmp_path / 'bag', camera(10))
    with open_source(path) as source:
        list(encoded_groups(FrameChooser(source, None, 2.0, [(START_NS + 750 * 10**6, 'What?')])))
    assert [(time_ns - START_NS) // 10**6 for time_ns in decoded] == [5, 505, 705]


def test_after_a_new_beginning_no_image_of_before_is_shown(tmp_path):
    late = [image(stamp, 10_000 + stamp) for stamp in (0, 100, 200)]
    items, _ = choose(write_bag(tmp_path / 'bag', in_order([*camera(58), *late])), [
        (5790, 'Old?'), (9000, 'Still old?'), (10_050, 'New?'), (10_150, 'Newer?')])
    assert items[-9:] == [
        ('frame', 5505, 5500), ('prompt', 5790, 'Old?'), ('frame', 5790, 5700),
        ('prompt', 9000, 'Still old?'), ('restart', 10_000, None), ('frame', 10_000, 0),
        ('prompt', 10_050, 'New?'), ('prompt', 10_150, 'Newer?'), ('frame', 10_150, 100)]


def test_a_new_beginning_forgets_what_was_left_out(tmp_path):
    """Also where the first image after it cannot be decoded, as for a live camera."""
    late = [image(0, 10_000, is_cut=True), image(100, 10_100)]
    items, counts = choose(write_bag(tmp_path / 'bag', in_order([*camera(58), *late])), [
        (10_050, 'New?')])
    assert items[-4:] == [
        ('restart', 10_000, None), ('unusable', 10_000, 'bad_message'),
        ('prompt', 10_050, 'New?'), ('frame', 10_100, 100)]
    assert counts[2] == {'bad_message': 1}


def test_where_many_were_recorded_at_once_the_sampler_chooses(tmp_path):
    messages = [image(index * 100, 0) for index in range(20)]
    items, counts = choose(write_bag(tmp_path / 'bag', messages), [(0, 'What?')], clock='bag')
    assert items == [('prompt', 0, 'What?'), *(
        ('frame', 0, stamp) for stamp in (0, 500, 1000, 1500))]
    assert counts[:2] == [20, 4]


def test_a_held_image_is_found_again_in_a_split_bag(tmp_path):
    messages = camera(24)
    first = write_bag(tmp_path / 'first', messages[:14])
    second = write_bag(tmp_path / 'second', messages[14:])
    split = first.rename(tmp_path / 'split')
    (second / 'second.mcap').rename(split / 'second.mcap')
    metadata = split / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace(
        '  - first.mcap\n', '  - first.mcap\n  - second.mcap\n', 1))
    items, _ = choose(split, [(450, 'What?'), (1350, 'Where?'), (1840, 'Who?')])
    assert [item for item in items if item[0] == 'frame'] == [
        ('frame', 5, 0), ('frame', 450, 400), ('frame', 905, 900), ('frame', 1350, 1300),
        ('frame', 1805, 1800), ('frame', 2305, 2300)]


def test_of_a_video_nothing_is_left_out(tmp_path):
    path = tmp_path / 'clip.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(
                np.zeros((48, 64, 3), np.uint8), format='rgb24')))
        container.mux(stream.encode())
    prompts = [(0, 'First?'), (10**9, 'At a frame?'), (1_700_000_000, 'Between?')]
    with open_source(path, frame_rate_fps=2.0) as source:
        groups = list(encoded_groups(FrameChooser(source, None, 2.0, prompts)))
    assert {group.chooser_state['held'] for group in groups} == {None}
    assert [(item.bag_time_ns / 1e9, getattr(item, 'text', ''))
            for group in groups for item in group.items] == [
        (0, 'First?'), (0, ''), (0.5, ''), (1, 'At a frame?'), (1, ''), (1.5, ''),
        (1.7, 'Between?'), (2, ''), (2.5, '')]


def test_header_stamps_that_stop_give_way_to_the_times_of_recording(tmp_path):
    """And count again when they move again. The second image of one stamp is late."""
    messages = [image(min(index, 10) * 100 if index < 30 else index * 100,
                      index * 100 + DELAY_MS) for index in range(40)]
    with open_source(write_bag(tmp_path / 'bag', messages)) as source:
        groups = list(encoded_groups(FrameChooser(source, None, 2.0)))
    times_ms = [((item.bag_time_ns - START_NS) // 10**6, (item.frame.stamp_ns - START_NS) // 10**6)
                for group in groups for item in group.items if isinstance(item, ChosenFrame)]
    assert times_ms == [(5, 0), (505, 500), (1005, 1000), (1505, 1505), (2005, 2005), (2505, 2505),
                        (3005, 3005), (3505, 3500)]
    assert UnusableTally(groups[-1].chooser_state['unusable']).counts() == {'late': 1}


@pytest.mark.parametrize('num_images', [5, 10, 19])
def test_a_short_loop_begins_anew_in_each_round(tmp_path, num_images):
    """As it is recorded of `ros2 bag play --loop`."""
    messages = [image(index % num_images * 100, index * 100 + DELAY_MS)
                for index in range(4 * num_images)]
    items, counts = choose(write_bag(tmp_path / 'bag', messages))
    restarts = [item for item in items if item[0] == 'restart']
    assert [time_ms for _, time_ms, _ in restarts] == [
        (index * num_images + 1) * 100 + DELAY_MS for index in (1, 2, 3)]
    assert counts[2] == {'late': 3}


def noise(seed, value=128, spread=40.0):
    """Return a picture that no other one is like."""
    picture = np.random.default_rng(seed).normal(value, spread, (24, 32, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_stretches_of_pictures_that_are_none_are_noted_however_often_it_is_resumed(tmp_path):
    """Two a second: 3 s well, 8 s the same, 3 s well, 6 s black with noise, 1 s well."""
    pictures = [*(noise(seed) for seed in range(6)), *[noise(99)] * 16,
                *(noise(seed) for seed in range(6)),
                *(noise(seed, 2, 2.0) for seed in range(12)), noise(1), noise(2)]
    path = write_bag(tmp_path / 'bag', [
        (IMAGE_TOPIC, IMAGE, START_NS + index * 5 * 10**8,
         image_message(picture, START_NS + index * 5 * 10**8))
        for index, picture in enumerate(pictures)])
    with open_source(path, '', '') as source:
        groups = list(encoded_groups(FrameChooser(source, None, 2.0)))
        last = groups[-1].chooser_state
        for group in groups:
            chooser = FrameChooser(source, None, 2.0)
            chooser.restore(json.loads(json.dumps(group.chooser_state)), group.frame_before)
            *_, end = encoded_groups(chooser)
            assert json.dumps(end.chooser_state) == json.dumps(last)
    assert last['num_used'] == len(pictures)
    assert last['pictures']['stretches'] == [
        {'what': 'frozen', 'start_s': 3.0, 'end_s': 10.5},
        {'what': 'black', 'start_s': 14.0, 'end_s': 19.5}]
    assert picture_note(last['pictures']) == (
        'its pictures are identical from 3.0 to 10.5 s, almost black from 14.0 to 19.5 s')


def test_only_some_stretches_are_named_and_the_others_counted():
    stretch = {'what': 'white', 'start_s': 1.0, 'end_s': 5.0}
    assert picture_note({'stretches': [stretch] * 5, 'num_left_out': 2}).endswith(
        'almost white from 1.0 to 5.0 s, and 4 more times')
    assert picture_note({'stretches': [], 'num_left_out': 0}) == picture_note({}) == ''
