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

"""
Sizes of the video model, read from a checkpoint folder's config.json (an Mllama config).

JSON values go in; frozen dataclasses come out, from which the modules are built. Missing fields
take Mllama's defaults. Values that this package does not implement are refused, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from moss_ros.checks import require_count, require_number

ACTIVATIONS = ('silu', 'gelu', 'gelu_new', 'gelu_pytorch_tanh', 'quick_gelu', 'relu')
# Rows of Mllama's embedding table beyond the vocabulary; one is for the image token.
NUM_EXTRA_EMBEDDINGS = 8
_FOUR_TILE_ASPECT_RATIOS = ((1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1))
_DEFAULT_CROSS_ATTENTION_LAYERS = (3, 8, 13, 18, 23, 28, 33, 38)
_MISSING = object()


class CheckpointError(Exception):
    """A checkpoint folder can't be used; the message names the file or tensor and the way out."""


def read_json_object(file: Path) -> dict:
    """Read a JSON object from a file; CheckpointError, which names the file, if that fails."""
    try:
        values = json.loads(file.read_text(encoding='utf-8'))
    except (ValueError, OSError) as error:
        raise CheckpointError(f'{file}: {error}') from error
    if not isinstance(values, dict):
        raise CheckpointError(f'{file} holds a {type(values).__name__}, not a JSON object')
    return values


class _Fields:
    """Reads typed fields of one JSON object; every error names the field and quotes the value."""

    def __init__(self, values, where):
        if not isinstance(values, dict):
            raise ValueError(f'{where or "config"} is {values!r}, not a JSON object')
        self._values = values
        self.prefix = f'{where}.' if where else ''

    def raw(self, name, default=None):
        value = self._values.get(name)
        return default if value is None else value

    def fail(self, name, expected):
        raise ValueError(f'{self.prefix}{name} is {self._values.get(name)!r}; {expected}')

    def one_of(self, name, other, other_name):
        """Return (fields, name) to read a value that may stand in two places; they must agree."""
        value, other_value = self.raw(name), other.raw(other_name)
        if value is not None and other_value is not None and value != other_value:
            raise ValueError(
                f'{self.prefix}{name} is {value!r}, but {other.prefix}{other_name} is '
                f'{other_value!r}; they mean the same: make them equal, or take one out')
        return (other, other_name) if value is None and other_value is not None else (self, name)

    def value(self, name, default):
        value = self.raw(name, default)
        if value is _MISSING:
            raise ValueError(f'{self.prefix}{name} is missing; it has no default')
        return value

    def integer(self, name, default=_MISSING, minimum=1):
        value = self.value(name, default)
        require_count(f'{self.prefix}{name}', value, minimum)
        return value

    def number(self, name, default=_MISSING):
        value = self.value(name, default)
        require_number(f'{self.prefix}{name}', value, above=0)
        return float(value)

    def choice(self, name, default, choices):
        value = self.value(name, default)
        if value not in choices:
            self.fail(name, 'supported: ' + ', '.join(repr(choice) for choice in choices))
        return value

    def indices(self, name, default, limit):
        """Return distinct integers below limit, in ascending order."""
        value = self.value(name, default)
        if not isinstance(value, (list, tuple)) or not all(
                isinstance(index, int) and not isinstance(index, bool) and 0 <= index < limit
                for index in value):
            self.fail(name, f'a list of integers from 0 to {limit - 1} is needed')
        if len(set(value)) != len(value):
            self.fail(name, 'no layer may be listed twice')
        return tuple(sorted(value))


