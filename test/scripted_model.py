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
A model that says what a script says, and the tokenizer and config.json that it goes with.

Shared by the tests of streams and of bags. Knows nothing of sessions or events.
"""

from collections.abc import Callable
from types import SimpleNamespace

from moss_ros.stream import ChatFormat
from tokenizers import decoders, models, pre_tokenizers, Tokenizer, trainers
import torch

CONTROL_TOKENS = (
    '<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>',
    '<|silence|>', '<|...|>', '<|video|>', '<|image|>',
)
CORPUS = [
    'A red ball appears on the left.', ' The red ball stops.', ' Yes.', ' No.',
    'system\n\n', 'user\n\n', 'assistant\n\n', 'Watch and tell.', 'Is there a red ball?',
]
IMAGE_SIZE_PX = 16


def write_tokenizer(path, control_tokens=CONTROL_TOKENS):
    """Write a byte-level BPE with the control tokens behind it, as in Llama 3."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=600, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens(list(control_tokens))
    tokenizer.save(str(path))
    return path


def tiny_config(image_id):
    """Return the parsed config.json of a tiny model that says the ids below image_id."""
    return {
        'model_type': 'mllama', 'image_token_index': image_id, 'pool_mode': 'average',
        'pool_stride': 2,
        'text_config': {
            'cross_attention_layers': [1], 'hidden_act': 'silu', 'hidden_size': 16,
            'intermediate_size': 24, 'max_position_embeddings': 512, 'num_attention_heads': 4,
            'num_hidden_layers': 3, 'num_key_value_heads': 2, 'rms_norm_eps': 1e-5,
            'rope_theta': 1000.0, 'tie_word_embeddings': False, 'vocab_size': image_id},
        'vision_config': {
            'attention_heads': 2, 'hidden_act': 'gelu', 'hidden_size': 8,
            'image_size': IMAGE_SIZE_PX, 'intermediate_layers_indices': [0],
            'intermediate_size': 16, 'max_num_tiles': 1, 'norm_eps': 1e-5, 'num_channels': 3,
            'num_global_layers': 1, 'num_hidden_layers': 1, 'patch_size': 4,
            'supported_aspect_ratios': [[1, 1]], 'vision_output_dim': 16},
    }


class ScriptedModel:
    """
    Stands in for a VideoModel: each forward gives the next token of a script.

    script: what to say, each an id or an exception to raise; silence when it is used up. A
    callable script is asked with this model whenever it decides; seen_ids are then all the ids
    that it decides after. Remembers what it was shown.

    A cache is taken for one in which a context is built ahead until somebody looks at what it
    says, or restores it; until then, the ids that it is shown are in pieces. The first serves.
    """

    device = torch.device('cpu')
    dtype = torch.float32
    num_cheap_rows = 1

    def __init__(self, chat: ChatFormat, script=()):
        self.config = SimpleNamespace(
            image_token_id=chat.image_id,
            vision=SimpleNamespace(image_size=IMAGE_SIZE_PX, sees_frame_before=False),
            text=SimpleNamespace(vocab_size=chat.image_id))
        self.script = script if isinstance(script, Callable) else list(script)
        self.extensions = []  # the ids of each forward
        self.caches = []
        self.encoded = []  # every frame's state, in order
        self.seen_ids = []
        self._silence_id = chat.silence_id

    def new_cache(self, max_tokens, max_frames):
        self.caches.append(ScriptedCache(max_tokens, max_frames, serves=not self.caches))
        return self.caches[-1]

    @property
    def pieces(self):
        """Return the ids of each piece of a context that is built ahead."""
        return [ids for cache in self.caches if not cache.serves for ids in cache.pieces]

    def encode_frames(self, pixel_values):
        """Return frame states [k, 1, 1]: a frame's sum of pixels, by which it is known."""
        sums = pixel_values.sum(dim=(1, 2, 3))
        self.encoded += sums.tolist()
        return sums.view(-1, 1, 1)

    def encode_frames_in_blocks(self, pixel_values):
        yield
        return self.encode_frames(pixel_values)

    def decode(self, caches, token_ids):
        return torch.stack([self.extend(cache, torch.tensor([token_id]))
                            for cache, token_id in zip(caches, token_ids, strict=True)])

    def append(self, cache, token_ids, frame_states=None, last_only=True):
        return self.extend(cache, torch.tensor(token_ids), frame_states, last_only)

    def extend(self, cache, token_ids, frame_states=None, last_only=True):
        ids = token_ids.tolist()
        frames = [] if frame_states is None else frame_states.flatten().tolist()
        assert ids
        assert ids.count(self.config.image_token_id) == len(frames)
        assert cache.num_tokens + len(ids) <= cache.max_tokens
        assert cache.num_frames + len(frames) <= cache.max_frames
        seen_ids = cache.ids + ids
        rows = Rows(self._logits_after, seen_ids, range(cache.num_tokens, len(seen_ids)))
        if not last_only:
            self.note_that_it_serves(cache)
        if not cache.serves:
            cache.pieces.append(ids)
            rows = Unseen(self, cache, rows)
        else:
            self.extensions.append(ids)
            if not callable(self.script) and self.script \
                    and isinstance(self.script[0], BaseException):
                raise self.script.pop(0)
            rows = rows[-1] if last_only else rows
        cache.append(ids, frames)
        return rows

    def note_that_it_serves(self, cache):
        if not cache.serves:
            cache.serves = True
            self.extensions += cache.pieces

    def _logits_after(self, seen_ids):
        said = self._next(seen_ids)
        if isinstance(said, BaseException):
            raise said
        logits = torch.zeros(self.config.text.vocab_size)
        logits[said] = 10.0
        return logits

    def _next(self, seen_ids):
        self.seen_ids = seen_ids
        if isinstance(self.script, Callable):
            return self.script(self)
        return self.script.pop(0) if self.script else self._silence_id


class Rows:
    """The logits [n, V] of a forward; the script says each when it is looked at, not before."""

    def __init__(self, logits_after, ids, places):
        self._logits_after = logits_after
        self._ids = ids
        self._places = places  # in ids, of the token of each row

    def __len__(self):
        return len(self._places)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Rows(self._logits_after, self._ids, self._places[index])
        return self._logits_after(self._ids[:self._places[index] + 1])


class Unseen:
    """The logits of a pass that perhaps nobody looks at."""

    def __init__(self, model, cache, rows):
        self._model, self._cache, self._rows = model, cache, rows

    def float(self):
        self._model.note_that_it_serves(self._cache)
        return self._rows[-1]


class ScriptedCache:
    """The ids and frames that a ScriptedModel was shown and that were not forgotten since."""

    def __init__(self, max_tokens, max_frames, serves):
        self.max_tokens = max_tokens
        self.max_frames = max_frames
        self.serves = serves
        self.pieces = []
        self.reset()

    @property
    def num_tokens(self):
        return len(self.ids)

    @property
    def num_frames(self):
        return len(self.frames)

    def append(self, ids, frames):
        self.ids += ids
        self.frames += frames

    def truncate(self, num_tokens, num_frames):
        del self.ids[num_tokens:]
        del self.frames[num_frames:]

    def export(self):
        return torch.tensor(self.ids), torch.tensor(self.frames)

    def restore(self, ids, frames):
        self.ids, self.frames = ids.tolist(), frames.tolist()
        self.serves = True

    def copy_to(self, other):
        other.restore(*self.export())

    def reset(self):
        self.ids = []
        self.frames = []
