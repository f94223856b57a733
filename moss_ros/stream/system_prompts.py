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
Finds the system prompts of a checkpoint: its folder in, texts out.

The sources, in this order: the caller, config.json, string constants in the folder's Python
files, this package's own wording. The log says which one was taken. The Python files are parsed,
but never run. Called by the options of live streams and of offline questions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import logging
from pathlib import Path
import re
import warnings

DEFAULT_SYSTEM_PROMPT = (
    'You are a helpful assistant who watches through a camera all the time, whether or not '
    'somebody asks. Answer only from what was and is seen. When something that matters for the '
    'question changes, say so at once. When there is nothing to say, or you have finished, '
    'stay silent. Be the eyes that the user can rely on.')
DEFAULT_OFFLINE_SYSTEM_PROMPTS = {
    'video': 'You are a helpful assistant. You are shown a video as a sequence of pictures. '
             'Answer the user from what can be seen in it.',
    'text_image': 'You are a helpful assistant. You are shown one or more pictures. Answer the '
                  'user from what can be seen in them.',
}
NO_THINKING, DEEP_THINKING = THINKING_MODES = ('no_thinking', 'deep_thinking')

# The code of a checkpoint has a few hundred kilobytes; larger files and texts are ignored.
_MAX_BYTES = 1_000_000
_CONSTANT = re.compile(r'[A-Z0-9_]*SYSTEM_PROMPT[A-Z0-9_]*')
_LIVE = re.compile(r'(^|_)(real_?time|live|stream)')
# The first pattern that matches counts.
_MODES = ((re.compile(r'(^|_)(no|non|not|without)_?think(ing)?(?=_|$)'), NO_THINKING),
          (re.compile(r'(^|_)(deep_?)?think(ing)?(?=_|$)'), DEEP_THINKING))
_KINDS = ((re.compile(r'(^|_)videos?(?=_|$)'), 'video'),
          (re.compile(r'(^|_)(text_images?|image_text|images?)(?=_|$)'), 'text_image'))
_OWN = "this package's own wording"

_LOGGER = logging.getLogger(__name__)


def live_system_prompt(folder: str | Path, given: str | None, configured: str | None) -> str:
    """
    Return the system prompt of live streams; the log says where it is from.

    given: by the caller. configured: stream_config.system_prompt in config.json. None: not set.
    """
    if given is not None:
        text, source = given, 'the parameter system_prompt'
    elif configured is not None:
        text, source = configured, 'stream_config.system_prompt of config.json'
    else:
        text, source = _CodePrompts(folder).live or (DEFAULT_SYSTEM_PROMPT, _OWN)
    _LOGGER.info('live system prompt of %s: %s', folder, source)
    return text


def offline_system_prompts(folder: str | Path, given: Mapping | None,
                           configured: Mapping | None) -> dict[str, str | dict[str, str]]:
    """
    Return a text, or texts by thinking mode, for each type; the log says where they are from.

    given: by the caller; a plain text for a type counts for all its modes. configured:
    offline_config.system_prompts in config.json. None: not set. Raises ValueError for a mapping
    of another form.
    """
    for prompts in (given, configured):
        if prompts is not None:
            require_prompts(prompts)
    given = given or {}
    sources = [(given, 'the parameter system_prompts'),
               (configured or {}, 'offline_config.system_prompts of config.json'),
               *_CodePrompts(folder).offline, (DEFAULT_OFFLINE_SYSTEM_PROMPTS, _OWN)]
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for prompts, source in sources:
        for kind, mode, text in _by_kind_and_mode(prompts):
            if prompts is given or not isinstance(given.get(kind), str):
                found.setdefault((kind, mode), (text, source))
    _LOGGER.info('offline system prompts of %s: %s', folder, '; '.join(
        f'{kind}{f" with {mode}" if mode == DEEP_THINKING else ""}: {source}'
        for (kind, mode), (_, source) in found.items()))
    by_kind: dict[str, dict[str, str]] = {}
    for (kind, mode), (text, _) in found.items():
        by_kind.setdefault(kind, {})[mode] = text
    return {kind: by_mode.get(NO_THINKING) if set(by_mode) == {NO_THINKING} else by_mode
            for kind, by_mode in by_kind.items()}


def require_prompts(prompts: object) -> None:
    """Raise ValueError unless prompts are texts by type, or by type and thinking mode."""
    def is_text_or_modes(value):
        return isinstance(value, str) or isinstance(value, Mapping) and bool(value) and all(
            mode in THINKING_MODES and isinstance(text, str) for mode, text in value.items())
    if not isinstance(prompts, Mapping) or not prompts or not all(
            isinstance(kind, str) and is_text_or_modes(value) for kind, value in prompts.items()):
        raise ValueError(
            f'system_prompts is {prompts!r}; an object of texts by type is needed, or for a type '
            f'an object of texts by thinking mode ({", ".join(THINKING_MODES)})')


def _by_kind_and_mode(prompts):
    for kind, value in prompts.items():
        by_mode = {NO_THINKING: value} if isinstance(value, str) else value
        for mode, text in by_mode.items():
            yield kind, mode, text


@dataclass(frozen=True)
class _Constant:
    """
    One text in the code, and what its name and keys say about it.

    kind None: for all types. mode None: not stated. is_plain: nothing at all is stated.
    """

    text: str
    source: str
    is_live: bool
    kind: str | None
    mode: str | None
    is_plain: bool
    is_exact: bool  # and it is called SYSTEM_PROMPT or DEFAULT_SYSTEM_PROMPT


