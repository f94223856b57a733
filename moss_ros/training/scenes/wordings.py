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
How the six kinds of questions are put: many wordings of each, made of parts.

A kind and a seeded generator go in, a text comes out in which {colour} and {shape} stand for what
is asked about. Training asks in these; the evaluation also asks in others, which are none of them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
import random
import re

from moss_ros.training.scenes.world import COLOURS, SHAPES

# By kind, those that the committed checkpoint was trained on first; evaluation without an option
# asks these, and the first is the one of the docs.
WORDINGS = {
    'see': ('What do you see?', 'What can you see?', 'What is there?', 'Describe the scene.',
            'What do you see now?'),
    'count': ('How many objects are there?', 'How many objects do you see?',
              'How many things are there?'),
    'where': ('Where is the {colour} {shape}?', 'Where do you see the {colour} {shape}?',
              'Where is the {colour} {shape} now?'),
    'colour': ('What colour is the {shape}?', 'What color is the {shape}?',
               'Which colour is the {shape}?'),
    'is_there': ('Is there a {colour} {shape}?', 'Do you see a {colour} {shape}?',
                 'Can you see a {colour} {shape}?'),
    'moving': ('Is anything moving?', 'Is something moving?', 'What is moving?',
               'What is moving now?'),
}
KINDS = tuple(WORDINGS)

