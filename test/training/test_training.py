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

"""The training program: it learns, it is reproducible, and what it writes can be loaded."""

from dataclasses import replace
import json
import random

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import initialise, load_model, ModelConfig, save_model, VideoModel
from moss_ros.stream.chat import ChatFormat
from moss_ros.training import narration_training
from moss_ros.training.architecture import demo_config
from moss_ros.training.carry_over import carry_over
from moss_ros.training.frame_truth import FrameTruthHeads, LENGTH_STEP, stack_samples
from moss_ros.training.motion_truth import MotionTask
from moss_ros.training.narration_training import (
    Course, MEAN_WEIGHT_DECAY, NarrationLoss, painted_ids, Phase,
    train_narration,
)
from moss_ros.training.optimiser import LearningRates
from moss_ros.training.picture_truth import ThumbnailTask
from moss_ros.training.samples import IGNORED, SampleMaker
from moss_ros.training.streams import (
    content_part, FIRST_TRAINING_SEED, make_stream, make_training_stream, render_stream,
    render_streams,
)
from moss_ros.training.train import encode_pictures, main, Recipe, train
from moss_ros.training.unknown import make_unknown_stream, render_unknown_stream
from moss_ros.training.vision_training import (
    detection_targets, DetectionTask, train_vision,
)
from moss_ros.training.vocabulary import write_tokenizer
import numpy as np
import pytest
from tokenizers import Tokenizer
import torch

SEEDS = range(1_500_000_000, 1_500_000_004)
NUM_FRAMES = 24
RATES = LearningRates(5e-3, 1e-3)
TINY = Recipe(
    painted=(8, 32), unknown=(8, 32), vision_steps=3, vision_batches=(4, 1, 2, 12),
    vision_learning_rates=RATES, course=Course((Phase(2, 4, 10), Phase(2, 4, 28)), RATES))


@pytest.fixture(scope='module')
def material(tmp_path_factory):
    """Return chat format, config, streams and pictures small enough to train on in seconds."""
    folder = tmp_path_factory.mktemp('tokenizer')
    config = ModelConfig.from_dict(demo_config(write_tokenizer(folder)))
    streams = [make_stream(seed, NUM_FRAMES) for seed in SEEDS]
    pictures = np.stack([render_stream(stream) for stream in streams])
    return ChatFormat(folder / 'tokenizer.json'), config, streams, pictures


def unknown_streams(num):
    return [make_unknown_stream(seed, NUM_FRAMES, 2.0) for seed in SEEDS[:num]]


def films(num):
    """Return the pictures of the first streams of the unknown world."""
    return np.stack([render_unknown_stream(stream, 64) for stream in unknown_streams(num)])


def detection_truth(streams):
    return tuple(np.stack(arrays) for arrays in zip(*(
        detection_targets(stream, content_part(stream), 4) for stream in streams)))


def fresh_model(config):
    model = VideoModel(config)
    initialise(model, torch.Generator().manual_seed(5))
    return model


def vision_run(material, num_steps):
    """Train the vision encoder for some steps; return the model and the reported losses."""
    _, config, streams, pictures = material
    model = fresh_model(config)
    targets = detection_truth(streams)
    torch.manual_seed(3)
    task = DetectionTask(pictures, targets, films(1), (16, 4), config.vision.output_dim, 3)
    losses = []
    train_vision(model, [task], num_steps, RATES,
                 lambda _, figures: losses.append(figures['loss']))
    return model, losses


def text_run(material, num_steps, snapshot=None):
    """Train the text side for some steps; return the model and the reported figures."""
    chat, config, streams, pictures = material
    model = fresh_model(config)
    features = encode_pictures(model, pictures)
    reports = []
    course = Course((Phase(num_steps, 8, 8), Phase(2, 4, 12)), LearningRates(5e-3, 2e-3))
    train_narration(model, chat, streams, features, course, 3,
                    lambda _, figures: reports.append(figures), snapshot)
    return model, reports


