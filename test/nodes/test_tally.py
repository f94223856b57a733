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

"""What was said against what happened, by the frames that the narrator saw."""

from moss_ros.training.scoring import split_sentences, Tally

FRAME_NS = 500_000_000
RED, GREEN = 'A red ball appears on the left.', 'The green box stops.'


def record(kind, frame, text='', prompt_id=None):
    """Return what a record of `~/events` has that matters here."""
    return {'type': kind, 'stamp_ns': frame * FRAME_NS, 'first_stamp_ns': frame * FRAME_NS,
            'text': text, 'prompt_id': prompt_id}


def tally_of(num_frames, happened=(), said=(), answered=(), kind='turns'):
    """Return a Tally over frames 0 to num_frames - 1; the others are (frame, sentence)."""
    tally = Tally()
    spoken = dict((*said, *answered))
    for frame in range(num_frames):
        if frame in spoken:
            prompt_id = 'prompt-1' if (frame, spoken[frame]) in answered else None
            tally.add_event(record('token', frame, spoken[frame][:3], prompt_id))
            tally.add_event(record('narration', frame, spoken[frame], prompt_id))
        tally.add_event(record('silence', frame))
    for frame, sentence in happened:
        # Between two frames: the frame after it is the first that shows it.
        tally.add_truth({'stamp_ns': round((frame - 0.4) * FRAME_NS), 'kind': kind,
                         'sentence': sentence})
    return tally


def counts(tally):
    score = tally.score()
    return score.num_events, score.num_said, score.num_matched


def test_a_sentence_within_two_frames_is_right():
    for delay in (0, 1, 2):
        assert counts(tally_of(20, [(5, RED)], [(5 + delay, RED)])) == (1, 1, 1)


def test_a_late_sentence_is_both_missed_and_false():
    tally = tally_of(20, [(5, RED)], [(8, RED)])
    assert counts(tally) == (1, 1, 0)
    assert tally.line().startswith('1 events, 1 said: 0 right, 1 missed, 1 false')


def test_a_cut_to_another_scene_is_nothing_to_tell():
    assert counts(tally_of(20, [(5, 'Another scene begins.')], kind='scene')) == (0, 0, 0)


def test_other_words_are_false():
    assert counts(tally_of(20, [(5, RED)], [(5, GREEN)])) == (1, 1, 0)


def test_what_happens_outside_the_watch_does_not_count():
    tally = tally_of(20, [(0, RED), (19, GREEN)], [(0, RED), (19, GREEN)])
    assert counts(tally) == (0, 0, 0)


def test_answers_are_not_narration():
    tally = tally_of(20, answered=[(5, 'The ball is red.')])
    assert counts(tally) == (0, 0, 0)
    assert tally.silence_kept() == (19, 19)


def test_silence_counts_where_nothing_happens():
    tally = tally_of(20, [(5, RED)], [(5, RED), (12, GREEN)])
    # Frames 4 to 7 are busy with the event.
    assert tally.silence_kept() == (15, 16)
    assert tally.line().endswith('silence kept in 94% of 16 quiet frames')


def test_two_sentences_of_one_narration_are_two():
    assert counts(tally_of(20, [(5, RED), (6, GREEN)], [(6, f'{RED} {GREEN}')])) == (2, 2, 2)
    assert split_sentences(f'{RED}{GREEN} and') == [RED, GREEN, 'and']
