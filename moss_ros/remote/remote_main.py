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
The remote model's process: loads a checkpoint's own code and runs its queue calls.

A program of its own, started by process.py with any Python from 3.8 on: it imports nothing of
this package, and needs only Pillow and what the checkpoint needs. It takes frames from shared
memory and orders from a socket, and sends every string of the token queue back as it is. Orders
and reports are lines of JSON. It ends with its parent.

A checkpoint is loaded by transformers, with trust_remote_code. Where its config.json has
"queue_api": "file.py:function", that function of that file is called instead, with the folder,
and returns the model and its processor. real_time_generate is called with those of the given
keyword arguments that its signature takes, and with do_sample=True unless that is given.
"""

import faulthandler
import fcntl
import importlib.util
import inspect
import json
import mmap
import os
import queue
import select
import signal
import socket
import sys
import threading
import traceback

MAX_STRING_CHARS = 8192
TICK_S = 0.2
STOP_PERIOD_S = 0.05


class Link:
    """The socket to the parent; any thread sends, the main thread receives."""

    def __init__(self, descriptor):
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._rest = b''

    def send(self, kind, **fields):
        line = json.dumps(dict(fields, type=kind)).encode() + b'\n'
        with self._lock:
            self._socket.sendall(line)

    def receive(self):
        """Return the orders that came within TICK_S; None when the parent is gone."""
        if not select.select([self._socket], [], [], TICK_S)[0]:
            return []
        data = self._socket.recv(65536)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b'\n')
        return [json.loads(line) for line in lines]


class InputQueue(queue.Queue):
    """Counts what was taken out, in whatever way."""

    def __init__(self):
        super().__init__()
        self._num_put = 0

    def _put(self, item):
        self._num_put += 1
        super()._put(item)

    def num_taken(self):
        # Counted by what is left: things may be taken by get(), or by clearing .queue.
        with self.mutex:
            return self._num_put - len(self.queue)


class ImageQueue(InputQueue):
    """Reports when an image was taken out."""

    def __init__(self, on_taken):
        super().__init__()
        self._on_taken = on_taken

    def get(self, block=True, timeout=None):
        image = super().get(block, timeout)
        self._on_taken()
        return image


class TokenQueue(queue.Queue):
    """Sends what is put in to the parent; holds nothing."""

    def __init__(self, say):
        super().__init__()
        self._say = say

    def put(self, item, block=True, timeout=None):
        self._say(item if isinstance(item, str) else str(item))


class Run:
    """One call of real_time_generate, in a thread of its own."""

    def __init__(self, link, model, processor, order, kwargs):
        self._link = link
        self._model = model
        self._run_id = order['run_id']
        self._has_seconds = order['has_seconds']
        self._condition = threading.Condition()
        self._num_allowed = order['max_ahead']
        self._is_stopping = False
        self._num_reported = 0
        self._images = ImageQueue(self.report_taken)
        self._prompts = InputQueue()
        self._thread = threading.Thread(
            target=self._generate, args=(processor, kwargs), daemon=True)
        self._thread.start()

    def add_frame(self, order, frames, slot_nbytes):
        # Slicing the map copies the bytes, so the slot is free from here on.
        from PIL import Image
        width, height = order['width'], order['height']
        begin = order['slot'] * slot_nbytes
        image = Image.frombytes('RGB', (width, height), frames[begin:begin + width * height * 3])
        self._images.put((image, order['seconds']) if self._has_seconds else image)

    def add_prompt(self, text):
        self._prompts.put(text)

    def allow(self, count):
        """Let so many more strings through."""
        with self._condition:
            self._num_allowed += count
            self._condition.notify_all()

    def report_taken(self):
        num_taken = self._images.num_taken()
        if num_taken != self._num_reported and not self._is_stopping:
            self._num_reported = num_taken
            self._send('taken', num_taken=num_taken)

    def stop(self):
        """Ask it to stop until it has ended: a request before its loop has begun may be lost."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        while self._thread.is_alive():
            if hasattr(self._model, 'stop_real_time_generate'):
                self._model.stop_real_time_generate()
            self._thread.join(STOP_PERIOD_S)

    def _say(self, string):
        for begin in range(0, len(string), MAX_STRING_CHARS):
            with self._condition:
                # A model that talks faster than it is heard waits here.
                self._condition.wait_for(lambda: self._num_allowed > 0 or self._is_stopping)
                if self._is_stopping:
                    return
                self._num_allowed -= 1
            self._send('string', num_taken=self._images.num_taken(),
                       text=string[begin:begin + MAX_STRING_CHARS])

    def _send(self, kind, **fields):
        self._link.send(kind, run_id=self._run_id, num_prompts_taken=self._prompts.num_taken(),
                        **fields)

    def _generate(self, processor, kwargs):
        message, details = 'real_time_generate returned', ''
        try:
            self._model.real_time_generate(
                self._images, self._prompts, TokenQueue(self._say), processor, **kwargs)
        except BaseException as error:
            message = 'real_time_generate raised %r' % error
            details = traceback.format_exc()
        self._link.send('ended', run_id=self._run_id, message=message, details=details)


