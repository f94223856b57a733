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

"""Frames that a checkpoint is shown with the one before them."""

from moss_ros.model import fit_frame, ModelConfig, VideoModel
from moss_ros.stream import encode_frames, FrameEncoder, StreamSession
import pytest
from scripted_model import tiny_config
import torch


@pytest.fixture(scope='module')
def pair_model(chat):
    """Return a tiny model that is shown each frame with the one before it."""
    config = tiny_config(chat.image_id)
    config['vision_config']['num_channels'] = 6
    torch.manual_seed(0)
    return VideoModel(ModelConfig.from_dict(config)).eval()


def states(frames):
    return torch.stack([frame.states for frame in frames])


def test_a_frame_is_seen_with_the_one_before_it(pair_model, tools):
    first, second, third = (tools.frame(index) for index in range(3))
    encoder = FrameEncoder(pair_model)
    seen = states(encoder.encode([first, second]) + encoder.encode([third]))
    in_one_go = states(encode_frames(pair_model, [first, second, third]))
    torch.testing.assert_close(seen, in_one_go)
    behind_another = states(encode_frames(pair_model, [third, second]))
    assert (behind_another[1] - seen[1]).abs().max() > 1e-3


def test_what_is_shown_first_is_taken_to_have_stood_still(pair_model, tools):
    frame = tools.frame(3)
    once, twice = states(encode_frames(pair_model, [frame, frame]))
    torch.testing.assert_close(once, twice)


def test_a_stream_that_begins_anew_has_no_frame_before(pair_model, tools):
    encoder = FrameEncoder(pair_model)
    [alone] = encoder.encode([tools.frame(1)])
    encoder.encode([tools.frame(2)])
    encoder.reset()
    assert encoder.frame_before is None
    [again] = encoder.encode([tools.frame(1)])
    torch.testing.assert_close(again.states, alone.states)


def test_encoding_in_blocks_sees_the_same(pair_model, tools):
    frames = [tools.frame(index) for index in range(10)]
    encoder, in_blocks = FrameEncoder(pair_model), FrameEncoder(pair_model)
    wanted = states(encoder.encode(frames[:2]) + encoder.encode(frames[2:]))
    seen = []
    for part in (frames[:2], frames[2:]):
        generator = in_blocks.encode_in_blocks(part)
        while True:
            try:
                next(generator)
            except StopIteration as end:
                seen += end.value
                break
    torch.testing.assert_close(states(seen), wanted)
    size = pair_model.config.vision.image_size
    assert torch.equal(in_blocks.frame_before, fit_frame(frames[-1].image, size))


def test_a_model_that_sees_one_frame_keeps_none(tiny_model, tools):
    encoder = FrameEncoder(tiny_model)
    encoder.encode([tools.frame(1)])
    assert encoder.frame_before is None


def test_a_restored_session_sees_the_frame_before(pair_model, chat, tools):
    options = tools.options()
    whole, first, second = (StreamSession(pair_model, chat, options) for _ in range(3))
    told = []
    for index in range(6):
        whole.add_frame(tools.frame(index))
        told.append([repr(event) for event in whole.step()])
        (first if index < 3 else second).add_frame(tools.frame(index))
        events = (first if index < 3 else second).step()
        assert [repr(event) for event in events] == told[-1]
        if index == 2:
            second.restore(first.snapshot())
    assert torch.equal(whole.snapshot().tensors['frame_before'],
                       second.snapshot().tensors['frame_before'])
    whole.reset()
    assert 'frame_before' not in whole.snapshot().tensors
