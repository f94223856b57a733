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

"""What the tests of pages share: narrations and thumbnails that are made up."""

from html.parser import HTMLParser
from pathlib import Path

from moss_ros.views.report import report_page, ReportHead
from moss_ros.views.timeline import Narration, Timeline
import numpy as np
from PIL import Image

START_NS = 1_795_000_000 * 10**9
EVIL = '</script><script>document.title = "taken"</script><img src=x onerror="alert(1)">'


def narration(narration_id, begin_s, text, prompt=None, reason='silence', length_s=1.0,
              asked_s=None):
    """Return a Narration that begins begin_s after START_NS."""
    begin_ns = START_NS + round(begin_s * 1e9)
    asked_ns = None if asked_s is None else START_NS + round(asked_s * 1e9)
    return Narration(narration_id, begin_ns, begin_ns + round(length_s * 1e9), text, prompt,
                     reason, asked_ns)


def unanswered(narration_id, asked_s, end_s, prompt, reason='unanswered'):
    """Return the Narration of a question to which nothing was said."""
    return narration(narration_id, end_s, '', prompt, reason, 0.0, asked_s)


NARRATIONS = (
    narration(1, 2.0, 'The red ball moves left.'),
    narration(2, 5.5, 'The green box stops.', length_s=0.1, reason='interrupted'),
    narration(3, 20.0, 'A red ball and a green box.', 'What do you see?', asked_s=18.8),
    narration(4, 31.0, EVIL, EVIL, 'limit', asked_s=31.0),
    unanswered(5, 44.1, 45.0, 'Is anything moving?', 'interrupted'),
    narration(6, 46.0, 'The red ball.', 'What do you see?', asked_s=45.0),
    unanswered(7, 100.0, 130.5, 'Is anything moving?'),
    narration(8, 200.25, 'The blue cone leaves on the right.', reason='stopped'),
)
TIMELINE = Timeline(NARRATIONS, tuple(
    said.asked_ns for said in NARRATIONS if said.asked_ns is not None))


def head(title='mission_04', duration_s=240.0, start_ns=START_NS):
    """Return the ReportHead of a bag."""
    return ReportHead(
        title, '/camera/image_raw', start_ns, round(duration_s * 1e9),
        [('Narrations', '8')], [('Model', 'embedded')])


def write_thumbnails(folder):
    """Write a JPEG for all narrations but the last; return their paths."""
    generator = np.random.default_rng(4)
    paths = [folder / f'{said.narration_id}.jpg' for said in NARRATIONS[:-1]]
    for path in paths:
        picture = np.full((120, 160, 3), generator.integers(0, 256, 3), np.uint8)
        Image.fromarray(picture).save(path)
    return paths


def page_text(timeline=TIMELINE, folder=Path('/nowhere'), **head_values):
    """Return a report as one string; thumbnails are in folder."""
    return ''.join(report_page(
        head(**head_values), timeline, lambda narration_id: folder / f'{narration_id}.jpg'))


class Elements(HTMLParser):
    """Keeps the elements of a page: (tag, attributes), and the text inside each tag."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.texts = []
        self._tag = ''
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self._tag = tag

    def handle_data(self, data):
        self.texts.append((self._tag, data))

    def of(self, tag, **wanted):
        """Return the attributes of all elements of a tag with these attributes (class_)."""
        wanted = {name.rstrip('_'): value for name, value in wanted.items()}
        return [attributes for name, attributes in self.found if name == tag
                and all(attributes.get(key) == value for key, value in wanted.items())]
