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

"""Procedural scenes of the demo camera: what happens, how it looks, how it is said."""

from moss_ros.training.scenes.language import (
    answer_question, Question, question_by_text, random_question, tell_events,
    WHAT_HAPPENS_WORDINGS,
)
from moss_ros.training.scenes.rendering import SceneRenderer
from moss_ros.training.scenes.world import (
    COLOURS, EventKind, MOTIONS, ObjectState, Scene, SceneEvent, SHAPES,
)

__all__ = [
    'answer_question',
    'COLOURS',
    'EventKind',
    'MOTIONS',
    'ObjectState',
    'Question',
    'question_by_text',
    'random_question',
    'Scene',
    'SceneEvent',
    'SceneRenderer',
    'SHAPES',
    'tell_events',
    'WHAT_HAPPENS_WORDINGS',
]
