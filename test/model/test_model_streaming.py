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

"""Streaming equals batch, and what extend refuses leaves the cache as it was."""

from moss_ros.model import initialise, ModelConfig, VideoModel
from moss_ros.model.attention import attend
import pytest
import torch

IMAGE = 40
IDS = [1, 2, IMAGE, 3, IMAGE, IMAGE, 4, 5, 6, IMAGE, 7]
TOLERANCE = 1e-5


def random_states(model, num_frames, seed=5):
    shape = (num_frames, model.config.num_frame_tokens, model.config.text.hidden_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def in_pieces(model, cache, ids, states, sizes):
    """Extend by pieces of the given sizes; return all logits [T, V]."""
    logits, first = [], 0
    for size in sizes:
        piece = ids[first:first + size]
        frames = states[cache.num_frames:cache.num_frames + piece.count(IMAGE)]
        logits.append(model.extend(cache, piece, frames if len(frames) else None,
                                   last_only=False))
        first += size
    assert first == len(ids)
    return torch.cat(logits)


@pytest.fixture
def states(toy_model):
    return random_states(toy_model, IDS.count(IMAGE))


@pytest.fixture
def batch_logits(toy_model, states):
    return toy_model(torch.tensor([IDS]), states[None])[0]


@pytest.mark.parametrize('sizes', [
    [1] * 11, [11], [2, 9], [3, 8], [1, 1, 4, 5], [2, 2, 2, 2, 2, 1], [10, 1]])
def test_any_pieces_give_the_logits_of_one_forward(toy_model, states, batch_logits, sizes):
    cache = toy_model.new_cache(len(IDS), len(states))
    logits = in_pieces(toy_model, cache, IDS, states, sizes)
    assert (logits - batch_logits).abs().max() < TOLERANCE
    assert (cache.num_tokens, cache.num_frames) == (11, 4)


def test_more_tokens_than_go_through_at_once(toy_model):
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, 40, (1100,), generator=generator)
    ids[torch.randperm(1100, generator=generator)[:30]] = IMAGE
    states = random_states(toy_model, 30)
    cache = toy_model.new_cache(1100, 30)
    logits = toy_model.extend(cache, ids, states, last_only=False)
    assert (logits - toy_model(ids[None], states[None])[0]).abs().max() < 1e-4
    assert (cache.num_tokens, cache.num_frames) == (1100, 30)


def test_last_only_gives_the_last_row(toy_model, states, batch_logits):
    cache = toy_model.new_cache(len(IDS), len(states))
    last = toy_model.extend(cache, torch.tensor(IDS), states)
    assert last.shape == (40,)
    assert (last - batch_logits[-1]).abs().max() < TOLERANCE


def test_a_cache_that_was_reset_serves_again_in_the_same_memory(toy_model, states, batch_logits):
    cache = toy_model.new_cache(len(IDS) + 3, len(states) + 1)
    in_pieces(toy_model, cache, [9, IMAGE, 9, IMAGE, 9], random_states(toy_model, 2, 8), [5])
    nbytes = cache.nbytes
    cache.reset()
    assert (cache.num_tokens, cache.num_frames) == (0, 0)
    logits = in_pieces(toy_model, cache, IDS, states, [1] * 11)
    assert (logits - batch_logits).abs().max() < TOLERANCE
    assert cache.nbytes == nbytes


def test_two_caches_do_not_touch_each_other(toy_model, states, batch_logits):
    ours, other = (toy_model.new_cache(11, 4) for _ in range(2))
    other_states = random_states(toy_model, 4, 9)
    rows = []
    for token_id in IDS:
        frame = states[ours.num_frames:ours.num_frames + 1] if token_id == IMAGE else None
        rows.append(toy_model.extend(ours, [token_id], frame))
        toy_model.extend(other, [IMAGE if other.num_tokens < 4 else 3],
                         other_states[:1] if other.num_tokens < 4 else None)
    assert (torch.stack(rows) - batch_logits).abs().max() < TOLERANCE


