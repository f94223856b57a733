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

"""A checkpoint of the embedded model's size with random weights: it says anything."""

import json

from moss_ros.model import initialise, ModelConfig, save_model, VideoModel
from moss_ros.training.architecture import demo_config
from moss_ros.training.vocabulary import write_tokenizer
import torch


def write_random_checkpoint(folder, seed, silence_logit_bias=None):
    """Write it into folder, with a silence_logit_bias of its own where one is given."""
    config = demo_config(write_tokenizer(folder))
    if silence_logit_bias is not None:
        config['stream_config']['silence_logit_bias'] = silence_logit_bias
    (folder / 'config.json').write_text(json.dumps(config))
    model = VideoModel(ModelConfig.from_dict(config))
    initialise(model, torch.Generator().manual_seed(seed))
    save_model(model.eval(), folder)
