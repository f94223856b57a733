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

"""Training samples: the layout a session would see, and targets that are true at that moment."""

import random

from dialogue_rule import assert_decides, assert_layout
from moss_ros.training.evaluation_run import num_painted_words
from moss_ros.training.samples import (
    IGNORED, MAX_LATE_FRAMES, SampleMaker, SampleMix,
)
from moss_ros.training.scenes import answer_question, EventKind, Question, question_by_text
from moss_ros.training.streams import (
    FIRST_TRAINING_SEED, make_stream, make_training_stream, observable_frame, Stream,
)
from moss_ros.training.unknown import make_unknown_stream
from moss_ros.training.unknown.statements import DISTURBANCES
from moss_ros.training.vocabulary import (
    build_tokenizer, CONTROL_TOKENS, OFFLINE_SYSTEM_PROMPT,
)
import numpy as np
import pytest

NUM_FRAMES = 28


@pytest.fixture(scope='module')
def samples(chat):
    maker = SampleMaker(chat, random.Random(3), SampleMix(p_other=0.0))
    streams = [make_stream(seed, 60) for seed in range(40)]
    return [(stream, maker.make(stream, first, NUM_FRAMES))
            for stream in streams for first in (0, 20)]


def is_offline(sample, chat):
    """Return whether the frames are in the user's turn."""
    opening = chat.media_opening(OFFLINE_SYSTEM_PROMPT, '')[0]
    return sample.token_ids[:len(opening)] == opening


def test_offline_samples_end_with_a_true_answer(chat, samples):
    """Clips and single pictures come first, then the question, the answer and its end."""
    offline = [(stream, sample) for stream, sample in samples if is_offline(sample, chat)]
    assert offline
    for stream, sample in offline:
        answer = chat.decode([target for target in sample.targets if target != IGNORED])
        text = chat.decode(sample.token_ids)
        question_text = text.removesuffix(answer).split('user')[-1].removesuffix('assistant')
        question = question_by_text(question_text.strip().removesuffix('assistant'))
        last = sample.frame_indices[-1]
        if question is not None:
            assert answer == answer_question(question, stream.objects[last])
        else:
            told = [event.sentence for index in range(sample.frame_indices[0], last + 1)
                    for event in stream.observable[index]]
            going_on = answer_question(Question('moving', ''), stream.objects[last])
            nothing = 'Nothing happens.' if going_on == 'Nothing is moving.' else going_on
            assert answer == nothing or all(
                sentence + '.' in told for sentence in answer.rstrip('.').split('. '))


def test_a_clip_in_which_something_goes_on_throughout_is_no_clip_of_nothing(chat):
    """No event is to be seen, but what goes on is told."""
    maker = SampleMaker(chat, random.Random(5), SampleMix(p_offline=1.0))
    found = set()
    for seed in range(300, 420):
        stream = make_unknown_stream(seed, 40, 2.0)
        for first in range(2, 30, 3):
            sample = maker.make(stream, first, 5)
            last = sample.frame_indices[-1]
            text = chat.decode(sample.token_ids)
            if len(sample.frame_indices) > 1 and 'What happened?' in text \
                    and not any(stream.observable[index] for index in range(first, last + 1)):
                answer = chat.decode([each for each in sample.targets if each != IGNORED])
                found.add((stream.going_on[last] is None, answer))
    assert (True, 'Nothing happens.') in found and (False, 'The camera moves.') in found
    assert (False, 'Nothing happens.') not in found


def test_a_frame_alone_shows_no_motion_however_it_is_asked_about(chat):
    """The first frame of a window gets the answer of a single picture, asked before it or then."""
    maker = SampleMaker(chat, random.Random(5), SampleMix(
        p_prompt_at_frame=1.0, p_offline=0.0, p_other=0.0,
        question_weights={'see': 1000.0, 'moving': 1000.0}))
    answers = set()
    for seed in range(300, 400):
        stream = make_unknown_stream(seed, 40, 2.0)
        sample = maker.make(stream, seed % 30, 1)
        if stream.going_on[seed % 30] not in DISTURBANCES:
            answers.add(chat.decode([target for target in sample.targets if target != IGNORED]))
    assert any(answer.startswith('I do not know this scene.') for answer in answers)
    assert not any('moving' in answer or 'moves' in answer for answer in answers)


