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

"""Settings of a stream: defaults, a checkpoint's own, and what is refused."""

import json

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import CheckpointError, SamplingOptions
from moss_ros.stream import StreamOptions
from moss_ros.training.vocabulary import SYSTEM_PROMPT
import pytest


def write_config(folder, config):
    (folder / 'config.json').write_text(json.dumps(config))
    return folder


def test_a_checkpoint_without_settings_gets_those_of_the_published_model(tmp_path):
    options = StreamOptions.from_checkpoint(write_config(tmp_path, {'model_type': 'mllama'}))
    assert options == StreamOptions(sampling=SamplingOptions(do_sample=True, top_k=50))
    assert (options.frame_rate_fps, options.max_context_frames, options.keep_context_frames,
            options.max_context_tokens, options.keep_context_tokens,
            options.max_tokens_between_frames, options.silence_logit_bias) == (
                1.0, 155, 100, 4096, 2600, 48, 0.0)


def test_a_checkpoint_brings_its_own_settings_and_the_caller_has_the_last_word(tmp_path):
    write_config(tmp_path, {'stream_config': {
        'frame_rate_fps': 2.0, 'system_prompt': 'Watch.', 'max_context_frames': 28,
        'keep_context_frames': 14, 'silence_logit_bias': 1.2,
        'sampling': {'do_sample': True, 'temperature': 0.5}}})
    options = StreamOptions.from_checkpoint(tmp_path, seed=7, keep_context_frames=20)
    assert options.frame_rate_fps == 2.0
    assert options.system_prompt == 'Watch.'
    assert (options.max_context_frames, options.keep_context_frames) == (28, 20)
    assert options.max_context_tokens == 4096
    assert options.seed == 7
    assert options.sampling == SamplingOptions(do_sample=True, temperature=0.5)


def test_sampling_comes_from_generation_config_unless_the_settings_have_their_own(tmp_path):
    (tmp_path / 'generation_config.json').write_text(json.dumps(
        {'do_sample': True, 'temperature': 0.6, 'top_p': 0.9, 'top_k': 40}))
    theirs = SamplingOptions(do_sample=True, temperature=0.6, top_p=0.9, top_k=40)
    for config in ({}, {'stream_config': {'frame_rate_fps': 2.0}}):
        write_config(tmp_path, config)
        assert StreamOptions.from_checkpoint(tmp_path).sampling == theirs
    write_config(tmp_path, {'stream_config': {'sampling': {'top_p': 0.5}}})
    assert StreamOptions.from_checkpoint(tmp_path).sampling == SamplingOptions(top_p=0.5)
    ours = SamplingOptions(top_k=3)
    assert StreamOptions.from_checkpoint(tmp_path, sampling=ours).sampling == ours


def test_a_wrong_generation_config_is_named(tmp_path):
    write_config(tmp_path, {})
    (tmp_path / 'generation_config.json').write_text('{"top_p": 2}')
    with pytest.raises(CheckpointError, match='generation_config.json: top_p is 2'):
        StreamOptions.from_checkpoint(tmp_path)


def test_a_checkpoint_that_forbids_sampling_is_greedy(tmp_path):
    (tmp_path / 'generation_config.json').write_text('{"do_sample": false}')
    assert not StreamOptions.from_checkpoint(write_config(tmp_path, {})).sampling.do_sample


def test_the_embedded_model_is_greedy_and_has_its_own_system_prompt():
    options = StreamOptions.from_checkpoint(DEMO_CHECKPOINT)
    assert options.sampling == SamplingOptions()
    assert options.system_prompt == SYSTEM_PROMPT


def test_the_system_prompt_is_given_or_configured_or_in_the_code(tmp_path, caplog):
    caplog.set_level('INFO', logger='moss_ros.stream')

    def chosen(**overrides):
        caplog.clear()
        prompt = StreamOptions.from_checkpoint(tmp_path, **overrides).system_prompt
        message, = (record.getMessage() for record in caplog.records)
        assert message.startswith(f'live system prompt of {tmp_path}: ')
        return prompt, message.split(': ')[1]
    write_config(tmp_path, {})
    assert chosen() == (StreamOptions().system_prompt, "this package's own wording")
    (tmp_path / 'modeling.py').write_text('raise ValueError\nSYSTEM_PROMPT = "In the code."\n')
    assert chosen() == ('In the code.', 'SYSTEM_PROMPT in modeling.py')
    write_config(tmp_path, {'stream_config': {'system_prompt': 'Configured.'}})
    assert chosen() == ('Configured.', 'stream_config.system_prompt of config.json')
    assert chosen(system_prompt='Given.') == ('Given.', 'the parameter system_prompt')


@pytest.mark.parametrize(('name', 'value'), [
    ('frame_rate_fps', 0), ('frame_rate_fps', -1.0), ('frame_rate_fps', float('nan')),
    ('frame_rate_fps', float('inf')), ('frame_rate_fps', '2'), ('system_prompt', None),
    ('max_context_frames', 0), ('max_context_frames', 2.5), ('max_context_frames', True),
    ('keep_context_frames', 0), ('keep_context_frames', 155), ('keep_context_tokens', 5000),
    ('max_context_tokens', -1), ('max_tokens_between_frames', 0), ('seed', -1),
    ('silence_logit_bias', float('inf')), ('silence_logit_bias', None), ('sampling', {'top_k': 3}),
])
def test_an_impossible_setting_is_refused_by_name_and_value(name, value):
    with pytest.raises(ValueError) as error:
        StreamOptions(**{name: value})
    assert name in str(error.value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(('config', 'named'), [
    ({'stream_config': {'frame_rate': 2.0}}, "'frame_rate'"),
    ({'stream_config': {'frame_rate_fps': -2.0}}, '-2.0'),
    ({'stream_config': {'sampling': {'temprature': 2.0}}}, 'temprature'),
    ({'stream_config': {'sampling': {'temperature': -2.0}}}, '-2.0'),
    ({'stream_config': [1]}, '[1]'),
    ([], 'stream_config'),
])
def test_a_checkpoints_wrong_setting_is_named_with_its_place(tmp_path, config, named):
    with pytest.raises(ValueError) as error:
        StreamOptions.from_checkpoint(write_config(tmp_path, config))
    assert named in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_an_unknown_override_is_refused(tmp_path):
    with pytest.raises(ValueError, match='frame_rate'):
        StreamOptions.from_checkpoint(write_config(tmp_path, {}), frame_rate=2.0)


@pytest.mark.parametrize('content', [None, '{'])
def test_an_unreadable_config_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / 'config.json').write_text(content)
    with pytest.raises(ValueError, match='config.json'):
        StreamOptions.from_checkpoint(tmp_path)
