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

"""Checkpoints as transformers writes them load, and compute what transformers computes."""

import copy
import json

from moss_ros.model import CheckpointError, load_model, ModelConfig, SamplingOptions
import pytest
import torch

transformers = pytest.importorskip('transformers')

IMAGE = 64
SHARD = '200KB'
LLAMA3 = {'rope_type': 'llama3', 'rope_theta': 500000.0, 'factor': 8.0, 'low_freq_factor': 1.0,
          'high_freq_factor': 4.0, 'original_max_position_embeddings': 64}
TOLERANCE = 1e-4


@pytest.fixture(scope='module')
def reference():
    return stock_mllama(num_channels=3)


def stock_mllama(num_channels):
    """Return transformers' own Mllama at toy size, every parameter random, gates too."""
    text = transformers.models.mllama.MllamaTextConfig(
        vocab_size=IMAGE, hidden_size=128, num_hidden_layers=5, num_attention_heads=8,
        num_key_value_heads=2, intermediate_size=192, cross_attention_layers=[1, 3],
        rope_parameters=LLAMA3, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    vision = transformers.models.mllama.MllamaVisionConfig(
        hidden_size=48, num_hidden_layers=4, num_global_layers=2, attention_heads=4,
        intermediate_size=80, vision_output_dim=144, image_size=40, patch_size=8,
        max_num_tiles=1, supported_aspect_ratios=[[1, 1]], intermediate_layers_indices=[1, 3],
        num_channels=num_channels)
    config = transformers.MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE)
    model = transformers.MllamaForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator)
                            * (0.08 if parameter.dim() > 1 else 0.3))
    return model.eval().requires_grad_(False)


def write(model, folder, **options):
    """Let transformers write a model, and pooling as the published config.json has it."""
    model.save_pretrained(folder, **options)
    file = folder / 'config.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), 'pool_mode': 'average',
                                'pool_stride': 2}))
    return folder


@pytest.fixture(scope='module')
def plain_folder(reference, tmp_path_factory):
    return write(reference, tmp_path_factory.mktemp('published') / 'plain')


@pytest.fixture
def plain(plain_folder):
    return load_model(plain_folder)


def run(model):
    """Return logits [T, V] of a short stream with two frames."""
    generator = torch.Generator().manual_seed(5)
    frames = model.encode_frames(torch.randn((2, 3, 40, 40), generator=generator))
    ids = [1, 7, IMAGE, 9, 10, IMAGE, 11]
    return model.extend(model.new_cache(16, 2), ids, frames, last_only=False)


@pytest.mark.parametrize('published', [True, False], ids=['published', 'newer'])
@pytest.mark.parametrize('sharded', [False, True], ids=['whole', 'sharded'])
def test_each_layout_gives_the_logits_of_a_plain_load(reference, plain, tmp_path, published,
                                                      sharded):
    options = {'max_shard_size': SHARD} if sharded else {}
    folder = write(reference, tmp_path, save_original_format=published, **options)
    assert len(list(folder.glob('*.safetensors'))) == 1 or sharded
    if sharded:
        names = json.loads((folder / 'model.safetensors.index.json').read_text())['weight_map']
        assert len(set(names.values())) > 3
        start = 'language_model.model.' if published else 'model.language_model.'
        assert f'{start}norm.weight' in names
    assert torch.equal(run(load_model(folder)), run(plain))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_in_shards(reference, plain, tmp_path, dtype):
    folder = write(copy.deepcopy(reference).to(dtype), tmp_path, max_shard_size=SHARD)
    exact, half = load_model(folder), load_model(folder, dtype='auto')
    assert (exact.dtype, half.dtype) == (torch.float32, torch.float32)
    half = load_model(folder, dtype=dtype)
    for (name, ours), stored in zip(exact.named_parameters(), half.parameters()):
        assert stored.dtype == dtype
        assert torch.equal(ours, stored.float()), name
    difference = (run(exact) - run(plain)).norm() / run(plain).norm()
    assert 0 < difference < 0.05