def test_what_happens_at_a_frame_that_is_left_out_is_noted_at_the_next(chat):
    """Clips at half the rate show every event that became observable since the frame before."""
    maker = SampleMaker(chat, random.Random(5), SampleMix(p_offline=1.0))
    num_left_out = 0
    for seed in range(60):
        stream = make_stream(seed, 60)
        for first in (5, 20):
            sample = maker.make(stream, first, 20)
            indices = sample.frame_indices
            for before, index, truth in zip(indices, indices[1:], sample.frames[1:]):
                events = [event for at in range(before + 1, index + 1)
                          for event in stream.observable[at]
                          if stream.is_visible(event, at - first)]
                num_left_out += bool(events) and not stream.observable[index]
                assert sum(map(bool, truth.events)) <= len(events)
                assert any(truth.events) == bool(events)
    assert num_left_out > 5


def test_tokenizer_is_reproducible_and_whole_words():
    """Words of the scenes are one token each; control tokens stand behind all text ids."""
    tokenizer = build_tokenizer()
    assert tokenizer.to_str() == build_tokenizer().to_str()
    assert len(tokenizer.encode('The purple cone appears in the middle.').ids) == 8
    ids = [tokenizer.token_to_id(name) for name in CONTROL_TOKENS]
    assert ids == list(range(tokenizer.get_vocab_size() - len(ids), tokenizer.get_vocab_size()))
    assert tokenizer.decode(tokenizer.encode('grüße 🙂').ids) == 'grüße 🙂'


def test_every_frame_of_the_window_is_in_its_sample(chat, samples):
    """One image token a frame, in order, each with its truth at the right position."""
    for stream, sample in samples:
        positions = [index for index, token_id in enumerate(sample.token_ids)
                     if token_id == chat.image_id]
        assert positions == [frame.position for frame in sample.frames]
        assert len(positions) == len(sample.frame_indices)
        assert sample.frame_indices == sorted(set(sample.frame_indices))
        assert is_offline(sample, chat) or len(positions) == NUM_FRAMES
        assert len(sample.targets) == len(sample.token_ids)


def test_targets_are_the_next_spoken_token(chat, samples):
    """The model learns text, silence and nothing that the world puts there."""
    for _, sample in samples:
        for index, target in enumerate(sample.targets):
            if target != IGNORED:
                assert sample.token_ids[index + 1] == target
                assert target not in chat.never_sampled_ids
                assert (target == chat.eot_id) == (
                    is_offline(sample, chat) and index + 2 == len(sample.token_ids))
            elif index + 1 < len(sample.token_ids):
                assert sample.token_ids[index + 1] in chat.control_ids or \
                    sample.token_ids[index] in chat.control_ids or _is_prompt(sample, index, chat)


def _is_prompt(sample, index, chat):
    """Return whether token index lies in a turn of the system or the user."""
    end_header = chat.control_id('<|end_header_id|>')
    begin = len(sample.token_ids) - 1 - sample.token_ids[::-1].index(
        end_header, len(sample.token_ids) - 1 - index)
    return end_header in sample.token_ids[:index + 1] and begin <= index


def test_sentences_say_what_has_become_observable(chat, samples):
    """Every event of the window is said, cut short or crowded out, and nothing else is."""
    num_events = num_said = 0
    for stream, sample in samples:
        if is_offline(sample, chat):
            continue
        events = {event.sentence for index in sample.frame_indices
                  for event in stream.observable[index]}
        text = chat.decode([target for target in sample.targets if target != IGNORED])
        num_events += len(events)
        num_said += sum(sentence in text for sentence in events)
    assert num_said / num_events > 0.85


def test_samples_hold_all_that_a_live_stream_does_to_a_session(chat, samples):
    """Prompts, prompts in mid-sentence and frames in mid-sentence all occur."""
    seen = dict.fromkeys(('prompt', 'cut', 'frame in sentence'), 0)
    for _, sample in samples:
        ids = sample.token_ids
        for index in range(1, len(ids) - 1):
            is_text_before = ids[index - 1] not in chat.control_ids
            was_spoken = sample.targets[index - 2] == ids[index - 1] if index > 1 else False
            if ids[index] == chat.eot_id and ids[index - 1] == chat.silence_id:
                seen['prompt'] += 1
            elif ids[index] == chat.eot_id and is_text_before and was_spoken:
                seen['cut'] += 1
            elif ids[index] == chat.image_id and is_text_before and was_spoken:
                seen['frame in sentence'] += 1
    assert all(count >= 5 for count in seen.values()), seen