# Parts by name, which patterns have as <name>.
_PARTS = {
    'things': '[objects|things|shapes|items]',
    'picture': '[picture|image|scene|view|frame|photo]',
    'here': '[in the <picture>|on the screen|in front of [you|<camera>]|before you|in view|here|'
            'there]',
    'in': '[ <here>||]',
    'of': '[of the <picture> |]',
    'the': '[the|all the|all]',
    'that': '[the|the|that|this]',
    'camera': '[the camera|your camera|the robot]',
    'together': '[ altogether| in total| in all| overall|||||]',
    'see': '[see|notice|observe|recognise|recognize|make out|detect|spot]',
    'something': '[anything|something|any object|some object|any of them|any thing]',
    'movement': '[movement|motion]',
    'colour': '[colour|color]',
    'what': '[what|which]',
    'O': '{colour} {shape}',
    'S': '{shape}',
}
# What is asked as it is, and as a part of a sentence, and what is told to be done. [a|b|] stands
# for one of a, b and nothing.
_DIRECT: Mapping[str, tuple[str, ...]] = {
    'see': (
        'what [do|can] [you|we] see<in>', 'what [do|can] you <see><in>',
        'what [does|can] <camera> see', 'what [does|do] [the <picture>|<camera>] show',
        'what does the <picture> look like',
        'what is [there|here|visible|shown|to be seen|in sight]',
        'what is [it |it that ]you see', 'what is [in|on] [the|this|your] <picture>',
        'what is <here>', 'what can be seen<in>',
        'what are you [seeing|looking at|watching|viewing|observing]',
        'what [have we|do we have|do you have] [here|there|in view]',
        '<what> <things> [do|can] you <see><in>',
        '<what> <things> are [there|visible|shown]<in>', '<what> <things> are <here>',
        '<what> <things> does <camera> see', '<what> <things> are you [seeing|looking at]',
        '<what> <things> can be seen'),
    'count': (
        'how many <things> [are there|do you see|can you see|are visible|do we see]<in><together>',
        'how many <things> are <here><together>', 'how many <things> [can you|do you] <see>',
        'how many [are there|do you see|can you see|are visible]<in><together>',
        'how many <things><together>',
        'how many <things> [are you seeing|does <camera> see|can be seen|are shown]',
        'how many <things> [have you got|do you have|do we have]<in>',
        'how many <things> [does|do] the <picture> [show|contain|have]',
        'what is the [number|count|total|total number] of <things><in>',
        'what is the [object|total] count',
        'what number of <things> [is there|are there|do you see]'),
    'where': (
        'where is [<that>|a] <O><in>', 'where [do|can] you [see|find|spot] [the|a] <O>',
        'where [can|do|would|could] [I|we] [see|find|look for] the <O>',
        'where in the <picture> is the <O>', 'where [would|do] you say the <O> is',
        'whereabouts is the <O>', 'where can the <O> be [found|seen]<in>',
        '[the|that] <O>, where is it', 'I am looking for the <O>, where is it',
        'in [which|what] [place|part|area|half|third|direction] <of>is the <O>',
        '[on|at] [which|what] side <of>is the <O>', '[which|what] side <of>is the <O> on',
        'what is the [position|place|location] of the <O>', 'where has the <O> got to',
        'what [position|place] is the <O> [in|at]',
        'is the <O> [on the left or on the right|left or right|on the left, or on the right]',
        'is the <O> on the left, in the middle or on the right'),
    'is_there': (
        'is there [a|any|some|one] <O><in>',
        'is there [a|any] <O> [anywhere|somewhere|among the <things>]',
        '[do|can] you see [a|any] <O> [anywhere|somewhere]',
        'there is a <O>, [is not there|right]', '[do|can] you see [a|any|the|some] <O><in>',
        '[do|can] you <see> [a|any|the] <O>', 'are you seeing [a|the|any] <O>',
        'is [a|the|any|one] <O> [there|here|visible|present|in sight|shown|to be seen]',
        'is [a|the|any] <O> <here>', 'does the <picture> [show|have|contain] [a|the|any] <O>',
        '[does|can] <camera> see [a|the] <O>', '[do|can] we [see|have] a <O>',
        'can [a|the] <O> be seen<in>', 'have [you|we] got a <O><in>', 'do you have a <O><in>',
        'is one of <the> <things> a <O>', 'are you looking at a <O>'),
    'colour': (
        '<what> <colour> [is|has] <that> <S><in>', '<what> <colour> does the <S> have',
        'what is the <colour> of the <S><in>', '[of|in] <what> <colour> is the <S>[| painted]',
        'how is the <S> [coloured|colored|painted]', 'the <S> is [|of ]<what> <colour>',
        'the <S>, <what> <colour> is it',
        '<what> <colour> [do you|would you] say the <S> [is|has]',
        '<what> <colour> is [that|this] <S>', 'what is the <colour> of [that|this] <S>'),
    'moving': (
        'is <something> moving<in>', 'does <something> move<in>', 'what [is moving|moves]<in>',
        '[which|what] [object|thing|shape|one|item] [is moving|moves]',
        '[do|can] you <see> <something> [moving|move|that moves|that is moving]',
        'is there <something> [moving|that moves|that is moving]<in>',
        'is there [any |some |]<movement><in>', '[do|can] you <see> any <movement><in>',
        'are [things|objects|the <things>|any <things>|there <things>] moving',
        '[are there|do you see] any moving <things>', 'is there a moving [object|thing|shape]',
        'is <something> in motion', 'are any of <the> <things> moving',
        'which of the <things> [is moving|moves|is in motion]',
        'is everything [still|standing still|at rest]', 'what is in motion',
        'do [any <things>|things] move', 'what do you see moving',
        'what is [happening|going on]<in>', 'is [anything|something] [happening|going on]<in>',
        'is [any|one] of <the> <things> moving', 'do any of the <things> move'),
}
_INDIRECT: Mapping[str, tuple[str, ...]] = {
    'see': (
        'what you [see|can see|are seeing|are looking at]<in>', 'what [we|<camera>] can see',
        'what [there is|is there|is visible|can be seen|the <picture> shows]', 'what is <here>',
        'what is [in|on] the <picture>', 'what <camera> sees', 'what you <see>',
        '<what> <things> [you see|you can see|are there|there are|are visible]<in>'),
    'count': (
        'how many <things> [there are|are there|you see|you can see|are visible]<in><together>',
        'how many <things> [<camera> sees|the <picture> shows]', 'the number of <things><in>',
        'how many <things> are <here><together>', 'the number of <things> [you see|you can see]',
        'how many [there are|you see|you can see]<in>', 'how many <things> you <see>'),
    'where': (
        'where [the|a] <O> is<in>', 'where is the <O>', 'where you [see|find] the <O>',
        'where [I can|we can|to] [see|find] the <O>', 'where in the <picture> the <O> is',
        '[on|at] which side <of>the <O> is', 'which side the <O> is on',
        'the [position|place|location] of the <O>',
        '[if|whether] the <O> is on the left or on the right'),
    'is_there': (
        '[if|whether] there is [a|any|some] <O><in>',
        '[if|whether] you [see|can see] [a|the] <O>',
        '[if|whether] [a|the|any] <O> is [there|here|visible|present]',
        '[if|whether] [a|the] <O> is <here>', '[if|whether] the <picture> [shows|has] a <O>',
        '[if|whether] a <O> can be seen', '[if|whether] you <see> [a|the] <O>'),
    'colour': (
        '<what> <colour> the <S> [is|has]<in>', '<what> <colour> is the <S>',
        'the <colour> of the <S>', '<what> <colour> [this|that] <S> [is|has]',
        'of <what> <colour> the <S> is'),
    'moving': (
        'what [is moving|moves]<in>', '[if|whether] <something> [is moving|moves]<in>',
        '[which|what] [object|thing|shape|one] [is moving|moves]',
        '[if|whether] you see <something> [moving|move]', '[if|whether] there is any <movement>',
        'what is [happening|going on]<in>',
        '[if|whether] [anything|something] is [happening|going on]',
        '[if|whether] there is <something> moving', '[if|whether] the <things> [move|are moving]'),
}
_REQUEST: Mapping[str, tuple[str, ...]] = {
    'see': (
        'describe [the|this|your] <picture>', 'describe what [you see|you can see|is there]',
        'describe what [is visible|is in the <picture>|the camera sees|you are looking at]',
        'describe what is <here>',
        '[describe|list|name] everything [you see|you can see|that is visible|that is <here>]',
        '[list|name] <the> <things><in>',
        '[list|name|describe] <the> <things> [you|that you|you can|that you can] see',
        '[list|name|report|say|tell] what [you see|you can see|is there]',
        'give me a [description|list] of [the <picture>|what you see|<the> <things>]',
        'look[ and|, and] [say|tell me] what [you see|is there]', 'enumerate the <things>',
        'tell me about [the|this] <picture>'),
    'count': (
        'count <the> <things><in>', 'count <the> <things> [you|that you|you can] see',
        'count [them|what you see|everything|everything you see|everything<in>]<together>',
        'give me the [number|count|total] of <things><in>',
        'say how many <things> [there are|you see]',
        'count how many <things> [there are|you see]'),
    'where': (
        '[find|locate|point to|point at] the <O>', 'find the <O> and [say|tell me] where it is',
        '[say|show me|point out] where the <O> is',
        'give me the [position|place|location] of the <O>', 'show me the <O>',
        'find out where the <O> is', 'look where the <O> is'),
    'is_there': (
        '[check|look|see|find out|say] [if|whether] there is a <O><in>',
        '[check|look|see|say] [if|whether] [you see|you can see] a <O>',
        '[check|find out] [if|whether] [a|the] <O> is [there|visible]'),
    'colour': (
        '[name|say|give me|state|describe|find out] the <colour> of the <S>',
        '[say|find out] <what> <colour> the <S> [is|has]'),
    'moving': (
        '[say|name|report|describe|find out] what is [moving|happening|going on]',
        'describe the <movement>', '[report|look for|watch for] [any |]<movement>',
        'name the moving <things>',
        '[check|look|say|see] [if|whether] <something> [is moving|moves]'),
}
_FRAGMENT: Mapping[str, tuple[str, ...]] = {
    'see': ('[a |the |]description of [the <picture>|what you see]', 'your view',
            '[the |a |]list of [the|all] <things>', 'everything you see', 'all you see'),
    'count': ('[the |]number of <things><in>', '[the |]total number of <things>',
              '[the |]count of <things>', 'object count', 'how many <things>'),
    'where': ('[the |][position|place|location] of the <O>', 'where the <O> is',
              'left or right, the <O>', 'the <O> [is|sits] where'),
    'is_there': ('any <O> <here>', 'any <O>', 'a <O>, yes or no', '<O>, yes or no'),
    'colour': ('[the |]<colour> of the <S>', '<what> <colour>, the <S>', 'the <S> <colour>'),
    'moving': ('any <movement><in>', '<something> moving<in>', '<something> in motion',
               'any moving <things>', 'moving <things>', 'movement or not'),
}
# Around what is asked; a question that nobody can answer comes in the same ones.
DIRECT_FRAMES = (
    '{}?', 'And {}?', 'So {}?', 'Now {}?', 'OK, {}?', 'Please, {}?', '{}, please?', 'Hey, {}?',
    'Robot, {}?', 'Hey robot, {}?', 'Hello, {}?', 'Hi, {}?', 'Quick question: {}?', 'Then {}?',
    'But {}?', 'Well, {}?', 'Camera, {}?', 'Excuse me, {}?', '{} again?', 'One more: {}?',
    'Yes or no: {}?', '{} please?')
