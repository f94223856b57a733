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
Ask about a whole video.

The calls are those of the model's published offline script; only the loading line is this
package's. Run it as `python -m examples.offline_video VIDEO --prompt 'What happens?'`.
"""

import argparse
import queue
import threading

from moss_ros import load_generator


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('video')
    parser.add_argument('--prompt', default='What happens?')
    parser.add_argument('--checkpoint', help='default: the embedded model')
    parser.add_argument('--fps', type=float, default=1.0, help='frames of a second to look at')
    arguments = parser.parse_args()

    model = load_generator(arguments.checkpoint)
    processor = model.processor

    new_queries, output_text_queue = queue.Queue(), queue.Queue()
    new_queries.put({
        'prompt': arguments.prompt,
        'images': [],
        'videos': [arguments.video],
        'media_kwargs': {'video_fps': arguments.fps, 'video_minlen': 8, 'video_maxlen': 256},
        'thinking_mode': 'no_thinking',
        'system_prompt_type': 'video',
        'generate_kwargs': {
            'temperature': 1.0, 'top_k': 50, 'top_p': 1.0, 'max_new_tokens': 1024,
            'repetition_penalty': 1.0, 'do_sample': False},
    })
    new_queries.put({'stop_offline_generate': True})
    generation = threading.Thread(
        target=model.offline_generate, args=(processor, new_queries, output_text_queue),
        kwargs={'vision_chunked_length': 64}, daemon=True)
    generation.start()
    while '<|round_end|>' not in (piece := output_text_queue.get()):
        print(piece, end='', flush=True)
    print()
    generation.join()


if __name__ == '__main__':
    main()
