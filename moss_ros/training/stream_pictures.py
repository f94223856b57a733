"""
Pictures of many streams at the model's size, rendered by all cores.

Seeds go in; u8 [L, 3, S, S] arrays come out, RGB, fitted and padded but not yet normalised.
Knows nothing of tokens.
"""

from concurrent.futures import ProcessPoolExecutor
import multiprocessing
import random

from moss_ros.model import fit_frame
from moss_ros.training.architecture import IMAGE_SIZE_PX
from moss_ros.training.scenes import SceneRenderer
from moss_ros.training.streams import make_stream, Stream
import numpy as np
import torch

# Twice the model's size, 4:3 as the demo camera; some streams have another camera's shape.
SIZES_PX = ((128, 96),) * 12 + ((128, 72), (128, 80), (128, 104), (160, 120))


def camera_size_px(stream: Stream) -> tuple[int, int]:
    """Return the width and height of the pictures of stream, drawn from its seed."""
    return random.Random(f'size {stream.scene.seed}').choice(SIZES_PX)


def content_rows(stream: Stream) -> float:
    """Return which part of the square's height the pictures of stream fill."""
    width_px, height_px = camera_size_px(stream)
    return height_px / width_px


def render_stream(stream: Stream) -> np.ndarray:
    """Return the stream's pictures u8 [L, 3, S, S] at a camera size drawn from its seed."""
    renderer = SceneRenderer(stream.scene, *camera_size_px(stream))
    return np.stack([
        fit_frame(renderer.render(time_s), IMAGE_SIZE_PX).numpy() for time_s in stream.times_s])


def _render_seed(seed: int, num_frames: int) -> np.ndarray:
    torch.set_num_threads(1)
    return render_stream(make_stream(seed, num_frames))


def render_streams(seeds: range, num_frames: int, num_processes: int) -> np.ndarray:
    """Return u8 [N, L, 3, S, S]: the pictures of the streams of all seeds, in their order."""
    pictures = np.empty((len(seeds), num_frames, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX), np.uint8)
    # Fresh interpreters: a fork of a process that runs torch threads may hang.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(num_processes, mp_context=context) as pool:
        results = pool.map(_render_seed, seeds, [num_frames] * len(seeds), chunksize=8)
        for index, stream_pictures in enumerate(results):
            pictures[index] = stream_pictures
    return pictures
