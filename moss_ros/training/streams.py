"""
Scenes as the model meets them: frames at the model's rate, with what is true at each of them.

A seed goes in; frame times, observable events and object states come out, and the pictures on
request. Used by training (which renders many) and by evaluation (which streams fresh ones).
"""

from dataclasses import dataclass
import random

from moss_ros.training.scenes import EventKind, ObjectState, Scene, SceneEvent
import numpy as np

FRAME_RATE_FPS = 2.0
# Seeds of training streams start here; evaluation uses those below.
FIRST_TRAINING_SEED = 1_000_000_000
# A move is called a move once this much of it can be seen, in picture widths (2 of 64 pixels);
# an object whose last two frames differ by less has stopped.
VISIBLE_MOVE = 0.03
VISIBLE_REST = 0.02
# A sampler that picks frames of a 10 Hz camera does not hit the grid exactly.
TIME_JITTER_S = 0.02


@dataclass(frozen=True)
class Stream:
    """
    One scene seen at the model's frame rate.

    times_s: time of each frame in the scene, seconds. truth: what happened, with the index of
    the first frame at or after it. observable: by frame index, the events that can first be
    told from the frames up to that one. objects: by frame index, the objects at that time.
    """

    scene: Scene
    times_s: tuple[float, ...]
    truth: tuple[tuple[int, SceneEvent], ...]
    observable: tuple[tuple[SceneEvent, ...], ...]
    objects: tuple[tuple[ObjectState, ...], ...]


def make_stream(seed: int, num_frames: int) -> Stream:
    """Return the stream of num_frames frames of Scene(seed), with a seeded random phase."""
    scene = Scene(seed)
    generator = random.Random(f'stream {seed}')
    start_s = generator.uniform(0.0, 1.0 / FRAME_RATE_FPS)
    times_s = tuple(start_s + index / FRAME_RATE_FPS
                    + generator.uniform(-TIME_JITTER_S, TIME_JITTER_S) * (index > 0)
                    for index in range(num_frames))
    events = scene.events_between(times_s[0], times_s[-1])
    grid = np.asarray(times_s)
    truth = tuple((int(np.searchsorted(grid, event.time_s)), event) for event in events)
    observable = [[] for _ in times_s]
    for _, event in truth:
        index = observable_frame(event, grid)
        if index < num_frames:
            observable[index].append(event)
    objects = tuple(tuple(scene.objects_at(time_s)) for time_s in times_s)
    return Stream(scene, times_s, truth, tuple(map(tuple, observable)), objects)


def observable_frame(event: SceneEvent, times_s: np.ndarray) -> int:
    """
    Return the index of the first frame from which the event can be told; len(times_s) if none.

    times_s: f64 [F], times of the frames in the scene, ascending.
    """
    if event.kind is EventKind.MOVES:
        return int(np.searchsorted(times_s, event.time_s + VISIBLE_MOVE / event.speed_per_s))
    if event.kind is EventKind.STOPS:
        # Two frames in a row must show (nearly) the same place.
        return int(np.searchsorted(
            times_s, event.time_s - VISIBLE_REST / event.speed_per_s)) + 1
    return int(np.searchsorted(times_s, event.time_s))
