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
A checkpoint's own code, as bad as it may be: the queue calls, and one behaviour to choose.

Copied into a checkpoint folder by the tests and loaded by the remote process. config.json has the
name of the behaviour, and what it says.
"""

import json
import os
from pathlib import Path
import queue
import re
import signal
import stat
import subprocess
import sys
import time


class FakeModel:
    """Calls the method that is named like the behaviour."""

    def __init__(self, config):
        self._behave = getattr(self, config['behaviour'])
        self._said = config.get('said', [])
        self._is_stopped = False

    def real_time_generate(self, image_queue, prompt_queue, token_queue, processor, **kwargs):
        self._is_stopped = False
        self._images, self._prompts, self._tokens = image_queue, prompt_queue, token_queue
        self._kwargs = kwargs
        self._behave()

    def stop_real_time_generate(self):
        self._is_stopped = True

    def polite(self):
        # Says the next of its strings for each frame, then silences.
        said = iter(self._said)
        while not self._is_stopped:
            self._answer_prompts()
            if self._next_image() is not None:
                self._tokens.put(next(said, '<|silence|>'))

    def trained(self):
        # Decides as in the public training samples: at each frame, and at once about a question
        # that cuts a sentence. One that comes in silence is followed by silence and a frame.
        said = iter(self._said)
        is_silent = True
        while not self._is_stopped:
            is_asked = not self._prompts.empty()
            if is_asked:
                self._prompts.get()
                self._tokens.put('<|round_start|>')
            if is_asked and is_silent:
                self._tokens.put('<|silence|>')
            elif is_asked or self._next_image() is not None:
                piece = next(said, '<|silence|>')
                self._tokens.put(piece)
                is_silent = piece.endswith('<|silence|>')

    def exiting_in_a_round(self):
        self._prompts.get()
        self._tokens.put('<|round_start|>')
        self._tokens.put('<|silence|>')
        self._next_image(None)
        os._exit(3)

    def busy_waiting(self):
        said = iter(self._said)
        while not self._is_stopped:
            self._answer_prompts()
            if not self._images.empty():
                self._images.get_nowait()
                self._tokens.put(next(said, '<|silence|>'))

    def clearing(self):
        # Takes frames in a way that no queue hears of.
        while not self._is_stopped:
            if self._images.queue:
                self._images.queue.clear()
                self._tokens.put('<|silence|>')

    def telling_what_it_got(self):
        while not self._is_stopped:
            image = self._next_image()
            if image is not None:
                seconds = None
                if isinstance(image, tuple):
                    image, seconds = image
                self._tokens.put(json.dumps([
                    type(image).__module__, image.mode, image.size, image.getpixel((1, 0)),
                    seconds, self._kwargs]))

    def telling_its_keywords(self):
        while not self._is_stopped:
            if self._next_image() is not None:
                self._tokens.put(repr({name: value for name, value in sorted(
                    self._kwargs.items()) if value is not None}))

    def flooding(self):
        self._next_image(None)
        while not self._is_stopped:
            self._tokens.put('word ')

    def flooding_in_dribbles(self):
        # One at a time, and more in a second than anybody can read.
        self._next_image(None)
        while not self._is_stopped:
            self._tokens.put('word ')
            time.sleep(0.0005)

    def flooding_with_silence(self):
        self._next_image(None)
        while not self._is_stopped:
            self._tokens.put('<|silence|>')
            self._answer_prompts()

    def flooding_its_output(self):
        while not self._is_stopped:
            print('noise ' * 1000)
            if self._next_image(0) is not None:
                self._tokens.put('<|silence|>')

    def talking_without_end(self):
        number = 0
        while not self._is_stopped:
            self._next_image(0.01)
            number += 1
            self._tokens.put(f'{number} ')
            self._answer_prompts()

    def killed(self):
        self._next_image(None)
        self._tokens.put('I feel ')
        print('out of memory: no room for the next frame', file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)

    def killed_by_a_prompt(self):
        while self._prompts.empty():
            if self._next_image() is not None:
                self._tokens.put('<|silence|>')
        os.kill(os.getpid(), signal.SIGKILL)

    def exiting(self):
        self._next_image(None)
        os._exit(3)

    def raising(self):
        self._next_image(None)
        raise ValueError('the cache is full')

    def returning(self):
        self._next_image(None)

    def never_stopping(self):
        subprocess.Popen(['sleep', '1000'])
        while True:
            if self._next_image() is not None:
                self._tokens.put('<|silence|>')

    def frozen(self):
        # Lets no other thread of its process run.
        self._next_image(None)
        self._tokens.put('Now ')
        re.match('(a+)+$', 'a' * 60 + 'b')

    def talking_nonsense_to_the_parent(self):
        self._next_image(None)
        for descriptor in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b'{"type": "string"}\n')
            except OSError:
                pass
        self._next_image(None)

    def _next_image(self, timeout_s=0.02):
        try:
            return self._images.get(timeout_s != 0, timeout_s)
        except queue.Empty:
            return None

    def _answer_prompts(self):
        if not self._prompts.empty():
            prompt = self._prompts.get()
            self._tokens.put('<|round_start|>')
            self._tokens.put(f'You asked: {prompt}')
            self._tokens.put('<|silence|>')


class ModelWithoutKeywords(FakeModel):
    """Takes the queues, and nothing else."""

    def real_time_generate(self, image_queue, prompt_queue, token_queue, processor):
        super().real_time_generate(image_queue, prompt_queue, token_queue, processor)


class ModelWithDoSample(FakeModel):
    """Takes one setting of sampling."""

    def real_time_generate(self, image_queue, prompt_queue, token_queue, processor,
                           do_sample=None):
        super().real_time_generate(
            image_queue, prompt_queue, token_queue, processor, do_sample=do_sample)


class ModelWithoutSignature(FakeModel):
    """Takes anything, and does not say so."""

    def real_time_generate(self, *arguments, **kwargs):
        super().real_time_generate(*arguments, **kwargs)

    real_time_generate.__signature__ = 'hidden'


_MODEL_BY_SIGNATURE = {
    'any': FakeModel, 'none': ModelWithoutKeywords, 'do_sample': ModelWithDoSample,
    'hidden': ModelWithoutSignature}


def load(folder):
    """Return the model and its processor."""
    config = json.loads((Path(folder) / 'config.json').read_text())
    print('fake weights are loaded')
    if config['behaviour'] == 'not_loading':
        raise ImportError('this code needs transformers 4.46')
    if config['behaviour'] == 'loading_without_end':
        while True:
            pass
    return _MODEL_BY_SIGNATURE[config.get('signature', 'any')](config), None