def assert_same_weights(first, second):
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_vision_training_learns_and_is_reproducible(material):
    """The loss falls, and the same seed gives the same weights."""
    model, losses = vision_run(material, 70)
    assert losses[-1] < 0.6 * losses[0]
    again, _ = vision_run(material, 70)
    assert_same_weights(model, again)


def test_what_is_found_in_frames_without_objects_is_false(material):
    """A head that finds all colours everywhere is right of the objects that there are."""
    _, config, streams, pictures = material
    cells, *_ = targets = detection_truth(streams)
    num_painted = cells.shape[0] * cells.shape[1]
    num_frames = num_painted + 24
    task = DetectionTask(pictures, targets, films(1), (num_painted, 24),
                         config.vision.output_dim, 3)
    with torch.no_grad():
        task.head.tokens.weight.zero_()
        task.head.tokens.bias.fill_(1.0)
        _, figures = task.loss(fresh_model(config))
    num_places = num_frames * 16 * cells.shape[2]
    assert figures['found'] == 1
    assert figures['false_per_frame'] == pytest.approx(
        (num_places - (cells >= 0).sum()) / num_frames)


def test_vision_training_learns_of_both_worlds_at_once(material):
    """A step takes a batch of each task, and reports what each has learned."""
    _, config, streams, pictures = material
    unknown, unknown_pictures = unknown_streams(len(SEEDS)), films(len(SEEDS))
    model = fresh_model(config)
    targets = detection_truth(streams)
    tasks = [
        DetectionTask(pictures, targets, unknown_pictures, (8, 2), config.vision.output_dim, 3),
        ThumbnailTask((pictures, unknown_pictures), 4, config.vision.output_dim, 3),
        MotionTask(unknown_pictures, unknown, 20, config.num_frame_tokens,
                   config.vision.output_dim, 3)]
    reports = []
    train_vision(model, tasks, 36, RATES, lambda _, figures: reports.append(figures))
    assert reports[-1]['loss'] < reports[0]['loss']
    assert {'found', 'thumbnail_r2', 'motion_right'} < set(reports[0])
    assert reports[-1]['thumbnail_r2'] > reports[0]['thumbnail_r2']


def test_narration_training_learns_and_is_reproducible(material, monkeypatch):
    """
    The loss falls, the vision encoder stays frozen, the same seed gives the same weights.

    To look at them on the way changes nothing.
    """
    model, reports = text_run(material, 20)
    assert reports[-1]['loss'] < 0.8 * reports[0]['loss']
    steps = []
    monkeypatch.setattr(narration_training, 'SNAPSHOT_STEPS', 8)
    again, _ = text_run(material, 20, steps.append)
    assert steps == [8, 16]
    assert_same_weights(model, again)
    assert_same_weights(model.vision, fresh_model(material[1]).vision)


def becomes_known(num_frames):
    """Return a painted stream of which the first picture is any world's, a later one is not."""
    made = (make_training_stream(seed, num_frames) for seed in range(FIRST_TRAINING_SEED, 2 ** 31))
    return next(stream for stream in made
                if not stream.is_known(0, 0) and stream.is_known(0, num_frames - 1))


def test_batches_come_in_few_lengths_and_padding_says_nothing(material):
    """Each is as long as its longest sample or a little longer; no target is in the padding."""
    chat, _, streams, _ = material
    features = np.zeros((NUM_FRAMES, 2, 3), np.float16)
    maker = SampleMaker(chat, random.Random(2))
    samples = [maker.make(streams[0], 0, num_frames) for num_frames in (3, 9, 20)]
    for some in (samples[:1], samples[:2], samples):
        batch = stack_samples(some, [features] * len(some), chat.eot_id)
        longest = max(len(sample.token_ids) for sample in some)
        num_tokens = batch.token_ids.shape[1]
        assert num_tokens % LENGTH_STEP == 0 and 0 <= num_tokens - longest < LENGTH_STEP
        assert batch.targets.shape == batch.token_ids.shape
        assert (batch.targets[:, longest:] == IGNORED).all()


