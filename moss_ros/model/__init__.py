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

"""The video model: sizes, weights, forward passes, preprocessing of frames, sampling of tokens."""

from .cache import DecoderCache
from .checkpoint import is_to_be_downloaded, load_model, memory_of, resolve_checkpoint, save_model
from .config import CheckpointError, ModelConfig, RopeConfig, TextConfig, VisionConfig
from .decoder import TextDecoder
from .placement import choose_device, choose_dtype
from .preprocess import fit_frame, normalise_frames, pair_frames
from .sampling import sample_token, SamplingOptions
from .video_model import initialise, VideoModel
from .vision import VisionEncoder

__all__ = [
    'CheckpointError', 'DecoderCache', 'ModelConfig', 'RopeConfig', 'SamplingOptions',
    'TextConfig', 'TextDecoder', 'VideoModel', 'VisionConfig', 'VisionEncoder', 'choose_device',
    'choose_dtype', 'fit_frame', 'initialise', 'is_to_be_downloaded', 'load_model', 'memory_of',
    'normalise_frames', 'pair_frames', 'resolve_checkpoint', 'sample_token',
    'save_model',
]
