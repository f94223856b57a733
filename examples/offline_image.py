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
Ask about one or more pictures.

The calls are those of the model's published offline script; only the loading line is this
package's. Run it as `python -m examples.offline_image IMAGE --prompt 'What do you see?'`.
"""

import argparse
import queue
import threading

from moss_ros import load_generator
from PIL import Image


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('image', nargs='+')
    parser.add_argument('--prompt', default='What do you see?')
    parser.add_argument('--checkpoint', help='default: the embedded model')
    arguments = parser.parse_args()

    model = load_generator(arguments.checkpoint)
    processor = model.processor

    new_queries, output_text_queue = queue.Queue(), queue.Queue()
    new_queries.put({
        'prompt': arguments.prompt,
        'images': [Image.open(path).convert('RGB') for path in arguments.image],
        'videos': [],
        'media_kwargs': {},
        'thinking_mode': 'no_thinking',
        'system_prompt_type': 'text_image',
        'generate_kwargs': {
            'temperature': 1.0, 'top_k': 50, 'top_p': 1.0, 'max_new_tokens': 1024,
            'repetition_penalty': 1.0, 'do_sample': False},
    })
    new_queries.put({'stop_offline_generate': True})
    generation = threading.Thread(
        target=model.offline_generate, args=(processor, new_queries, output_text_queue),
        daemon=True)
    generation.start()
    while '<|round_end|>' not in (piece := output_text_queue.get()):
        print(piece, end='', flush=True)
    print()
    generation.join()


if __name__ == '__main__':
    main()
