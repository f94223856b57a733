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

"""What the tests of a stream share: a tokenizer, a random tiny model and a scripted one."""

from types import SimpleNamespace

from moss_ros.model import ModelConfig, VideoModel
from moss_ros.stream import ChatFormat, Frame, Prompt, StreamOptions, StreamSession
import numpy as np
import pytest
from scripted_model import (
    CONTROL_TOKENS, IMAGE_SIZE_PX, ScriptedModel, tiny_config, write_tokenizer,
)
import torch


def make_frame(index, received_ns=0):
    """Return a frame of one grey level, a second after the one before it."""
    image = np.full((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), index % 256, np.uint8)
    return Frame(image, index * 1_000_000_000, received_ns)


def make_options(**changes):
    """Return options for short tests, changed by changes."""
    return StreamOptions(**{
        'system_prompt': 'Watch and tell.', 'max_context_frames': 20, 'keep_context_frames': 10,
        'max_context_tokens': 200, 'keep_context_tokens': 100, 'max_tokens_between_frames': 12,
        **changes})


@pytest.fixture(scope='session')
def tokenizer_file(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp('tokenizer') / 'tokenizer.json')


@pytest.fixture(scope='session')
def chat(tokenizer_file):
    return ChatFormat(tokenizer_file)


@pytest.fixture(scope='session')
def tiny_model(chat):
    torch.manual_seed(0)
    return VideoModel(ModelConfig.from_dict(tiny_config(chat.image_id))).eval()


@pytest.fixture
def tools(chat):
    """Makers of what a test of a session needs."""
    def scripted_session(*said, **changes):
        """Session whose model says what is given: texts, ids and exceptions; then silence."""
        script = []
        for item in said:
            script += chat.encode_text(item) if isinstance(item, str) else [item]
        model = ScriptedModel(chat, script)
        return StreamSession(model, chat, make_options(**changes)), model

    return SimpleNamespace(
        scripted_session=scripted_session, scripted_model=ScriptedModel, frame=make_frame,
        prompt=lambda prompt_id: Prompt('Is there a red ball?', prompt_id),
        options=make_options, write_tokenizer=write_tokenizer, control_tokens=CONTROL_TOKENS)
