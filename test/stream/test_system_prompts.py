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

"""System prompts from a checkpoint's code: which constants count, and that nothing is run."""

import json
from pathlib import Path

from moss_ros.stream import DEFAULT_SYSTEM_PROMPT
from moss_ros.stream.system_prompts import (
    DEFAULT_OFFLINE_SYSTEM_PROMPTS, live_system_prompt, offline_system_prompts,
)
import pytest

SHARED = Path(__file__).parents[3] / 'shared' / 'dialogue' / 'system_prompts.json'
OWN = DEFAULT_OFFLINE_SYSTEM_PROMPTS


def live(folder, given=None, configured=None):
    return live_system_prompt(folder, given, configured)


def offline(folder, given=None, configured=None):
    return offline_system_prompts(folder, given, configured)


def write(folder, source, name='modeling.py'):
    data = source if isinstance(source, bytes) else source.encode()
    (folder / name).write_bytes(data)


@pytest.mark.parametrize('source, expected', [
    ('SYSTEM_PROMPT = "Watch."', 'Watch.'),
    ('SYSTEM_PROMPT: str = "Watch."', 'Watch.'),
    ('_DEFAULT_SYSTEM_PROMPT = "Watch."', 'Watch.'),
    ('REAL_TIME_SYSTEM_PROMPT = "Watch."\nSYSTEM_PROMPT = "No."', 'Watch.'),
    ('SYSTEM_PROMPT = "No."\nREALTIME_SYSTEM_PROMPT = "Watch."', 'Watch.'),
    ('SYSTEM_PROMPT_LIVE = "Watch."\nVIDEO_SYSTEM_PROMPT = "No."', 'Watch.'),
    ('STREAMING_SYSTEM_PROMPT = "Watch."', 'Watch.'),
    ('SYSTEM_PROMPTS = {"real_time": "Watch.", "video": "No."}', 'Watch.'),
    ('LIVE_SYSTEM_PROMPTS = {"deep_thinking": "No.", "no_thinking": "Watch."}', 'Watch.'),
    ('SUMMARY_SYSTEM_PROMPT = "No."\nSYSTEM_PROMPT = "Watch."', 'Watch.'),
    ('SYSTEM_PROMPT = ("Watch "\n    "and tell.")', 'Watch and tell.'),
    ('SYSTEM_PROMPT = "Watch " + "and " + \'tell.\'', 'Watch and tell.'),
    ('END = "tell."\nSYSTEM_PROMPT = "Watch and " + END', 'Watch and tell.'),
    ('SYSTEM_PROMPT = "Watch "\nSYSTEM_PROMPT += "and tell."', 'Watch and tell.'),
    ('SYSTEM_PROMPT = """Watch\nand tell."""', 'Watch\nand tell.'),
    ('SYSTEM_PROMPT = """\nWatch.\n""".strip()', 'Watch.'),
    ('SYSTEM_PROMPT = "\\d Watch \\u00fc."', '\\d Watch \u00fc.'),
    ('class Model:\n    SYSTEM_PROMPT = "Watch."', 'Watch.'),
    ('import torch\nclass A(torch.nn.Module):\n  def f(self):\n    SYSTEM_PROMPT = "No."', None),
    ('VIDEO_SYSTEM_PROMPT = "No."', None),
    ('SYSTEM_PROMPT = open("/etc/hostname").read()', None),
    ('SYSTEM_PROMPT = 7', None), ('SYSTEM_PROMPT = "  "', None), ('SYSTEM_PROMPT = ""', None),
    ('SYSTEM_PROMPT = f"Watch {name}."', None), ('system_prompt = "No."', None), ('', None),
])
def test_the_live_prompt(tmp_path, source, expected):
    write(tmp_path, source)
    assert live(tmp_path) == (expected or DEFAULT_SYSTEM_PROMPT)


@pytest.mark.parametrize('source, expected', [
    ('SYSTEM_PROMPTS = {"video": "V.", "text_image": "I."}', {'video': 'V.', 'text_image': 'I.'}),
    ('SYSTEM_PROMPTS = {"video": "V."}', {'video': 'V.'}),
    ('VIDEO_SYSTEM_PROMPT = "V."\nTEXT_IMAGE_SYSTEM_PROMPT = "I."',
     {'video': 'V.', 'text_image': 'I.'}),
    ('V = "V."\nclass A:\n  SYSTEM_PROMPT_BY_TYPE = {"video": V}', {'video': 'V.'}),
    ('SYSTEM_PROMPTS = {"video": {"no_thinking": "V.", "deep_thinking": "D."}}',
     {'video': {'no_thinking': 'V.', 'deep_thinking': 'D.'}}),
    ('SYSTEM_PROMPTS = {"deep_thinking": {"video": "D."}, "no_thinking": {"video": "V."}}',
     {'video': {'no_thinking': 'V.', 'deep_thinking': 'D.'}}),
    ('SYSTEM_PROMPTS = {("video", "deep_thinking"): "D.", ("video", "no_thinking"): "V."}',
     {'video': {'no_thinking': 'V.', 'deep_thinking': 'D.'}}),
    ('VIDEO_SYSTEM_PROMPT = "V."\nVIDEO_SYSTEM_PROMPT_DEEP_THINKING = "D."',
     {'video': {'no_thinking': 'V.', 'deep_thinking': 'D.'}}),
    ('SYSTEM_PROMPT_DEEP_THINKING = "D."',
     {kind: {'no_thinking': OWN[kind], 'deep_thinking': 'D.'} for kind in OWN}),
    ('DEEP_THINKING_SYSTEM_PROMPTS = {"video": "D."}',
     {'video': {'no_thinking': OWN['video'], 'deep_thinking': 'D.'}}),
    ('SYSTEM_PROMPTS = {"video": "V.", "audio": "A."}', {'video': 'V.', 'audio': 'A.'}),
    ('SYSTEM_PROMPTS = {Type.VIDEO: "V.", 3: "No.", **more}', {'video': 'V.'}),
    ('OFFLINE_SYSTEM_PROMPT = "All."', dict.fromkeys(OWN, 'All.')),
    ('SYSTEM_PROMPT = "Live."', {}),
    ('LIVE_SYSTEM_PROMPT = "Live."\nSYSTEM_PROMPT = "All."', dict.fromkeys(OWN, 'All.')),
])
def test_offline_prompts(tmp_path, source, expected):
    write(tmp_path, source)
    assert offline(tmp_path) == {**OWN, **expected}


