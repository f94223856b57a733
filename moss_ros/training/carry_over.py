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
The weights of a smaller checkpoint as the beginning of a model: what it knew, it still knows.

A checkpoint folder and a fresh VideoModel of the same widths go in. Rows of the vocabulary are
found by their tokens, layers that were not there begin as if they were not, and the frame before
begins by adding nothing. Called by the training program.
"""

from pathlib import Path

from moss_ros.model import load_model, VideoModel
from tokenizers import Tokenizer
import torch

_ADDING = ('o_proj.weight', 'down_proj.weight', 'fc2.weight', 'fc2.bias')


@torch.no_grad()
def carry_over(folder: Path, model: VideoModel, tokenizer: Tokenizer) -> None:
    """
    Give model, fresh and with tokenizer's vocabulary, the weights of the checkpoint in folder.

    Layers that only model has come last, and begin by adding nothing. Raises CheckpointError for
    what is no checkpoint, and ValueError where model has no such tensor or one of another shape
    that is no vocabulary's.
    """
    old = load_model(folder, device='cpu')
    old_tokenizer = Tokenizer.from_file(str(folder / 'tokenizer.json'))
    for layer in model.decoder.layers[len(old.decoder.layers):]:
        for name, parameter in layer.named_parameters():
            if name.endswith(_ADDING):
                parameter.zero_()
    parameters = dict(model.named_parameters())
    for name, parameter in old.named_parameters():
        if name in ('decoder.embed_tokens.weight', 'lm_head.weight'):
            _copy_rows(parameter, parameters[name], old_tokenizer, tokenizer)
            continue
        if name not in parameters:
            raise ValueError(f'{folder}: the model has no {name}; it may have more layers than '
                             'the checkpoint, but no fewer')
        target = parameters[name]
        if name == 'vision.patch_embedding' and target.shape[1] > parameter.shape[1]:
            target.zero_()
            target = target[:, :parameter.shape[1]]
        if target.shape != parameter.shape:
            raise ValueError(f'{folder}: {name} is {list(parameter.shape)}, but the model has '
                             f'{list(target.shape)}; only the vocabulary, the number of '
                             f'layers and the frame before may differ')
        target.copy_(parameter)


def _copy_rows(old, new, old_tokenizer, tokenizer):
    """Copy the rows of the tokens that both know; a new word begins as the mean of its pieces."""
    old_ids = old_tokenizer.get_vocab()
    for token, index in tokenizer.get_vocab().items():
        if index >= len(new):
            continue  # the image token has no row in the head
        if token in old_ids:
            if old_ids[token] < len(old):
                new[index] = old[old_ids[token]]
            continue
        pieces = old_tokenizer.encode(tokenizer.decode([index])).ids
        if pieces:
            new[index] = old[pieces].mean(0)
