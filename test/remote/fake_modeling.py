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

"""Code of a checkpoint for transformers' Auto classes: tells how it was loaded and called."""

import json
import queue

import torch
from transformers import PretrainedConfig, PreTrainedModel


class FakeVideoConfig(PretrainedConfig):
    model_type = 'fake_video'


class FakeVideoModel(PreTrainedModel):
    config_class = FakeVideoConfig

    def __init__(self, config):
        super().__init__(config)
        self.linear = torch.nn.Linear(1, 1, bias=False)
        self.is_stopped = False
        self.post_init()

    def _init_weights(self, module):
        pass

    def real_time_generate(self, image_queue, prompt_queue, token_queue, processor, **kwargs):
        self.is_stopped = False
        while not self.is_stopped:
            try:
                image = image_queue.get(timeout=0.05)
            except queue.Empty:
                continue
            token_queue.put(json.dumps({
                'weight': self.linear.weight.item(), 'dtype': str(self.linear.weight.dtype),
                'is_training': self.training, 'num_threads': torch.get_num_threads(),
                'frame_extract_num_threads': processor.frame_extract_num_threads,
                'size': image.size, 'kwargs': kwargs}))

    def stop_real_time_generate(self):
        self.is_stopped = True


class FakeVideoProcessor:

    def __init__(self, frame_extract_num_threads):
        self.frame_extract_num_threads = frame_extract_num_threads

    @classmethod
    def register_for_auto_class(cls, auto_class='AutoProcessor'):
        pass

    @classmethod
    def from_pretrained(cls, folder, frame_extract_num_threads=0, **_):
        return cls(frame_extract_num_threads)
