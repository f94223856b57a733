"""Unknown scenes: what a camera anywhere may see, how it looks, and what is said of it."""

from moss_ros.training.unknown.statements import (
    GOING_ON, Happening, SENTENCES, UnknownEvent,
)
from moss_ros.training.unknown.unknown_streams import (
    film_of, make_unknown_stream, render_unknown_stream, render_unknown_streams, UnknownStream,
)

__all__ = [
    'film_of',
    'GOING_ON',
    'Happening',
    'make_unknown_stream',
    'render_unknown_stream',
    'render_unknown_streams',
    'SENTENCES',
    'UnknownEvent',
    'UnknownStream',
]
