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

"""Loading a generator: the lazy name in the package, and errors that say what to do."""

import json
import queue
import shutil
import subprocess
import sys
import threading

import moss_ros
from moss_ros.generator import Generator, OfflineOptions, OfflineQuery
from moss_ros.model import CheckpointError, SamplingOptions, VideoModel
import pytest


def test_a_folder_is_loaded(checkpoint, clips):
    generator = moss_ros.load_generator(checkpoint)
    assert isinstance(generator, Generator)
    assert generator.checkpoint == checkpoint and generator.frame_rate_fps == 2.0
    assert generator.processor.image_size_px == 64
    answer = ''.join(generator.answer({
        'prompt': 'What do you see?', 'images': [clips.grey_image()],
        'generate_kwargs': {'max_new_tokens': 3}}))
    assert isinstance(answer, str)


def test_importing_the_package_is_light():
    """Neither torch nor the generator is loaded before load_generator is asked for."""
    code = ('import sys, moss_ros; heavy = {"torch", "av", "PIL", "moss_ros.generator"}; '
            'print(sorted(heavy & set(sys.modules)))')
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == '[]', result.stderr


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="has no attribute 'load_generater'"):
        moss_ros.load_generater


@pytest.mark.parametrize('arguments, message', [
    ({'checkpoint': '/nowhere/at all'}, 'is neither a folder nor an id'),
    ({'checkpoint': ''}, 'is neither a folder nor an id'),
    ({'device': 'tpu'}, "device is 'tpu'"),
    ({'dtype': 'int3'}, "dtype is 'int3'"),
    ({'attention': 'magic'}, "attention is 'magic'"),
    ({'quantization': 'int2'}, "quantization is 'int2'"),
])
def test_what_can_not_be_loaded_is_refused(checkpoint, arguments, message):
    with pytest.raises((CheckpointError, ValueError), match=message):
        moss_ros.load_generator(**{'checkpoint': checkpoint, **arguments})


def test_a_tokenizer_of_another_model_is_refused(checkpoint, tmp_path):
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    tokenizer = json.loads((folder / 'tokenizer.json').read_text())
    for token in tokenizer['added_tokens']:
        token['id'] += 3
    (folder / 'tokenizer.json').write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match='for a frame, but .* use the tokenizer of the'):
        moss_ros.load_generator(folder)


@pytest.mark.parametrize('missing, message', [
    ('config.json', 'has no config.json, so it is not a checkpoint folder'),
    ('tokenizer.json', 'a checkpoint folder needs a tokenizer.json'),
    ('model.safetensors', 'has no weights'),
])
def test_a_folder_that_is_not_complete_is_refused(checkpoint, tmp_path, missing, message):
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=message):
        moss_ros.load_generator(folder)


def test_bad_settings_of_a_checkpoint_are_refused(checkpoint, tmp_path):
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    values = json.loads((folder / 'config.json').read_text())
    values['offline_config']['max_frames'] = -3
    (folder / 'config.json').write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r'offline_config in .*max_frames is -3'):
        moss_ros.load_generator(folder)


def test_sampling_defaults_of_the_checkpoint_are_respected(checkpoint, tmp_path):
    """generation_config.json counts live where the call does not say; a query must ask for it."""
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    values = json.loads((folder / 'config.json').read_text())
    del values['stream_config']['sampling']
    (folder / 'config.json').write_text(json.dumps(values))
    (folder / 'generation_config.json').write_text(json.dumps(
        {'do_sample': True, 'temperature': 0.6, 'top_p': 0.9}))
    sampling = moss_ros.load_generator(folder).sampling
    assert sampling == SamplingOptions(do_sample=True, temperature=0.6, top_p=0.9, top_k=50)
    asked = {'prompt': 'What?', 'images': ['a.png']}
    assert not OfflineQuery.from_dict(asked, sampling).settings.sampling.do_sample
    asked['generate_kwargs'] = {'do_sample': True}
    assert OfflineQuery.from_dict(asked, sampling).settings.sampling == sampling
    asked['generate_kwargs'] = {'do_sample': True, 'temperature': 0.2}
    assert OfflineQuery.from_dict(asked, sampling).settings.sampling.temperature == 0.2


def test_live_streams_are_sampled_unless_the_checkpoint_says_otherwise(checkpoint, tmp_path):
    assert moss_ros.load_generator(checkpoint).sampling == SamplingOptions()  # as it says
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    values = json.loads((folder / 'config.json').read_text())
    del values['stream_config']['sampling']
    (folder / 'config.json').write_text(json.dumps(values))
    assert moss_ros.load_generator(folder).sampling == SamplingOptions(do_sample=True, top_k=50)
    (folder / 'generation_config.json').write_text('{"do_sample": false}')
    assert not moss_ros.load_generator(folder).sampling.do_sample


@pytest.fixture
def code_checkpoint(checkpoint, tmp_path):
    """Return a folder whose prompts stand in code that must not run."""
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    values = json.loads((folder / 'config.json').read_text())
    del values['stream_config']['system_prompt'], values['offline_config']['system_prompts']
    (folder / 'config.json').write_text(json.dumps(values))
    (folder / 'modeling_video.py').write_text(
        'raise SystemExit("this file was run")\n'
        'REAL_TIME_SYSTEM_PROMPT = "Watch live."\n'
        'SYSTEM_PROMPTS = {"video": "Watch all.", ("video", "deep_thinking"): "Think."}\n')
    return folder


