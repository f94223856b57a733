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
Skeletons of real conversations, filled with text: what is shown and asked, and what is to be said.

A skeleton is a list of turns; those of the assistant are letters: S silence, F a frame, T<n> n
words of text. Out of one comes a Dialogue: the ids of the whole sample, the places where the
model decides, and the scripted model that says just what stands there. Shared by the tests that
replay them in a session, in a worker and in bags.
"""

from dataclasses import dataclass
import json
import os
from pathlib import Path
import random

from scripted_model import ScriptedModel

COPIED = Path(__file__).parent / 'data' / 'dialogue'
FOLDER_VARIABLE = 'MOSS_SKELETONS'
SYSTEM_PROMPT = 'Watch and tell.'
# Files of such folders that hold something else.
_NO_SKELETONS = {'system_prompts.json'}
# The vocabulary of the tests has a token for these, and one for each letter put behind them.
_WORDS = ('ball', 'red', 'left', 'stops', 'appears', 'there', 'on', 'is', 'The', 'you')
_LETTERS = 'qzxjkvw'


@dataclass(frozen=True)
class Item:
    """
    One thing that happens.

    kind: 'frame', 'question', 'token' or 'silence', of which the last two are decided by the
    model. number: of the frame or question. text: of the question. ids: what it adds to the
    sample, with the silence that is put before the model decides.
    """

    kind: str
    ids: tuple[int, ...]
    number: int = 0
    text: str = ''


@dataclass(frozen=True)
class Said:
    """A narration that is expected; question is that which it answers, None for none."""

    text: str
    question: int | None
    standing: int | None


class Dialogue:
    """
    A skeleton with text in it, the same for the same seed.

    Text between two frames is tokens_per_frame ids long, so that a model with that pace says just
    that much from one frame to the next.
    """

    def __init__(self, chat, skeleton, seed):
        self._chat = chat
        self._random = random.Random(seed)
        self.opening = [*chat.opening(SYSTEM_PROMPT), chat.silence_id]
        self.items: list[Item] = []
        self.narrations: list[Said] = []
        self.questions: list[str] = []
        self.num_frames = 0
        self.tokens_per_frame = 2 + 2 * max(_words_between_frames(skeleton))
        self._num_tokens = 0  # since the newest frame
        self._text = ''  # of the narration that goes on
        self._is_open = False
        self._read(skeleton)
        self.ids = self.opening + [token_id for item in self.items for token_id in item.ids]
        # Positions in ids of what the model decides.
        self.decisions = set()
        position = len(self.opening)
        for item in self.items:
            if item.kind in ('token', 'silence'):
                self.decisions.add(position)
            position += len(item.ids)

    def _read(self, skeleton):
        roles = [turn['role'] for turn in skeleton]
        assert roles[:3] == ['system', 'user', 'assistant'], roles
        assert skeleton[1]['num_words'] == 0
        last = 'S'
        for index, turn in enumerate(skeleton):
            if turn['role'] == 'user' and index > 1:
                self._ask(turn['num_words'], last)
            elif turn['role'] == 'assistant':
                tokens = turn['tokens'].split()
                if last == 'S':
                    # Put there, not said: behind the opening, and a question asked in silence.
                    assert tokens[0] == 'S', turn
                    del tokens[0]
                for place, token in enumerate(tokens):
                    ends = tokens[place + 1:place + 2] or ['end']
                    self._take(token, is_before_frame=ends == ['F'])
                    last = token[0]
        if last != 'S':
            self._take('S', False)  # there must be an end

    def _take(self, token, is_before_frame):
        if token == 'F':
            self.items.append(Item('frame', (self._chat.image_id,), self.num_frames))
            self.num_frames += 1
            self._num_tokens = 0
        elif token == 'S':
            self._end_narration()
            self.items.append(Item('silence', (self._chat.silence_id,)))
        else:
            self._say(int(token[1:]), is_before_frame)

    def _say(self, num_words, is_before_frame):
        num_tokens = self.tokens_per_frame - self._num_tokens if is_before_frame else None
        text, ids = self._text_of(num_words, num_tokens, is_first=not self._text)
        self._text += text
        self._num_tokens += len(ids)
        self.items += [Item('token', (token_id,)) for token_id in ids]

    def _ask(self, num_words, last):
        self._end_narration()
        text, _ = self._text_of(num_words, None, is_first=True)
        number = len(self.questions)
        self.questions.append(text)
        put = [self._chat.silence_id] if last == 'S' else []
        self.items.append(Item(
            'question', (*self._chat.question_turn(text), *put), number, text))
        self._is_open = True

    def _end_narration(self):
        if self._text:
            standing = len(self.questions) - 1 if self.questions else None
            self.narrations.append(Said(
                self._text, standing if self._is_open else None, standing))
            self._is_open = False
            self._text = ''

    def _text_of(self, num_words, num_tokens, is_first):
        """Return num_words words and their ids, num_tokens of them if that is given."""
        words = [self._random.choice(_WORDS) for _ in range(num_words)]
        while True:
            text = ' '.join(words) if is_first else ' ' + ' '.join(words)
            ids = self._chat.encode_text(text)
            if num_tokens is None or len(ids) == num_tokens:
                return text, ids
            assert len(ids) < num_tokens, f'{num_words} words have more than {num_tokens} ids'
            at = self._random.randrange(num_words)
            words[at] += self._random.choice(_LETTERS)


def _words_between_frames(skeleton):
    num = 0
    for turn in skeleton:
        for token in turn.get('tokens', '').split():
            if token == 'F':
                num = 0
            elif token != 'S':
                num += int(token[1:])
            yield num


class ReadingModel(ScriptedModel):
    """
    Says what a dialogue has at the place that it has read up to.

    Whatever it is shown, id by id, must be the beginning of the sample, and it must be asked only
    where the sample has its decision.
    """

    def __init__(self, chat, dialogue):
        super().__init__(chat, script=lambda model: model.decide())
        self._dialogue = dialogue
        self.decided = []

    def decide(self):
        ids, place = self._dialogue.ids, len(self.seen_ids)
        assert self.seen_ids == ids[:place], _difference(self.seen_ids, ids)
        assert place in self._dialogue.decisions, f'the model does not decide at {place}'
        self.decided.append(place)
        return ids[place]

    def check_all_is_said(self):
        """Assert that it was asked for every decision, once and in order."""
        assert self.decided == sorted(self._dialogue.decisions)


def _difference(seen, ids):
    at = next((index for index, (one, other) in enumerate(zip(seen, ids)) if one != other),
              len(ids))
    return f'at {at}: {seen[at - 5:at + 5]} is not {ids[at - 5:at + 5]}'


def load_skeletons(folder=None):
    """
    Return [(name, skeleton)] of every *.json in a folder: a skeleton or a list of them each.

    That is the folder named by the environment, else that of the copies.
    """
    folder = Path(folder or os.environ.get(FOLDER_VARIABLE) or COPIED)
    found = []
    for path in sorted(folder.glob('*.json')):
        if path.name in _NO_SKELETONS:
            continue
        content = json.loads(path.read_text())
        assert isinstance(content, list), f'{path} is no list of turns or of skeletons'
        skeletons = [content] if isinstance(content[0], dict) else content
        found += [(f'{path.stem}-{index}', skeleton) for index, skeleton in enumerate(skeletons)]
    assert found, f'{folder} has no skeletons'
    return found