def test_the_order_of_sources(tmp_path, caplog):
    write(tmp_path, 'SYSTEM_PROMPTS = {("video", "no_thinking"): "Code.", '
                    '("video", "deep_thinking"): "Deep.", "text_image": "Code."}')
    configured = {'video': 'Configured.'}
    assert offline(tmp_path, None, configured) == {
        'video': {'no_thinking': 'Configured.', 'deep_thinking': 'Deep.'}, 'text_image': 'Code.'}
    # A text that is given for a type counts in all modes; one that is given by mode in that one.
    assert offline(tmp_path, {'video': 'Given.'}, configured)['video'] == 'Given.'
    with caplog.at_level('INFO'):
        assert offline(tmp_path, {'video': {'deep_thinking': 'Given.'}}, configured)['video'] == {
            'no_thinking': 'Configured.', 'deep_thinking': 'Given.'}
    message, = (record.getMessage() for record in caplog.records)
    for part in ('video with deep_thinking: the parameter system_prompts',
                 'video: offline_config.system_prompts of config.json',
                 "text_image: SYSTEM_PROMPTS['text_image'] in modeling.py"):
        assert part in message


@pytest.mark.parametrize('source', [
    'raise SystemExit(3)\n', 'import nothing_of_this_name\n', '1 / 0\n',
    'import sys\nsys.exit(3)\n', 'open("made_by_the_code", "w")\n',
])
def test_nothing_is_run(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, source + 'SYSTEM_PROMPT = "Watch."\n')
    assert live(tmp_path) == 'Watch.'
    assert [path.name for path in tmp_path.iterdir()] == ['modeling.py']


@pytest.mark.parametrize('source', [
    b'SYSTEM_PROMPT = "No."\ndef broken(:\n',
    b'SYSTEM_PROMPT = "\xff\xfe"\n',
    b'# coding: nonsense\nSYSTEM_PROMPT = "No."\n',
    'SYSTEM_PROMPT = "No."'.encode('utf-16'),
    b'SYSTEM_PROMPT = "No."\0',
    b'SYSTEM_PROMPT = ' + b'(' * 5000 + b')' * 5000,
    b'SYSTEM_PROMPT = ' + b'"a" + ' * 5000 + b'"a"',
    b'SYSTEM_PROMPT = "No."\n' + b'#' * 3_000_000,
    b'A = "aa"\n' + b'A = A + A\n' * 60 + b'SYSTEM_PROMPT = A\n',
    b'A = {"a": "a"}\n' + b'A = {"a": A, "b": A, "c": A}\n' * 60 + b'SYSTEM_PROMPT = A\n',
])
def test_files_that_can_not_be_read_do_no_harm(tmp_path, source):
    write(tmp_path, source, 'a.py')
    assert live(tmp_path) == DEFAULT_SYSTEM_PROMPT
    write(tmp_path, 'SYSTEM_PROMPT = "Watch."', 'b.py')
    assert live(tmp_path) == 'Watch.'


def test_another_encoding_that_a_file_declares_is_read(tmp_path):
    write(tmp_path, '# coding: latin-1\nSYSTEM_PROMPT = "S\u00fcd"\n'.encode('latin-1'))
    assert live(tmp_path) == 'S\u00fcd'


def test_what_is_no_file_is_passed_over(tmp_path):
    (tmp_path / 'folder.py').mkdir()
    (tmp_path / 'nowhere.py').symlink_to(tmp_path / 'missing.py')
    assert live(tmp_path) == DEFAULT_SYSTEM_PROMPT


@pytest.mark.skipif(not SHARED.is_file(), reason='the published prompts are not there')
def test_published_prompts_are_found_as_they_are(tmp_path):
    prompts = json.loads(SHARED.read_text())
    write(tmp_path, f'REAL_TIME_SYSTEM_PROMPT = {prompts["live"]!r}\n'
                    f'SYSTEM_PROMPTS = {prompts["offline"]!r}\n')
    assert live(tmp_path) == prompts['live']
    assert offline(tmp_path) == prompts['offline']
