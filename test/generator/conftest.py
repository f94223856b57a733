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

"""What the tests of the generator share: clips, checkpoints, a scripted model, live runs."""

from fractions import Fraction
from pathlib import Path
import queue
import threading
from types import SimpleNamespace

import av
from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.generator import Generator, OfflineOptions
from moss_ros.model import initialise, ModelConfig, VideoModel
from moss_ros.stream import ChatFormat, StreamOptions
from moss_ros.training.scenes import Scene, SceneRenderer
import numpy as np
from PIL import Image
import pytest
from random_checkpoint import write_random_checkpoint
from scripted_model import ScriptedModel as StreamModel
import torch

TIMEOUT_S = 30.0


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class ScriptedModel(StreamModel):
    """
    Stands in for a VideoModel: say(model) is the id that the model decides for after seen_ids.

    Remembers the ids of each forward, how many frames were encoded together, and their means.
    """

    def __init__(self, chat, say):
        super().__init__(chat, say)
        self.config.text.max_position_embeddings = 512
        self.num_encoded = []
        self.frame_means = []  # of what was 0 to 255

    @property
    def ids(self):
        """All ids that the model was shown, in order."""
        return [token_id for ids in self.extensions for token_id in ids]

    def new_cache(self, max_tokens, max_frames):
        cache = super().new_cache(max_tokens, max_frames)
        cache.serves = True  # that of a query; no stream of these tests is long
        return cache

    def encode_frames(self, pixel_values):
        self.num_encoded.append(len(pixel_values))
        self.frame_means += [float(mean) * 0.2686 * 255 + 0.4815 * 255
                             for mean in pixel_values[:, 0].mean(dim=(1, 2))]
        return super().encode_frames(pixel_values)

    def extend(self, cache, token_ids, frame_states=None, last_only=True):
        return super().extend(cache, torch.as_tensor(token_ids), frame_states, last_only)


def saying(chat, text, then=None):
    """Return a script for ScriptedModel: text token by token, again and again between ends."""
    ids = [*chat.encode_text(text), chat.eot_id if then is None else then]
    state = {'next': 0}

    def say(model):
        last = model.seen_ids[-1]
        if last not in ids[:-1] or last != ids[state['next'] - 1]:
            state['next'] = 0
        token_id = ids[state['next']]
        state['next'] = (state['next'] + 1) % len(ids)
        return token_id
    return say


def endless(chat):
    """Return a script that never stops speaking."""
    token_id = chat.encode_text(' red')[0]
    return lambda model: token_id


def silent(chat):
    """Return a script that says nothing."""
    return lambda model: chat.silence_id


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory):
    """Folder of an embedded model with random weights: it says anything."""
    folder = tmp_path_factory.mktemp('random checkpoint')
    write_random_checkpoint(folder, seed=3)
    return folder


@pytest.fixture(scope='session')
def chat(checkpoint):
    return ChatFormat(checkpoint / 'tokenizer.json')


@pytest.fixture(scope='session')
def random_model(checkpoint):
    torch.manual_seed(0)
    model = VideoModel(ModelConfig.from_folder(checkpoint)).requires_grad_(False).eval()
    initialise(model, torch.Generator().manual_seed(3))
    return model


@pytest.fixture
def make_generator(checkpoint, chat):
    """Return a function that makes a generator of a model, with the embedded model's options."""
    def make(model, offline_options=None, **stream_changes):
        return Generator(
            model, chat, StreamOptions.from_checkpoint(checkpoint, **stream_changes),
            offline_options or OfflineOptions.from_checkpoint(checkpoint), checkpoint)
    return make


@pytest.fixture
def scripts(chat):
    """Return scripted models by what they say."""
    return SimpleNamespace(
        saying=lambda text, **options: ScriptedModel(chat, saying(chat, text, **options)),
        endless=lambda: ScriptedModel(chat, endless(chat)),
        silent=lambda: ScriptedModel(chat, silent(chat)),
        calling=lambda say: ScriptedModel(chat, say))


