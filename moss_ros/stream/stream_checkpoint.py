"""
A checkpoint as streams need it: a name in; its folder, tokenizer and settings out, then its model.

All that is quick to read is read and checked before any weight. Called by the nodes, the bags and
the generator; any thread may, and all of it blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moss_ros.model import CheckpointError, load_model, ModelConfig, resolve_checkpoint, VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.stream.options import StreamOptions
from moss_ros.stream.session import StreamSession
import torch


@dataclass(frozen=True)
class StreamCheckpoint:
    """
    A checkpoint that is opened; its weights are not read yet.

    folder: where it lies. chat: its tokenizer. options: those of its streams.
    """

    folder: Path
    chat: ChatFormat
    options: StreamOptions

    @classmethod
    def open(cls, name: str | Path, seed: int | None = None,
             system_prompt: str | None = None) -> StreamCheckpoint:
        """
        Read all but the weights of the checkpoint that is named as for resolve_checkpoint().

        seed, system_prompt: of its streams; None: the checkpoint's own. Raises CheckpointError
        that names the file at fault, also where the tokenizer is that of another model.
        """
        given = {'seed': seed, 'system_prompt': system_prompt}
        folder = resolve_checkpoint(name)
        config = ModelConfig.from_folder(folder)
        try:
            chat = ChatFormat(folder / 'tokenizer.json')
            chat.require_model(config.image_token_id, config.text.vocab_size)
            options = StreamOptions.from_checkpoint(folder, **{
                key: value for key, value in given.items() if value is not None})
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        return cls(folder, chat, options)

    def load_model(self, device: str | torch.device, dtype: str | torch.dtype, attention: str,
                   quantization: str | None) -> VideoModel:
        """Read the weights; arguments and errors are those of the model's own function."""
        return load_model(self.folder, device, dtype, attention, quantization)

    def session(self, model: VideoModel) -> StreamSession:
        """Return a new stream of its model; ValueError where the options leave it no room."""
        return StreamSession(model, self.chat, self.options)
