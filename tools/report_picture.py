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
The docs' picture of a report: records a scene, narrates it and photographs the page.

Writes docs/report.png. Run by `make pictures` in the repository; needs Chromium. The same
checkpoint gives the same words.
"""

from __future__ import annotations

from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

from moss_ros.bag import narrate_bag, NarrateOptions
from PIL import Image
from tools.scene_recording import record_scene

PICTURE = Path(__file__).resolve().parents[1] / 'docs' / 'report.png'
SEED, DURATION_S = 4, 300.0
PROMPTS = ((16.2, 'What do you see?'), (98.0, 'Is anything moving?'), (150.0, 'What do you see?'),
           (221.0, 'How many objects are there?'))
SIZE_PX = (1000, 982)
# Enough for an interface and small thumbnails; the file is half as large as in full colour.
NUM_COLOURS = 256
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


def photograph(page: Path, picture: Path) -> None:
    """Save what a window of SIZE_PX shows of a page."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit('no Chromium here: apt install chromium')
    full = page.with_suffix('.png')
    subprocess.run(
        [program, '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
         f'--window-size={SIZE_PX[0]},{SIZE_PX[1]}', f'--screenshot={full}', page.as_uri()],
        check=True, stderr=subprocess.DEVNULL, timeout=120)
    with Image.open(full) as image:
        image.convert('RGB').quantize(NUM_COLOURS, dither=Image.Dither.NONE).save(
            picture, optimize=True)


def main() -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / f'scene_{SEED}'
        record_scene(bag, SEED, DURATION_S, PROMPTS)
        output = Path(folder) / 'narrated'
        narrate_bag(bag, output, NarrateOptions(prompt_topic='/prompt'))
        PICTURE.parent.mkdir(exist_ok=True)
        photograph(output / 'report.html', PICTURE)
    print(f'{PICTURE}: {PICTURE.stat().st_size // 1000} kB')


if __name__ == '__main__':
    main()
