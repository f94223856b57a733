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
The rule of a live stream's layout, checked on token ids.

Written apart from what lays streams out, so that tests of sessions, contexts and samples can hold
it against them. S is silence, F a frame, T a token of text.
"""

from itertools import pairwise


def turns(chat, ids):
    """Return (role, kinds) of each turn in ids; kinds such as 'SFSFTTS', '' where it is empty."""
    start, end = (chat.control_id(f'<|{name}_header_id|>') for name in ('start', 'end'))
    kinds = {chat.silence_id: 'S', chat.image_id: 'F'}
    blank_line = chat.encode_text('\n\n')
    assert ids[0] == chat.begin_of_text_id and ids.count(chat.begin_of_text_id) == 1
    found = []
    starts = [index for index, token_id in enumerate(ids) if token_id == start] + [len(ids)]
    assert starts[0] == 1
    for index, (at, next_at) in enumerate(pairwise(starts)):
        header_end = ids.index(end, at)
        body = ids[header_end + 1:next_at]
        role = chat.decode(ids[at + 1:header_end])
        if role == 'assistant':
            assert body[:len(blank_line)] == blank_line
            body = body[len(blank_line):]
        if index + 2 < len(starts):
            assert body.pop() == chat.eot_id
        assert chat.eot_id not in body
        if role == 'assistant':
            found.append((role, ''.join(kinds.get(token_id, 'T') for token_id in body)))
        else:
            assert not chat.control_ids.intersection(body)
            found.append((role, 'T' * len(chat.encode_text(chat.decode(body).strip()))))
    return found


def assert_layout(chat, ids):
    """Assert that ids are a live stream, or the beginning of one, as the rule has it."""
    found = turns(chat, ids)
    roles = [role for role, _ in found]
    assert roles[:3] == ['system', 'user', 'assistant']
    assert roles[3:] == ['user', 'assistant'] * ((len(roles) - 3) // 2)
    assert found[1][1] == '', 'the first turn of the user is empty'
    said = [kinds for role, kinds in found if role == 'assistant']
    assert said[0][:1] == 'S', 'a stream begins with silence'
    for kinds in said:
        for pair in ('FF', 'SS', 'ST'):
            assert pair not in kinds, f'{pair} in {kinds}'
        assert not kinds.startswith('F')
    for (_, question), before, after in zip(found[3::2], said, said[1:]):
        assert question, 'a later turn of the user asks'
        assert before[-1:] in ('S', 'T'), 'a turn ends with silence, or is cut in its text'
        if before[-1] == 'S':
            assert after[:1] == 'S', 'asked in silence, it is followed by silence'


def assert_decides(chat, ids):
    """Assert that ids are a live stream at a place where the model decides what comes next."""
    assert_layout(chat, ids)
    said = [kinds for role, kinds in turns(chat, ids) if role == 'assistant']
    if said[-1]:
        assert said[-1][-1] in 'FT', 'the model decides after a frame or text'
    else:
        assert said[-2][-1] == 'T', 'the model decides at once where a sentence was cut'
