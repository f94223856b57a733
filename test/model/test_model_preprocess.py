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

"""Frames are prepared as Mllama's image processor does it, whatever their size."""

import json
import math
import warnings

from moss_ros.model import CheckpointError, fit_frame, normalise_frames
from moss_ros.model.preprocess import check_processor_config
import numpy as np
import pytest
import torch

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
ONE_LEVEL = 1 / 255 / STD.min()
# Height, width, and the size of the picture inside 64 x 64.
SIZES = [(48, 64, 48, 64), (64, 48, 64, 48), (64, 64, 64, 64), (240, 320, 48, 64),
         (321, 241, 64, 48), (7, 5, 64, 45), (1, 1, 64, 64), (1, 200, 1, 64), (300, 1, 64, 1),
         (37, 1, 64, 1), (101, 3, 64, 1), (131, 257, 32, 64), (63, 65, 62, 64)]


def triangle_weights(num_in, num_out):
    """Return [num_out, num_in]: the bilinear filter, widened where it shrinks the image."""
    scale = num_in / num_out
    reach = max(1.0, scale)
    rows = np.zeros((num_out, num_in))
    for row in range(num_out):
        centre = (row + 0.5) * scale
        for column in range(num_in):
            rows[row, column] = max(0.0, 1 - abs((column + 0.5 - centre) / reach))
    return rows / rows.sum(axis=1, keepdims=True)


def reference(image, side, height, width):
    """Resize in float64, across and then down, each rounded to 8 bits; pad and normalise."""
    across = np.einsum('oi,hic->hoc', triangle_weights(image.shape[1], width), image)
    across = np.floor(across + 0.5)
    down = np.einsum('oi,iwc->owc', triangle_weights(image.shape[0], height), across)
    canvas = np.zeros((side, side, 3))
    canvas[:height, :width] = np.floor(down + 0.5)
    return ((canvas / 255 - MEAN) / STD).transpose(2, 0, 1)


def photo_like(height, width, seed=0):
    """Return a smooth picture with some noise, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(rows / (5 + 3 * channel) + columns / 11 + channel)
             for channel in range(3)]
    noisy = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def pixels_of(image, image_size):
    """Return the normalised pixels f32 [3, S, S] of one frame."""
    return normalise_frames(fit_frame(image, image_size))


@pytest.mark.parametrize('height, width, inner_height, inner_width', SIZES)
def test_equals_an_independent_resize(height, width, inner_height, inner_width):
    image = photo_like(height, width)
    expected = reference(image, 64, inner_height, inner_width)
    pixels = pixels_of(image, 64)
    assert pixels.dtype == torch.float32 and pixels.shape == (3, 64, 64)
    difference = np.abs(pixels.numpy() - expected)
    assert difference.max() < 1.01 * ONE_LEVEL
    assert difference.mean() < 0.003


@pytest.mark.parametrize('height, width, inner_height, inner_width', SIZES)
def test_the_rest_is_black_before_normalisation(height, width, inner_height, inner_width):
    pixels = pixels_of(np.full((height, width, 3), 255, np.uint8), 64)
    white, black = ((np.array([[[value]]] * 3) - MEAN[:, None, None]) / STD[:, None, None]
                    for value in (1.0, 0.0))
    expected = np.broadcast_to(black, (3, 64, 64)).copy()
    expected[:, :inner_height, :inner_width] = white
    assert np.abs(pixels.numpy() - expected).max() < 1e-5


def test_equals_pillow_where_it_is_installed():
    image_module = pytest.importorskip('PIL.Image')
    image = photo_like(333, 517)
    resized = image_module.fromarray(image).resize((560, 360), image_module.BILINEAR)
    canvas = np.zeros((560, 560, 3))
    canvas[:360] = np.asarray(resized)
    difference = np.abs(pixels_of(image, 560).numpy().transpose(1, 2, 0)
                        - (canvas / 255 - MEAN) / STD)
    assert difference.max() < 0.05
    assert difference.mean() < 0.003


@pytest.fixture(scope='module')
def reference_processor():
    """Return transformers' Mllama image processor for one tile of the published size."""
    module = pytest.importorskip('transformers.models.mllama.image_processing_pil_mllama')
    return module.MllamaImageProcessorPil(
        size={'height': 560, 'width': 560}, max_image_tiles=1, image_mean=MEAN.tolist(),
        image_std=STD.tolist())