def test_text_without_frames_is_stock_mllama(reference, plain):
    ids = torch.tensor([[1, 5, 9, 33, 60, 2, 17, 17, 3]])
    expected = reference(input_ids=ids).logits[0]
    no_frames = torch.zeros(1, 0, plain.config.num_frame_tokens, 128)
    assert expected.std() > 0.1
    assert (plain(ids, no_frames)[0] - expected).abs().max() < TOLERANCE
    streamed = plain.extend(plain.new_cache(16, 0), ids[0], last_only=False)
    assert (streamed - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize('num_channels', [3, 6], ids=['one_frame', 'two_frames'])
def test_the_vision_encoder_is_stock_mllamas_without_its_tile_mask(
        tmp_path, monkeypatch, num_channels):
    reference = stock_mllama(num_channels)
    plain = load_model(write(reference, tmp_path))
    # With one tile a frame the reference attends to everything, the padding included.
    module = transformers.models.mllama.modeling_mllama
    monkeypatch.setattr(module, '_prepare_aspect_ratio_attention_mask',
                        lambda **_: torch.zeros(1, 1, 1, 1))
    # It takes the states that enter layers 1 and 3 for those indices, as golden folders hold it;
    # this version of transformers those that leave them.
    monkeypatch.setattr(reference.model.vision_model, 'intermediate_layers_indices', [0, 2])
    pixels = torch.randn(
        (3, num_channels, 40, 40), generator=torch.Generator().manual_seed(6))
    expected = reference.model.vision_model(
        pixel_values=pixels[:, None, None], aspect_ratio_ids=torch.ones(3, 1, dtype=torch.int64),
        aspect_ratio_mask=torch.ones(3, 1, 1, dtype=torch.int64)).last_hidden_state
    features = plain.vision(pixels)
    assert features.shape == (3, 26, 144)
    assert (features - expected.view(features.shape)).abs().max() < TOLERANCE
    projected = reference.model.multi_modal_projector(features)
    assert (plain.projector(features) - projected).abs().max() < TOLERANCE


def test_a_frame_at_the_first_position_is_stock_mllama(reference, plain):
    # There the rotation that stock Mllama lacks turns nothing.
    states = torch.randn((1, 5, 128), generator=torch.Generator().manual_seed(7))
    hidden = reference.model.language_model(
        input_ids=torch.tensor([[IMAGE]]), cross_attention_states=states).last_hidden_state
    expected = reference.lm_head(hidden)[0, 0]
    logits = plain.extend(plain.new_cache(4, 1), [IMAGE], states)
    assert (logits - expected).abs().max() < TOLERANCE
    blind = plain.extend(plain.new_cache(4, 1), [IMAGE], torch.zeros_like(states))
    assert (blind - expected).abs().max() > 100 * TOLERANCE


def test_the_config_of_older_writers_means_the_same(plain_folder, tmp_path):
    values = json.loads((plain_folder / 'config.json').read_text())
    text, vision = values['text_config'], values['vision_config']
    assert 'rope_parameters' in text and 'attention_heads' in vision
    scaling = dict(text.pop('rope_parameters'))
    text.update(rope_theta=scaling.pop('rope_theta'), rope_scaling=scaling, torch_dtype='bfloat16')
    vision['num_attention_heads'] = vision.pop('attention_heads')
    (tmp_path / 'config.json').write_text(json.dumps(values))
    assert ModelConfig.from_folder(tmp_path) == ModelConfig.from_folder(plain_folder)


def test_a_written_model_of_another_type_is_refused(reference, tmp_path):
    reference.config.text_config.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="config.json: model_type is 'mllama_text_model'; "
                                              "supported: 'mllama'"):
        load_model(tmp_path)


def test_a_missing_and_a_truncated_shard(reference, tmp_path):
    folder = write(reference, tmp_path, max_shard_size=SHARD)
    shard = sorted(folder.glob('model-*.safetensors'))[2]
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=f'{shard} can not be read .* truncated or damaged: '
                                              'copy it again'):
        load_model(folder)
    shard.unlink()
    with pytest.raises(CheckpointError, match=f'names the shard {shard.name}, which is missing; '
                                              f'copy it into {folder}'):
        load_model(folder)


def test_the_written_sampling_defaults(reference, tmp_path):
    def read(**options):
        transformers.GenerationConfig(**options).save_pretrained(tmp_path)
        return SamplingOptions.from_folder(tmp_path)

    assert read(do_sample=True, temperature=0.6, top_p=0.9, repetition_penalty=1.1) == \
        SamplingOptions(True, 0.6, 50, 0.9, 1.1)
    assert read(do_sample=True, top_k=20) == SamplingOptions(True, top_k=20)
    assert not read(do_sample=False).do_sample
    assert read() == SamplingOptions(True, top_k=50)  # as the published clients sample


def test_the_written_image_processor_is_held_against_the_model(plain_folder, tmp_path):
    processor_class = transformers.models.mllama.MllamaImageProcessorPil
    mean, std = transformers.image_utils.OPENAI_CLIP_MEAN, transformers.image_utils.OPENAI_CLIP_STD
    for file in plain_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)

    def write_processor(**options):
        processor_class(**{'size': {'height': 40, 'width': 40}, 'image_mean': mean,
                           'image_std': std, 'max_image_tiles': 1, **options}
                        ).save_pretrained(tmp_path)

    write_processor()
    load_model(tmp_path)
    write_processor(size={'height': 560, 'width': 560})
    with pytest.raises(CheckpointError, match="preprocessor_config.json: size is {'height': 560, "
                                              "'width': 560}, but frames are prepared with"):
        load_model(tmp_path)
    write_processor(image_mean=[0.5, 0.5, 0.5])
    with pytest.raises(CheckpointError, match=r'image_mean is \[0.5, 0.5, 0.5\], but frames'):
        load_model(tmp_path)
