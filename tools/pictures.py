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
Makes pictures for the docs: overlay and console, on a scene that the embedded model narrates.

A seed and a folder go in; overlay.jpg and console.svg come out, the same each time except for the
latencies, which are measured. Runs without ROS nodes. Run by `make pictures`.
"""

import argparse
import asyncio
from collections.abc import Iterator
import os
from pathlib import Path
import re
import sys
import time

from moss_ros.engines.loading import make_session
from moss_ros.records import record_of
from moss_ros.settings import NarratorSettings
from moss_ros.stream import Event, Frame, NarrationEvent, Prompt, SilenceEvent, TokenEvent
from moss_ros.training.scenes import Scene, SceneRenderer
from moss_ros.views.overlay import CaptionFollower, OverlayPainter
from moss_ros.views.screen import ConsoleScreen
import numpy as np
from PIL import Image

WIDTH_PX, HEIGHT_PX = 320, 240
GAP_PX = 6
JPEG_QUALITY = 85
START_NS = 1_700_000_000 * 10 ** 9
COLUMNS, ROWS = 92, 24
QUESTION = 'What do you see?'
TYPED = 'Is anything moving?'


def narrate(seed: int, num_frames: int, checkpoint: str) -> Iterator[tuple[Frame, Event, int]]:
    """
    Narrate a scene as live, without waiting; one question is asked after two thirds of it.

    Yields the newest frame, an event and the monotonic time in ns at which it came.
    """
    session = make_session(NarratorSettings(checkpoint=checkpoint))
    renderer = SceneRenderer(Scene(seed), WIDTH_PX, HEIGHT_PX)
    rate_fps = session.options.frame_rate_fps
    for index in range(num_frames):
        picture = renderer.render(index / rate_fps)
        frame = Frame(picture, START_NS + round(index * 1e9 / rate_fps), time.monotonic_ns())
        session.add_frame(frame)
        if index == 2 * num_frames // 3:
            session.add_prompt(Prompt(QUESTION, 'prompt-1'))
        while session.has_work:
            for event in session.step():
                yield frame, event, time.monotonic_ns()


def overlay_picture(stream: list[tuple[Frame, Event, int]]) -> Image.Image:
    """Return three moments side by side: something is said, nothing is, a question answered."""
    follower, painter = CaptionFollower(), OverlayPainter()
    said = silent = answered = spoken = None
    for frame, event, monotonic_ns in stream:
        follower.follow(event, monotonic_ns)
        moment = (frame.image, follower.caption_at(frame.stamp_ns))
        if isinstance(event, TokenEvent):
            spoken = moment
        elif isinstance(event, NarrationEvent) and event.prompt_id is not None:
            answered = spoken
        elif isinstance(event, NarrationEvent):
            said = said or spoken
        elif isinstance(event, SilenceEvent) and not moment[1].text:
            silent = silent or moment
    if not (said and silent and answered):
        raise ValueError('something must be said, nothing be said for a while and a question be '
                         'answered in the scene; take another --seed or more --num-frames')
    gap = np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8)
    parts = [painter.paint(*moment) for moment in (said, silent, answered)]
    strip = np.hstack([parts[0], gap, parts[1], gap, parts[2]])
    return Image.fromarray(strip)


def console_picture(stream: list[tuple[Frame, Event, int]]) -> str:
    """Return the console as SVG, at the last word of the stream, with a question half typed."""
    last = max(index for index, (_, event, _) in enumerate(stream)
               if isinstance(event, TokenEvent))
    records = [record_of(event, number, monotonic_ns)
               for number, (_, event, monotonic_ns) in enumerate(stream[:last + 1])]
    return asyncio.run(_drawn(records))


async def _drawn(records):
    screen = ConsoleScreen('/narrator', on_line=lambda text: None)
    async with screen.run_test(size=(COLUMNS, ROWS)) as pilot:
        for record in records:
            screen.tell_event(record)
        await pilot.press(*TYPED)
        await pilot.pause()
        svg = screen.export_screenshot(title='ros2 run moss_ros console')
    # Without these the page loads no font from the network; the SVG has the text widths.
    svg = re.sub(r'@font-face \{.*?\}\s*', '', svg, flags=re.DOTALL)
    return re.sub(r'<!--.*?-->\s*', '', svg, flags=re.DOTALL)


def main(args=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.pictures',
        description="Make the docs' pictures of the overlay and the console.")
    parser.add_argument('--output', type=Path, default=Path('docs'), help='folder (default docs)')
    parser.add_argument('--seed', type=int, default=1, help='which scene (default 1)')
    parser.add_argument('--num-frames', type=int, default=60, help='how long (default 60)')
    parser.add_argument('--checkpoint', default='', help="folder; default: the embedded model's")
    arguments = parser.parse_args(args)
    # Otherwise the times of day would depend on this machine's time zone.
    os.environ['TZ'] = 'UTC'
    time.tzset()
    stream = list(narrate(arguments.seed, arguments.num_frames, arguments.checkpoint))
    arguments.output.mkdir(parents=True, exist_ok=True)
    # The scenes' noise would make a PNG of some hundred kB.
    overlay_picture(stream).save(
        arguments.output / 'overlay.jpg', quality=JPEG_QUALITY, subsampling=0)
    (arguments.output / 'console.svg').write_text(console_picture(stream), encoding='utf-8')
    print(f'overlay.jpg and console.svg written to {arguments.output}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
