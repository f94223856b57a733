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
The embedded model's tokenizer: byte-level BPE whose merges cover what both worlds can say.

Any user text can be encoded (the 256 bytes are the base), and every word of the worlds' language
and of the common questions is one token. Control tokens carry the names of the published
checkpoint and stand behind the text vocabulary, as in Llama 3. Called by the training program.
"""

from itertools import product
from pathlib import Path

from moss_ros.training.questions import words_of_other_questions
from moss_ros.training.scenes import COLOURS, MOTIONS, SHAPES
from moss_ros.training.scenes.language import (
    DO_NOT_KNOW, NOTHING_HAPPENS, NUMBER_WORDS, WHAT_HAPPENS_WORDINGS,
)
from moss_ros.training.scenes.wordings import words_of_wordings, WORDINGS
from moss_ros.training.unknown import SENTENCES
from moss_ros.training.unknown.statements import UNKNOWN_SCENE
from tokenizers import decoders, models, pre_tokenizers, Tokenizer, trainers

SYSTEM_PROMPT = 'Watch the camera and say what happens.'
OFFLINE_SYSTEM_PROMPT = 'Answer from what the camera saw.'
# <|image|> comes last: like the published checkpoint's it has an embedding but no logit.
CONTROL_TOKENS = (
    '<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>',
    '<|silence|>', '<|...|>', '<|video|>', '<|image|>',
)
_WORDS = (
    'A The I There Yes No Nothing . ? , a the is are no nothing anything something moving see '
    'appears enters moves stops turns leaves from on in left right middle up down and object '
    'objects thing things balls boxes cones now system user assistant'
).split()


def corpus() -> list[str]:
    """Return texts with every word of both worlds' language, in its usual context."""
    texts = [SYSTEM_PROMPT, OFFLINE_SYSTEM_PROMPT, NOTHING_HAPPENS,
             'system\n\n', 'user\n\n', 'assistant\n\n']
    for wordings in (*WORDINGS.values(), WHAT_HAPPENS_WORDINGS):
        for wording, colour, shape in product(wordings, COLOURS, SHAPES):
            text = wording.format(colour=colour, shape=shape)
            texts += [text, text[0].lower() + text[1:]]
    for colour, shape, motion in product(COLOURS, SHAPES, MOTIONS):
        texts.append(f'The {colour} {shape} is moving {motion}.')
        texts.append(f'A {colour} {shape} appears on the left. in the middle. on the right.')
    texts += [f'There are {number} objects.' for number in NUMBER_WORDS]
    texts += [*SENTENCES.values(), DO_NOT_KNOW, UNKNOWN_SCENE]
    for word in (*words_of_wordings(), *words_of_other_questions()):
        texts += [f' {word}', word.capitalize()]
    texts += [f' {word}' for word in _WORDS] + list(_WORDS)
    return texts


def build_tokenizer() -> Tokenizer:
    """Return the tokenizer; the same one each time."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # More merges than the corpus can fill: every word ends as one token.
    trainer = trainers.BpeTrainer(vocab_size=4096, min_frequency=1, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(list(CONTROL_TOKENS))
    return tokenizer


def write_tokenizer(folder: Path) -> Tokenizer:
    """Write tokenizer.json into folder and return the tokenizer."""
    tokenizer = build_tokenizer()
    tokenizer.save(str(folder / 'tokenizer.json'))
    return tokenizer