def shown_ids(generator, model_calls, **changes):
    """Return the ids that a query begins with."""
    del model_calls[:]
    list(generator.answer({
        'prompt': 'What?', 'generate_kwargs': {'max_new_tokens': 1}, **changes}))
    return model_calls[0]


def test_system_prompts_in_the_code_of_a_checkpoint_are_used(code_checkpoint, clips, caplog,
                                                             monkeypatch):
    extend, calls = VideoModel.extend, []
    monkeypatch.setattr(VideoModel, 'extend', lambda self, cache, ids, *rest, **options: (
        calls.append(list(ids)), extend(self, cache, ids, *rest, **options))[1])
    with caplog.at_level('INFO', logger='moss_ros.stream'):
        generator = moss_ros.load_generator(code_checkpoint)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].endswith(': REAL_TIME_SYSTEM_PROMPT in modeling_video.py')
    assert "video: SYSTEM_PROMPTS['video'] in modeling_video.py" in told[1]
    assert "text_image: this package's own wording" in told[1]
    chat = generator.processor.chat
    for mode, text in (('no_thinking', 'Watch all.'), ('deep_thinking', 'Think.')):
        assert shown_ids(generator, calls, images=[clips.grey_image()], thinking_mode=mode,
                         system_prompt_type='video') == chat.media_opening(text, '')[0]


def test_system_prompts_that_are_given_come_first(code_checkpoint, clips, caplog, monkeypatch):
    calls = []
    for name in ('extend', 'append'):  # a live stream appends
        def noted(self, cache, ids, *rest, original=getattr(VideoModel, name), **options):
            calls.append(list(ids))
            return original(self, cache, ids, *rest, **options)
        monkeypatch.setattr(VideoModel, name, noted)
    with caplog.at_level('INFO', logger='moss_ros.stream'):
        generator = moss_ros.load_generator(
            code_checkpoint, system_prompt='Mine, live.', system_prompts={'text_image': 'Mine.'})
    assert 'live system prompt' in caplog.text and 'the parameter system_prompt\n' in caplog.text
    chat = generator.processor.chat
    for kind, text in (('text_image', 'Mine.'), ('video', 'Watch all.')):
        assert shown_ids(generator, calls, images=[clips.grey_image()],
                         system_prompt_type=kind) == chat.media_opening(text, '')[0]
    del calls[:]
    images, tokens = queue.Queue(), queue.Queue()
    images.put(clips.grey_image())
    thread = threading.Thread(target=generator.real_time_generate, daemon=True,
                              args=(images, queue.Queue(), tokens))
    thread.start()
    assert '[ERROR]' not in tokens.get(timeout=30)
    generator.stop_real_time_generate()
    thread.join(30)
    opening = chat.opening('Mine, live.')
    assert calls[0][:len(opening)] == opening


@pytest.mark.parametrize('arguments, message', [
    ({'system_prompt': 3}, 'system_prompt is 3; a str is needed'),
    ({'system_prompts': 'Watch.'}, "system_prompts is 'Watch.'"),
    ({'system_prompts': {'video': 3}}, "system_prompts is {'video': 3}"),
    ({'system_prompts': {'video': {'hard': 'x'}}}, "system_prompts is {'video': {'hard'"),
])
def test_system_prompts_that_are_none_are_refused(checkpoint, arguments, message):
    with pytest.raises(ValueError, match=message):
        moss_ros.load_generator(checkpoint, **arguments)


def test_published_defaults_where_a_checkpoint_has_none():
    settings = OfflineQuery.from_dict(
        {'prompt': 'What?', 'images': ['a.png'], 'generate_kwargs': {'do_sample': True}},
        SamplingOptions()).settings
    assert settings.sampling == SamplingOptions(do_sample=True, top_k=50)
    assert settings.max_new_tokens == 1024


@pytest.mark.parametrize('settings, message', [
    ({'frame_rate_fps': 0}, 'frame_rate_fps is 0; a number above 0'),
    ({'max_frames': 1.5}, 'max_frames is 1.5; a whole number'),
    ({'system_prompts': {}}, 'system_prompts is {}'),
    ({'system_prompts': {'video': 3}}, "system_prompts is {'video': 3}"),
    ({'fps': 2}, "unknown key 'fps'"),
    ([], 'offline_config in'),
])
def test_bad_options_of_a_checkpoint_name_its_file(tmp_path, settings, message):
    path = tmp_path / 'config.json'
    path.write_text(json.dumps({'offline_config': settings}))
    if settings == []:
        settings, message = 3, 'offline_config in'
        path.write_text(json.dumps({'offline_config': 3}))
    with pytest.raises(ValueError, match=message) as caught:
        OfflineOptions.from_checkpoint(tmp_path)
    assert str(path) in str(caught.value)


def test_a_checkpoint_that_says_nothing_has_the_published_defaults(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    options = OfflineOptions.from_checkpoint(tmp_path)
    assert (options.frame_rate_fps, options.max_frames) == (1.0, 256)
    assert set(options.system_prompts) == {'video', 'text_image'}