INDIRECT_FRAMES = (
    'Tell me {}.', 'Please tell me {}.', 'Can you tell me {}?', 'Could you tell me {}?',
    'Could you please tell me {}?', 'Can you say {}?', 'Do you know {}?', 'I want to know {}.',
    'I would like to know {}.', "I'd like to know {}.", 'Let me know {}.', 'Please say {}.',
    'Would you tell me {}?', 'Will you tell me {}, please?', 'I wonder {}.', 'Any idea {}?',
    'I need to know {}.', 'Can you see {}?', 'Now tell me {}.', 'Just tell me {}.', 'Say {}.',
    'Hey, tell me {}.', 'Do you see {}?', 'Please let me know {}.',
    'Are you able to tell me {}?', 'Tell me {}, please.', 'Tell me {} please.',
    'Would you mind telling me {}?', 'Could you find out {}?', 'Can you tell {}?',
    'Could you let me know {}, please?')
REQUEST_FRAMES = (
    '{}.', 'Please {}.', '{}, please.', 'Can you {}?', 'Could you {}?', 'Could you please {}?',
    'Can you please {}?', 'Would you {}?', 'Will you {}?', 'I want you to {}.', 'Now {}.',
    'Hey robot, {}.', 'Robot, {}.', 'Go on and {}.', 'Just {}.', 'Try to {}.',
    'I would like you to {}.', '{} for me.', 'Could you {} for me, please?', 'Please {} for me.',
    '{} please.', 'Can you {} for me?', 'So {}.', 'Hello, please {}.', 'You should {}.')
