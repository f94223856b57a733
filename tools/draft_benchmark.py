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
How much drafts save: `make benchmark-drafts`.

The embedded model narrates painted scenes, once a token a pass and once with drafts of three
tokens, and its passes are counted: over many short streams and over a long one, whose transcript
is the stand-in for a day's narration. A pass of four tokens is timed against one of one token, in
turn, with the embedded model and with one of 250 million random parameters. Prints a JSON line for
each. Drafts are used where tokens a pass are more than what a pass costs.
"""

from __future__ import annotations

import argparse
import json
from statistics import median
import time

from moss_ros.checkpoints import DEMO_CHECKPOINT
from moss_ros.model import load_model, ModelConfig, VideoModel
from moss_ros.stream import Frame, StreamCheckpoint
from moss_ros.training.scenes import SceneRenderer
from moss_ros.training.streams import make_stream
import torch

_NUM_ROWS = 4
_SIZE_PX = (128, 96)
_LARGE = {'hidden_size': 1024, 'num_attention_heads': 16, 'num_key_value_heads': 4,
          'intermediate_size': 2816, 'num_hidden_layers': 16, 'cross_attention_layers': [3, 8, 13],
          'vocab_size': 32000}
_NUM_FRAMES_SEEN = 26


class _Counted:
    """A model that has num_cheap_rows and counts its passes of tokens, and their tokens."""

    def __init__(self, model: VideoModel, num_cheap_rows: int):
        self._model = model
        self.num_cheap_rows = num_cheap_rows
        self.num_passes = self.num_rows = 0

    def __getattr__(self, name):
        return getattr(self._model, name)

    def decode(self, caches, token_ids):
        self.num_passes += 1
        self.num_rows += len(token_ids)
        return self._model.decode(caches, token_ids)


def count_passes(model: VideoModel, num_cheap_rows: int, seed: int, num_frames: int) -> _Counted:
    """Narrate num_frames of the scene of seed, at 2 frames a second, and count the passes."""
    counted = _Counted(model, num_cheap_rows)
    session = StreamCheckpoint.open(DEMO_CHECKPOINT).session(counted)
    stream = make_stream(seed, num_frames)
    renderer = SceneRenderer(stream.scene, *_SIZE_PX)
    for time_s in stream.times_s:
        session.add_frame(Frame(renderer.render(time_s), int(time_s * 1e9)))
        while session.has_work:
            session.step()
    return counted


def pass_cost(model: VideoModel, num_pairs: int) -> float:
    """Return the time of a pass of four tokens of a stream over that of one, as a median."""
    config = model.config
    cache = model.new_cache(_NUM_FRAMES_SEEN + 64, _NUM_FRAMES_SEEN)
    states = torch.zeros(_NUM_FRAMES_SEEN, config.num_frame_tokens, config.text.hidden_size)
    model.extend(cache, [1, *[config.image_token_id] * _NUM_FRAMES_SEEN], states)

    def seconds(num_rows):
        begin_s = time.perf_counter()
        model.decode([cache] * num_rows, [1] * num_rows)
        end_s = time.perf_counter()
        cache.truncate(cache.num_tokens - num_rows, cache.num_frames)
        return end_s - begin_s

    for num_rows in (1, _NUM_ROWS):
        seconds(num_rows)
    return median(seconds(_NUM_ROWS) / seconds(1) for _ in range(num_pairs))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.draft_benchmark', description=__doc__.split('\n\n')[0])
    parser.add_argument('--num-scenes', type=int, default=20)
    parser.add_argument('--num-frames', type=int, default=1200, help='of the long stream')
    parser.add_argument('--num-pairs', type=int, default=30)
    arguments = parser.parse_args()
    model = load_model(DEMO_CHECKPOINT)
    for name, seeds, num_frames in (
            ('short streams', range(arguments.num_scenes), 60),
            ('long stream', range(1), arguments.num_frames)):
        plain, drafted = ([count_passes(model, rows, seed, num_frames) for seed in seeds]
                          for rows in (1, _NUM_ROWS))
        num_plain, num_drafted = (sum(counted.num_passes for counted in run)
                                  for run in (plain, drafted))
        print(json.dumps({
            'transcript': name, 'num_tokens': num_plain, 'num_passes': num_drafted,
            'tokens_a_pass': round(num_plain / num_drafted, 3),
            'rows_a_pass': round(sum(counted.num_rows for counted in drafted) / num_drafted, 3)}),
            flush=True)
    large = {**json.loads((DEMO_CHECKPOINT / 'config.json').read_text()),
             'image_token_index': _LARGE['vocab_size']}
    large['text_config'] = {**large['text_config'], **_LARGE}
    torch.manual_seed(0)
    for name, timed in (('embedded', model),
                        ('250 million', VideoModel(ModelConfig.from_dict(large)).eval())):
        print(json.dumps({
            'model': name, 'num_rows': _NUM_ROWS, 'are_drafts_used': timed.num_cheap_rows > 1,
            'cost_of_a_pass': round(pass_cost(timed, arguments.num_pairs), 3)}), flush=True)


if __name__ == '__main__':
    main()
