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
The docs' pictures of the desk: demo camera, narrator and desk run, and a browser photographs them.

Writes docs/desk.jpg, desk_dark.jpg, desk_phone.jpg and desk_phone_dark.jpg. Run by `make pictures`
in the repository; needs Chromium. What is said depends on the scene alone, its times on the clock.
"""

from contextlib import ExitStack
from pathlib import Path
import sys
import tempfile
import time

from moss_ros.nodes.node_process import Child, stay_on_this_machine
from PIL import Image
from tools.browser import Browser, find_program

DOCS = Path(__file__).resolve().parents[1] / 'docs'
PORT = 8170
SEED = 4
NUM_SAID = 8
QUESTION = 'What do you see?'
TIMEOUT_S = 120.0
LOOKS = {
    'desk': {'width_px': 1280, 'height_px': 800},
    'desk_dark': {'width_px': 1280, 'height_px': 800, 'scheme': 'dark'},
    'desk_phone': {'width_px': 390, 'height_px': 844},
    'desk_phone_dark': {'width_px': 390, 'height_px': 844, 'scheme': 'dark'},
}
MAX_BYTES = 150_000
# The camera's noise makes a large file.
QUALITIES = (88, 82, 76, 70, 60)


def photograph(browser: Browser, name: str, look: dict) -> None:
    """Save what the page shows while something is being said."""
    browser.open(f'http://127.0.0.1:{PORT}/', **look)
    browser.until("!!document.querySelector('#list .narration img')?.naturalWidth")
    browser.until("Number(document.querySelector('#picture').dataset.drawn) > 2")
    browser.until("document.querySelector('#caption').textContent.split(' ').length > 3")
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / 'full.png'
        browser.screenshot(full)
        picture = DOCS / f'{name}.jpg'
        with Image.open(full) as image:
            for quality in QUALITIES:
                image.convert('RGB').save(picture, quality=quality, optimize=True)
                if picture.stat().st_size <= MAX_BYTES:
                    break
    print(f'{picture}: {picture.stat().st_size // 1000} kB')


def main() -> None:
    """Make the pictures."""
    program = find_program()
    if program is None:
        sys.exit('no Chromium here: apt install chromium')
    stay_on_this_machine()
    with ExitStack() as stack:
        for name, arguments in (
                ('desk', ['-p', f'port:={PORT}']), ('demo_camera', ['-p', f'seed:={SEED}']),
                ('narrator', ['-r', 'image:=image_raw', '-p', 'max_tokens_per_second:=4.0'])):
            child = Child(name, f'moss_ros.nodes.{name}', arguments, is_quiet=True)
            stack.callback(child.end)
            stack.callback(child.interrupt)
        time.sleep(3.0)
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        browser = Browser(program, Path(profile))
        stack.callback(browser.close)
        browser.open(f'http://127.0.0.1:{PORT}/')
        said = "document.querySelectorAll('#list .narration:not(.truth)').length"
        browser.until(f'{said} >= {NUM_SAID // 2}')
        browser.evaluate("document.getElementById('question').focus()")
        browser.write(QUESTION)
        browser.press('Enter')
        browser.until(f'{said} >= {NUM_SAID}')
        browser.until("!!document.querySelector('.narration.question .answer')")
        for name, look in LOOKS.items():
            photograph(browser, name, look)


if __name__ == '__main__':
    main()