def moving_edges(height, width):
    """Return checks, bars and a disc with hard edges, which show every difference in filtering."""
    rows, columns = np.mgrid[:height, :width]
    checks = (rows // 3 + columns // 3) % 2 * 255
    bars = columns % 2 * 255
    disc = ((rows - height / 2) ** 2 + (columns - width / 2) ** 2
            < min(height, width) ** 2 / 9) * 255
    return np.stack((checks, bars, disc), axis=2).astype(np.uint8)


@pytest.mark.parametrize('make_image', [photo_like, moving_edges])
@pytest.mark.parametrize('height, width', [
    (1080, 1920), (480, 640), (333, 517), (517, 333), (560, 560), (561, 559), (559, 561),
    (100, 37), (7, 1200), (1200, 7), (1, 1), (3, 2), (721, 1281)])
def test_equals_transformers_processor(reference_processor, make_image, height, width):
    image = make_image(height, width)
    expected = reference_processor(
        images=image, input_data_format='channels_last', return_tensors='np')['pixel_values']
    assert expected.shape == (1, 1, 1, 3, 560, 560)
    difference = np.abs(pixels_of(image, 560).numpy() - expected[0, 0, 0])
    assert difference.max() < 0.05
    assert difference.mean() < 0.003


def test_an_image_that_fits_is_only_normalised():
    image = photo_like(64, 64)
    expected = (image / 255 - MEAN) / STD
    pixels = pixels_of(image, 64).numpy().transpose(1, 2, 0)
    assert np.abs(pixels - expected).max() < 1e-5


def test_read_only_reversed_and_sliced_arrays_and_tensors_give_the_same():
    image = photo_like(50, 70)
    expected = pixels_of(image, 64)
    read_only = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
    bgr = image[:, :, ::-1].copy()
    padded_rows = np.zeros((50, 90, 3), np.uint8)
    padded_rows[:, :70] = image
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for same in (read_only, bgr[:, :, ::-1], padded_rows[:, :70], torch.from_numpy(image)):
            assert torch.equal(pixels_of(same, 64), expected)
    assert np.array_equal(image, photo_like(50, 70))


def test_frames_prepared_in_inference_mode_serve_training():
    with torch.inference_mode():
        pixels_of(photo_like(20, 30), 16)
    pixels = pixels_of(photo_like(20, 30), 16)
    weight = torch.ones(3, 16, 16, requires_grad=True)
    (pixels * weight).sum().backward()
    assert torch.equal(weight.grad, pixels)


@pytest.mark.parametrize('image, message', [
    (np.zeros((4, 4), np.uint8), r'torch.uint8 \[4, 4\]; uint8 \[H, W, 3]'),
    (np.zeros((4, 4, 4), np.uint8), r'\[4, 4, 4]'),
    (np.zeros((0, 4, 3), np.uint8), '[0, 4, 3]'),
    (np.zeros((4, 4, 3), np.float32), r'torch.float32 \[4, 4, 3]'),
    (torch.zeros(3, 4, 4, dtype=torch.uint8), r'\[3, 4, 4]'),
])
def test_what_is_no_rgb_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        pixels_of(image, 64)


def test_the_aspect_is_kept_at_the_published_size():
    for height, width in ((1080, 1920), (480, 640), (720, 720)):
        pixels = pixels_of(np.full((height, width, 3), 255, np.uint8), 560)
        lit = int((pixels[0, :, 0] > 0).sum()), int((pixels[0, 0] > 0).sum())
        assert lit == (math.floor(height * 560 / max(height, width)),
                       math.floor(width * 560 / max(height, width)))


PUBLISHED_PROCESSOR = {
    'do_convert_rgb': True, 'do_normalize': True, 'do_pad': True, 'do_rescale': True,
    'do_resize': True, 'image_mean': MEAN.tolist(), 'image_std': STD.tolist(),
    'image_processor_type': 'MllamaImageProcessor', 'max_image_tiles': 4, 'resample': 2,
    'rescale_factor': 0.00392156862745098, 'size': {'height': 560, 'width': 560}}


def test_processors_that_agree(tmp_path):
    check_processor_config(tmp_path, 560)  # none is there
    for name, values in (('preprocessor_config.json', PUBLISHED_PROCESSOR),
                         ('preprocessor_config.json', {}),
                         ('preprocessor_config.json', {'image_mean': [0.4815, 0.4578, 0.4082]}),
                         ('processor_config.json', {'image_processor': PUBLISHED_PROCESSOR}),
                         ('processor_config.json', {'processor_class': 'MllamaProcessor'})):
        (tmp_path / name).write_text(json.dumps(values))
        check_processor_config(tmp_path, 560)
        (tmp_path / name).unlink()


@pytest.mark.parametrize('name, value, needed', [
    ('size', {'height': 448, 'width': 448}, "{'height': 560, 'width': 560}"),
    ('size', {'shortest_edge': 560}, "{'height': 560, 'width': 560}"),
    ('size', 560, "{'height': 560, 'width': 560}"),
    ('image_mean', [0.5, 0.5, 0.5], '[0.48145466, 0.4578275, 0.40821073]'),
    ('image_std', [0.5], '[0.26862954, 0.26130258, 0.27577711]'),
    ('image_std', 0.5, '[0.26862954, 0.26130258, 0.27577711]'),
    ('resample', 3, '2'), ('rescale_factor', 1.0, '0.0039'), ('do_normalize', False, 'True'),
    ('do_pad', False, 'True')])
@pytest.mark.parametrize('file', ['preprocessor_config.json', 'processor_config.json'])
def test_processors_that_do_not_agree_are_refused_with_the_value(tmp_path, file, name, value,
                                                                 needed):
    values = {**PUBLISHED_PROCESSOR, name: value}
    (tmp_path / file).write_text(json.dumps(
        values if file.startswith('pre') else {'image_processor': values}))
    with pytest.raises(CheckpointError) as caught:
        check_processor_config(tmp_path, 560)
    assert f'{tmp_path / file}: {name} is {value!r}, but frames' in str(caught.value)
    assert needed in str(caught.value)
    assert 'take the files of one checkpoint, or correct the value' in str(caught.value)


def test_a_processor_file_that_is_none(tmp_path):
    (tmp_path / 'preprocessor_config.json').write_text('[]')
    with pytest.raises(CheckpointError, match='preprocessor_config.json holds a list, not a JSON'):
        check_processor_config(tmp_path, 560)
