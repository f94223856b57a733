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
