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

"""From parameters to a session: the checkpoint's own settings, and what overrides them."""

from dataclasses import replace

from moss_ros.engines.loading import make_session, open_checkpoint, stream_change
from moss_ros.model import CheckpointError, SamplingOptions, VideoModel
from moss_ros.settings import NarratorSettings
from moss_ros.stream import StreamOptions
import pytest
import torch


def stream_options(folder, settings):
    """Return the options that a session of these settings runs with."""
    checkpoint = open_checkpoint(replace(settings, checkpoint=str(folder)))
    return stream_change(settings).applied_to(checkpoint.options)


def test_by_default_all_options_are_the_checkpoints(babbling_checkpoint):
    own = StreamOptions.from_checkpoint(babbling_checkpoint)
    assert stream_options(babbling_checkpoint, NarratorSettings()) == own


def test_what_is_given_overrides_the_checkpoint(babbling_checkpoint):
    settings = NarratorSettings(
        frame_rate=4.0, system_prompt='Watch.', seed=9, max_tokens_between_frames=7,
        answer_within_s=9.0, sampling='random', temperature=0.5, top_k=3, top_p=0.9,
        repetition_penalty=1.2)
    own = StreamOptions.from_checkpoint(babbling_checkpoint)
    assert stream_options(babbling_checkpoint, settings) == replace(
        own, frame_rate_fps=4.0, system_prompt='Watch.', seed=9, max_tokens_between_frames=7,
        answer_within_s=9.0, sampling=SamplingOptions(True, 0.5, 3, 0.9, 1.2))


def test_greedy_overrides_only_the_choice(babbling_checkpoint):
    settings = NarratorSettings(sampling='greedy', top_k=0)
    sampling = stream_options(babbling_checkpoint, settings).sampling
    assert sampling == SamplingOptions(do_sample=False, top_k=0)


def test_a_session_is_warm_and_new(babbling_checkpoint):
    session = make_session(NarratorSettings(checkpoint=str(babbling_checkpoint), device='cpu'))
    assert not session.has_work
    assert session.context.num_frames == 0


def test_what_is_warmed_up_is_a_pass_of_a_word_too(monkeypatch):
    """The embedded model says nothing of a grey picture, but its first word is not to wait."""
    passes = []

    def noted(model, *arguments, **keywords):
        passes.append(arguments)
        return decode(model, *arguments, **keywords)

    decode = VideoModel.decode
    monkeypatch.setattr(VideoModel, 'decode', noted)
    settings = NarratorSettings(device='cpu')
    session = make_session(settings)
    assert passes
    assert session.options == stream_change(settings).applied_to(open_checkpoint(settings).options)


def test_a_missing_folder_is_named(tmp_path):
    folder = tmp_path / 'nowhere'
    with pytest.raises((CheckpointError, ValueError), match=str(folder)):
        make_session(NarratorSettings(checkpoint=str(folder)))


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_a_gpu_that_is_not_there_is_named(babbling_checkpoint):
    settings = NarratorSettings(checkpoint=str(babbling_checkpoint), device='cuda:1')
    with pytest.raises(ValueError, match="'cuda:1', but torch sees 0 GPUs"):
        make_session(settings)
