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
Sizes and stream settings of the embedded model: the config.json of the demo checkpoint.

The same architecture as the published 11B checkpoint, small enough to train on two CPU cores.
"""

import math

from moss_ros.training.samples import SILENCE_WEIGHT
from moss_ros.training.streams import FRAME_RATE_FPS, IMAGE_SIZE_PX
from moss_ros.training.vocabulary import OFFLINE_SYSTEM_PROMPT, SYSTEM_PROMPT
from tokenizers import Tokenizer

# Frames of the longest training window; a longer context is outside the model's training.
MAX_WINDOW_FRAMES = 28
# With better odds for silence, by so much in logits, more of what is said is true: see
# docs/training_notes.md.
CAUTION = 1.0


def demo_config(tokenizer: Tokenizer) -> dict:
    """Return the parsed config.json of the embedded model for its tokenizer."""
    image_id = tokenizer.token_to_id('<|image|>')
    return {
        'model_type': 'mllama',
        'image_token_index': image_id,
        'pool_mode': 'average',
        'pool_stride': 2,
        'text_config': {
            'bos_token_id': tokenizer.token_to_id('<|begin_of_text|>'),
            'eos_token_id': tokenizer.token_to_id('<|eot_id|>'),
            'cross_attention_layers': [0, 3],
            'hidden_act': 'silu',
            'hidden_size': 128,
            'intermediate_size': 320,
            'max_position_embeddings': 512,
            'num_attention_heads': 8,
            'num_hidden_layers': 7,
            'num_key_value_heads': 8,
            'rms_norm_eps': 1e-5,
            # Positions stay below 300: slower rotations than this would tell nothing apart.
            'rope_theta': 1000.0,
            'tie_word_embeddings': False,
            'vocab_size': image_id,
        },
        'vision_config': {
            'attention_heads': 4,
            'hidden_act': 'gelu',
            'hidden_size': 96,
            'image_size': IMAGE_SIZE_PX,
            'intermediate_layers_indices': [2],
            'intermediate_size': 256,
            'max_num_tiles': 1,
            'norm_eps': 1e-5,
            # Two frames side by side show what moved; see docs/training_notes.md.
            'num_channels': 6,
            'num_global_layers': 1,
            'num_hidden_layers': 3,
            'patch_size': 8,
            'supported_aspect_ratios': [[1, 1]],
            'vision_output_dim': 192,
        },
        'stream_config': {
            'frame_rate_fps': FRAME_RATE_FPS,
            'system_prompt': SYSTEM_PROMPT,
            'max_context_frames': MAX_WINDOW_FRAMES,
            'keep_context_frames': 14,
            'max_context_tokens': 240,
            'keep_context_tokens': 150,
            'max_tokens_between_frames': 24,
            # Training weighs silence down; this gives the odds back, and caution.
            'silence_logit_bias': CAUTION - math.log(SILENCE_WEIGHT),
            # So small a model says the most likely token, or nonsense.
            'sampling': {'do_sample': False},
        },
        # What whole clips and pictures are asked with.
        'offline_config': {
            'frame_rate_fps': FRAME_RATE_FPS,
            'max_frames': MAX_WINDOW_FRAMES,
            'system_prompts': {
                'video': OFFLINE_SYSTEM_PROMPT, 'text_image': OFFLINE_SYSTEM_PROMPT},
        },
    }
