"""Loading a generator: the lazy name in the package, and errors that say what to do."""

import json
import shutil
import subprocess
import sys

import moss_ros
from moss_ros.generator import Generator, OfflineQuery
from moss_ros.model import CheckpointError, SamplingOptions
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
    """generation_config.json counts where neither the query nor the call says otherwise."""
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    (folder / 'generation_config.json').write_text(json.dumps(
        {'do_sample': True, 'temperature': 0.6, 'top_p': 0.9}))
    sampling = moss_ros.load_generator(folder).sampling
    assert sampling == SamplingOptions(do_sample=True, temperature=0.6, top_p=0.9, top_k=50)
    asked = {'prompt': 'What?', 'images': ['a.png']}
    assert OfflineQuery.from_dict(asked, sampling).settings.sampling == sampling
    asked['generate_kwargs'] = {'temperature': 0.2}
    assert OfflineQuery.from_dict(asked, sampling).settings.sampling.temperature == 0.2


def test_published_defaults_where_a_checkpoint_has_none():
    settings = OfflineQuery.from_dict(
        {'prompt': 'What?', 'images': ['a.png'], 'generate_kwargs': {'do_sample': True}},
        SamplingOptions()).settings
    assert settings.sampling == SamplingOptions(do_sample=True, top_k=50)
    assert settings.max_new_tokens == 1024
