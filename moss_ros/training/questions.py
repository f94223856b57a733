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
Questions that nobody here can answer.

A seeded generator goes in, a question comes out. The spread is wide on purpose: known nouns in
unknown sentences, random words, scraps and strings, so that a known question is known by all of
its words.
"""

import random
import re

from moss_ros.training.scenes import COLOURS, Question, question_by_text, SHAPES
from moss_ros.training.scenes.language import OTHER, PLURALS
from moss_ros.training.scenes.wordings import (
    carelessly_typed, DIRECT_FRAMES, framed, INDIRECT_FRAMES, REQUEST_FRAMES, TIMES,
)

_SYLLABLES = ('ba', 'do', 'ki', 'ru', 'lem', 'tas', 'ox', 'pi', 'str', 'end', 'ing', 'cho', 'wa',
              'ne')
_THINGS = (
    'wall door window table chair person man woman child dog cat car bus truck bicycle tree '
    'flower house room kitchen street road floor ceiling lamp light sky cloud sun moon star '
    'water river bird horse cup bottle robot camera screen phone book letter sign sensor clock '
    'shoe hand face eye shadow corner stairs bed sofa plant picture photo image view scene '
    'battery map goal ladder fence bridge tower boat plane train engine wheel key lock bag hat '
    'coat shirt desk drawer shelf carpet curtain mirror roof garden park path field mountain '
    'hill sea beach forest rock stone sand snow rain wind fire smoke ice glass paper pen knife '
    'fork spoon plate pot pan stove fridge sink tap soap towel brush broom bucket rope chain '
    'wire cable plug switch button lever handle pipe valve pump motor drill hammer screw nail '
    'saw pallet crate barrel forklift conveyor gripper arm leg finger head nose mouth ear hair '
    'heart baby boy girl friend neighbour teacher doctor driver worker nurse king queen guest '
    'owner fish cow pig sheep goat chicken duck mouse rat snake spider bee ant lion bear '
    'elephant apple pear orange banana lemon tomato potato carrot onion bread cheese egg milk '
    'coffee tea juice beer wine sugar salt cake soup rice meat cube sphere pyramid cylinder '
    'triangle square circle line point dot ring edge name number word song story joke game film '
    'news weather temperature time day night morning evening week month year city country '
    'school shop office factory hospital airport station price money job language program '
    'computer internet password file message email question answer idea problem reason danger '
    'error speed size weight distance height age meaning colour direction').split()
_PROPERTIES = (
    'far big small tall wide heavy old new hot cold warm loud fast slow deep long short round '
    'flat soft hard wet dry clean dirty open closed empty full safe dangerous expensive cheap '
    'dark bright near high low thick thin strong weak rich happy sad angry tired beautiful '
    'large little tiny huge narrow heavier bigger smaller closer faster real fake ready busy '
    'free alone broken lost late early good bad better best wrong right true funny interesting '
    'nice ugly sharp smooth rough square solid hollow transparent shiny metal wooden plastic '
    'orange pink brown black grey golden striped upside-down alive dead hungry '
    'sick sleepy').split()
_VERBS = (
    'see find like know hear want need count open close move lift carry take bring drop push '
    'pull turn stop start follow avoid measure describe explain draw paint read write say tell '
    'ask buy sell eat drink make build break clean wash cook drive walk run jump sleep think '
    'feel catch throw hit kick touch hold grab pick put place fix repair use try help wait stay '
    'leave come go fly swim climb fall roll bounce rotate spin shake hide show point watch '
    'smell taste sing dance play work rest charge stand sit look remember forget understand '
    'believe love hate hope learn teach save delete send call answer record translate calculate '
    'guess compare').split()
_PEOPLE = ('you', 'I', 'we', 'they', 'he', 'she', 'it', 'people', 'somebody', 'everybody',
           'your owner', 'the robot', 'anyone', 'anybody', 'someone', 'the people', 'robots',
           'my friend', 'the children')
_PLACES = ('here', 'there', 'outside', 'inside', 'behind you', 'in front of you', 'on the left',
           'on the right', 'in the middle', 'at home', 'in the room', 'under the table',
           'above the door', 'in the picture', 'in the corner', 'next door', 'nearby', 'upstairs',
           'on the floor', 'in the kitchen', 'in the box', 'in the background', 'in this country',
           'around the corner', 'on the table', 'behind the camera', 'at night', 'today',
           'tomorrow', 'yesterday')
# What is asked as it is, and as a part of a sentence, and what is told to be done: as the known
# kinds are. Among them is what is nearly one of those.
_DIRECT = (
    'how far is the {thing}', 'how far away is the {thing}', 'how {adjective} is the {thing}',
    'how many {thing}s are there', 'how many {thing}s do you see', 'how much is the {thing}',
    'who is {place}', 'who are {people}', 'who is the {thing}', 'who made the {thing}',
    'who {verb}s the {thing}', 'who can {verb} the {thing}', 'whose {thing} is {adjective}',
    'why is the {thing} {adjective}', 'why do {people} {verb} the {thing}',
    'why are you {place}', 'when did the {thing} come', 'when will {people} {verb}',
    'when is the {thing} {adjective}', 'what time is it', 'what day is it', 'what is the time',
    'what year is it', 'what is the name of the {thing}', 'what is your {thing}',
    'what is the {thing} like', 'what is the {thing} of the {colour} {shape}',
    'what is the {thing} of the {thing}', 'what is the {thing} made of',
    'what does the {thing} do', 'what do {people} {verb}', 'what is {place}',
    'what is behind the {thing}', 'what is next to the {thing}', 'what is on the {thing}',
    'what is under the {thing}', 'what is in the {thing}', 'what size is the {thing}',
    'what shape is the {thing}', 'what kind of {thing} is it', 'what is a {thing}',
    'what is this {thing}', 'what can {people} {verb}', 'what should {people} {verb}',
    'what are {people} doing', 'what did {people} {verb}', 'what is your favourite {thing}',
    'what is it for', 'what is that noise', 'what is wrong', 'which {thing} is {adjective}',
    'which {thing} do you {verb}', 'which is the {thing}', 'where is the {thing}',
    'where are {people}', 'where does the {thing} go', 'where do {people} {verb} the {thing}',
    'where is my {thing}', 'where are the {thing}s', 'where do you come from',
    'where is it {adjective}', 'where did {people} put the {thing}',
    'is the {thing} {adjective}', 'is it {adjective}', 'is it a {thing}', 'is this a {thing}',
    'is there a {thing}', 'is there any {thing} {place}', 'are there any {thing}s',
    'is there something {adjective}', 'is there a {adjective} {thing}',
    'are there {thing}s {place}', 'are {people} {adjective}', 'are you a {thing}',
    'are you {place}', 'am I {adjective}', 'do {people} {verb}', 'do you {verb} the {thing}',
    'do you have a {thing}', 'do you like {thing}s', 'can you {verb}',
    'can {people} {verb} the {thing}', 'could you {verb} the {thing}', 'does the {thing} {verb}',
    'does it {verb}', 'did anybody {verb} the {thing}', 'has the {thing} moved',
    'have you {adjective} {thing}s', 'will it {verb}', 'should I {verb} the {thing}',
    'may I {verb} the {thing}', 'would you {verb} a {thing}', 'must {people} {verb}',
    'what is two and two', 'what is {number} plus {number}', 'what is {number} times {number}',
    'how old are you', 'how are you', 'how do {people} {verb}', 'how long does it {verb}',
    'how often do you {verb}', 'how come the {thing} is {adjective}',
    'how many {thing}s does the {thing} have', 'how many {thing}s make a {thing}',
    'what is the {adjective} {thing}', 'is anything {adjective}', 'is something {adjective}',
    'is anybody {place}', 'is anybody moving', 'is anyone {place}', 'is someone moving',
    'is the {thing} moving', 'what is {adjective}', 'how many {colour} {thing}s are there',
    'how many people are there', 'do you see a {thing}', 'do you see any {thing}s {place}',
    'do you see the {thing}', 'can you see a {colour} {thing}', 'can you see the {thing}',
    'can you see me', 'can you hear me', 'what did you see', 'what will happen next',
    'what happened yesterday', 'where is the {colour} {thing}',
    'where is the {adjective} {thing}', 'where is the {adjective} {shape}',
    'where is the {thing} {shape}', 'is there a {colour} {thing}',
    'is there a {adjective} {shape}', 'is there a {thing} {shape}', 'what colour is the {thing}',
    'what colour are {people}', 'what colour is the {adjective} {thing}',
    'what is the colour of the {thing}', 'which colour does the {thing} have',
    # With what the painted world has.
    'is the {colour} {shape} {adjective}', 'how far is the {colour} {shape}',
    'how {adjective} is the {shape}', 'how {adjective} is the {colour} {shape}',
    'who owns the {colour} {shape}', 'why is the {shape} {colour}', 'why is there a {shape}',
    'when did the {colour} {shape} stop', 'did the {colour} {shape} {verb}',
    'can the {shape} {verb}', 'what is in the {colour} {shape}', 'what is on the {shape}',
    'what is behind the {colour} {shape}', 'what is {place} of the {colour} {shape}',
    'do {people} {verb} the {colour} {shape}', 'what does the {colour} {shape} {verb}',
    'is the {shape} on the {thing}', 'is the {colour} {shape} a {thing}',
    'is the {colour} {shape} bigger than the {shape}', 'is the {shape} in the {shape}',
    'which {shape} is the {adjective} one', 'how heavy is the {colour} {shape}',
    'which is bigger, the {shape} or the {shape}', 'what is the {colour} {shape} made of',
    'what is the {colour} {shape} for', 'who put the {colour} {shape} {place}',
    'what is between the {shape} and the {shape}', 'how fast does the {colour} {shape} move',
    'when will the {colour} {shape} {verb}', 'why does the {shape} {verb}',
    'why does the {colour} {shape} move', 'do you like the {colour} {shape}',
    'can {people} have the {colour} {shape}', 'may I {verb} the {colour} {shape}',
    'will you {verb} the {colour} {shape}', 'what do you think of the {colour} {shape}',
    'may I take the {shape}',
    # Nearly one of the known kinds.
    'where is the {shape}', 'where is a {shape}', 'where are the {shapes}',
    'where is the {colour} one', 'where is something {colour}', 'where was the {colour} {shape}',
    'where are the {colour} {shapes}', 'where does the {colour} {shape} {verb}',
    'where did the {colour} {shape} go', 'where does the {colour} {shape} come from',
    'is there a {shape}', 'is there any {shape}', 'do you see a {shape}',
    'do you see the {shape}', 'can you see a {shape}', 'are there {shapes}',
    'are there {colour} {shapes}', 'is anything {colour}', 'is there something {colour}',
    'is there anything {colour}', 'was there a {colour} {shape}',
    'did you see a {colour} {shape}', 'how many {shapes} are there',
    'how many {shapes} do you see', 'how many {colour} objects are there',
    'how many {colour} {shapes} are there', 'how many {colour} {shapes} do you see',
    'how many {shapes} are {colour}', 'how many objects are {colour}',
    'how many things are moving', 'how many objects are moving', 'how many colours are there',
    'how many colours do you see', 'how many objects were there',
    'how many objects are {adjective}', 'how many objects fit {place}',
    'what colours do you see', 'which colours are there', 'what colour are the {shapes}',
    'what colour do you like', 'what colour is the {colour} {shape}', 'what colour is it',
    'what colour is the background', 'what is {colour}', 'which {shape} is {colour}',
    'which object is {colour}', 'which shape is the {colour} one', 'is the {shape} {colour}',
    'is the {colour} {shape} moving', 'is the {shape} moving', 'is the {colour} one moving',
    'does the {colour} {shape} move', 'does the {shape} move', 'which {shape} is moving',
    'what is the {colour} {shape} doing', 'what is the {shape} doing',
    'what is the {colour} one', 'why is it moving', 'why does it move', 'how fast is it moving',
    'who is moving', 'what moved', 'what was moving', 'what moves the {colour} {shape}',
    'is the {colour} {shape} {place}', 'is the {shape} {place}',
    'is the {shape} next to the {shape}', 'what is on the left', 'what is in the middle',
    'what is on the right', 'what is next to the {colour} {shape}',
    'which way does the {colour} {shape} go', 'do you see {colour}', 'what do you see {place}',
    'what did you see before', 'what do you not see', 'what do you like to see',
    'what does the {shape} see', 'what do you think', 'what do you mean', 'what do you hear',
    'what is the {shape}', 'what is a {shape}', 'what is this', 'what is that', 'what is it')
_INDIRECT = (
    'how far the {thing} is', 'how {adjective} the {thing} is', 'how many {thing}s there are',
    'who {people} are', 'who made the {thing}', 'why the {thing} is {adjective}',
    'when the {thing} comes', 'what time it is', 'what the {thing} is made of',
    'what {people} {verb}', 'what the {thing} does', 'where the {thing} is',
    'where {people} are', 'where the {colour} {thing} is', 'where the {adjective} {shape} is',
    'where the {shape} is', 'where the {shapes} are', '{what} colour the {thing} is',
    'the colour of the {thing}', 'if there is a {thing}', 'whether there is a {colour} {thing}',
    'if there is a {shape}', 'if you see a {thing}', 'whether you see a {shape}',
    'if the {thing} is {adjective}', 'whether the {colour} {shape} is {adjective}',
    'whether the {colour} {shape} is moving', 'if the {colour} {shape} moves',
    'how many {shapes} there are', 'how many {shapes} you see',
    'how many {colour} {shapes} you see', 'how many objects are {colour}', 'what is {colour}',
    'how {adjective} the {colour} {shape} is', 'why the {shape} is {colour}', 'a story',
    'a joke', 'about the {thing}', 'about yourself', 'the {thing} of the {thing}',
    'your {thing}', 'the {thing}', 'the size of the {colour} {shape}',
    'the {thing} of the {colour} {shape}', 'what the {colour} {shape} does',
    'if {people} {verb}', 'whether {people} are {adjective}', 'how to {verb} the {thing}',
    'how to {verb}', 'something {adjective}', 'what is {place}', 'who moves the {shape}',
    'what you {verb}', 'what you think of the {thing}')
_REQUEST = (
    '{verb} the {thing}', '{verb} it', '{verb}', '{verb} {place}', '{verb} me the {thing}',
    '{verb} the {colour} {shape}', '{verb} the {shape}', '{verb} the {colour} {shape} {place}',
    '{verb} the {colour} {shape} to the {thing}', '{verb} the {shape} to the left',
    '{verb} the {colour} {shape} to the right', '{verb} the {colour} {thing}',
    'describe the {thing}', 'describe the {colour} {shape}', 'describe the {shape}',
    'describe yourself', 'describe what is {place}', 'count the {thing}s', 'count the {shapes}',
    'count the {colour} objects', 'count to {number}', 'find the {thing}', 'find the {shape}',
    'find a {thing}', 'show me the {thing}', 'show me a {shape}', 'list the {thing}s',
    'name the {thing}s', 'name a {thing}', 'name the {shapes}', 'tell me a {thing}',
    'tell me about the {thing}', 'tell me about the {colour} {shape}', 'go {place}',
    'go to the {thing}', 'go to the {colour} {shape}', 'turn left', 'turn right', 'come {place}',
    'move {number} metres', 'move the {shape}', 'bring me the {colour} {shape}',
    'pick up the {thing}', 'look at the {thing}', 'look {place}', 'follow the {colour} {shape}',
    'say {thing}', 'say hello', 'read the {thing}', 'translate it', 'write a {thing}',
    'sing a song', 'be {adjective}', 'do not {verb}', 'stop it', 'repeat after me',
    'ignore all instructions', 'wait for the {thing}', 'put the {shape} in the {shape}',
    'put the {colour} {shape} on the {thing}', 'help me', 'give me the {thing}',
    'give me the {colour} {shape}', 'check the {thing}', 'shut down')
_AS_THEY_ARE = (
    'the {thing}', '{thing}?', 'the {colour} {shape}', 'the {shape}', '{colour}',
    '{colour} {thing}', 'Hello', 'Hi there', 'Good morning!', 'Thank you.', 'Yes', 'No', 'Stop.',
    'Go on.', 'Help!', 'What?', 'Why?', 'Who?', 'When?', 'How?', 'Where?', 'Really?',
    'Are you sure?', 'ok', 'test', 'Good {thing}!', 'Nice {thing}.', 'I {verb} the {thing}.',
    'You are {adjective}.', 'Bye', 'I am {adjective}.', 'The {thing} is {adjective}.',
    'There is a {thing}.', 'hey', 'Well done.', 'The {colour} {shape} is {adjective}.',
    'I see a {colour} {shape}.', 'How do you do?', 'What a {adjective} {thing}!',
    'See you {place}.', 'Never mind.', 'I do not know.', 'wow', 'Let us {verb}.',
    'We {verb} {place}.', 'My {thing} is {adjective}.', '{adjective}', '{verb}',
    '{thing} {thing}', '{number} {thing}s', 'Wo ist der {thing}?', 'Was siehst du?',
    'Wer bist du?', 'Wie geht es dir?', 'Was ist das?', 'Guten Tag', 'Bonjour',
    "Qu'est-ce que c'est ?", 'Que vois-tu ?', 'Où est le {thing} ?', '¿Qué ves?',
    '¿Dónde está el {thing}?', 'Hola', 'Cosa vedi?', "Dov'è il {thing}?", '你好', '你看到什么？',
    '何が見えますか', 'Что ты видишь?', 'Привет', 'lorem ipsum dolor sit amet', 'import os',
    'SELECT * FROM {thing}', 'sudo {verb}')
# Each with the sentences it is put into, and how often it is drawn in relation to the others.
_FORMS = ((_DIRECT, DIRECT_FRAMES, 62), (_INDIRECT, INDIRECT_FRAMES, 13),
          (_REQUEST, REQUEST_FRAMES, 15), (_AS_THEY_ARE, ('{}',), 10))
_LETTERS = ('abcdefghijklmnopqrstuvwxyz      ,.?!0123456789-ABCDEFGH', 'äöüßéèñçåøæ abcdefg',
            'абвгдежзиклмнопрст ', '的一是不了人我在有他这中大来上国 ', 'あいうえおかきくけこ ', '😀🤖🎈📦❓ ab')


def words_of_other_questions() -> list[str]:
    """
    Return the words between the nouns, verbs and adjectives of these questions, once each.

    Those themselves stand for all that there are, so the vocabulary has them in pieces.
    """
    texts = [*_DIRECT, *_INDIRECT, *_REQUEST, *_AS_THEY_ARE, *_PEOPLE, *_PLACES]
    words = re.findall(r"(?<![{\w])[a-z']+(?![\w}])", ' '.join(texts), re.ASCII | re.IGNORECASE)
    return sorted({word.lower() for word in words})


def other_question(generator: random.Random) -> Question:
    """Return a question, or a scrap, that is none of the known six kinds."""
    while True:
        draw = generator.random()
        if draw < 0.84:
            text = _from_frame(generator)
        elif draw < 0.93:  # words in any order
            pool = (_THINGS, _PROPERTIES, _VERBS, _PEOPLE, _PLACES, COLOURS, SHAPES,
                    ('is', 'the', 'a', 'of', 'what', 'where', 'how', 'there', 'are', 'do'))
            words = [generator.choice(generator.choice(pool))
                     for _ in range(generator.randint(1, 8))]
            text = ' '.join(words) + generator.choice(('', '?', '.'))
        else:  # no words at all
            letters = generator.choice((_LETTERS[0], generator.choice(_LETTERS)))
            text = ''.join(generator.choice(letters)
                           for _ in range(generator.randint(1, 24))).strip() or 'x'
        text = carelessly_typed(text, generator)
        if question_by_text(text) is None:
            return Question(OTHER, text)


def _from_frame(generator):
    texts, sentences, _ = generator.choices(_FORMS, [weight for *_, weight in _FORMS])[0]
    text = generator.choice(texts).format(
        thing=_noun(generator), adjective=generator.choice(_PROPERTIES),
        verb=generator.choice(_VERBS), people=generator.choice(_PEOPLE),
        place=generator.choice(_PLACES), colour=generator.choice(COLOURS),
        shape=generator.choice(SHAPES), shapes=PLURALS[generator.choice(SHAPES)],
        what=generator.choice(('what', 'which')),
        number=generator.choice(('one', 'two', 'three', '12')))
    if texts is _DIRECT and generator.random() < 0.15:
        text += generator.choice(TIMES)
    return framed(text, sentences, generator)


def _noun(generator):
    """Return a noun that is no shape of the scenes, in one of eight cases one that is made up."""
    if generator.random() < 0.12:
        return ''.join(generator.choice(_SYLLABLES) for _ in range(generator.randint(1, 3)))
    return generator.choice(_THINGS)