@pytest.mark.parametrize('kind', ('painted', 'painted, empty at first', 'unknown'))
def test_painted_words_cost_more_in_the_unknown_world_only(material, kind):
    """The loss of a stream of the unknown world rises by them, that of a painted one does not."""
    chat, config, streams, pictures = material
    is_painted = kind != 'unknown'
    stream = {'painted': lambda: streams[0],
              'painted, empty at first': lambda: becomes_known(NUM_FRAMES),
              'unknown': lambda: make_unknown_stream(SEEDS[0], NUM_FRAMES, 2.0)}[kind]()
    model = fresh_model(config)
    heads = FrameTruthHeads(model.decoder)
    batch = stack_samples([SampleMaker(chat, random.Random(2)).make(stream, 0, NUM_FRAMES)],
                          [encode_pictures(model, pictures[:1])[0]], chat.eot_id)
    nothing = torch.empty(0, dtype=torch.long)
    without, weighed = (NarrationLoss(model, heads, chat.silence_id, words)(batch)[0].item()
                        for words in (nothing, painted_ids(chat)))
    assert weighed == without if is_painted else weighed > without
    said = {token_id for text in ('A blue box appears.', 'The red ball', 'a white cone')
            for token_id in chat.encode_text(text)}
    never = {token_id for text in ('The camera moves.', 'Something moves on the left.', 'No.')
             for token_id in chat.encode_text(text)}
    words = set(painted_ids(chat).tolist())
    assert len(words & said) == 7 and not words & never
    assert len(words & set(chat.encode_text('There are two balls.'))) == 1


def test_a_word_counts_the_same_in_every_batch(material):
    """What is said twice in a batch has twice the loss, but for what the mean has moved by."""
    chat, config, streams, pictures = material
    model = fresh_model(config)
    sample = SampleMaker(chat, random.Random(2)).make(streams[0], 0, NUM_FRAMES)
    features = encode_pictures(model, pictures[:1])[0]
    loss = NarrationLoss(model, FrameTruthHeads(model.decoder), chat.silence_id,
                         painted_ids(chat))
    once, twice = (loss(stack_samples([sample] * num, [features] * num, chat.eot_id))[1]['loss']
                   for num in (1, 2))
    assert twice == pytest.approx(2 * once / (2 - MEAN_WEIGHT_DECAY), rel=1e-3)


def test_pictures_are_the_same_from_any_number_of_processes(material):
    """Rendering in child processes gives what rendering here gives, in the order of the seeds."""
    *_, pictures = material
    assert np.array_equal(render_streams(SEEDS, NUM_FRAMES, num_processes=2), pictures)


def test_detection_targets_point_at_the_objects(material):
    """Each target cell is the cell of the pooled grid that holds the object's centre."""
    _, _, streams, _ = material
    num_found = 0
    for stream in streams:
        part = content_part(stream)
        cells, _, places = detection_targets(stream, part, 4)
        for index, slot in zip(*np.nonzero(cells >= 0)):
            x, y = places[index, slot]
            if 0 <= x < 1:
                row, column = divmod(cells[index, slot], 4)
                assert (row, column) == (int(y * part[1] * 4), int(x * part[0] * 4))
                num_found += 1
    assert num_found > 30