class Live:
    """A live stream in a thread, with its queues."""

    def __init__(self, generator, tokens=None, **kwargs):
        self.generator = generator
        self.images, self.prompts = queue.Queue(), queue.Queue()
        self.tokens = tokens or queue.Queue()
        self.kwargs = kwargs
        self.raised = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self.generator.real_time_generate(
                self.images, self.prompts, self.tokens, self.generator.processor, **self.kwargs)
        except Exception as error:
            self.raised = error

    def start(self):
        self.thread.start()
        return self

    def wait_until_fed(self):
        """Wait until all that was put on the image queue before is with the stream."""
        self.images.put('the last one')
        while not (string := self.next()).startswith('[ERROR]'):
            assert string

    def next(self):
        """Return the next string of the token queue."""
        return self.tokens.get(timeout=TIMEOUT_S)

    def until(self, wanted):
        """Return the strings up to the one that contains wanted."""
        strings = []
        while not strings or wanted not in strings[-1]:
            strings.append(self.next())
        return strings

    def rest(self):
        """Return the strings that are on the token queue now."""
        strings = []
        while not self.tokens.empty():
            strings.append(self.tokens.get_nowait())
        return strings

    def end(self):
        """Stop, and see that it did; return the strings that were left."""
        assert self.generator.stop_real_time_generate()
        self.thread.join(TIMEOUT_S)
        assert not self.thread.is_alive()
        if self.raised is not None:
            raise self.raised
        return self.rest()


@pytest.fixture
def live():
    """Return a function that starts a live stream; what still runs at the end is stopped."""
    started = []

    def start(generator, **kwargs):
        started.append(Live(generator, **kwargs))
        return started[-1].start()
    yield start
    for stream in started:
        stream.generator.stop_real_time_generate()
        stream.thread.join(TIMEOUT_S)


def grey_image(level=128, size=(20, 15)):
    return Image.new('RGB', size, (level, level, level))


def write_clip(path, pictures, fps, codec='mpeg4', **options):
    """Write pictures (uint8 [H, W, 3] RGB, an iterable) as a video; fps may be a Fraction."""
    with av.open(str(path), 'w', **options.pop('container', {})) as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(fps), **options)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = 'rgb24' if codec == 'png' else (
                    'yuvj420p' if codec == 'mjpeg' else 'yuv420p')
                stream.bit_rate = 2_000_000
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


def grey_pictures(num, size=(48, 64)):
    """Yield pictures whose grey level tells their index modulo 60."""
    for index in range(num):
        yield np.full((*size, 3), 20 + 3 * (index % 60), np.uint8)


def index_of(picture):
    """Return the index (modulo 60) of one of grey_pictures, as it came out of a codec."""
    return round((float(np.asarray(picture).mean()) - 20) / 3)


def scene_pictures(seed, start_s, duration_s, fps=10, size=(320, 240)):
    """Yield what the demo camera shows of Scene(seed)."""
    renderer = SceneRenderer(Scene(seed), *size)
    for index in range(round(duration_s * fps)):
        yield renderer.render(start_s + index / fps)


@pytest.fixture(scope='session')
def clips():
    """Makers of pictures and videos."""
    return SimpleNamespace(
        write=write_clip, grey_pictures=grey_pictures, index_of=index_of,
        scene_pictures=scene_pictures, grey_image=grey_image)


@pytest.fixture(scope='session')
def write_sound():
    """Return a function that writes a second of silence as a sound file."""
    def write(path):
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('pcm_s16le', rate=8000)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000), np.int16), format='s16', layout='mono')
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path
    return write


@pytest.fixture(scope='session')
def scene_clip(tmp_path_factory):
    """Return an mp4 file with 6 s of a scene, 320x240 at 10 fps."""
    path = tmp_path_factory.mktemp('clips') / 'scene 5.mp4'
    return write_clip(path, scene_pictures(5, 2.0, 6.0), 10)


@pytest.fixture(scope='session')
def trained_checkpoint():
    """Return the folder of the embedded model."""
    if not (DEMO_CHECKPOINT / 'model.safetensors').is_file():
        pytest.skip(f'{DEMO_CHECKPOINT}/model.safetensors is not there yet')
    return DEMO_CHECKPOINT
