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
Opens a checkpoint for streams: a name in; folder, tokenizer and settings out, then the model.

Everything that is quick to read is checked before the weights are read. Called by the nodes, the
bags and the generator. Any thread may call; all of it blocks.
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
    An opened checkpoint; its weights are not read yet.

    folder: where it is stored. chat: its tokenizer. options: the settings of its streams.
    """

    folder: Path
    chat: ChatFormat
    options: StreamOptions

    @classmethod
    def open(cls, name: str | Path, seed: int | None = None,
             system_prompt: str | None = None) -> StreamCheckpoint:
        """
        Read everything but the weights of a checkpoint. name is as for resolve_checkpoint().

        seed, system_prompt: for its streams; None: the checkpoint's own. Raises CheckpointError
        that names the file at fault, also if the tokenizer belongs to another model.
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
        """Read the weights; arguments and errors are as in moss_ros.model's function."""
        return load_model(self.folder, device, dtype, attention, quantization)

    def session(self, model: VideoModel) -> StreamSession:
        """Make a session of the loaded model; ValueError if the options leave it no room."""
        return StreamSession(model, self.chat, self.options)
