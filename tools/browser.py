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
Chromium without a window, driven over the two pipes of its DevTools protocol.

Paths of pages go in; what their elements say and do comes out. One Browser serves many pages, one
after the other. Raises BrowserError where the page or the protocol reports a failure.
"""

import base64
import json
import os
from pathlib import Path
import select
import shutil
import signal
import subprocess
import time

PROGRAMS = ('chromium', 'chromium-browser', 'google-chrome')
FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    '--disable-extensions', '--disable-background-networking', '--hide-scrollbars',
    '--remote-debugging-pipe')
TIMEOUT_S = 60.0
# Without these a key does not do what it does by itself, such as to send a form.
KEY_CODES = {'Enter': 13, 'Tab': 9}


class BrowserError(Exception):
    """The browser did not do what was asked."""


def find_program():
    """Return the path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """A Chromium process with one page at a time."""

    def __init__(self, program: str, profile: Path):
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        command_end, self._commands = os.pipe()
        self._answers, answer_end = os.pipe()

        def take_ends():
            ends = [os.dup(command_end), os.dup(answer_end)]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f'--user-data-dir={profile}', 'about:blank'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=take_ends, start_new_session=True)
        os.close(command_end)
        os.close(answer_end)
        self._num_commands = 0
        self._unread = b''
        self._session = None
        self.messages = []  # of the page: console, exceptions, refusals of the security policy
        self.requests = []  # addresses that the page wanted
        target = self._call('Target.createTarget', url='about:blank')['targetId']
        self._session = self._call(
            'Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self._call(f'{domain}.enable')

    def open(self, page: Path | str, fragment: str = '', width_px: int = 1200,
             height_px: int = 900, scheme: str = 'light'):
        """
        Load a page at a size and in a colour scheme; return once its script has run.

        page: a file, or the address of one that is served.
        """
        address = page.resolve().as_uri() if isinstance(page, Path) else page
        self._call('Emulation.setDeviceMetricsOverride', width=width_px, height=height_px,
                   deviceScaleFactor=1, mobile=width_px < 600)
        self._call('Emulation.setEmulatedMedia',
                   features=[{'name': 'prefers-color-scheme', 'value': scheme},
                             {'name': 'prefers-reduced-motion', 'value': 'reduce'}])
        # In between, so that another fragment of the same page loads it anew.
        self._call('Page.navigate', url='about:blank')
        self.until("location.href === 'about:blank'")
        self.messages.clear()
        self.requests.clear()
        self._call('Page.navigate', url=address + fragment)
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    def evaluate(self, expression: str):
        """Return the value of a JavaScript expression in the page, as JSON carries it."""
        result = self._call('Runtime.evaluate', expression=expression, returnByValue=True,
                            awaitPromise=True)
        if 'exceptionDetails' in result:
            raise BrowserError(f'{expression}: {result["exceptionDetails"]}')
        return result['result'].get('value')

    def until(self, expression: str):
        """Wait until a JavaScript expression is true."""
        end_s = time.monotonic() + TIMEOUT_S
        while not self.evaluate(expression):
            if time.monotonic() > end_s:
                raise BrowserError(f'not within {TIMEOUT_S:g} s: {expression}')
            # The page's own clock: it has nothing to do before its next picture.
            self.evaluate('new Promise((done) => setTimeout(done, 20))')

    def click(self, selector: str, part_of_width: float = 0.5):
        """Press the mouse on an element, at a part of its width."""
        x, y = self.evaluate(
            f'(({{left, top, width, height}}) => [left + width * {part_of_width}, top + height '
            f'/ 2])(document.querySelector({json.dumps(selector)}).getBoundingClientRect())')
        for kind in ('mousePressed', 'mouseReleased'):
            self._call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left',
                       clickCount=1)

    def press(self, key: str):
        """Press a key that has a name, such as ArrowRight, or a character."""
        text = {'Enter': '\r'}.get(key, key)
        more = {'text': text} if len(text) == 1 else {}
        if key in KEY_CODES:
            more['windowsVirtualKeyCode'] = KEY_CODES[key]
        self._call('Input.dispatchKeyEvent', type='keyDown', key=key, **more)
        self._call('Input.dispatchKeyEvent', type='keyUp', key=key)

    def write(self, text: str):
        """Type a text into the element that has the focus."""
        self._call('Input.insertText', text=text)

    def sleep(self):
        """Stop the browser as a whole, as a machine does that is put to sleep, until wake()."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def wake(self):
        """Let it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def screenshot(self, path: Path):
        """Save what the window shows as PNG."""
        answer = self._call('Page.captureScreenshot', format='png')
        path.write_bytes(base64.b64decode(answer['data']))

    def close(self):
        """End the process."""
        os.close(self._commands)
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)

    def _call(self, method, **parameters):
        self._num_commands += 1
        command = {'id': self._num_commands, 'method': method, 'params': parameters}
        if self._session:
            command['sessionId'] = self._session
        os.write(self._commands, json.dumps(command).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == self._num_commands:
                if 'error' in answer:
                    raise BrowserError(f'{method}: {answer["error"]}')
                return answer['result']
            self._note(answer)

    def _note(self, message):
        parameters = message.get('params', {})
        if message.get('method') == 'Network.requestWillBeSent':
            self.requests.append(parameters['request']['url'])
        elif message.get('method') == 'Runtime.exceptionThrown':
            self.messages.append(parameters['exceptionDetails'])
        elif message.get('method') == 'Log.entryAdded':
            self.messages.append(parameters['entry'])

    def _read(self):
        while b'\0' not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], TIMEOUT_S)
            part = os.read(self._answers, 1 << 16) if ready else b''
            if not part:
                raise BrowserError(f'no answer within {TIMEOUT_S:g} s')
            self._unread += part
        message, _, self._unread = self._unread.partition(b'\0')
        return json.loads(message)
