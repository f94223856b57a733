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
What is said of an event by a model that takes its world for the other one.

An event goes in, a sentence of the other world comes out. Training puts it into contexts and never
makes it a target, so that a model that has misread a world once finds back to it: what was said
stays in the context, and would else be believed.
"""

from functools import cache
import random

from moss_ros.training.scenes import EventKind, Scene, SceneEvent
from moss_ros.training.streams import FIRST_TRAINING_SEED
from moss_ros.training.unknown import Happening, SOMETHING_BY_ZONE, UnknownEvent
from moss_ros.training.unknown.statements import SENTENCES

# The painted sentences are those of so many scenes, of so many seconds each.
_NUM_SCENES, _SCENE_S = 40, 60.0
_BEGINS = EventKind.ENTERS, EventKind.MOVES
_ENDS = EventKind.STOPS, EventKind.LEAVES


def misread(event: SceneEvent | UnknownEvent, generator: random.Random) -> str | None:
    """Return what is said of event in the other world's words, None where that has none."""
    if isinstance(event, SceneEvent):
        if event.kind in (*_BEGINS, EventKind.APPEARS):
            return SENTENCES[generator.choice(SOMETHING_BY_ZONE)]
        return SENTENCES[Happening.NOTHING] if event.kind in _ENDS else None
    if event.kind in SOMETHING_BY_ZONE:
        return generator.choice(_painted_sentences(_BEGINS))
    return generator.choice(_painted_sentences(_ENDS)) if event.kind is Happening.NOTHING else None


@cache
def _painted_sentences(kinds):
    return sorted({
        event.sentence for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + _NUM_SCENES)
        for event in Scene(seed).events_between(0.0, _SCENE_S) if event.kind in kinds})
