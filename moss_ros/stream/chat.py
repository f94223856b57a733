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
The chat format of Llama 3: texts in, token ids of turns out, and back.

Built from a tokenizer.json by the tokenizers library. The layout of frames and silence between
the turns is in dialogue.py. Called by the session, the training samples and the generator.
Immutable: any thread may call, nothing blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
import json
from pathlib import Path

from moss_ros.checks import require_text
from tokenizers import Tokenizer

BEGIN_OF_TEXT = '<|begin_of_text|>'
START_HEADER = '<|start_header_id|>'
END_HEADER = '<|end_header_id|>'
END_OF_TURN = '<|eot_id|>'
SILENCE = '<|silence|>'
IMAGE = '<|image|>'
VIDEO = '<|video|>'
ELLIPSIS = '<|...|>'

REQUIRED_CONTROL_TOKENS = (
    BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN, SILENCE, IMAGE)


class ChatFormat:
    """
    Token ids of the Llama-3 chat layout with silence and image tokens.

    Every token that tokenizer.json lists under added_tokens is a control token, except the one for
    unknown text. Texts are encoded by a second tokenizer without the control tokens in its
    vocabulary, so no text can produce one.
    """

    def __init__(self, tokenizer_file: str | Path):
        """
        Read tokenizer_file, the path of a tokenizer.json.

        Raises ValueError if the file is missing, is no tokenizer or lacks a control token that
        the stream needs; the message names the file and the tokens.
        """
        path = Path(tokenizer_file)
        settings = _read_settings(path)
        self.tokenizer_file = path
        self._ids = _control_ids_by_name(settings, path)
        unknown_token = settings['model'].get('unk_token')
        self._control_ids = frozenset(
            token_id for name, token_id in self._ids.items() if name != unknown_token)
        self._never_sampled_ids = frozenset(self._ids.values()) - {self.silence_id, self.eot_id}
        self._text_tokenizer = _text_tokenizer(settings, set(self._ids) - {unknown_token}, path)
        self._num_ids = 1 + max([
            *self._ids.values(), *self._text_tokenizer.get_vocab().values()])

    @property
    def silence_id(self) -> int:
        """Id of the token by which the model chooses to say nothing."""
        return self._ids[SILENCE]

    @property
    def image_id(self) -> int:
        """Id of the token for one frame; may be larger than any id that the model can sample."""
        return self._ids[IMAGE]

    @property
    def eot_id(self) -> int:
        """Id of the token that closes a turn."""
        return self._ids[END_OF_TURN]

    @property
    def begin_of_text_id(self) -> int:
        """Id of the token that opens every context."""
        return self._ids[BEGIN_OF_TEXT]

    @property
    def control_ids(self) -> frozenset[int]:
        """Ids of all control tokens, which no text can produce."""
        return self._control_ids

    @property
    def never_sampled_ids(self) -> frozenset[int]:
        """Ids that must never be sampled: added tokens other than silence and end of turn."""
        return self._never_sampled_ids

    @property
    def num_ids(self) -> int:
        """One more than the largest id in use, control tokens included."""
        return self._num_ids

    def control_id(self, name: str) -> int:
        """Return the id of a control token by its string, such as '<|video|>'; else ValueError."""
        if name not in self._ids:
            raise ValueError(
                f'{self.tokenizer_file} has no control token {name!r}; '
                f'it has {", ".join(sorted(self._ids))}')
        return self._ids[name]

    def encode_text(self, text: str) -> list[int]:
        """
        Encode any str as a list of text ids, none of them in control_ids.

        A control token's string inside text becomes ordinary text ids. A lone surrogate, which
        UTF-8 can not encode, becomes U+FFFD.
        """
        require_text('text to encode', text)
        if not text.isascii():
            text = text.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'replace')
        return self._text_tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; control tokens are left out."""
        text_ids = [token_id for token_id in ids if token_id not in self._control_ids]
        return self._text_tokenizer.decode(text_ids, skip_special_tokens=False)

    def opening(self, system_prompt: str) -> list[int]:
        """
        Return the ids from the start of a context to the header of the assistant's turn.

        These are the system turn, an empty user turn and the assistant's header. Whitespace
        around the system prompt is dropped, as in Llama 3's template.
        """
        return [
            self.begin_of_text_id,
            *self._turn('system', system_prompt),
            *self._turn('user', ''),
            *self._header('assistant'),
        ]

    def question_turn(self, text: str) -> list[int]:
        """Return ids that close the assistant's turn, ask text and open the next one."""
        return [self.eot_id, *self._turn('user', text), *self._header('assistant')]

    def media_opening(self, system_prompt: str, question: str) -> tuple[list[int], list[int]]:
        """
        Return the ids before and after the image tokens of a question about pictures or a video.

        Before: the system turn and the header of the user's turn. After: the question, the end of
        the turn and the assistant's header. Between them belongs one image token for each frame.
        """
        before = [self.begin_of_text_id, *self._turn('system', system_prompt),
                  *self._header('user')]
        after = [*self.encode_text(question.strip()), self.eot_id, *self._header('assistant')]
        return before, after

    def require_model(self, image_token_id: int, vocab_size: int) -> None:
        """Raise ValueError if the tokenizer does not fit a model with these ids."""
        if image_token_id != self.image_id:
            raise ValueError(
                f'the model takes token {image_token_id} for a frame, but <|image|> of '
                f'{self.tokenizer_file} is {self.image_id}; use the tokenizer of the checkpoint')
        for name, token_id in ((SILENCE, self.silence_id), (END_OF_TURN, self.eot_id)):
            if token_id >= vocab_size:
                raise ValueError(
                    f'{name} of {self.tokenizer_file} is {token_id}, but the model only says ids '
                    f'below {vocab_size}; use the tokenizer of the checkpoint')

    def never_said_ids(self, vocab_size: int) -> list[int]:
        """Return the ids below vocab_size that must not be sampled, those without a token too."""
        ids = {token_id for token_id in self.never_sampled_ids if token_id < vocab_size}
        return sorted(ids.union(range(self.num_ids, vocab_size)))

    def _turn(self, role, text):
        return [*self._header(role, text.strip()), self.eot_id]

    def _header(self, role, text=''):
        # The blank line and the text are encoded as one string, because a tokenizer that splits
        # only at control tokens does so too.
        return [
            self._ids[START_HEADER],
            *self.encode_text(role),
            self._ids[END_HEADER],
            *self.encode_text('\n\n' + text),
        ]