FRAGMENT_FRAMES = (
    '{}?', '{}.', '{}, please.', '{} please.', 'And {}?', 'Now {}?', 'So {}?', 'Hey, {}?',
    'Just {}.', 'Only {}.', 'Question: {}?')
_FORMS = ((_DIRECT, DIRECT_FRAMES), (_INDIRECT, INDIRECT_FRAMES), (_REQUEST, REQUEST_FRAMES),
          (_FRAGMENT, FRAGMENT_FRAMES))
TIMES = ('', '', '', '', ' now', ' right now', ' at the moment', ' currently', ' just now',
         ' at present')
_SHORT_FORMS = (('what is', "what's"), ('where is', "where's"), ('there is', "there's"),
                ('i am', "i'm"), ('is not', "isn't"))
# The last is the one of printed texts and of telephones.
APOSTROPHES = ("'", "'", '\u2019')
# How often a question is put in one of WORDINGS; and how often else without anything around it.
P_KNOWN, P_PLAIN = 0.3, 0.5


# Gives the wording of a question of a kind.
DrawWording = Callable[[str, random.Random], str]


def known_wording(kind: str, generator: random.Random) -> str:
    """Return one of WORDINGS."""
    return generator.choice(WORDINGS[kind])


def random_wording(kind: str, generator: random.Random) -> str:
    """Return a wording of a kind, {colour} and {shape} in it where it asks about them."""
    if generator.random() < P_KNOWN:
        return known_wording(kind, generator)
    patterns, frames = generator.choices(_FORMS, (0.55, 0.17, 0.17, 0.11))[0]
    text = _drawn(generator.choice(patterns[kind]), generator)
    if patterns in (_DIRECT, _INDIRECT):
        text += generator.choice(TIMES)
    return framed(text, frames, generator)


