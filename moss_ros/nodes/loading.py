"""
From the narrator's settings to a session that is ready to run: options, device, weights.

Settings in, a warm StreamSession out. Knows nothing of topics or lifecycles. Called by the
narrator when it is configured; blocks while weights are read.
"""

from dataclasses import replace
from pathlib import Path

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import load_model
from moss_ros.nodes.parameters import NarratorSettings
from moss_ros.stream import ChatFormat, Frame, StreamOptions, StreamSession
import numpy as np
import torch

_DTYPE_BY_NAME = {
    'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def checkpoint_folder(settings: NarratorSettings) -> Path:
    """Return the folder that the settings name, the embedded model's where they name none."""
    return Path(settings.checkpoint).expanduser() if settings.checkpoint else DEMO_CHECKPOINT


def stream_options(settings: NarratorSettings) -> StreamOptions:
    """
    Return the checkpoint's options, changed by what the settings give.

    Raises ValueError that names the checkpoint and the value at fault.
    """
    options = StreamOptions.from_checkpoint(checkpoint_folder(settings), seed=settings.seed)
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
    device = _device(settings.device)
    dtype_name = settings.dtype
    if dtype_name == 'auto':
        dtype_name = 'float32' if device.type == 'cpu' else 'bfloat16'
    # The thread that loads and warms up must not take all cores either.
    torch.set_num_threads(settings.num_threads)
    model = load_model(folder, device=device, dtype=_DTYPE_BY_NAME[dtype_name])
    session = StreamSession(
        model, ChatFormat(folder / 'tokenizer.json'), stream_options(settings))
    session.add_frame(Frame(np.zeros((48, 64, 3), np.uint8), stamp_ns=0))
    session.step()
    session.reset()
    return session


def _device(name):
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == 'auto':
        return torch.device('cuda' if num_gpus else 'cpu')
    device = torch.device(name)
    if device.type == 'cuda' and (device.index or 0) >= num_gpus:
        raise ValueError(
            f'device is {name!r}, but torch sees {num_gpus} GPUs; use cpu or auto, or install '
            "torch for this machine's GPU")
    return device
