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

"""The desk over DDS: real narrators on demo cameras, looked at and spoken to in a real browser."""

from contextlib import ExitStack
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys

from moss_ros.nodes.node_process import Child
import pytest

QUESTION = 'What do you see?'


def quoted(selector):
    return f'document.querySelector({json.dumps(selector)})'


def link_of(child, host):
    """Return the link that a desk has printed."""
    lines = host.until(lambda: [line for line in child.last_lines if 'desk: http' in line],
                       what='the link')
    return lines[0].partition('desk: ')[2]


class Robot:
    """Nodes of a robot, each in a process of its own."""

    def __init__(self, stack):
        self._stack = stack

    def start(self, module, *arguments):
        child = Child(module, f'moss_ros.nodes.{module}', list(arguments), is_quiet=True)
        self._stack.callback(child.end)
        self._stack.callback(child.interrupt)
        return child

    def start_narrator(self):
        # About as fast as one reads, so that it can be interrupted.
        return self.start('narrator', '-r', 'image:=image_raw',
                          '-p', 'max_tokens_per_second:=6.0')


@pytest.fixture(scope='module')
def robot_parts():
    """Return a Robot with a camera, a narrator and a desk that all tests of this file share."""
    with ExitStack() as stack:
        robot = Robot(stack)
        robot.desk = robot.start('desk', '-p', 'port:=0')
        robot.camera = robot.start('demo_camera', '-p', 'seed:=3')
        robot.narrator = robot.start_narrator()
        yield robot


@pytest.fixture
def page(browser, robot_parts, host):
    """Open the desk's page; return the browser once the narrator is followed."""
    browser.open(link_of(robot_parts.desk, host))
    browser.until(f"['silent', 'speaking'].includes({quoted('#mark')}.textContent)")
    yield browser
    browser.evaluate('localStorage.clear()')


def text(page, selector):
    return page.evaluate(f'{quoted(selector)}?.innerText ?? ""')


def until_text(page, selector, wanted):
    page.until(f'({quoted(selector)}?.textContent ?? "").includes({json.dumps(wanted)})')


def test_the_caption_is_what_the_narrator_says(page, host, listener):
    said = host.until(lambda: listener.narration, what='a narration')[0]
    page.until(f"[...document.querySelectorAll('#list .said')].some((item) => "
               f'item.textContent === {json.dumps(said)})')
    num_said = len(listener.narration)
    said = host.until(lambda: listener.narration[num_said:], what='another narration')[0]
    page.until(f"{quoted('#caption .words')}?.textContent === {json.dumps(said)}")
    page.until(f"{quoted('#list .narration:not(.running) img')}?.naturalWidth > 0")
    page.until(f"Number({quoted('#picture')}.dataset.drawn) > 3")
    until_text(page, '#truth-line', 'In the scene')
    until_text(page, '.figures', 'fps')
    assert page.messages == []


def test_a_question_is_answered_where_it_stands(page, host, listener):
    host.until(lambda: listener.events, what='an event')
    page.press('/')
    page.write(QUESTION)
    page.press('Enter')
    prompt, = host.until(lambda: listener.of_type('prompt'), what='the question')
    assert prompt['text'] == QUESTION
    answer, = host.until(lambda: [
        each for each in listener.of_type('narration')
        if each['prompt_id'] == prompt['prompt_id']], what='the answer')
    page.until(f"[...document.querySelectorAll('.narration.question .answer .said')].at(-1)"
               f'?.textContent === {json.dumps(answer["text"].strip())}')


def test_it_is_interrupted_paused_and_reset(page, host, listener):
    def cuts():
        # A sentence may have ended before the key is heard.
        if page.evaluate(f"{quoted('#mark')}.textContent === 'speaking'"):
            page.press('Escape')
        return [each for each in listener.of_type('narration') if each['reason'] == 'stopped']

    cut = host.until(cuts, what='a cut')[0]
    until_text(page, '#told', 'Interrupted.')
    page.until("[...document.querySelectorAll('#list .words')].some(({children: [said, note]}) => "
               f"said.textContent === {json.dumps(cut['text'].strip())} && "
               "note.textContent === 'cut off')")
    page.press(' ')
    page.until(f"{quoted('#mark')}.textContent === 'paused'")
    num_records = len(listener.events)
    until_text(page, '#pause', 'Go on')
    page.click('#pause')
    page.until(f"['silent', 'speaking'].includes({quoted('#mark')}.textContent)")
    host.until(lambda: len(listener.events) > num_records, what='that it goes on')
    page.until(f"{quoted('#mark')}.textContent === 'speaking'")
    page.click('#interrupt')
    until_text(page, '#told', 'Interrupted.')
    page.click('#reset')
    until_text(page, '#list', 'The stream begins anew.')
    host.until(lambda: [each for each in listener.of_type('state') if each['stamp_ns'] is None],
               what='the reset')