def test_live_samples_have_the_layout_of_a_stream_that_runs(chat, samples):
    """The rule of the layout holds, and every target is at a place where a session asks."""
    live = [sample for _, sample in samples if not is_offline(sample, chat)]
    assert live
    for sample in live:
        assert_layout(chat, sample.token_ids)
        asked = [index for index, target in enumerate(sample.targets) if target != IGNORED]
        for index in (*asked[:3], *asked[-3:]):
            assert_decides(chat, sample.token_ids[:index + 1])
        # It decides at each frame, but for what was said, or not, in a part that was forgotten,
        # and for the silence before a late sentence.
        undecided = {frame.position for frame in sample.frames[1:]} - {
            *asked, len(sample.targets) - 1}
        assert all(sample.token_ids[position + 1] == chat.silence_id for position in undecided)


def test_a_late_sentence_follows_silence_that_is_no_target(chat, samples):
    """What was not told at its frame is told at one of the next two."""
    num_late = 0
    for _, sample in samples:
        if is_offline(sample, chat):
            continue
        late = 0
        for frame, following in zip(sample.frames[1:], sample.frames[2:]):
            target = sample.targets[frame.position]
            is_at_once = following.position == frame.position + 2
            if target == IGNORED and is_at_once:
                late += 1
                num_late += 1
            elif late:
                assert target != chat.silence_id
                late = 0
            assert late <= MAX_LATE_FRAMES
    assert num_late > 20


def test_what_an_empty_made_up_picture_shows_is_not_known(chat):
    """Until a painted thing has shown, frames and answers are those of the unknown world."""
    maker = SampleMaker(chat, random.Random(5), SampleMix(
        p_prompt_at_frame=0.6, p_other=0.0, question_weights={'see': 50.0}))
    num_known_later, answers = 0, set()
    for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 120):
        stream = make_training_stream(seed, 24)
        for num_frames in (4, 20):
            sample = maker.make(stream, 0, num_frames)
            has_shown = [any(state.in_picture for objects in stream.objects[:index + 1]
                             for state in objects) for index in sample.frame_indices]
            is_painted = [truth.is_painted for truth in sample.frames]
            assert is_painted == [stream.is_known_when_empty or shown for shown in has_shown]
            for truth, is_known in zip(sample.frames, is_painted):
                assert is_known or truth.happening == 0 and truth.going_on in (0, IGNORED)
            num_known_later += is_painted[-1] and not is_painted[0]
            if not any(has_shown):
                said = chat.decode([target for target in sample.targets if target != IGNORED])
                answers.add((stream.is_known_when_empty, 'I see nothing.' in said,
                             'I do not know this scene.' in said))
    assert num_known_later > 5
    assert {(True, True, False), (False, False, True)} <= answers
    assert not {(True, False, True), (False, True, False)} & answers


def num_of_the_other_world(stream, text):
    """Return how much of text only the other world's sentences have."""
    if isinstance(stream, Stream):
        return text.count('Something moves') + text.count('Nothing moves')
    return num_painted_words(text)


@pytest.mark.parametrize('make', (
    make_stream, lambda seed, num_frames: make_unknown_stream(seed, num_frames, 2.0)))
def test_what_is_misread_stands_in_the_context_and_is_no_target(chat, make):
    """What moves is told in the other world's words; that is not learned, what follows is."""
    maker = SampleMaker(chat, random.Random(5), SampleMix(
        p_prompt_at_frame=0.0, p_offline=0.0, p_misread=1.0))
    num_misread = 0
    for seed in range(60):
        stream = make(seed, 40)
        sample = maker.make(stream, 2, NUM_FRAMES)
        text = chat.decode(sample.token_ids)
        said = chat.decode([target for target in sample.targets if target != IGNORED])
        assert not num_of_the_other_world(stream, said)
        num_misread += num_of_the_other_world(stream, text) > 0
        assert sample.targets.count(chat.silence_id) > 5
    assert num_misread > 20


@pytest.mark.parametrize('p_misread', (0.0, 0.3))
def test_same_seed_same_samples(chat, p_misread):
    """A seeded generator reproduces the sample; another seed gives another."""
    stream = make_stream(7, 40)
    mix = SampleMix(p_misread=p_misread)
    first, same, other = (SampleMaker(chat, random.Random(seed), mix).make(stream, 3, NUM_FRAMES)
                          for seed in (1, 1, 2))
    assert first == same and first != other


def test_events_become_observable_soon_after_they_happen():
    """At most one frame after the first frame that follows the event, and never before it."""
    for seed in range(30):
        stream = make_stream(seed, 80)
        times_s = np.asarray(stream.times_s)
        for index, event in stream.truth:
            delay = observable_frame(event, times_s) - index
            assert 0 <= delay <= 1
            assert delay == 0 or event.kind in (EventKind.MOVES, EventKind.STOPS)
