"""
The chat format of Llama 3: texts in, token ids of turns out, and back.

Built from a tokenizer.json by the tokenizers library. Where frames and silence stand between the
turns is said by dialogue.py. Called by the session, the training samples and the generator.
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
OPTIONAL_CONTROL_TOKENS = (VIDEO, ELLIPSIS)


class ChatFormat:
    """
    Token ids of the Llama-3 chat layout with silence and image tokens.

    Every token that tokenizer.json lists under added_tokens counts as a control token, but for
    the one that stands for unknown text. Texts are encoded by a second tokenizer whose
    vocabulary lacks the control tokens, so no text whatever can produce one.
    """

    def __init__(self, tokenizer_file: str | Path):
        """
        Read tokenizer_file, the path of a tokenizer.json.

        Raises ValueError where the file is missing, is no tokenizer or lacks a control token
        that the stream needs; the message names the file and the tokens.
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
        """Id of the token by which the model says that it has nothing to say."""
        return self._ids[SILENCE]

    @property
    def image_id(self) -> int:
        """Id that stands for one frame; may lie beyond the ids that the model can sample."""
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
        """All ids that no text can produce."""
        return self._control_ids

    @property
    def never_sampled_ids(self) -> frozenset[int]:
        """Ids that the model must never say; silence and end of turn are not among them."""
        return self._never_sampled_ids

    @property
    def num_ids(self) -> int:
        """One more than the largest id in use, control tokens included."""
        return self._num_ids

    def control_id(self, name: str) -> int:
        """Id of the control token with this string, such as '<|video|>'; ValueError if none."""
        if name not in self._ids:
            raise ValueError(
                f'{self.tokenizer_file} has no control token {name!r}; '
                f'it has {", ".join(sorted(self._ids))}')
        return self._ids[name]

    def encode_text(self, text: str) -> list[int]:
        """
        Encode any str as a list of text ids, none of them in control_ids.

        A control token's string inside text becomes ordinary text ids. A lone surrogate, which
        no UTF-8 can carry, becomes U+FFFD.
        """
        require_text('text to encode', text)
        if not text.isascii():
            text = text.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'replace')
        return self._text_tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids (iterable of int) as a str; control tokens have no text."""
        text_ids = [token_id for token_id in ids if token_id not in self._control_ids]
        return self._text_tokenizer.decode(text_ids, skip_special_tokens=False)

    def opening(self, system_prompt: str) -> list[int]:
        """
        Ids from the start of a context to the head of the assistant's turn.

        The system's turn, an empty user's turn and the assistant's header. Outer whitespace of
        the prompt is dropped, as Llama 3's template does.
        """
        return [
            self.begin_of_text_id,
            *self._turn('system', system_prompt),
            *self._turn('user', ''),
            *self._header('assistant'),
        ]

    def question_turn(self, text: str) -> list[int]:
        """Ids that close the assistant's turn, ask text and open the next assistant's turn."""
        return [self.eot_id, *self._turn('user', text), *self._header('assistant')]

    def media_opening(self, system_prompt: str, question: str) -> tuple[list[int], list[int]]:
        """
        Ids before and after the image tokens of a question about pictures or a whole video.

        The system turn and the head of the user's turn; the question, the end of the turn and
        the assistant's header. Between them goes one image token for each frame.
        """
        before = [self.begin_of_text_id, *self._turn('system', system_prompt),
                  *self._header('user')]
        after = [*self.encode_text(question.strip()), self.eot_id, *self._header('assistant')]
        return before, after

    def require_model(self, image_token_id: int, vocab_size: int) -> None:
        """Raise ValueError unless these tokens are those of a model with such ids."""
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
        """Ids below vocab_size that must not be sampled: controls, and those of no token."""
        ids = {token_id for token_id in self.never_sampled_ids if token_id < vocab_size}
        return sorted(ids.union(range(self.num_ids, vocab_size)))

    def _turn(self, role, text):
        return [*self._header(role, text.strip()), self.eot_id]

    def _header(self, role, text=''):
        # The blank line and the text are encoded as one string, as a tokenizer that splits at
        # control tokens would do it.
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
    """Tokenizer that knows none of control_names and adds nothing around a text."""
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
    """Token that a BPE merge produces; both published spellings, 'a b' and ['a', 'b']."""
    parts = merge.split(' ') if isinstance(merge, str) else merge
    return ''.join(parts)