def test_a_narrator_that_dies_and_comes_back_is_marked(page, robot_parts, host):
    os.kill(robot_parts.narrator.process_id, signal.SIGKILL)
    page.until(f"{quoted('#mark')}.textContent === 'not there'")
    assert text(page, '#reason')
    robot_parts.narrator = robot_parts.start_narrator()
    page.until(f"['silent', 'speaking'].includes({quoted('#mark')}.textContent)")
    until_text(page, '#list', 'The narrator was started again.')


def test_three_cameras_are_tabs_and_a_wall(browser, host):
    names = ('front', 'left', 'rear')
    with ExitStack() as stack:
        robot = Robot(stack)
        desk = robot.start(
            'desk', '-r', '__ns:=/robot', '-p', 'port:=0', '-p',
            'narrators:=front/narrator,left/narrator,/robot/rear/narrator')
        for number, name in enumerate(names):
            robot.start('demo_camera', '-r', f'__ns:=/robot/{name}', '-p', f'seed:={number}')
        robot.start('multi_camera', '-r', '__ns:=/robot', '-p', f'cameras:={",".join(names)}',
                    '-r', 'image:=image_raw')
        browser.open(link_of(desk, host))
        # Not the narrator of the other tests, which is not among those named.
        browser.until("document.querySelectorAll('.tab').length === 4")
        browser.evaluate("[...document.querySelectorAll('.tab')].at(-1).click()")
        browser.until("[...document.querySelectorAll('.tile canvas')].filter("
                      '(canvas) => Number(canvas.dataset.drawn) > 1).length === 3')
        browser.until("[...document.querySelectorAll('.tile .caption')].some("
                      '(caption) => caption.textContent)')
        assert browser.evaluate("[...document.querySelectorAll('.tile .name')].map("
                                '(name) => name.textContent)') == [
            f'robot/{name}' for name in names]
        # A question goes to the camera that is open, and to no other.
        browser.click('.tile:nth-child(2)')
        browser.evaluate(f"{quoted('#question')}.focus()")
        browser.write(QUESTION)
        browser.press('Enter')
        until_text(browser, '#list', QUESTION)
        browser.until(f"!!{quoted('.narration.question .answer')}")
        browser.evaluate("document.querySelector('.tab').click()")
        browser.until(f"{quoted('.tab')}.getAttribute('aria-selected') === 'true'")
        assert QUESTION not in text(browser, '#list')
        browser.evaluate('localStorage.clear()')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_desk(host, start_process, number):
    process = start_process('desk', '-p', 'port:=0')
    host.until(lambda: 'desk: http://127.0.0.1:' in process.output, what='the link')
    process.end(number, timeout_s=2.0)
    assert process.popen.returncode == 0 and 'Traceback' not in process.output


def test_a_port_that_is_taken_is_named(host, start_process):
    first = start_process('desk', '-p', 'port:=0')
    host.until(lambda: 'desk: http' in first.output, what='the link')
    port = re.search(r':(\d+)/', first.output).group(1)
    second = start_process('desk', '-p', f'port:={port}')
    assert second.popen.wait(60.0) == 1
    assert f'port 127.0.0.1:{port} is taken' in second.output
    assert 'Traceback' not in second.output


def test_the_token_is_printed_once_and_not_logged(host, start_process):
    process = start_process('desk', '-p', 'port:=0', '-p', 'hosts:=robot.example.org')
    host.until(lambda: '?token=' in process.output, what='the link')
    token = process.output.partition('?token=')[2].split()[0]
    process.end(timeout_s=10.0)
    # What is logged would stand there too, and be on /rosout.
    assert process.output.count(token) == 1


def test_the_desk_needs_no_model():
    code = ("import sys, moss_ros.nodes.desk; "
            "print({'torch', 'tokenizers', 'safetensors'} & set(sys.modules))")
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                         cwd=Path(__file__).parents[2], check=True)
    assert run.stdout.strip() == 'set()'
