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
