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
Where a recording's pictures are frozen, almost black, white or of one colour, and for how long.

The pictures that are shown to the model go in, stretches of the bag come out, for run.json and the
report. Nothing of it depends on how often a run was resumed. Called by frame_chooser.py.
"""

from moss_ros.stream import CameraReason, PictureWatch
import numpy as np

# Of a bag of days whose lamp flickers; the others are counted.
MAX_STRETCHES = 100
_WORDS = {'frozen': 'identical', 'black': 'almost black', 'white': 'almost white',
          'uniform': 'of almost one colour'}


class PictureNotes:
    """Watches the pictures of one source from the start on; one thread at a time."""

    def __init__(self, start_ns: int):
        """start_ns: when the source begins; stretches count from there."""
        self._start_ns = start_ns
        self._watch = PictureWatch()
        self._stretches: list[dict] = []
        self._num_left_out = 0

    def look(self, picture: np.ndarray, stamp_ns: int, bag_time_ns: int, encoding: str,
             content) -> None:
        """Take in the picture of bag_time_ns; the other arguments are those of a PictureWatch."""
        event = self._watch.look(picture, stamp_ns, 0, encoding, content)
        time_s = (bag_time_ns - self._start_ns) / 1e9
        if event is not None and event.reason is not CameraReason.CLEAR:
            if len(self._stretches) < MAX_STRETCHES:
                self._stretches.append({
                    'what': event.reason.value, 'end_s': round(time_s, 3),
                    'start_s': round(max(0.0, time_s - self._watch.trouble_s), 3)})
            else:
                self._num_left_out += 1
        elif self._watch.trouble is not None and not self._num_left_out:
            self._stretches[-1]['end_s'] = round(time_s, 3)

    def to_json(self) -> dict:
        """Return all of it as plain values."""
        return {'watch': self._watch.snapshot(),
                'stretches': [dict(stretch) for stretch in self._stretches],
                'num_left_out': self._num_left_out}

    def restore(self, state: dict) -> None:
        """Go on from what to_json() of notes on the same source gave."""
        self._watch.restore(state['watch'])
        self._stretches = [dict(stretch) for stretch in state['stretches']]
        self._num_left_out = state['num_left_out']


def picture_note(pictures: dict) -> str:
    """Return in words what PictureNotes.to_json() tells; '' if nothing was the matter."""
    stretches = pictures.get('stretches', [])
    if not stretches:
        return ''
    told = [f'{_WORDS[stretch["what"]]} from {stretch["start_s"]:.1f} to {stretch["end_s"]:.1f} s'
            for stretch in stretches[:3]]
    num_others = len(stretches) - len(told) + pictures['num_left_out']
    others = f', and {num_others} more times' if num_others else ''
    return f'its pictures are {", ".join(told)}{others}'