def framed(text: str, frames: Sequence[str], generator: random.Random) -> str:
    """Return text, without a capital or an end mark, as a sentence in one of frames."""
    if generator.random() < 0.3:
        mark = generator.choice(APOSTROPHES)
        for long, short in _SHORT_FORMS:
            text = re.sub(rf'\b{long}\b', short.replace("'", mark), text, flags=re.IGNORECASE)
    frame = frames[0] if generator.random() < P_PLAIN else generator.choice(frames)
    text = frame.format(text)
    return text[0].upper() + text[1:]


def carelessly_typed(text: str, generator: random.Random) -> str:
    """Return text, some of it without its capital, and some without its end mark."""
    if generator.random() < 0.3:
        text = text[:1].lower() + text[1:]
    if generator.random() < 0.3:
        text = text.rstrip('?.!') or text
    return text


def words_of_wordings() -> list[str]:
    """Return all words that wordings have, once each, and in lower case."""
    texts = [*DIRECT_FRAMES, *INDIRECT_FRAMES, *REQUEST_FRAMES,
             *FRAGMENT_FRAMES, *TIMES, *(short for _, short in _SHORT_FORMS)]
    for patterns, _ in _FORMS:
        texts += [_filled(pattern) for kind in KINDS for pattern in patterns[kind]]
    words = re.findall(r"[a-z']+", ' '.join(texts).lower())
    return sorted(set(words))


def read_wording(text: str) -> tuple[str, str, str] | None:
    """
    Return (kind, colour, shape) of a question in one of all wordings, case and end mark aside.

    Colour and shape are '' where the wording has none. None: it is in no wording.
    """
    plain = _plain(text)
    for long, short in _SHORT_FORMS:
        plain = re.sub(rf'\b{short}\b', long, plain)
    named = {}
    for name, words in (('colour', COLOURS), ('shape', SHAPES)):
        expression = rf"\b(?:{'|'.join(words)})\b"
        found = re.findall(expression, plain)
        if len(found) > 1:
            return None
        plain = re.sub(expression, f'{{{name}}}', plain)
        named[name] = found[0] if found else ''
    for before, after, patterns in _plain_frames():
        if not (plain.startswith(before) and plain.endswith(after)):
            continue
        core = plain[len(before):len(plain) - len(after)]
        for kind in KINDS:
            if _expression(patterns[kind]).fullmatch(core):
                return kind, named['colour'], named['shape']
    return None


@cache
def _plain_frames() -> list[tuple[str, str, Mapping[str, tuple[str, ...]]]]:
    """Return of each frame what is before and behind the question in it, and the patterns."""
    return [(*_plain(frame).split('{}'), patterns)
            for patterns, frames in _FORMS for frame in frames]


def _plain(text):
    return ' '.join(text.lower().replace(APOSTROPHES[-1], "'").split()).rstrip(' ?.!')


@cache
def _expression(patterns: tuple[str, ...]) -> re.Pattern:
    """Return what matches all that patterns stand for, with and without a time behind."""
    texts = (re.sub(r'[{}?]', lambda mark: '\\' + mark[0], _filled(pattern))
             for pattern in patterns)
    either = '|'.join(text.replace('[', '(?:').replace(']', ')') for text in texts)
    return re.compile(f"(?:{either})(?:{'|'.join(sorted(set(TIMES)))})",
                      re.IGNORECASE)


@cache
def _filled(pattern: str) -> str:
    """Return pattern with its parts in place of their names."""
    while (found := re.search(r'<(\w+)>', pattern)) is not None:
        pattern = pattern.replace(found[0], _PARTS[found[1]])
    return pattern


def _drawn(pattern: str, generator: random.Random) -> str:
    """Return one of what pattern stands for."""
    text = _filled(pattern)
    # The innermost first.
    while (found := re.search(r'\[([^\[\]]*)\]', text)) is not None:
        text = text[:found.start()] + generator.choice(found[1].split('|')) + text[found.end():]
    return text
