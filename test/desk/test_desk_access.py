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

"""Who may see the desk: names, pages and tokens; and what a browser may send."""

import json
import socket
from urllib.parse import urlsplit

from moss_ros.desk.access import Access, hosts_of, link_of
from moss_ros.desk.messages import (
    Ask, Call, Hello, MAX_PROMPT, MAX_WATCHED, MessageError, read_message, Shown, Watch,
)
import pytest

LOCAL = Access.for_address('127.0.0.1', frozenset())
OPEN = Access.for_address('0.0.0.0', frozenset())
PROXIED = Access.for_address('127.0.0.1', hosts_of('Robot.example.org, desk.local:8443'))


@pytest.mark.parametrize(('access', 'host'), [
    (LOCAL, '127.0.0.1:8088'), (LOCAL, 'localhost'), (LOCAL, 'LOCALHOST:9000'),
    (LOCAL, '[::1]:8088'), (OPEN, '192.168.1.7:8088'), (OPEN, '[fe80::1]:8088'),
    (PROXIED, 'robot.example.org'), (PROXIED, 'desk.local:8443'), (PROXIED, '127.0.0.1:8088')])
def test_the_names_of_the_desk_are_known(access, host):
    assert access.refusal_of_host(host) is None


@pytest.mark.parametrize(('access', 'host'), [
    # A name elsewhere that points to this machine: DNS rebinding.
    (LOCAL, 'evil.example:8088'), (LOCAL, 'localhost.evil.example'), (LOCAL, '127.0.0.1.nip.io'),
    (LOCAL, '192.168.1.7:8088'), (LOCAL, None), (LOCAL, ''), (LOCAL, 'a b'), (LOCAL, '[::1'),
    (LOCAL, 'localhost:8088@evil.example'), (LOCAL, 'l' * 1000), (OPEN, 'evil.example'),
    (PROXIED, 'example.org'), (PROXIED, 'xrobot.example.org')])
def test_other_names_are_refused(access, host):
    refusal = access.refusal_of_host(host)
    assert refusal.status == 403
    assert (host or 'no name')[:300] in refusal.text


@pytest.mark.parametrize(('access', 'origin', 'host', 'is_allowed'), [
    (LOCAL, 'http://127.0.0.1:8088', '127.0.0.1:8088', True),
    (LOCAL, 'http://localhost:9000', 'LOCALHOST:9000', True),
    (LOCAL, 'http://localhost:3000', 'localhost:8088', False),
    (LOCAL, 'http://evil.example', '127.0.0.1:8088', False),
    (LOCAL, 'null', '127.0.0.1:8088', False),
    (LOCAL, None, '127.0.0.1:8088', False),
    (LOCAL, 'file://127.0.0.1:8088', '127.0.0.1:8088', False),
    (LOCAL, 'http://[', '127.0.0.1:8088', False),
    (PROXIED, 'https://robot.example.org', '127.0.0.1:8088', True),
    (PROXIED, 'https://robot.example.org:8443', 'robot.example.org', True),
    (PROXIED, 'https://robot.example.org.evil.example', '127.0.0.1:8088', False)])
def test_only_the_own_page_may_ask(access, origin, host, is_allowed):
    assert (access.refusal_of_origin(origin, host) is None) == is_allowed


def test_a_token_is_needed_from_elsewhere_only():
    assert LOCAL.token == '' and LOCAL.refusal_of_token(None) is None
    for access in (OPEN, PROXIED):
        assert len(access.token) >= 32
        assert access.refusal_of_token(access.token) is None
        for wrong in (None, '', access.token[:-1], access.token + 'x', 'ä' * 32):
            assert access.refusal_of_token(wrong).status == 401
    assert OPEN.token != Access.for_address('0.0.0.0', frozenset()).token


def test_names_are_taken_without_port_and_brackets():
    assert hosts_of(' Robot:8443 ,[fd00::1]:80,desk.local') == {'robot', 'fd00::1', 'desk.local'}
    assert hosts_of('') == frozenset()


def test_the_link_has_the_token_and_a_name_that_others_reach():
    assert link_of('127.0.0.1', 8088, '') == 'http://127.0.0.1:8088/'
    assert link_of('::1', 80, 't') == 'http://[::1]:80/?token=t'
    assert '0.0.0.0' not in link_of('0.0.0.0', 8088, 't')
    # A socket for any address of IP 6 answers to no address of IP 4.
    name = urlsplit(link_of('::', 8088, 't')).hostname
    assert ':' in name or name == socket.gethostname().lower()


def test_a_desk_is_known_by_the_name_that_it_is_served_on():
    access = Access.for_address('Robot.example.org', frozenset())
    host = urlsplit(link_of('Robot.example.org', 8088, access.token)).netloc
    assert access.refusal_of_host(host) is None
    assert access.refusal_of_host('robot.example.com:8088') is not None


@pytest.mark.parametrize(('message', 'expected'), [
    ({'type': 'hello', 'boot': '', 'after': 0}, Hello('', 0)),
    ({'type': 'watch', 'pictures': [['/narrator', 'camera']]},
     Watch(frozenset([('/narrator', 'camera')]))),
    ({'type': 'shown', 'picture': ['/narrator', 'overlay']}, Shown(('/narrator', 'overlay'))),
    ({'type': 'ask', 'id': 3, 'narrator': '/n', 'text': 'Wo ist é? <b>'},
     Ask(3, '/n', 'Wo ist é? <b>')),
    ({'type': 'call', 'id': 4, 'narrator': '/n', 'service': 'resume'}, Call(4, '/n', 'resume'))])
def test_messages_of_the_page_are_read(message, expected):
    assert read_message(json.dumps(message)) == expected


@pytest.mark.parametrize('text', [
    '', 'rubbish', '[]', '3', 'null', '{}', '[' * 50_000, '{"type": []}', '{"type": "other"}',
    '{"type": "hello", "boot": 3, "after": 0}', '{"type": "hello", "boot": "", "after": -1}',
    '{"type": "hello", "boot": "", "after": 1e400}',
    '{"type": "hello", "boot": "", "after": true}',
    '{"type": "watch", "pictures": [["a"]]}', '{"type": "watch", "pictures": [[[], "camera"]]}',
    '{"type": "watch", "pictures": [["a", "screen"]]}', '{"type": "watch"}',
    json.dumps({'type': 'watch', 'pictures': [['a', 'camera']] * (MAX_WATCHED + 1)}),
    '{"type": "shown", "picture": null}',
    '{"type": "ask", "id": 1, "narrator": "/n", "text": "  "}',
    '{"type": "ask", "id": 1, "narrator": "", "text": "a"}',
    '{"type": "ask", "id": 1, "narrator": "/n", "text": "a\\u0000b"}',
    '{"type": "ask", "id": 1, "narrator": "/n", "text": "\\ud800"}',
    json.dumps({'type': 'ask', 'id': 1, 'narrator': '/n', 'text': 'a' * (MAX_PROMPT + 1)}),
    '{"type": "call", "id": 1, "narrator": "/n", "service": "shutdown"}',
    '{"type": "call", "id": 1, "narrator": "/n", "service": ["reset"]}',
    '{"type": "call", "id": 99999999999999999999, "narrator": "/n", "service": "reset"}'])
def test_anything_else_is_refused(text):
    with pytest.raises(MessageError):
        read_message(text)
