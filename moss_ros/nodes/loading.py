"""
From the narrator's settings to a session that is ready to run: options and weights.

Settings in, a warm StreamSession out. Knows nothing of topics or lifecycles. Called by the
narrator when it is configured; blocks while weights are read.
"""

from dataclasses import replace
from pathlib import Path

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import load_model, resolve_checkpoint
from moss_ros.nodes.parameters import NarratorSettings
from moss_ros.stream import ChatFormat, Frame, StreamOptions, StreamSession
import numpy as np
import torch


def checkpoint_folder(settings: NarratorSettings) -> Path:
    """Return the folder that the settings name, the embedded model's where they name none."""
    return resolve_checkpoint(settings.checkpoint) if settings.checkpoint else DEMO_CHECKPOINT


def stream_options(folder: Path, settings: NarratorSettings) -> StreamOptions:
    """
    Return the options of the checkpoint in folder, changed by what the settings give.

    Raises ValueError that names the checkpoint and the value at fault.
    """
    options = StreamOptions.from_checkpoint(folder, seed=settings.seed)
    given = {
        'frame_rate_fps': settings.frame_rate,
        'system_prompt': settings.system_prompt,
        'max_tokens_between_frames': settings.max_tokens_between_frames,
    }
    sampling = {
        'temperature': settings.temperature,
        'top_p': settings.top_p,
        'repetition_penalty': settings.repetition_penalty,
    }
    # 0 and '' stand for the checkpoint's own, but for top_k, where 0 means all tokens.
    sampling = {name: value for name, value in sampling.items() if value}
    if settings.top_k >= 0:
        sampling['top_k'] = settings.top_k
    if settings.sampling != 'checkpoint':
        sampling['do_sample'] = settings.sampling == 'random'
    return replace(
        options, sampling=replace(options.sampling, **sampling),
        **{name: value for name, value in given.items() if value})


def make_session(settings: NarratorSettings) -> StreamSession:
    """
    Load the weights, allocate the stream's memory and run one step to warm up.

    Raises CheckpointError or ValueError that say what is wrong and the way out.
    """
    folder = checkpoint_folder(settings)
    # The thread that loads and warms up must not take all cores either.
    torch.set_num_threads(settings.num_threads)
    quantization = None if settings.quantization == 'none' else settings.quantization
    model = load_model(
        folder, settings.device, settings.dtype, settings.attention, quantization)
    session = StreamSession(
        model, ChatFormat(folder / 'tokenizer.json'), stream_options(folder, settings))
    session.add_frame(Frame(np.zeros((48, 64, 3), np.uint8), stamp_ns=0))
    session.step()
    session.reset()
    return session
