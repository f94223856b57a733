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

"""A checkpoint that transformers loads with its own code, as the published one is loaded."""

import json
from pathlib import Path
import shutil

from fake_streams import Stream
from moss_ros.stream import TokenEvent
import pytest
import torch

pytest.importorskip('transformers', reason='transformers loads the checkpoint of this test')

CODE = Path(__file__).with_name('fake_modeling.py')


def test_auto_map_leads_to_the_queue_calls(tmp_path, monkeypatch):
    from safetensors.torch import save_file
    folder = tmp_path / 'checkpoint'
    folder.mkdir()
    shutil.copy(CODE, folder)
    (folder / 'config.json').write_text(json.dumps({
        'model_type': 'fake_video', 'architectures': ['FakeVideoModel'],
        'auto_map': {'AutoConfig': 'fake_modeling.FakeVideoConfig',
                     'AutoModelForCausalLM': 'fake_modeling.FakeVideoModel'}}))
    (folder / 'processor_config.json').write_text(json.dumps({
        'processor_class': 'FakeVideoProcessor',
        'auto_map': {'AutoProcessor': 'fake_modeling.FakeVideoProcessor'}}))
    save_file({'linear.weight': torch.full((1, 1), 0.5)}, folder / 'model.safetensors',
              {'format': 'pt'})
    # transformers copies the code there before it runs it.
    monkeypatch.setenv('HF_MODULES_CACHE', str(tmp_path / 'modules'))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    stream = Stream(folder, device='cpu', generate_kwargs={'temperature': 0.5})
    try:
        assert stream.session.load()
        stream.worker.start()
        stream.show()
        token, = stream.wait(TokenEvent)
    finally:
        stream.worker.close()
        stream.session.close()
    assert json.loads(token.text) == {
        'weight': 0.5, 'dtype': 'torch.float32', 'is_training': False, 'num_threads': 1,
        'frame_extract_num_threads': 1, 'size': [16, 12],
        'kwargs': {'do_sample': True, 'temperature': 0.5}}