def load(settings):
    """Return the model and its processor."""
    folder = settings['checkpoint']
    with open(os.path.join(folder, 'config.json'), encoding='utf-8') as file:
        entry = json.load(file).get('queue_api')
    if entry:
        file_name, _, function_name = entry.partition(':')
        spec = importlib.util.spec_from_file_location(
            'remote_checkpoint', os.path.join(folder, file_name))
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return getattr(module, function_name)(folder)
    return load_by_transformers(settings)


def load_by_transformers(settings):
    """Load as the published scripts do, with the device, dtype and attention of the settings."""
    import torch
    import transformers
    torch.set_num_threads(settings['num_threads'])
    transformers.set_seed(settings['seed'])
    device, dtype = settings['device'], settings['dtype']
    is_on_gpu = device != 'cpu' and torch.cuda.is_available()
    if dtype == 'auto':
        dtype = 'bfloat16' if is_on_gpu else 'float32'
    options = {'trust_remote_code': True}
    is_new = int(transformers.__version__.split('.')[0]) >= 5
    options['dtype' if is_new else 'torch_dtype'] = getattr(torch, dtype)
    attention = settings['attention']
    if attention == 'auto' and is_on_gpu and dtype != 'float32' \
            and importlib.util.find_spec('flash_attn'):
        attention = 'flash'
    if attention != 'auto':
        options['attn_implementation'] = {
            'flash': 'flash_attention_2', 'sdpa': 'sdpa'}[attention]
    if is_on_gpu:
        options['device_map'] = 'auto' if device == 'auto' else {'': device}
    elif device not in ('auto', 'cpu'):
        raise ValueError('device is %r, but torch in %s sees no GPU' % (device, sys.executable))
    folder = settings['checkpoint']
    processor = transformers.AutoProcessor.from_pretrained(
        folder, trust_remote_code=True, frame_extract_num_threads=1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    return model.eval(), processor


def arguments_taken(model, given):
    """Return the keyword arguments of real_time_generate, and given names that it can't take."""
    try:
        parameters = inspect.signature(model.real_time_generate).parameters.values()
    except Exception:  # the signature can't be read: only what was given is passed
        return given, []
    wanted = dict({'do_sample': True}, **given)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names = {parameter.name for parameter in parameters
                 if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)}
        wanted = {name: value for name, value in wanted.items() if name in names}
    return wanted, [name for name in given if name not in wanted]


def serve(link, model, processor, frames, slot_nbytes):
    """Follow orders until the parent is gone."""
    run = None
    while True:
        orders = link.receive()
        if orders is None:
            return
        for order in orders:
            kind = order['type']
            if kind == 'start':
                kwargs, left_out = arguments_taken(model, order['kwargs'])
                if left_out and run is None:  # told once
                    print('real_time_generate is called without %s: its signature has no such '
                          'parameter' % ', '.join(left_out), file=sys.stderr, flush=True)
                run = Run(link, model, processor, order, kwargs)
            elif kind == 'frame':
                run.add_frame(order, frames, slot_nbytes)
            elif kind == 'prompt':
                run.add_prompt(order['text'])
            elif kind == 'allow':
                run.allow(order['count'])
            elif kind == 'stop':
                run.stop()
        if run is not None:
            run.report_taken()


def end_with_parent(descriptor):
    """
    Have the kernel kill this process when the parent's end of a pipe is closed.

    That works even if the model's code never lets the thread run that reads the socket.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, getattr(fcntl, 'F_SETSIG', 10), signal.SIGKILL)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    # If it was closed before, no signal will come.
    if select.select([descriptor], [], [], 0)[0]:
        os._exit(1)


def main():
    """Load, then serve; the settings are the only argument, as JSON."""
    settings = json.loads(sys.argv[1])
    end_with_parent(settings['lifeline_fd'])
    # The folder of this file must not hide modules of other packages.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    faulthandler.enable()
    # A loop that busy-waits must not keep the thread that brings frames and prompts waiting.
    sys.setswitchinterval(0.0005)
    for name in ('control_fd', 'frames_fd', 'lifeline_fd'):
        os.set_inheritable(settings[name], False)
    link = Link(settings['control_fd'])
    frames = mmap.mmap(settings['frames_fd'], 0, access=mmap.ACCESS_READ)
    try:
        model, processor = load(settings)
    except BaseException as error:
        link.send('load_failed', message=repr(error), details=traceback.format_exc())
        return 1
    link.send('loaded')
    serve(link, model, processor, frames, settings['slot_nbytes'])
    return 1


if __name__ == '__main__':
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The process ends even if the model's thread does not.
    os._exit(status)