def test_training_program_writes_a_checkpoint(tmp_path, capsys):
    """A tiny run ends with a folder that loads; its stages are kept and taken up again."""
    train(tmp_path / 'first', 1, TINY, 1, work_dir=tmp_path / 'work')
    log = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stages = [entry['stage'] for entry in log]
    assert stages[0] == 'model' and stages[-1] == 'saved'
    assert 'vision trained' in stages and 'encoded' in stages
    assert all('stage_s' in entry for entry in log)
    train(tmp_path / 'second', 1, TINY, 1, work_dir=tmp_path / 'work')
    again = capsys.readouterr().out
    assert 'vision trained' not in again and 'encoded' not in again
    first, second = load_model(tmp_path / 'first'), load_model(tmp_path / 'second')
    assert_same_weights(first, second)
    # What was made in another way is not taken for it.
    other = replace(TINY, vision_steps=TINY.vision_steps + 1)
    with pytest.raises(ValueError, match='was made otherwise'):
        train(tmp_path / 'third', 1, other, 1, work_dir=tmp_path / 'work')
    assert not (tmp_path / 'third').exists()
    assert {path.name for path in (tmp_path / 'first').iterdir()} == {
        'config.json', 'tokenizer.json', 'model.safetensors'}


def test_a_checkpoint_is_trained_on_from_what_it_knows(tmp_path):
    """Words that both vocabularies have keep their rows; layers that are new add nothing yet."""
    old_folder = DEMO_CHECKPOINT
    tokenizer = write_tokenizer(tmp_path)
    config = demo_config(tokenizer)
    config['text_config']['num_hidden_layers'] += 1
    model = fresh_model(ModelConfig.from_dict(config))
    carry_over(old_folder, model, tokenizer)
    old = load_model(old_folder)
    old_id = Tokenizer.from_file(str(old_folder / 'tokenizer.json')).token_to_id('Ġcone')
    assert torch.equal(model.lm_head.weight[tokenizer.token_to_id('Ġcone')],
                       old.lm_head.weight[old_id])
    assert_same_weights(model.vision.local_layers, old.vision.local_layers)
    x = torch.randn(1, 3, 128)
    rotation = torch.ones(3, 1, 16), torch.zeros(3, 1, 16)
    assert torch.equal(model.decoder.layers[7](x, rotation), x)
    fewer = demo_config(tokenizer)
    fewer['text_config']['num_hidden_layers'] -= 1
    with pytest.raises(ValueError, match='more layers than the checkpoint, but no fewer'):
        carry_over(old_folder, fresh_model(ModelConfig.from_dict(fewer)), tokenizer)
    config['text_config']['hidden_size'] = 64
    with pytest.raises(ValueError, match='only the vocabulary, the number of layers'):
        carry_over(old_folder, fresh_model(ModelConfig.from_dict(config)), tokenizer)


@pytest.mark.parametrize(('arguments', 'reason'), [
    (('--start-from', 'nowhere'), 'nowhere'),
    (('--seed', '-1'), 'seed is -1; take one from 0 on'),
    (('--scale', '0'), 'scale is 0.0; take more than 0'),
    (('--num-threads', '0'), '--num-threads is 0; take 1 or more'),
    (('--finish',), '--finish needs --start-from')])
def test_what_cannot_be_trained_leaves_the_output_as_it_is(
        tmp_path, monkeypatch, capsys, arguments, reason):
    (tmp_path / 'config.json').write_text('{}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(['--output', str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['config.json']
    assert (tmp_path / 'config.json').read_text() == '{}'


def test_a_checkpoint_that_saw_single_frames_is_trained_on_with_pairs(tmp_path):
    """What it saw of a frame it still sees; the frame before adds nothing yet."""
    tokenizer = write_tokenizer(tmp_path)
    config = demo_config(tokenizer)
    config['vision_config']['num_channels'] = 3
    (tmp_path / 'config.json').write_text(json.dumps(config))
    old = fresh_model(ModelConfig.from_dict(config)).eval()
    save_model(old, tmp_path)
    model = fresh_model(ModelConfig.from_dict(demo_config(tokenizer))).eval()
    carry_over(tmp_path, model, tokenizer)
    pixels = torch.randn((2, 6, 64, 64), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.encode_frames(pixels), old.encode_frames(pixels[:, :3]))