def test_memory_is_for_key_heads_and_for_each_layers_kind_only(toy_model):
    cache = toy_model.new_cache(max_tokens=100, max_frames=7)
    per_entry = 2 * 2 * 8 * 4  # keys and values, 2 key heads of 8 channels, float32
    num_states = toy_model.config.num_frame_tokens
    assert cache.nbytes == per_entry * (2 * 100 + 2 * 7 * num_states)


def test_padded_rows_equal_single_rows(toy_model):
    rows = [IDS, [IMAGE, 1, 2], [1, 2, 3, 4], [5, IMAGE, 6, IMAGE, 7, 8]]
    num_frames = [row.count(IMAGE) for row in rows]
    states = [random_states(toy_model, num, seed) for seed, num in enumerate(num_frames)]
    ids = torch.tensor([row + [0] * (len(IDS) - len(row)) for row in rows])
    padded = torch.zeros(len(rows), max(num_frames), *states[0].shape[1:])
    for row, frames in enumerate(states):
        padded[row, :len(frames)] = frames
    logits = toy_model(ids, padded)
    for row, frames in enumerate(states):
        single = toy_model(torch.tensor([rows[row]]), frames[None])[0]
        assert (logits[row, :len(rows[row])] - single).abs().max() < TOLERANCE


def test_what_comes_later_changes_nothing_before(toy_model, states, batch_logits):
    changed_ids = IDS[:9] + [IMAGE, 30]
    changed = torch.cat((states[:3], random_states(toy_model, 1, 11)))
    logits = toy_model(torch.tensor([changed_ids]), changed[None])[0]
    assert torch.equal(logits[:9], batch_logits[:9])
    assert (logits[9] - batch_logits[9]).abs().max() > 1e-3


@pytest.mark.parametrize('ids, num_frames, message', [
    ([], 0, 'token_ids is empty'),
    ([1, IMAGE], 0, 'token_ids has 1 image tokens .id 40., but frame_states has 0 frames'),
    ([1], 2, 'token_ids has 0 image tokens .id 40., but frame_states has 2 frames'),
    ([48], 0, 'token id 48 is outside the embedding table of 48 rows'),
    ([3, -1], 0, 'token id -1 is outside'),
    ([1] * 5, 0, '5 more tokens do not fit: the cache holds 6 of at most 10'),
    ([IMAGE] * 3, 3, '3 more frames do not fit: the cache holds 3 of at most 5'),
])
def test_what_extend_refuses_leaves_the_cache_unchanged(toy_model, states, batch_logits, ids,
                                                        num_frames, message):
    cache = toy_model.new_cache(10, 5)
    in_pieces(toy_model, cache, IDS[:6], states, [6])
    with pytest.raises(ValueError, match=message):
        toy_model.extend(cache, ids, random_states(toy_model, num_frames) if num_frames else None)
    assert (cache.num_tokens, cache.num_frames) == (6, 3)
    assert (toy_model.extend(cache, [4]) - batch_logits[6]).abs().max() < TOLERANCE


def test_frame_states_of_a_wrong_shape_are_refused(toy_model):
    cache = toy_model.new_cache(10, 5)
    with pytest.raises(ValueError, match=r'shape \[1, 3, 32\]; \[1, 5, 32\] is needed'):
        toy_model.extend(cache, [IMAGE], torch.zeros(1, 3, 32))
    assert cache.num_tokens == 0


