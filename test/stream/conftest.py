"""What the tests of a stream share: a tokenizer, a random tiny model and a scripted one."""

from collections.abc import Callable
from types import SimpleNamespace

from moss_ros.model import ModelConfig, VideoModel
from moss_ros.stream import ChatFormat, Frame, StreamOptions, StreamSession
import numpy as np
import pytest
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
    callable script is asked at each forward, with this model. Remembers what it was shown.
    """

    device = torch.device('cpu')
    dtype = torch.float32

    def __init__(self, chat: ChatFormat, script=()):
        self.config = SimpleNamespace(
            image_token_id=chat.image_id, vision=SimpleNamespace(image_size=IMAGE_SIZE_PX),
            text=SimpleNamespace(vocab_size=chat.image_id))
        self.script = script if isinstance(script, Callable) else list(script)
        self.extensions = []  # the ids of each forward
        self.caches = []
        self.encoded = []  # every frame's state, in order
        self._silence_id = chat.silence_id
        self._silent_ids = {chat.silence_id, chat.eot_id}

    def new_cache(self, max_tokens, max_frames):
        self.caches.append(ScriptedCache(max_tokens, max_frames))
        return self.caches[-1]

    def encode_frames(self, pixel_values):
        """Return frame states [k, 1, 1]: a frame's sum of pixels, by which it is known."""
        sums = pixel_values.sum(dim=(1, 2, 3))
        self.encoded += sums.tolist()
        return sums.view(-1, 1, 1)

    def extend(self, cache, token_ids, frame_states=None, last_only=True):
        ids = token_ids.tolist()
        num_frames = 0 if frame_states is None else len(frame_states)
        assert ids
        assert ids.count(self.config.image_token_id) == num_frames
        assert cache.num_tokens + len(ids) <= cache.max_tokens
        assert cache.num_frames + num_frames <= cache.max_frames
        self.extensions.append(ids)
        logits = torch.zeros(len(ids), self.config.text.vocab_size)
        for row in [-1] if last_only else self._rows_after_silence(ids):
            said = self._next()
            if isinstance(said, BaseException):
                raise said
            logits[row, said] = 10.0
            if said not in self._silent_ids:
                break  # nobody will ask what it would have said after that
        cache.ids += ids
        if num_frames:
            cache.frames += frame_states.flatten().tolist()
        return logits[-1] if last_only else logits

    def _rows_after_silence(self, ids):
        """Rows of the frames at which it is asked: the last, and before it every other token."""
        num_pairs = 0
        while ids[-2 - 2 * num_pairs:-1 - 2 * num_pairs] == [self._silence_id] \
                and ids[-3 - 2 * num_pairs:-2 - 2 * num_pairs] == [self.config.image_token_id]:
            num_pairs += 1
        return range(len(ids) - 1 - 2 * num_pairs, len(ids), 2)

    def _next(self):
        if isinstance(self.script, Callable):
            return self.script(self)
        return self.script.pop(0) if self.script else self._silence_id


class ScriptedCache:
    """The ids and frames that a ScriptedModel was shown and that were not forgotten since."""

    def __init__(self, max_tokens, max_frames):
        self.max_tokens = max_tokens
        self.max_frames = max_frames
        self.reset()

    @property
    def num_tokens(self):
        return len(self.ids)

    @property
    def num_frames(self):
        return len(self.frames)

    def truncate(self, num_tokens, num_frames):
        del self.ids[num_tokens:]
        del self.frames[num_frames:]

    def reset(self):
        self.ids = []
        self.frames = []


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
        options=make_options, write_tokenizer=write_tokenizer, control_tokens=CONTROL_TOKENS)