def _read_settings(path):
    try:
        settings = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ValueError(
            f'{path} cannot be read ({error.strerror}); '
            'a checkpoint folder needs a tokenizer.json') from error
    except ValueError as error:
        raise ValueError(f'{path} is not a tokenizer.json: {error}') from error
    if not isinstance(settings, dict) or not isinstance(settings.get('model'), dict):
        raise ValueError(f'{path} is not a tokenizer.json: it has no "model"')
    return settings


def _control_ids_by_name(settings, path):
    ids = {token['content']: token['id'] for token in settings.get('added_tokens') or ()}
    missing = [name for name in REQUIRED_CONTROL_TOKENS if name not in ids]
    if missing:
        raise ValueError(
            f'{path} lacks the control token {" ".join(missing)} that a live stream needs '
            '(looked for under "added_tokens"); use the tokenizer.json of the checkpoint')
    return ids


def _text_tokenizer(settings, control_names, path):
    """Return a tokenizer without control_names that adds nothing around a text."""
    model = dict(settings['model'])
    vocabulary = model.get('vocab')
    if isinstance(vocabulary, dict):
        model['vocab'] = {
            token: token_id for token, token_id in vocabulary.items()
            if token not in control_names}
    if 'merges' in model:
        model['merges'] = [
            merge for merge in model['merges'] if _merged(merge) not in control_names]
    plain = {
        **settings, 'model': model, 'added_tokens': [],
        'post_processor': None, 'truncation': None, 'padding': None}
    try:
        tokenizer = Tokenizer.from_str(json.dumps(plain))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f'{path} is not a usable tokenizer.json: {error}') from error
    left = control_names.intersection(tokenizer.get_vocab())
    if left:
        raise ValueError(
            f'{path} keeps the control tokens {" ".join(sorted(left))} in its vocabulary, '
            'where a user could type them; save it with them as added tokens only')
    return tokenizer


def _merged(merge):
    """Return the token that a BPE merge produces, written as 'a b' or as ['a', 'b']."""
    parts = merge.split(' ') if isinstance(merge, str) else merge
    return ''.join(parts)