def test_a_failure_in_a_later_piece_leaves_the_cache_unchanged(toy_model, monkeypatch):
    cache = toy_model.new_cache(1100, 4)
    expected = toy_model.extend(cache, [1, 2])
    cache.reset()
    toy_model.extend(cache, [1])
    whole = toy_model.decoder.extend

    def fails_in_the_second_piece(cache, token_ids, frame_states):
        if cache.num_tokens > 1:
            raise MemoryError('no room')
        return whole(cache, token_ids, frame_states)

    monkeypatch.setattr(toy_model.decoder, 'extend', fails_in_the_second_piece)
    with pytest.raises(MemoryError):
        toy_model.extend(cache, [3] * 1000)
    assert (cache.num_tokens, cache.num_frames) == (1, 0)
    monkeypatch.undo()
    assert (toy_model.extend(cache, [2]) - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize('max_tokens, max_frames, message', [
    (0, 1, 'max_tokens is 0'), (5, -1, 'max_frames is -1'), (2.5, 1, 'max_tokens is 2.5')])
def test_impossible_cache_sizes_are_refused(toy_model, max_tokens, max_frames, message):
    with pytest.raises(ValueError, match=message):
        toy_model.new_cache(max_tokens, max_frames)


def test_more_image_tokens_than_frames_are_refused_in_a_batch(toy_model):
    with pytest.raises(ValueError, match='2 image tokens, but frame_states has only 1 frames'):
        toy_model(torch.tensor([[IMAGE, 1, IMAGE]]), random_states(toy_model, 1)[None])


def test_half_precision_stays_near(toy_values, make_model, batch_logits, states):
    model = make_model(toy_values, seed=1).to(torch.bfloat16)
    cache = model.new_cache(11, 4)
    logits = in_pieces(model, cache, IDS, states, [1] * 11)
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - batch_logits).abs().mean() < 0.05 * batch_logits.abs().mean()


def test_training_reaches_every_parameter_also_after_inference(toy_values):
    model = VideoModel(ModelConfig.from_dict(toy_values))
    initialise(model, torch.Generator().manual_seed(2))
    model.extend(model.new_cache(20, 1), [1, 2, 3])  # makes the rotation tables first
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    logits = model(torch.tensor([[1, IMAGE, 2, 3]]), model.encode_frames(pixels)[None])
    logits.logsumexp(dim=-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # Nothing that one tile needs starts behind a shut gate.
    unused = {'vision.tile_position_embedding', 'vision.pre_tile_embedding',
              'vision.post_tile_embedding', 'vision.pre_tile_gate', 'vision.post_tile_gate'}
    for name, parameter in model.named_parameters():
        assert name in unused or parameter.grad.abs().max() > 0, name


def test_rows_without_frames_train_without_nan(toy_values):
    model = VideoModel(ModelConfig.from_dict(toy_values))
    states = torch.zeros(2, 1, model.config.num_frame_tokens, 32)
    model(torch.tensor([[1, 2, 3], [1, IMAGE, 3]]), states).sum().backward()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert grads and all(grad.isfinite().all() for grad in grads)


def test_initialisation_is_seeded(toy_values):
    models = []
    for seed in (1, 1, 2):
        models.append(VideoModel(ModelConfig.from_dict(toy_values)))
        initialise(models[-1], torch.Generator().manual_seed(seed))
    same, other = ([torch.equal(a, b) for a, b in zip(models[0].parameters(), m.parameters())]
                   for m in models[1:])
    assert all(same) and not all(other)


@pytest.mark.parametrize('num_kv_heads', [1, 2, 4])
@pytest.mark.parametrize('masked', [False, True])
def test_attention_has_the_gradients_of_repeated_heads(num_kv_heads, masked):
    generator = torch.Generator().manual_seed(1)

    def leaf(*shape):
        return torch.randn(shape, generator=generator).requires_grad_()

    query = leaf(2, 4, 7, 8)
    keys, values = (leaf(2, num_kv_heads, 9, 8) for _ in range(2))
    mask = torch.rand((2, 1, 7, 9), generator=generator) > 0.3 if masked else None
    scores = query @ keys.repeat_interleave(4 // num_kv_heads, 1).transpose(2, 3) / 8 ** 0.5
    if masked:
        scores = scores.masked_fill(~mask, -1e30)
    expected = scores.softmax(-1) @ values.repeat_interleave(4 // num_kv_heads, 1)
    expected = expected.transpose(1, 2).flatten(2)
    attended = attend(query, keys, values, mask)
    assert (attended - expected).abs().max() < 1e-5
    weight = torch.randn(attended.shape, generator=generator)
    ours, theirs = (torch.autograd.grad((result * weight).sum(), (query, keys, values))
                    for result in (attended, expected))
    for our, their in zip(ours, theirs):
        assert (our - their).abs().max() < 1e-5