@dataclass(frozen=True)
class RopeConfig:
    """Rotary embedding: rope_type 'default', or 'llama3' with its four scaling numbers."""

    theta: float = 500000.0
    rope_type: str = 'default'
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    @classmethod
    def from_text_dict(cls, values: dict) -> RopeConfig:
        """Read rope_theta and rope_scaling, or rope_parameters of newer transformers versions."""
        text = _Fields(values, 'text_config')
        name = 'rope_parameters' if text.raw('rope_parameters') else 'rope_scaling'
        scaling = _Fields(text.raw(name, {}), f'text_config.{name}')
        theta = (scaling if scaling.raw('rope_theta') else text).number('rope_theta', 500000.0)
        type_name = 'rope_type' if scaling.raw('rope_type') else 'type'  # 'type': older writers
        rope_type = scaling.choice(type_name, 'default', ('default', 'llama3'))
        if scaling.raw('partial_rotary_factor', 1.0) != 1.0:
            scaling.fail('partial_rotary_factor', 'only whole heads can be rotated (1.0)')
        if rope_type == 'default':
            return cls(theta=theta)
        rope = cls(theta, rope_type, scaling.number('factor'),
                   scaling.number('low_freq_factor'), scaling.number('high_freq_factor'),
                   scaling.integer('original_max_position_embeddings'))
        if rope.high_freq_factor <= rope.low_freq_factor:
            scaling.fail('high_freq_factor', f'it must exceed low_freq_factor '
                                             f'({rope.low_freq_factor})')
        return rope


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the vision encoder. Names are Mllama's; sizes are in channels, layers, pixels."""

    hidden_size: int
    hidden_act: str
    num_hidden_layers: int
    num_global_layers: int
    attention_heads: int
    num_channels: int  # 3: RGB; 6: that of the frame, then that of the frame before it
    intermediate_size: int
    image_size: int  # pixels, square
    patch_size: int  # pixels, square
    norm_eps: float
    max_num_tiles: int
    intermediate_layers_indices: tuple[int, ...]
    supported_aspect_ratios: tuple[tuple[int, int], ...]

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.attention_heads

    @property
    def sees_frame_before(self) -> bool:
        """Whether a frame is shown with the one before it, which says what moved."""
        return self.num_channels == 6

    @property
    def grid_size(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """P: states of a frame before pooling, the class token and all patches."""
        return self.grid_size ** 2 + 1

    @property
    def max_aspect_ratio_id(self) -> int:
        return len(self.supported_aspect_ratios)

    @property
    def output_dim(self) -> int:
        """Dv: channels of a patch's output, its final and intermediate states together."""
        return self.hidden_size * (1 + len(self.intermediate_layers_indices))

    @classmethod
    def from_dict(cls, values: dict) -> VisionConfig:
        """Read and check a vision_config; ValueError quotes what is not supported."""
        fields = _Fields(values, 'vision_config')
        num_layers = fields.integer('num_hidden_layers', 32)
        heads_name = 'attention_heads' if fields.raw('attention_heads') else 'num_attention_heads'
        max_num_tiles = fields.integer('max_num_tiles', 4)
        config = cls(
            hidden_size=fields.integer('hidden_size', 1280),
            hidden_act=fields.choice('hidden_act', 'gelu', ACTIVATIONS),
            num_hidden_layers=num_layers,
            num_global_layers=fields.integer('num_global_layers', 8, minimum=0),
            attention_heads=fields.integer(heads_name, 16),
            num_channels=fields.choice('num_channels', 3, (3, 6)),
            intermediate_size=fields.integer('intermediate_size', 5120),
            image_size=fields.integer('image_size', 448),
            patch_size=fields.integer('patch_size', 14),
            norm_eps=fields.number('norm_eps', 1e-5),
            max_num_tiles=max_num_tiles,
            # Index num_hidden_layers names the state that leaves the last local layer.
            intermediate_layers_indices=fields.indices(
                'intermediate_layers_indices', (3, 7, 15, 23, 30), num_layers + 1),
            supported_aspect_ratios=_aspect_ratios(fields, max_num_tiles))
        if config.hidden_size % config.attention_heads:
            fields.fail(heads_name, f'it must divide hidden_size ({config.hidden_size})')
        if config.grid_size < 1:
            fields.fail('patch_size', f'it exceeds image_size ({config.image_size})')
        if fields.integer('vision_output_dim', config.output_dim) != config.output_dim:
            fields.fail('vision_output_dim', f'hidden_size and intermediate_layers_indices '
                                             f'make it {config.output_dim}')
        return config


def _aspect_ratios(fields, max_num_tiles):
    default = _FOUR_TILE_ASPECT_RATIOS if max_num_tiles == 4 else _MISSING
    value = fields.value('supported_aspect_ratios', default)
    ratios = tuple(tuple(ratio) if isinstance(ratio, (list, tuple)) else () for ratio in value) \
        if isinstance(value, (list, tuple)) else ()
    # Each frame is one tile and uses aspect-ratio id 1, which stands for the first entry.
    if not ratios or ratios[0] != (1, 1) or any(len(ratio) != 2 for ratio in ratios):
        fields.fail('supported_aspect_ratios', 'a list of pairs that begins with [1, 1] is needed')
    return ratios


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the text decoder. Names are Mllama's."""

    vocab_size: int
    hidden_size: int
    hidden_act: str
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float
    max_position_embeddings: int
    cross_attention_layers: tuple[int, ...]
    rope: RopeConfig

    @property
    def num_embeddings(self) -> int:
        """Rows of the embedding table. Ids from vocab_size on can be inputs, but not outputs."""
        return self.vocab_size + NUM_EXTRA_EMBEDDINGS

    @classmethod
    def from_dict(cls, values: dict) -> TextConfig:
        """Read and check a text_config; ValueError quotes what is not supported."""
        fields = _Fields(values, 'text_config')
        hidden_size = fields.integer('hidden_size', 4096)
        num_heads = fields.integer('num_attention_heads', 32)
        num_layers = fields.integer('num_hidden_layers', 40)
        if fields.raw('head_dim') is None and hidden_size % num_heads:
            fields.fail('num_attention_heads', f'it must divide hidden_size ({hidden_size})')
        config = cls(
            vocab_size=fields.integer('vocab_size', 128256),
            hidden_size=hidden_size,
            hidden_act=fields.choice('hidden_act', 'silu', ACTIVATIONS),
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            num_key_value_heads=fields.integer('num_key_value_heads', 8),
            head_dim=fields.integer('head_dim', hidden_size // num_heads),
            intermediate_size=fields.integer('intermediate_size', 14336),
            rms_norm_eps=fields.number('rms_norm_eps', 1e-5),
            max_position_embeddings=fields.integer('max_position_embeddings', 131072),
            cross_attention_layers=fields.indices(
                'cross_attention_layers', _DEFAULT_CROSS_ATTENTION_LAYERS, num_layers),
            rope=RopeConfig.from_text_dict(values))
        if num_heads % config.num_key_value_heads:
            fields.fail('num_key_value_heads', f'it must divide num_attention_heads ({num_heads})')
        if config.head_dim % 2:
            raise ValueError(f'text_config: heads of {config.head_dim} channels can not be '
                             f'rotated in pairs; an even head_dim is needed')
        return config


@dataclass(frozen=True)
class ModelConfig:
    """All sizes of the video model, and the id of the token that stands for a frame."""

    vision: VisionConfig
    text: TextConfig
    image_token_id: int
    pool_stride: int
    tie_word_embeddings: bool = False

    @property
    def num_frame_tokens(self) -> int:
        """N: states of a frame that the decoder sees, the class token and the pooled patches."""
        return (self.vision.grid_size // self.pool_stride) ** 2 + 1

    @classmethod
    def from_dict(cls, values: dict) -> ModelConfig:
        """
        Read a parsed config.json; unknown keys are ignored.

        Raises ValueError that names the field and quotes the value.
        """
        fields = _Fields(values, '')
        fields.choice('model_type', _MISSING, ('mllama', 'video_mllama'))
        # Some forks put the pooling into vision_config, under other names.
        vision_fields = _Fields(fields.raw('vision_config', {}), 'vision_config')
        mode_fields, mode_name = fields.one_of('pool_mode', vision_fields, 'merge_mode')
        mode_fields.choice(mode_name, 'average', ('average',))
        stride_fields, stride_name = fields.one_of('pool_stride', vision_fields, 'merge_size')
        text_values = fields.raw('text_config', {})
        config = cls(
            vision=VisionConfig.from_dict(fields.raw('vision_config', {})),
            text=TextConfig.from_dict(text_values),
            image_token_id=fields.integer(
                'image_token_index' if fields.raw('image_token_id') is None else 'image_token_id',
                128256, minimum=0),
            # Mllama has no pooling, so the default is that of the published video model.
            pool_stride=stride_fields.integer(stride_name, 4),
            tie_word_embeddings=bool(
                text_values.get('tie_word_embeddings') or fields.raw('tie_word_embeddings')))
        if config.image_token_id >= config.text.num_embeddings:
            fields.fail('image_token_index', f'the embedding table has only '
                                             f'{config.text.num_embeddings} rows')
        if config.pool_stride > config.vision.grid_size:
            stride_fields.fail(stride_name, f'a frame has only {config.vision.grid_size} '
                                            f'patches a side')
        return config

    @classmethod
    def from_folder(cls, folder: str | Path) -> ModelConfig:
        """Read folder/config.json. Raises CheckpointError that names the file and the value."""
        folder = Path(folder)
        if not folder.is_dir():
            raise CheckpointError(f'{folder} is not a folder; a checkpoint is a folder that holds '
                                  f'config.json and model.safetensors')
        file = folder / 'config.json'
        if not file.is_file():
            raise CheckpointError(f'{folder} has no config.json, so it is not a checkpoint folder')
        values = read_json_object(file)
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise CheckpointError(f'{file}: {error}') from error