class _CodePrompts:
    """The system prompts among the constants of a folder's Python files."""

    def __init__(self, folder: str | Path):
        self._constants = [
            _classified(name, keys, text, file.name)
            for file in sorted(Path(folder).glob('*.py'))
            for name, keys, text in _texts(file) if text.strip()]

    @property
    def live(self) -> tuple[str, str] | None:
        """Text and source of the live system prompt: one named for live use, else a plain one."""
        ranked = [
            *(item for item in self._constants if item.is_live and item.mode != DEEP_THINKING),
            *(item for item in self._constants if item.is_live),
            *(item for item in self._constants if item.is_exact),
            *(item for item in self._constants if item.is_plain)]
        return (ranked[0].text, ranked[0].source) if ranked else None

    @property
    def offline(self) -> list[tuple[dict, str]]:
        """Prompts by type, each with its source; those for one type before those for all types."""
        has_live = any(item.is_live for item in self._constants)
        # If there is a prompt for live streams, the plain one is for everything else.
        offline = [item for item in self._constants if not item.is_live and (
            not item.is_plain or item.is_exact and has_live)]
        found = []
        for item in sorted(offline, key=lambda item: item.kind is None):
            kinds = DEFAULT_OFFLINE_SYSTEM_PROMPTS if item.kind is None else [item.kind]
            mode = item.mode or NO_THINKING
            found.append(({kind: {mode: item.text} for kind in kinds}, item.source))
        return found


def _classified(name, keys, text, file_name):
    """Return the _Constant for the text that is found under keys in the constant name."""
    is_live, mode, kind = False, None, None
    own_words = name.lower().replace('system_prompts', '').replace('system_prompt', '')
    for index, words in enumerate([own_words, *(key.lower() for key in keys)]):
        if _LIVE.search(words):
            is_live = True
            continue
        words, mode = _taken_out(words, _MODES, mode)
        words, kind = _taken_out(words, _KINDS, kind)
        if index and words.strip('_') not in ('', 'default', 'offline'):
            kind = keys[index - 1]  # a type that only this checkpoint has
    source = f'{name}{"".join(f"[{key!r}]" for key in keys)} in {file_name}'
    is_plain = not keys and not is_live and mode is kind is None and 'offline' not in own_words
    is_exact = is_plain and own_words.strip('_') in ('', 'default')
    return _Constant(text, source, is_live, kind, mode, is_plain, is_exact)


def _taken_out(words, choices, value):
    """Return words without the first of choices that matches, and its meaning; else value."""
    for pattern, meaning in choices:
        if pattern.search(words):
            return pattern.sub('', words, count=1), meaning
    return words, value


def _texts(file: Path) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield name, keys and text of each system prompt in a file; nothing if it can't be read."""
    try:
        if not file.is_file():
            return
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f'it has more than {_MAX_BYTES} bytes')
        source = file.read_bytes()
        if b'SYSTEM_PROMPT' not in source:
            return
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about the code in the file
            tree = ast.parse(source)
        found = list(_texts_of(tree.body, {}))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _LOGGER.warning('%s is not looked through for system prompts: %s', file, error)
        return
    yield from found


def _texts_of(body, outer):
    """Yield the same as _texts() for the statements of a module, or of a class in it."""
    values = dict(outer)  # by name: texts and dicts of texts, as they are at the end of the body
    inner = []
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            inner += _texts_of(statement.body, values)
            continue
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, _value(statement.value, values)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], _value(statement.value, values)
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            targets = [statement.target]
            value = _value(ast.BinOp(statement.target, statement.op, statement.value), values)
        else:
            continue
        values.update((target.id, value) for target in targets if isinstance(target, ast.Name))
    for name, value in values.items():
        if _CONSTANT.fullmatch(name) and value is not outer.get(name):
            yield from ((name, keys, text) for keys, text in _leaves(value))
    yield from inner


def _value(node, values):
    """Return the value of an expression if it is a text or a dict of texts by keys; else None."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        text = values.get(node.id)
        return text if isinstance(text, str) else None
    if isinstance(node, ast.JoinedStr):
        return _joined([_value(part, values) for part in node.values])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([_value(node.left, values), _value(node.right, values)])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) \
            and node.func.attr == 'strip' and not node.args and not node.keywords:
        text = _value(node.func.value, values)
        return text.strip() if isinstance(text, str) else None
    if isinstance(node, ast.Dict):
        items = [(_keys(key, values), _value(value, values))
                 for key, value in zip(node.keys, node.values)]
        return {keys: value for keys, value in items if keys and value is not None}
    return None


def _joined(parts):
    # Limited, because a few lines of code that each double a text would fill the memory.
    if not all(isinstance(part, str) for part in parts) or sum(map(len, parts)) > _MAX_BYTES:
        return None
    return ''.join(parts)


def _keys(node, values):
    """Return the texts of a dict key, several if it is a tuple; () if they can't be read."""
    if isinstance(node, ast.Tuple):
        parts = [_keys(element, values) for element in node.elts]
        return tuple(word for part in parts for word in part) if all(parts) else ()
    if isinstance(node, ast.Attribute):
        return (node.attr.lower(),)  # a member of an enumeration
    text = None if node is None else _value(node, values)
    return (text,) if isinstance(text, str) else ()


def _leaves(value, keys=()):
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict):
        for more, inner in value.items():
            yield from _leaves(inner, keys + more)
