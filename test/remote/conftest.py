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

"""What the tests of remote models share: fake checkpoints, and streams of them."""

import json
from pathlib import Path
import shutil
import threading

from fake_streams import Stream
import psutil
import pytest

FAKE_MODEL = Path(__file__).with_name('fake_model.py')


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that makes a folder with the fake model of a behaviour."""
    def make(behaviour, **config):
        folder = tmp_path / f'checkpoint_{behaviour}'
        folder.mkdir()
        shutil.copy(FAKE_MODEL, folder)
        (folder / 'config.json').write_text(json.dumps(
            {'queue_api': 'fake_model.py:load', 'behaviour': behaviour, **config}))
        return folder

    return make


@pytest.fixture
def stream(checkpoint):
    """Return a function that starts a Stream; nothing may be left when the test has ended."""
    num_descriptors = psutil.Process().num_fds()
    streams = []

    def start(behaviour, said=(), signature='any', **options):
        streams.append(Stream(
            checkpoint(behaviour, said=list(said), signature=signature), **options))
        streams[-1].worker.start()
        return streams[-1]

    yield start
    for one in streams:
        assert one.worker.close(), 'the worker did not end within 2 s'
        one.session.close()
    assert not [thread for thread in threading.enumerate() if 'moss-remote' in thread.name]
    assert psutil.Process().num_fds() == num_descriptors
    assert not [region.path for region in psutil.Process().memory_maps()
                if 'moss-frames' in region.path]
